/*
 * What the DNS says of a session's client: asked for once, when its plan is
 * first made and no rule lets it pass; never waited for. What is known stands
 * in a seat beside the session's, so that a site that asks nobody pays for
 * nothing.
 */
#ifndef PROXY_RELAY_LOOKUP_H
#define PROXY_RELAY_LOOKUP_H

#include <stdint.h>

#include "proxy/config/config.h"
#include "proxy/evidence/pool.h"
#include "tarry/evidence.h"
#include "tarry/plan.h"

struct conn;
struct session_report;
struct worker;

struct lookup_seat {
	uint32_t generation; /* of the session's seat that this is about */
	uint32_t epoch;	     /* of the rules whose lists these are */
	uint16_t answered;   /* lists, a bit each */
	uint8_t ptr;	     /* enum evidence_ptr */
	uint8_t weights[CONFIG_LISTS_CAP];
	char pool[POOL_TEXT_CAP]; /* "": not known */
};

/* Asks, if there is anybody to be asked, it was not done yet, and the client
 * neither passes by a rule nor has proved itself. */
void lookup_start(struct conn *c, const struct evidence *e,
		  const struct plan *plan);

/* Adds what is known by now. */
void lookup_gather(struct conn *c, struct evidence *e);

/* The pool that the client is one of, as long as its session; NULL: not
 * known, or none. */
const char *lookup_pool(const struct conn *c);

/* The worker was woken: takes the answers, and plans those sessions again. */
void lookup_take(struct worker *w);

#endif
