/*
 * A whole site in simulated time: random rules, random load, a small MTA, and
 * everything real between them: plans, places, crowd, session machine. What
 * must hold is written once more from the design: P1 (who hears a 421), P4
 * (how long anything waits), P5 (what the MTA is spared), P6 (all is bounded
 * and given back). run_check.c looks at each session besides.
 *
 * TARRY_SITES sets how many sites (100,000), TARRY_SEED plays one alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/site.h"

#define RUNS_DEFAULT 100000
#define STEPS_MAX 400000

static struct client *
client_of(struct run *r)
{
	return (struct client *)r; /* its first member */
}

static void
make_plan(struct run *r, struct plan *plan)
{
	struct client *c = client_of(r);
	const struct session *s = &r->w.s;
	const struct stress stress = house_stress(&site.house);
	struct place_counts counts;
	struct evidence e;

	memset(&e, 0, sizeof(e));
	places_look(site.house.places, &c->lodger.place, site.house.now_ms,
		    &counts);
	e.present = UINT64_MAX;
	e.client = s->client;
	e.listener = c->listener;
	e.session_errors = s->counts.errors;
	e.session_messages = s->counts.messages;
	e.client_sessions = counts.sessions[PLAN_CAP_CLIENT];
	e.network_sessions = counts.sessions[PLAN_CAP_NETWORK];
	e.client_rate = counts.client_rate;
	e.early_talker = s->is_early;
	*plan = plan_make(&site.policy, &e, &stress, NULL);
}

static struct client *
lodging(struct lodger *l)
{
	return (struct client *)(void *)((char *)l -
					 offsetof(struct client, lodger));
}

/* What the house does with the orders that concern the gate; and what of it
 * run_check() wants to know. */
static void
carry_out(struct world *w)
{
	struct client *c = client_of(w->on_release_arg);
	const bool has_asked = c->waits_for_caps;

	house_orders(&site.house, &c->lodger);
	if (w->o.claim_slot == SLOT_RESERVE)
		c->run.is_reserve |=
		    (c->lodger.events & 1u << EVENT_GRANTED) != 0;
	c->waits_for_caps = w->s.caps == PLACE_ASKED;
	if (has_asked && w->s.caps == PLACE_HELD && c->run.caps_granted_ms == 0)
		c->run.caps_granted_ms = site.house.now_ms;
}

/* The promises that concern one session at any moment. */
static void
check_client(const struct client *c)
{
	const struct session *s = &c->run.w.s;
	const struct leg *leg = c->run.w.leg;

	if (leg != NULL && s->phase == PHASE_RELAY && leg->answered > 0 &&
	    !s->is_in_share)
		world_breach("P5: a reply waits, and no slot of the share");
	if (leg != NULL && !c->lodger.has_slot)
		world_breach("P5: the MTA is dialled without a slot");
	if (s->caps == PLACE_ASKED &&
	    site.house.now_ms > s->opened_ms + s->plan.reply_cap_ms)
		world_breach("a cap was waited for beyond the greet budget");
}

static void
tell_client(const struct client *c)
{
	const struct run *r = &c->run;
	const struct plan *p = &r->plot.plan;
	int i;

	print_message("  session of %llu, %s: %s, plan greet %u reply %u error "
		      "%u drip %u rate %u caps %u/%u/%u shadow %d rank %u; "
		      "now reply %u rank %u share %d, disturbed %llu\n",
		      (unsigned long long)r->w.s.opened_ms,
		      r->plot.dialogue->name, session_reason_name(r->w.reason),
		      p->greet_ms, p->reply_ms, p->error_ms, p->drip_ms,
		      p->data_rate, p->caps[0], p->caps[1], p->caps[2],
		      p->is_shadow, p->rank, r->w.s.plan.reply_ms,
		      r->w.s.plan.rank, r->w.s.is_in_share,
		      (unsigned long long)r->disturbed_ms);
	for (i = 0; i < r->replies_count; i++) {
		const struct run_reply *reply = &r->replies[i];

		print_message("    %-9s %u asked %llu ready %llu out %llu\n",
			      smtp_verb_name(reply->verb), reply->code,
			      (unsigned long long)reply->asked_ms,
			      (unsigned long long)reply->ready_ms,
			      (unsigned long long)reply->last_ms);
	}
}

/* Delayed behind the greeting: written once more, not taken from the core. */
static bool
is_throttled(const struct session *s)
{
	const struct plan *p = &s->plan;

	return !p->is_shadow && !s->is_spent &&
	       p->reply_ms + p->error_ms + p->data_rate > 0;
}

static void
check_end(struct client *c)
{
	const struct world *w = &c->run.w;
	const struct session *s = &w->s;
	uint64_t waited = site.house.now_ms - s->opened_ms;

	if (s->counts.own_421 && w->reason != REASON_MTA_UNREACHABLE &&
	    w->reason != REASON_NO_SLOT && w->reason != REASON_FULL &&
	    w->reason != REASON_DEFERRED && w->reason != REASON_MTA_REFUSED)
		world_breach("P1: 421 for another reason");
	if (w->reason == REASON_NO_SLOT && waited < s->plan.reply_cap_ms)
		world_breach("P1: no slot, before the greet budget was over");
	if (w->reason == REASON_NO_SLOT && is_throttled(s) &&
	    !c->lodger.asked_reserve)
		world_breach("P1: no slot, and the reserve was not asked for");
	if (w->claims > 0 &&
	    w->claim_ms > s->opened_ms + site.policy.reply_cap_ms)
		world_breach("P4: the slot was asked for behind the budget");
	if (s->counts.held_ms > site.policy.session_cap_ms)
		world_breach("P4: held beyond the session's budget");
	run_check(&c->run);
	if (world_breach_text != NULL)
		tell_client(c);
}

