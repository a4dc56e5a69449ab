/*
 * What a connection tells the journal and, for the verdicts, the main thread;
 * and when. Costs one branch where there
 * is none.
 */
#ifndef PROXY_RELAY_RECORD_H
#define PROXY_RELAY_RECORD_H

#include <stddef.h>
#include <stdint.h>

struct conn;
struct evidence;
struct orders;
struct plan;
struct session_report;

/* The SYN was found after the accept. */
void record_syn(struct conn *c);

/* A plan was made; with the first one, that the session came. */
void record_plan(struct conn *c, const struct evidence *e,
		 const struct plan *plan);

/* A step was made. */
void record_step(struct conn *c, const struct orders *o);

/* The MTA sees the client, with mta_port for its port. */
void record_guise(const struct conn *c);

/* The session is over. */
void record_end(struct conn *c, const struct session_report *report);

#endif
