/*
 * The session machine under random splits, timings, plans and accidents. See
 * run_check.c for what must hold. TARRY_RUNS sets how many runs (1,000,000);
 * TARRY_SEED plays one run alone and tells its plot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/run.h"

#define RUNS_DEFAULT 1000000

static struct run run;

static const char *const greetings[] = {
    "220 mx.example.org ESMTP\r\n",
    "220-mx.example.org ESMTP\r\n220-second\r\n220 third\r\n",
    "220\r\n",
    "554 5.7.1 not you\r\n",
    "421 4.3.2 busy\r\n",
    "220*********\r\n",
};

static uint16_t
one_of(struct run *r, const uint16_t *values, uint32_t count)
{
	return values[run_draw(r, count)];
}

static struct plan
draw_plan(struct run *r)
{
	static const uint16_t greets[] = {0, 0, 300, 3000, 15000, 20000, 25000};
	static const uint16_t replies[] = {0, 0, 100, 2000, 5000, 9000, 30000};
	static const uint16_t drips[] = {0, 0, 150, 2000, 5000, 60000};
	static const uint16_t patience[] = {9000, 9000, 1000, 60000};
	static const uint16_t caps[] = {20000, 20000, 1000, 25000};
	struct plan p;

	memset(&p, 0, sizeof(p)); /* compared as bytes */
	p.greet_ms = one_of(r, greets, 7);
	p.reply_ms = one_of(r, replies, 7);
	p.error_ms = one_of(r, replies, 7);
	p.drip_ms = one_of(r, drips, 6);
	p.reply_cap_ms = one_of(r, caps, 4);
	p.data_reply_cap_ms = run_draw(r, 2) ? 5000 : 0;
	p.patience_ms = one_of(r, patience, 4);
	p.session_cap_ms = run_draw(r, 4) ? 120000 : 6000;
	p.class_id = run_draw(r, 2) ? 0 : PLAN_CLASS_PASS;
	if (run_draw(r, 20) == 0)
		p.class_id = PLAN_CLASS_DEFER;
	p.rank = (uint8_t)run_draw(r, 4);
	p.caps[0] = run_draw(r, 4) == 0;
	p.is_shadow = run_draw(r, 8) == 0;
	if (run_draw(r, 4) == 0)
		p.data_rate = PLAN_DATA_RATE_MIN << run_draw(r, 5);
	p.rule_id = PLAN_NO_RULE;
	p.teaser = run_draw(r, 2) != 0;
	p.is_split = run_draw(r, 4) == 0;
	return p;
}

static void
draw_accidents(struct run *r, struct run_plot *p)
{
	static const enum event_kind hurries[] = {EVENT_DRAIN, EVENT_RELEASED,
						  EVENT_GIVE_WAY, EVENT_REPLAN};
	static const uint32_t lags[] = {0, 1, 30, 400, 4000};
	static const uint32_t pieces[] = {1, 3, 50, 20000};

	p->lag_ms = lags[run_draw(r, 5)];
	p->piece_bytes = pieces[run_draw(r, 4)];
	p->closes_at = -1;
	p->greeting = greetings[0];
	if (run_draw(r, 4) == 0)
		p->greeting = greetings[run_draw(r, 6)];
	if (run_draw(r, 10) == 0)
		p->refusals = (int)run_draw(r, 30);
	if (run_draw(r, 5) == 0) {
		p->closes_at = (int)run_draw(r, 10);
		p->closes_by_reset = run_draw(r, 2) != 0;
		p->says_421 = run_draw(r, 2) != 0;
	}
	if (run_draw(r, 5) == 0) {
		p->leaves_ms = 1000000 + run_draw(r, 40000);
		p->leaves_by_reset = run_draw(r, 2) != 0;
	}
	if (run_draw(r, 10) == 0) {
		p->hurry_ms = 1000000 + run_draw(r, 30000);
		p->hurry_kind = hurries[run_draw(r, 4)];
	}
}

