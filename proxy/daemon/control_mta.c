/*
 * Whether the MTA can be used: by a test session, and by how dials go.
 */
#include "proxy/daemon/control_state.h"

#include <stdio.h>

/* So many failed dials in a row mean that the MTA has gone. */
#define DIALS_FAILED 3

/*
 * What a test session with the MTA found. Once one has passed, another that
 * fails only says why: clients' own dials go on, so that none waits for the
 * next test.
 */
static void
on_mta(void *ctx, const struct worker_mta *mta, const char *why)
{
	struct control *c = ctx;

	snprintf(c->mta_why, sizeof c->mta_why, "%s", why);
	if (c->mta_is_ready && !mta->is_ready)
		return;
	c->mta_is_ready = mta->is_ready;
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_set_mta(c->workers[i], mta);
}

/*
 * With address = original there is no MTA to be tested before a client has
 * named it, and it may be another one for each: how dials go is all there is.
 * Nothing is lost by that: no PROXY header is sent that it might not expect.
 */
static void
go_untested(struct control *c)
{
	const struct worker_mta untested = {.is_ready = true};

	log_say(LOG_LEVEL_INFO,
		"mta.address is original: the MTA is not tested before clients "
		"are sent there");
	on_mta(c, &untested, "");
}

int
control_test_mta(struct control *c)
{
	if (config_is_original(c->settings.config)) {
		go_untested(c);
		return 0;
	}
	snprintf(c->mta_why, sizeof c->mta_why, "not tested yet");
	return mta_probe_start(&c->probe, &c->loop, c->settings.config, on_mta,
			       c);
}

void
control_test_mta_again(struct control *c)
{
	mta_probe_stop(c->probe);
	c->probe = NULL;
	if (control_test_mta(c) != 0)
		log_say(LOG_LEVEL_ERROR, "no memory to test the MTA again");
}

static uint32_t
dials_failed(const struct control *c)
{
	uint32_t failed = 0;

	for (uint32_t i = 0; i < c->workers_count; i++) {
		struct worker_counters counters;

		worker_counters(c->workers[i], &counters);
		if (counters.dials_failed > failed)
			failed = counters.dials_failed;
	}
	return failed;
}

/*
 * True if a test session says whether the MTA is back. One comes from our own
 * address, and so says nothing of the way back to a client's.
 */
static bool
test_tells(const struct config *config)
{
	return !config_is_original(config) &&
	       config->mta.client_address != CLIENT_ADDRESS_TRANSPARENT;
}

static void
say_gone(struct control *c, uint32_t failed)
{
	bool is_transparent = c->settings.config->mta.client_address ==
			      CLIENT_ADDRESS_TRANSPARENT;

	log_say(LOG_LEVEL_ERROR,
		"the MTA cannot be reached: %u dials in a row failed; clients "
		"are held, then told 421, until it answers%s",
		(unsigned)failed,
		is_transparent ? ". Are its answers to clients routed to this "
				 "host, and in it to Tarry? (TRANSPARENT in "
				 "tarryd(8))"
			       : "");
	snprintf(c->mta_why, sizeof c->mta_why, "%u in a row",
		 (unsigned)failed);
}

/*
 * Dials that fail say that the MTA has gone; one that succeeds, or a test
 * session, that it is back. The test is needed too: whoever watches /readyz
 * may send us no client before.
 */
void
control_watch_dials(struct control *c)
{
	uint32_t failed;
	bool is_gone;

	if (c->state != CONTROL_RUNS || c->workers_count == 0)
		return;
	failed = dials_failed(c);
	is_gone = c->mta_is_ready && failed >= DIALS_FAILED;
	if (is_gone == c->mta_is_gone)
		return;
	c->mta_is_gone = is_gone;
	if (!is_gone) {
		log_say(LOG_LEVEL_INFO, "the MTA can be reached again");
		return;
	}
	say_gone(c, failed);
	if (test_tells(c->settings.config))
		control_test_mta_again(c);
}

void
control_retest_mta(struct control *c)
{
	const struct worker_mta untested = {.is_ready = false};

	log_say(LOG_LEVEL_INFO, "the MTA is another one, or is told the "
				"client's address in another way: testing it "
				"before a client is sent there");
	c->mta_is_ready = false;
	c->mta_is_gone = false;
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_set_mta(c->workers[i], &untested);
	control_test_mta_again(c);
}
