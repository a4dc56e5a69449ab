/*
 * The test session with the MTA, before the first client and again until it
 * passes.
 *
 * An MTA that does not expect the PROXY header answers its bytes, and one
 * stray reply shifts all that follow: mail bounces. One that expects it and
 * gets none says nothing. And one that trusts this host would be an open relay
 * if it saw us in place of the client. So: header as configured, one 220, a
 * second of silence, exactly one reply each for EHLO and QUIT.
 */
#ifndef PROXY_RELAY_MTA_PROBE_H
#define PROXY_RELAY_MTA_PROBE_H

#include <uv.h>

#include "proxy/config/config.h"
#include "proxy/relay/worker.h"

struct mta_probe;

/*
 * Told after each test; on the loop's thread. `mta` and `why` are lent for
 * the call; `why` is one line about what was seen, "" if it passed. mta->name
 * is NULL where the MTA's own name is of no use.
 */
typedef void mta_probe_fn(void *ctx, const struct worker_mta *mta,
			  const char *why);

/*
 * Starts testing, at once and then after 1, 2, 4 .. 30 s. What is found is
 * also logged. `config` is copied from. Returns 0 and *out for the caller
 * (mta_probe_stop()), or a negative errno.
 */
__attribute__((warn_unused_result)) int
mta_probe_start(struct mta_probe **out, uv_loop_t *loop,
		const struct config *config, mta_probe_fn *tell, void *ctx);

/* Stops; tells nothing more. Freed by the loop, which must run on. NULL is
 * fine. */
void mta_probe_stop(struct mta_probe *p);

#endif