static void
draw_plot(uint64_t seed, struct run_plot *p, struct site *site)
{
	struct run *r = &run;

	r->rng = seed * 0x2545f4914f6cdd1d + 1;
	memset(p, 0, sizeof(*p));
	p->dialogue = &dialogues[run_draw(r, (uint32_t)dialogues_count)];
	p->plan = draw_plan(r);
	p->plan_again = p->plan;
	if (run_draw(r, 3) == 0)
		p->plan_again = draw_plan(r);
	draw_accidents(r, p);
	memset(site, 0, sizeof(*site));
	site->name = "tarry.example.org";
	site->name_len = strlen(site->name);
	site->client_address = (enum client_address)run_draw(r, 3);
	site->lead_ms = run_draw(r, 2) ? 1000 : 5;
	site->connect_timeout_ms = 10000;
	site->drip_gap_ms = 200;
	site->pipeconnect = run_draw(r, 4) == 0;
	site->counts_matter = run_draw(r, 4) == 0;
	site->has_tls = p->dialogue->ends_tls && run_draw(r, 4) > 0;
	site->mta_tls = site->has_tls && run_draw(r, 2) == 0;
	p->mta_takes_tls = site->mta_tls && run_draw(r, 4) > 0;
	p->mta_tls_fails = run_draw(r, 8) == 0;
	p->tls_fails = p->dialogue->ends_tls && run_draw(r, 8) == 0;
}

static void
tell_plan(const char *name, const struct plan *p)
{
	print_message("  %s: greet %u reply %u error %u drip %u caps %u/%u "
		      "patience %u session %u teaser %d rate %u cap %u "
		      "shadow %d rank %u class %x\n",
		      name, p->greet_ms, p->reply_ms, p->error_ms, p->drip_ms,
		      p->reply_cap_ms, p->data_reply_cap_ms, p->patience_ms,
		      p->session_cap_ms, p->teaser, p->data_rate, p->caps[0],
		      p->is_shadow, p->rank, p->class_id);
}

static void
tell(uint64_t seed, const struct run_plot *p)
{
	print_message(
	    "seed %llu: %s\n  dialogue: %s\n", (unsigned long long)seed,
	    world_breach_text ? world_breach_text : "fine", p->dialogue->name);
	tell_plan("plan", &p->plan);
	tell_plan("plan again", &p->plan_again);
	print_message(
	    "  greeting %.20s refusals %d closes_at %d leaves %llu "
	    "hurry %llu kind %d lag %u piece %u\n"
	    "  ended at %llu: %s, disturbed at %llu\n",
	    p->greeting, p->refusals, p->closes_at,
	    (unsigned long long)p->leaves_ms, (unsigned long long)p->hurry_ms,
	    (int)p->hurry_kind, p->lag_ms, p->piece_bytes,
	    (unsigned long long)run.w.now_ms, session_reason_name(run.w.reason),
	    (unsigned long long)run.disturbed_ms);
}

static void
tell_replies(void)
{
	int i;

	for (i = 0; i < run.replies_count; i++) {
		const struct run_reply *reply = &run.replies[i];

		print_message("  %-9s %u asked %llu ready %llu out %llu..%llu "
			      "callback %d close %d\n",
			      smtp_verb_name(reply->verb), reply->code,
			      (unsigned long long)reply->asked_ms,
			      (unsigned long long)reply->ready_ms,
			      (unsigned long long)reply->first_ms,
			      (unsigned long long)reply->last_ms,
			      reply->is_callback, reply->has_close_pieces);
	}
}

static bool
play(uint64_t seed, unsigned reasons[REASON_COUNT])
{
	struct run_plot plot;
	struct site site;

	draw_plot(seed, &plot, &site);
	world_breach_text = NULL;
	if (run_play(&run, &site, seed, &plot) < 0)
		world_breach("the session did not end");
	run_check(&run);
	reasons[run.w.reason]++;
	if (world_breach_text == NULL)
		return true;
	tell(seed, &plot);
	tell_replies();
	return false;
}

static void
random_runs_keep_the_promises(void **state)
{
	const char *runs_text = getenv("TARRY_RUNS");
	const char *seed_text = getenv("TARRY_SEED");
	uint64_t runs =
	    runs_text ? strtoull(runs_text, NULL, 10) : RUNS_DEFAULT;
	unsigned reasons[REASON_COUNT] = {0};
	uint64_t seed;
	int i;

	(void)state;
	if (seed_text != NULL) {
		assert_true(play(strtoull(seed_text, NULL, 10), reasons));
		return;
	}
	for (seed = 1; seed <= runs; seed++) {
		if (seed % 250000 == 0)
			print_message("%llu runs\n", (unsigned long long)seed);
		assert_true(play(seed, reasons));
	}
	for (i = 0; i < REASON_COUNT; i++) {
		if (reasons[i] > 0)
			print_message(
			    "%8u %s\n", reasons[i],
			    session_reason_name((enum session_reason)i));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_runs_keep_the_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
