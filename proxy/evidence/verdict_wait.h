/*
 * Verdicts that name a queue id which nobody knows yet. A filter decides
 * before the MTA says 250 and names the id to us, and in TLS that passes
 * through only the MTA's log will; so they wait a while. Fixed memory: when
 * it is full the next one is not waited for.
 */
#ifndef PROXY_EVIDENCE_VERDICT_WAIT_H
#define PROXY_EVIDENCE_VERDICT_WAIT_H

#include "proxy/evidence/verdict_line.h"

#define VERDICT_WAIT_CAP 1024u
#define VERDICT_WAIT_MS 60000u

struct verdict_wait {
	uint32_t count;
	struct {
		uint64_t since_ms;
		struct verdict_line line;
	} waiting[VERDICT_WAIT_CAP];
};

/* Keeps a line; false if there is no room. */
bool verdict_wait_put(struct verdict_wait *w, const struct verdict_line *line,
		      uint64_t unix_ms);

/* Tries a line again; is_last: then it is given up. True: it is done with. */
typedef bool verdict_wait_fn(void *ctx, const struct verdict_line *line,
			     bool is_last);

/* Tries all of them, oldest first. A clock that was set back ends the wait. */
void verdict_wait_try(struct verdict_wait *w, uint64_t unix_ms,
		      verdict_wait_fn *again, void *ctx);

#endif
