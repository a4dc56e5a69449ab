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

static void *places_memory;

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
	struct stress stress = {.sessions = site.crowd.is_stressed,
				.slots = places_is_slot_stress(site.places)};
	struct place_counts counts;
	struct evidence e;

	memset(&e, 0, sizeof(e));
	places_look(site.places, &c->place, site.now_ms, &counts);
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

static void
answer(struct client *c, enum places_answer a)
{
	if (a == PLACES_WAITS)
		return;
	c->has_slot |= a == PLACES_GRANTED;
	c->events |= 1u << (a == PLACES_GRANTED ? EVENT_GRANTED : EVENT_DENIED);
}

static void
carry_out_claims(struct client *c, const struct orders *o)
{
	const struct plan *plan = &c->run.w.s.plan;
	enum places_answer a;

	if (o->claim_caps != CAPS_NO_WISH) {
		c->asked_ms = site.now_ms;
		a = places_claim_caps(site.places, &c->place, plan,
				      o->claim_caps);
		c->has_caps = a == PLACES_GRANTED;
		if (a != PLACES_WAITS && o->claim_caps == CAPS_WAIT)
			c->events |= 1u << EVENT_CAPS;
	}
	if (o->claim_slot == SLOT_NO_WISH)
		return;
	a = places_claim_slot(site.places, &c->place, o->claim_slot,
			      session_slot_rank(&c->run.w.s));
	c->asked_reserve |= o->claim_slot == SLOT_RESERVE;
	c->run.is_reserve |=
	    o->claim_slot == SLOT_RESERVE && a == PLACES_GRANTED;
	answer(c, a);
}

/* What the shell does with the orders that concern the gate. */
static void
carry_out(struct world *w)
{
	struct client *c = client_of(w->on_release_arg);
	const struct orders *o = &w->o;

	if (o->give_caps) {
		places_give_caps(site.places, &c->place);
		c->events &= ~(1u << EVENT_CAPS);
		c->has_caps = false;
	}
	if (o->give_slot) {
		places_give_slot(site.places, &c->place);
		c->events &= ~(1u << EVENT_GRANTED | 1u << EVENT_DENIED);
		c->has_slot = false;
	}
	if (o->end != REASON_NONE)
		return;
	carry_out_claims(c, o);
}

static bool
is_undialled(const struct client *c)
{
	enum session_phase phase = c->run.w.s.phase;

	return c->is_open && (phase == PHASE_GREET || phase == PHASE_GATE);
}