static void
left(struct lodger *l)
{
	check_end(lodging(l));
}

static void
acts(struct lodger *l)
{
	struct client *c = lodging(l);

	run_settle(&c->run);
	if (!c->run.w.has_ended)
		check_client(c);
}

/* Sessions run out: see the design, P1 and section 7. */
static void
make_room(void)
{
	const struct house *h = &site.house;
	uint32_t victim = CROWD_NONE;
	uint8_t worst = 0;

	if (crowd_is_full(&h->crowd, h->sessions - h->lingering))
		victim = crowd_gives_way(&h->crowd);
	for (int i = 0; i < COMERS; i++) {
		const struct lodger *l = &site.clients[i].lodger;

		if (l->is_open && lodger_is_undialled(l) &&
		    lodger_rank(l) > worst)
			worst = lodger_rank(l);
	}
	if (victim != CROWD_NONE && lodger_rank(h->seats[victim]) != worst)
		world_breach("P1: not the worst class gave way");
	house_make_room(&site.house);
}

static void
accept_client(struct client *c)
{
	struct run_plot plot;

	site_draw_plot(&plot);
	c->has_come = true;
	site_draw_client(c);
	memset(&c->run.w.s, 0, sizeof(c->run.w.s));
	c->lodger.w = &c->run.w;
	if (!house_enter(&site.house, &c->lodger, &c->keys)) {
		world_breach("P6: a seat was free, and is not");
		return;
	}
	c->run.site = &site;
	c->run.make_plan = make_plan;
	c->run.w.on_release_arg = &c->run;
	c->run.w.on_step = carry_out;
	make_plan(&c->run, &plot.plan);
	plot.plan_again = plot.plan;
	run_begin(&c->run, &site.site, site_draw(UINT32_MAX), &plot,
		  site.house.now_ms);
	house_settle(&site.house, &c->lodger);
	make_room();
}

static void
check_places(void)
{
	struct places_totals t;
	uint32_t share = site.house.options.slots - site.house.options.reserve;

	places_totals(site.house.places, &t);
	if (t.slots_used > site.house.options.slots)
		world_breach("P5: more slots than there are");
	if (t.slots_shared > share)
		world_breach("P5: the throttled have more than their share");
	if (t.sessions != site.house.sessions ||
	    t.sessions > site.house.seats_count)
		world_breach("P6: sessions that are not counted");
	/* Worse ranks leave up to three quarters of the share to better. */
	if (t.slots_waiting > 0 && t.slots_used < share - share * 3 / 4)
		world_breach("P5: a slot is idle and somebody waits");
}

static void
check_over(void)
{
	struct places_totals t;

	places_totals(site.house.places, &t);
	if (t.sessions + t.slots_used + t.slots_shared + t.slots_waiting +
		t.caps_held + t.caps_waiting >
	    0)
		world_breach("P6: something was not given back");
	if (site.house.crowd.ranks != 0)
		world_breach("P6: somebody is left in the crowd");
}

static uint64_t
next_moment(void)
{
	uint64_t at = UINT64_MAX;
	const bool has_seat = site.house.free_count > 0;
	int i;

	for (i = 0; i < COMERS; i++) {
		const struct client *c = &site.clients[i];
		uint64_t own = UINT64_MAX;

		if (c->lodger.is_open)
			own = run_next(&c->run);
		else if (!c->has_come && has_seat)
			own = c->comes_ms;
		if (own < at)
			at = own;
	}
	return at;
}

static void
moment(void)
{
	int i;

	for (i = 0; i < COMERS; i++) {
		struct client *c = &site.clients[i];

		if (c->lodger.is_open &&
		    run_next(&c->run) <= site.house.now_ms) {
			c->run.w.now_ms = site.house.now_ms;
			run_moment(&c->run);
			house_settle(&site.house, &c->lodger);
			return;
		}
		if (!c->has_come && c->comes_ms <= site.house.now_ms &&
		    site.house.free_count > 0) {
			accept_client(c);
			return;
		}
	}
}

static bool
play(uint64_t seed, unsigned reasons[REASON_COUNT])
{
	uint64_t at;
	int steps;
	int i;

	if (!site_open(seed, acts, left))
		return false;
	world_breach_text = NULL;
	for (steps = 0; world_breach_text == NULL; steps++) {
		house_turn(&site.house);
		check_places();
		at = next_moment();
		if (at == UINT64_MAX)
			break;
		if (steps == STEPS_MAX)
			world_breach("the site does not come to an end");
		if (at > site.house.now_ms)
			site.house.now_ms = at;
		moment();
	}
	if (world_breach_text == NULL)
		check_over();
	house_close(&site.house);
	for (i = 0; i < COMERS; i++)
		reasons[site.clients[i].run.w.reason]++;
	if (world_breach_text == NULL)
		return true;
	print_message("seed %llu at %llu ms: %s\n", (unsigned long long)seed,
		      (unsigned long long)(site.house.now_ms - START_MS),
		      world_breach_text);
	return false;
}

static void
random_sites_keep_the_promises(void **state)
{
	const char *runs_text = getenv("TARRY_SITES");
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
	for (seed = 1; seed <= runs; seed++)
		assert_true(play(seed, reasons));
	for (i = 0; i < REASON_COUNT; i++) {
		if (reasons[i] > 0)
			print_message(
			    "%8u %s\n", reasons[i],
			    session_reason_name((enum session_reason)i));
	}
	assert_true(reasons[REASON_FULL] > 0);
	assert_true(reasons[REASON_NO_SLOT] > 0);
	assert_true(reasons[REASON_DEFERRED] > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_sites_keep_the_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
