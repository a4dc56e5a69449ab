/*
 * Shutting down: all delays end, sessions do not.
 */
#include "proxy/daemon/control_state.h"

/* Between the cut at the end of a drain and giving up on it. */
#define CUT_MS 3000u

void
control_drain(struct control *c, const char *cause)
{
	c->state = CONTROL_DRAINS;
	c->state_ends_ms =
	    uv_now(&c->loop) + c->settings.config->drain_timeout_ms;
	log_say(LOG_LEVEL_INFO,
		"%s: no new clients, all delays end; waiting up to %us for "
		"sessions to end, a second signal exits now",
		cause, (unsigned)(c->settings.config->drain_timeout_ms / 1000));
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_drain(c->workers[i]);
}

void
control_watch_drain(struct control *c, uint64_t now_ms)
{
	if (c->state == CONTROL_RUNS || now_ms < c->state_ends_ms)
		return;
	if (c->state == CONTROL_CUTS) {
		uv_stop(&c->loop);
		return;
	}
	c->state = CONTROL_CUTS;
	c->state_ends_ms = now_ms + CUT_MS;
	log_say(LOG_LEVEL_INFO, "drain_timeout is over: cutting what is left");
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_cut(c->workers[i]);
}
