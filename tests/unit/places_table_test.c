/*
 * Presence and rates: who is counted with whom, for how long, and what
 * becomes of those who find no room.
 */
#include "tests/unit/places_rig.h"

#include <stdio.h>
#include <time.h>

static void
assert_sessions(const struct places *p, const struct place *w, uint32_t client,
		uint32_t network, uint32_t stack)
{
	struct place_counts c;

	places_look(p, w, 0, &c);
	assert_int_equal(c.sessions[PLAN_CAP_CLIENT], client);
	assert_int_equal(c.sessions[PLAN_CAP_NETWORK], network);
	assert_int_equal(c.sessions[PLAN_CAP_STACK], stack);
}

static void
sessions_are_counted_by_key(void **state)
{
	struct places *p = open_places(8, 1, 0);
	struct place w[4] = {0};
	struct place_counts c;

	(void)state;
	c = enter(p, &w[0], 1, 10, 100);
	assert_int_equal(c.sessions[PLAN_CAP_CLIENT], 1);
	assert_int_equal(c.sessions[PLAN_CAP_STACK], 1);
	c = enter(p, &w[1], 1, 10, 200);
	assert_int_equal(c.sessions[PLAN_CAP_CLIENT], 2);
	assert_int_equal(c.sessions[PLAN_CAP_NETWORK], 2);
	assert_int_equal(c.sessions[PLAN_CAP_STACK], 1);
	enter(p, &w[2], 2, 10, 100);
	/* A number means nothing across kinds. */
	enter(p, &w[3], 10, 100, 1);
	assert_sessions(p, &w[0], 2, 3, 2);
	assert_sessions(p, &w[3], 1, 1, 1);
	places_exit(p, &w[1]);
	places_exit(p, &w[1]); /* twice is fine */
	assert_sessions(p, &w[0], 1, 2, 2);
	places_exit(p, &w[0]);
	places_exit(p, &w[2]);
	places_exit(p, &w[3]);
	close_places(p);
}

static void
a_key_may_come_late_or_never(void **state)
{
	struct places *p = open_places(8, 1, 0);
	struct place w[3] = {0};

	(void)state;
	enter(p, &w[0], 1, 10, 100);
	enter(p, &w[1], 1, 10, 0);
	enter(p, &w[2], 1, 10, 0);
	assert_sessions(p, &w[1], 3, 3, 0);
	places_learn(p, &w[1], PLAN_CAP_STACK, 0);
	assert_sessions(p, &w[1], 3, 3, 0);
	places_learn(p, &w[1], PLAN_CAP_STACK, 100);
	places_learn(p, &w[1], PLAN_CAP_STACK, 200); /* the first one stays */
	assert_sessions(p, &w[0], 3, 3, 2);
	places_exit(p, &w[1]);
	assert_sessions(p, &w[0], 2, 2, 1);
	places_exit(p, &w[0]);
	places_exit(p, &w[2]);
	close_places(p);
}

static uint32_t
come_and_go(struct places *p, uint64_t client, uint64_t now_ms)
{
	const struct place_keys keys = {{client, 0, 0}};
	struct place w = {0};
	struct place_counts c;

	places_enter(p, &w, 0, &keys, now_ms, &c);
	places_exit(p, &w);
	return c.client_rate;
}

#define MINUTE 60000u

static void
the_rate_slides(void **state)
{
	static const struct {
		const char *label;
		uint64_t now_ms;
		uint32_t want; /* with the one that asks */
	} rows[] = {
	    {"ten came before", 59000, 11},
	    {"a new minute: they all still count", 60000, 11 + 1},
	    {"half of it over: half of the eleven, and two", 90000, 6 + 2},
	    {"the next: the two of the one before, and itself", 120000, 2 + 1},
	    {"at its end hardly any", 179999, 0 + 2},
	    {"two minutes later: only itself", 300000, 1},
	    {"long after", 300000 + 5 * MINUTE, 1},
	};
	struct places *p = open_places(8, 1, 0);
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		assert_int_equal(come_and_go(p, 7, i * 5000), i + 1);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t got = come_and_go(p, 7, rows[i].now_ms);

		if (got != rows[i].want)
			fail_msg("%s: %u, not %u", rows[i].label, got,
				 rows[i].want);
	}
	assert_int_equal(come_and_go(p, 8, 300000), 1);
	close_places(p);
}

/* A flood counts as 65,535, not as what is left of it after a wrap. */
static void
the_rate_has_a_top(void **state)
{
	struct places *p = open_places(8, 1, 0);
	uint32_t i;

	(void)state;
	for (i = 1; i < 70000; i++)
		assert_int_equal(come_and_go(p, 7, 1),
				 i < UINT16_MAX ? i : UINT16_MAX);
	assert_int_equal(come_and_go(p, 7, 60000), UINT16_MAX + 1);
	close_places(p);
}

