/*
 * The sessions of a worker, as they are, for a person.
 *
 * Looking is done by the worker itself between two turns, some seats at a
 * time, so that it never takes long; what it saw it copies.
 */
#ifndef PROXY_RELAY_WORKER_VIEW_H
#define PROXY_RELAY_WORKER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "tarry/session.h"

/* Seats looked at for one worker_look(). */
#define WORKER_VIEW_SEATS 1024

struct worker;

struct worker_view_row {
	uint64_t id;
	struct addr client;
	uint64_t age_ms;
	uint32_t held_ms; /* so far, all of it */
	uint16_t class_id;
	uint16_t rule_id;
	enum session_phase phase;
	bool is_held;	  /* at this moment */
	const char *mode; /* plan_mode_name() */
	bool is_early;	  /* how the client behaves; see session.h */
	bool is_pipelining;
	bool is_non_smtp;
	bool is_bare_newline;
	struct dialect dialect;
};

struct worker_view {
	uint32_t next; /* the seat to go on with; begin with 0 */
	bool is_end;   /* there is none behind */
	uint32_t count;
	struct worker_view_row rows[WORKER_VIEW_SEATS];
};

/*
 * Fills *view, from view->next on, and tells WORKER_LOOKED; the view is the
 * worker's until then, or until worker_free(). One at a time. Any thread.
 */
void worker_look(struct worker *w, struct worker_view *view);

/* For worker.c: does it. */
void worker_view_fill(struct worker *w, struct worker_view *view);

#endif