static uint8_t
rank_of(const struct client *c)
{
	const struct plan *plan = &c->run.w.s.plan;

	return plan->is_shadow ? 0 : plan->rank;
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
	if (leg != NULL && !c->has_slot)
		world_breach("P5: the MTA is dialled without a slot");
	if (s->caps == PLACE_ASKED &&
	    site.now_ms > s->opened_ms + s->plan.reply_cap_ms)
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
	uint64_t waited = site.now_ms - s->opened_ms;

	if (s->counts.own_421 && w->reason != REASON_MTA_UNREACHABLE &&
	    w->reason != REASON_NO_SLOT && w->reason != REASON_FULL &&
	    w->reason != REASON_DEFERRED && w->reason != REASON_MTA_REFUSED)
		world_breach("P1: 421 for another reason");
	if (w->reason == REASON_NO_SLOT && waited < s->plan.reply_cap_ms)
		world_breach("P1: no slot, before the greet budget was over");
	if (w->reason == REASON_NO_SLOT && is_throttled(s) && !c->asked_reserve)
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
leave(struct client *c)
{
	places_exit(site.places, &c->place);
	crowd_leave(&site.crowd, c->seat);
	site.seats[c->seat] = NULL;
	site.sessions--;
	c->is_open = false;
	check_end(c);
}

static void replan_if_stress_changed(void);

static void
look_after(struct client *c)
{
	if (c->run.w.has_ended) {
		leave(c);
	} else {
		check_client(c);
		if (is_undialled(c))
			crowd_join(&site.crowd, c->seat, rank_of(c));
		else
			crowd_leave(&site.crowd, c->seat);
	}
	replan_if_stress_changed();
}

/* The gate's answers, and whatever follows from them. */
static void
settle(struct client *c)
{
	c->run.w.now_ms = site.now_ms;
	run_settle(&c->run);
	while (c->events != 0 && !c->run.w.has_ended) {
		unsigned kind = (unsigned)__builtin_ctz(c->events);

		c->events &= c->events - 1;
		if (kind == EVENT_CAPS && c->run.caps_granted_ms == 0)
			c->run.caps_granted_ms = site.now_ms;
		world_event(&c->run.w, (enum event_kind)kind, SIDE_CLIENT,
			    NULL);
		run_settle(&c->run);
	}
	look_after(c);
}

static void
tell(struct client *c, enum event_kind kind)
{
	c->run.w.now_ms = site.now_ms;
	world_event(&c->run.w, kind, SIDE_CLIENT, NULL);
	settle(c);
}

static void
replan_if_stress_changed(void)
{
	bool slots = places_is_slot_stress(site.places);
	bool changed = crowd_note(&site.crowd, site.sessions);
	int i;

	if (!changed && slots == site.is_slot_stress)
		return;
	site.is_slot_stress = slots;
	for (i = 0; i < COMERS; i++) {
		if (site.clients[i].is_open)
			site.clients[i].run.w.wants_plan = true;
	}
}

static void
hand_out_grants(void)
{
	enum places_grant grant;
	struct place *w;

	while ((w = places_next_granted(site.places, 0, &grant)) != NULL) {
		struct client *c =
		    (struct client *)(void *)((char *)w -
					      offsetof(struct client, place));

		if (grant == PLACES_GRANT_CAPS) {
			c->has_caps = true;
			c->events |= 1u << EVENT_CAPS;
		} else {
			answer(c, PLACES_GRANTED);
		}
		settle(c);
	}
}

/* All that the gate says and the stress asks for, until nothing is left. */
static void
settle_all(void)
{
	bool again = true;
	int rounds;
	int i;

	for (rounds = 0; again; rounds++) {
		if (rounds > 1000) {
			world_breach("the site does not settle");
			return;
		}
		again = places_woken(site.places) != 0;
		hand_out_grants();
		for (i = 0; i < COMERS; i++) {
			struct client *c = &site.clients[i];

			if (!c->is_open || !c->run.w.wants_plan)
				continue;
			settle(c);
			again = true;
		}
	}
}

/* Sessions run out: see the design, P1 and section 7. */
static void
make_room(void)
{
	uint32_t victim;
	uint8_t worst = 0;
	int i;

	if (crowd_is_full(&site.crowd, site.sessions)) {
		victim = crowd_gives_way(&site.crowd);
		for (i = 0; i < COMERS; i++) {
			if (is_undialled(&site.clients[i]) &&
			    rank_of(&site.clients[i]) > worst)
				worst = rank_of(&site.clients[i]);
		}
		if (victim != CROWD_NONE &&
		    rank_of(site.seats[victim]) != worst)
			world_breach("P1: not the worst class gave way");
		if (victim != CROWD_NONE)
			tell(site.seats[victim], EVENT_GIVE_WAY);
	} else if (site.crowd.is_stressed) {
		victim = crowd_is_let_go(&site.crowd);
		if (victim != CROWD_NONE)
			tell(site.seats[victim], EVENT_RELEASED);
	}
}

/* True if there was a seat. */
static bool
accept_client(struct client *c)
{
	struct place_counts counts;
	struct run_plot plot;
	uint32_t seat;

	for (seat = 0; seat < site.options.seats; seat++) {
		if (site.seats[seat] == NULL)
			break;
	}
	if (seat == site.options.seats)
		return false;
	site_draw_plot(&plot);
	c->has_come = c->is_open = true;
	c->seat = seat;
	site.seats[seat] = c;
	site.sessions++;
	site_draw_client(c);
	places_enter(site.places, &c->place, 0, &c->keys, site.now_ms, &counts);
	memset(&c->run.w.s, 0, sizeof(c->run.w.s));
	c->run.site = &site;
	c->run.make_plan = make_plan;
	c->run.w.on_release_arg = &c->run;
	c->run.w.on_step = carry_out;
	make_plan(&c->run, &plot.plan);
	plot.plan_again = plot.plan;
	run_begin(&c->run, &site.site, site_draw(UINT32_MAX), &plot,
		  site.now_ms);
	settle(c);
	return true;
}

static void
check_places(void)
{
	struct places_totals t;
	uint32_t share = site.options.slots - site.options.reserve;

	places_totals(site.places, &t);
	if (t.slots_used > site.options.slots)
		world_breach("P5: more slots than there are");
	if (t.slots_shared > share)
		world_breach("P5: the throttled have more than their share");
	if (t.sessions != site.sessions || t.sessions > site.options.seats)
		world_breach("P6: sessions that are not counted");
	/* Worse ranks leave up to three quarters of the share to better. */
	if (t.slots_waiting > 0 && t.slots_used < share - share * 3 / 4)
		world_breach("P5: a slot is idle and somebody waits");
}

static void
check_over(void)
{
	struct places_totals t;

	places_totals(site.places, &t);
	if (t.sessions + t.slots_used + t.slots_shared + t.slots_waiting +
		t.caps_held + t.caps_waiting >
	    0)
		world_breach("P6: something was not given back");
	if (site.crowd.ranks != 0)
		world_breach("P6: somebody is left in the crowd");
}

static uint64_t
next_moment(void)
{
	uint64_t at = UINT64_MAX;
	bool has_seat = site.sessions < site.options.seats;
	int i;

	for (i = 0; i < COMERS; i++) {
		const struct client *c = &site.clients[i];
		uint64_t own = UINT64_MAX;

		if (c->is_open)
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

		if (c->is_open && run_next(&c->run) <= site.now_ms) {
			c->run.w.now_ms = site.now_ms;
			run_moment(&c->run);
			settle(c);
			return;
		}
		if (!c->has_come && c->comes_ms <= site.now_ms &&
		    accept_client(c)) {
			make_room();
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

	site_open(seed, places_memory);
	world_breach_text = NULL;
	for (steps = 0; world_breach_text == NULL; steps++) {
		settle_all();
		check_places();
		at = next_moment();
		if (at == UINT64_MAX)
			break;
		if (steps == STEPS_MAX)
			world_breach("the site does not come to an end");
		if (at > site.now_ms)
			site.now_ms = at;
		moment();
	}
	if (world_breach_text == NULL)
		check_over();
	for (i = 0; i < COMERS; i++)
		reasons[site.clients[i].run.w.reason]++;
	if (world_breach_text == NULL)
		return true;
	print_message("seed %llu at %llu ms: %s\n", (unsigned long long)seed,
		      (unsigned long long)(site.now_ms - START_MS),
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
	places_memory = malloc(places_bytes(SEATS_CAP));
	assert_non_null(places_memory);
	if (seed_text != NULL) {
		assert_true(play(strtoull(seed_text, NULL, 10), reasons));
		free(places_memory);
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
	free(places_memory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_sites_keep_the_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