/* One that stays sees its client's rate fade. */
static void
the_rate_fades(void **state)
{
	static const struct {
		uint64_t now_ms;
		uint32_t want;
	} rows[] = {{59999, 4},	 {60000, 4},  {90000, 2},
		    {119999, 0}, {120000, 0}, {500000, 0}};
	struct places *p = open_places(8, 1, 0);
	struct place w[4] = {0};
	struct place_counts c;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		c = enter(p, &w[i], 7, 0, 0);
	assert_int_equal(c.client_rate, 4);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		places_look(p, &w[0], rows[i].now_ms, &c);
		if (c.client_rate != rows[i].want)
			fail_msg("at %llu: %u, not %u",
				 (unsigned long long)rows[i].now_ms,
				 c.client_rate, rows[i].want);
	}
	for (i = 0; i < 4; i++)
		places_exit(p, &w[i]);
	close_places(p);
}

/* Rates of the gone give room, and those who are there keep theirs. */
static void
the_oldest_gone_are_forgotten_first(void **state)
{
	enum { STRANGERS = 3000, MINUTES = 30 };
	struct places *p = open_places(8, 1, 0);
	struct place stays = {0};
	struct places_totals t;
	uint64_t i;

	(void)state;
	enter(p, &stays, 7, 8, 9);
	for (i = 0; i < STRANGERS; i++)
		come_and_go(p, 1000 + i, i * MINUTE * MINUTES / STRANGERS);
	/* 64 entries, 100 strangers a minute: those of now are known still. */
	for (i = STRANGERS - 5; i < STRANGERS; i++)
		assert_int_equal(come_and_go(p, 1000 + i, MINUTE * MINUTES - 1),
				 2);
	assert_int_equal(come_and_go(p, 1000, MINUTE * MINUTES - 1), 1);
	assert_sessions(p, &stays, 1, 1, 1);
	places_totals(p, &t);
	assert_int_equal(t.uncounted, 0);
	places_exit(p, &stays);
	close_places(p);
}

/* No room: not counted, not capped, said so; and nothing else suffers. */
static void
who_finds_no_room_passes_uncounted(void **state)
{
	enum { MANY = 400 };
	struct places *p = open_places(8, 1, 0);
	struct place *w = calloc(MANY, sizeof(*w));
	const struct plan plan = class_of(1, 1, 1, 1);
	struct places_totals t;
	struct place_counts c;
	uint32_t uncounted = 0;
	uint64_t i;

	(void)state;
	assert_non_null(w);
	for (i = 0; i < MANY; i++) {
		enter(p, &w[i], i + 1, i + 1, i + 1);
		assert_int_equal(places_claim_caps(p, &w[i], &plan, CAPS_TRY),
				 PLACES_GRANTED);
	}
	for (i = 0; i < MANY; i++) {
		places_look(p, &w[i], 0, &c);
		uncounted += c.sessions[PLAN_CAP_STACK] == 0;
		assert_true(c.sessions[PLAN_CAP_CLIENT] <= 1);
		assert_int_equal(c.client_rate, c.sessions[PLAN_CAP_CLIENT]);
	}
	assert_true(uncounted > MANY / 2);
	places_totals(p, &t);
	assert_true(t.uncounted > uncounted);
	for (i = 0; i < MANY; i++)
		places_exit(p, &w[i]);
	/* All the room is there again. */
	uncounted = (uint32_t)t.uncounted;
	for (i = 0; i < 8; i++)
		enter(p, &w[i], i + 5000, i + 6000, i + 7000);
	for (i = 0; i < 8; i++)
		assert_sessions(p, &w[i], 1, 1, 1);
	for (i = 0; i < 8; i++)
		places_exit(p, &w[i]);
	places_totals(p, &t);
	assert_int_equal(t.uncounted, uncounted);
	close_places(p);
	free(w);
}

#define SEATS 20000u

static void
replace(struct places *p, struct place *w, uint64_t *r, bool has_own_stack)
{
	const struct plan plan =
	    class_of(3, 9, 9, has_own_stack ? 9 : UINT16_MAX);
	const struct place_keys keys = {{next_random(r), next_random(r),
					 has_own_stack ? next_random(r) : 7}};
	struct place_counts counts;

	places_exit(p, w);
	places_enter(p, w, 0, &keys, 0, &counts);
	assert_int_equal(places_claim_caps(p, w, &plan, CAPS_TRY),
			 PLACES_GRANTED);
}

/* The figures in the contract of places_bytes(). */
static void
strangers_find_room(void **state)
{
	static const struct {
		bool has_own_stack;
		unsigned entries;
		double most;
	} rows[] = {{false, 4, 0.001}, {true, 6, 0.12}};
	struct place *w = calloc(SEATS, sizeof(*w));
	uint64_t r = 88172645463325252u;
	size_t i;
	uint32_t k;

	(void)state;
	assert_non_null(w);
	assert_true(places_bytes(SEATS) < SEATS * 97);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct places *p = open_places(SEATS, 1, 0);
		struct places_totals t;
		double part;

		for (k = 0; k < SEATS; k++)
			replace(p, &w[k], &r, rows[i].has_own_stack);
		for (k = 0; k < 4 * SEATS; k++)
			replace(p, &w[next_random(&r) % SEATS], &r,
				rows[i].has_own_stack);
		places_totals(p, &t);
		part = (double)t.uncounted / (5.0 * SEATS * rows[i].entries);
		print_message("%u entries a seat: 1 in %.0f uncounted\n",
			      rows[i].entries, 1 / part);
		assert_true(part < rows[i].most);
		for (k = 0; k < SEATS; k++)
			places_exit(p, &w[k]);
		close_places(p);
	}
	free(w);
}

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* No limit: machines differ. For people. */
static void
what_a_session_costs(void **state)
{
	enum { SESSIONS = 200000 };
	struct places *p = open_places(SEATS, 80, 40);
	struct place *w = calloc(SEATS, sizeof(*w));
	uint64_t r = 88172645463325252u;
	double began_ns;
	double bare_ns;
	uint32_t k;

	(void)state;
	assert_non_null(w);
	for (k = 0; k < SEATS; k++)
		enter(p, &w[k], next_random(&r), next_random(&r), 7);
	began_ns = now_ns();
	for (k = 0; k < SESSIONS; k++) {
		struct place *one = &w[next_random(&r) % SEATS];

		places_exit(p, one);
		enter(p, one, next_random(&r), next_random(&r), 7);
	}
	bare_ns = (now_ns() - began_ns) / SESSIONS;
	began_ns = now_ns();
	for (k = 0; k < SESSIONS; k++) {
		struct place *one = &w[next_random(&r) % SEATS];

		replace(p, one, &r, false);
		places_claim_slot(p, one, SLOT_RESERVE, 3);
		places_give_slot(p, one);
	}
	print_message("of %u sessions: enter and exit %.0f ns, with caps and "
		      "slot %.0f ns\n",
		      SEATS, bare_ns, (now_ns() - began_ns) / SESSIONS);
	for (k = 0; k < SEATS; k++)
		places_exit(p, &w[k]);
	close_places(p);
	free(w);
}

/*
 * The worst turn: one client's sessions, all waiting for their one place; it
 * comes free, but the stack is crowded, so that all of them move. For people.
 */
static void
what_the_worst_turn_costs(void **state)
{
	struct places *p = open_places(SEATS, 80, 40);
	struct place *w = calloc(SEATS, sizeof(*w));
	const struct plan plan = class_of(1, 1, 0, 2);
	struct places_totals t;
	double began_ns;
	uint32_t k;

	(void)state;
	assert_non_null(w);
	for (k = 0; k < SEATS; k++) {
		/* The first three: a stranger, the client, a stranger. */
		enter(p, &w[k], k == 0 || k == 2 ? k + 1 : 2, 0, 7);
		places_claim_caps(p, &w[k], &plan, CAPS_WAIT);
	}
	began_ns = now_ns();
	places_exit(p, &w[1]);
	print_message("%u waiters of one client change queues in %.0f us\n",
		      SEATS - 3, (now_ns() - began_ns) / 1000);
	assert_granted(p, &w[2], PLACES_GRANT_CAPS);
	places_exit(p, &w[0]);
	assert_granted(p, &w[3], PLACES_GRANT_CAPS);
	places_exit(p, &w[2]);
	assert_none_granted(p); /* all moved back: their client is full */
	places_exit(p, &w[3]);
	assert_granted(p, &w[4], PLACES_GRANT_CAPS);
	places_totals(p, &t);
	assert_int_equal(t.caps_held, 1);
	assert_int_equal(t.caps_waiting, SEATS - 5);
	for (k = 0; k < SEATS; k++)
		places_exit(p, &w[k]);
	close_places(p);
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sessions_are_counted_by_key),
	    cmocka_unit_test(a_key_may_come_late_or_never),
	    cmocka_unit_test(the_rate_slides),
	    cmocka_unit_test(the_rate_has_a_top),
	    cmocka_unit_test(the_rate_fades),
	    cmocka_unit_test(the_oldest_gone_are_forgotten_first),
	    cmocka_unit_test(who_finds_no_room_passes_uncounted),
	    cmocka_unit_test(strangers_find_room),
	    cmocka_unit_test(what_a_session_costs),
	    cmocka_unit_test(what_the_worst_turn_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
