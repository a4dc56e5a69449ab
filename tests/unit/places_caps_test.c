/*
 * Caps: at most so many of a class, the others wait in order, all caps of a
 * session at once, and whoever leaves makes room for exactly one.
 */
#include "tests/unit/places_rig.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum places_answer
claim(struct places *p, struct place *w, const struct plan *plan)
{
	return places_claim_caps(p, w, plan, CAPS_WAIT);
}

static void
exit_all(struct places *p, struct place *w, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		places_exit(p, &w[i]);
	assert_none_granted(p);
	close_places(p);
}

/* Each kind alone: two may, the rest waits, first come first served. */
static void
a_full_cap_waits_in_order(void **state)
{
	static const struct plan plans[PLAN_CAPS] = {
	    [PLAN_CAP_CLIENT] = {.rank = 2, .caps = {2, 0, 0}},
	    [PLAN_CAP_NETWORK] = {.rank = 2, .caps = {0, 2, 0}},
	    [PLAN_CAP_STACK] = {.rank = 2, .caps = {0, 0, 2}},
	};
	unsigned kind;

	(void)state;
	for (kind = 0; kind < PLAN_CAPS; kind++) {
		const struct plan *plan = &plans[kind];
		struct places *p = open_places(8, 1, 0);
		struct place w[6] = {0};
		struct places_totals t;
		size_t i;

		/* The same in this kind, strangers in the others. */
		for (i = 0; i < 5; i++)
			enter(p, &w[i], kind == 0 ? 1 : i + 1,
			      kind == 1 ? 1 : i + 1, kind == 2 ? 1 : i + 1);
		enter(p, &w[5], 99, 99, 99);
		for (i = 0; i < 5; i++)
			assert_int_equal(claim(p, &w[i], plan),
					 i < 2 ? PLACES_GRANTED : PLACES_WAITS);
		assert_int_equal(claim(p, &w[5], plan), PLACES_GRANTED);
		places_totals(p, &t);
		assert_int_equal(t.caps_held, 3);
		assert_int_equal(t.caps_waiting, 3);
		places_give_caps(p, &w[5]); /* not theirs */
		assert_none_granted(p);
		places_give_caps(p, &w[3]); /* out of the middle */
		places_give_caps(p, &w[0]);
		places_give_caps(p, &w[0]); /* twice makes room once */
		assert_granted(p, &w[2], PLACES_GRANT_CAPS);
		assert_none_granted(p);
		assert_int_equal(claim(p, &w[0], plan), PLACES_WAITS);
		places_exit(p, &w[1]);
		assert_granted(p, &w[4], PLACES_GRANT_CAPS);
		places_exit(p, &w[2]);
		assert_granted(p, &w[0], PLACES_GRANT_CAPS);
		exit_all(p, w, COUNT(w));
	}
}

static void
classes_do_not_see_each_other(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan slow = class_of(2, 1, 1, 1);
	const struct plan fast = class_of(1, 1, 1, 1);
	struct place w[3] = {0};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		enter(p, &w[i], 1, 1, 1);
	assert_int_equal(claim(p, &w[0], &slow), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[1], &slow), PLACES_WAITS);
	assert_int_equal(claim(p, &w[2], &fast), PLACES_GRANTED);
	/* Another class: the old place goes to the next, at once. */
	assert_int_equal(claim(p, &w[0], &fast), PLACES_WAITS);
	assert_granted(p, &w[1], PLACES_GRANT_CAPS);
	places_exit(p, &w[2]);
	assert_granted(p, &w[0], PLACES_GRANT_CAPS);
	exit_all(p, w, COUNT(w));
}

static void
without_a_cap_or_a_key_nobody_waits(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan none = class_of(2, 0, 0, 0);
	const struct plan stack = class_of(2, 0, 0, 1);
	struct place w[4] = {0};

	(void)state;
	enter(p, &w[0], 1, 1, 1);
	enter(p, &w[1], 1, 1, 1);
	enter(p, &w[2], 1, 1, 0);
	enter(p, &w[3], 1, 1, 0);
	assert_int_equal(claim(p, &w[0], &none), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[1], &none), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[2], &stack), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[3], &stack), PLACES_GRANTED);
	/* Known now: it counts from its next claim on. */
	places_learn(p, &w[3], PLAN_CAP_STACK, 1);
	assert_int_equal(claim(p, &w[3], &stack), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[0], &stack), PLACES_WAITS);
	exit_all(p, w, COUNT(w));
}

static void
trying_never_waits(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan plan = class_of(2, 1, 0, 0);
	struct place w[3] = {0};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		enter(p, &w[i], 1, 0, 0);
	assert_int_equal(places_claim_caps(p, &w[0], &plan, CAPS_TRY),
			 PLACES_GRANTED);
	assert_int_equal(places_claim_caps(p, &w[1], &plan, CAPS_TRY),
			 PLACES_DENIED);
	assert_int_equal(claim(p, &w[2], &plan), PLACES_WAITS);
	places_give_caps(p, &w[1]); /* nothing */
	assert_none_granted(p);
	places_give_caps(p, &w[0]);
	/* Granted to the waiter, though it does not know yet. */
	assert_int_equal(places_claim_caps(p, &w[1], &plan, CAPS_TRY),
			 PLACES_DENIED);
	assert_granted(p, &w[2], PLACES_GRANT_CAPS);
	exit_all(p, w, COUNT(w));
}

/*
 * One that waits for its network holds nothing of its client's; when that is
 * taken meanwhile, it waits there next.
 */
static void
all_caps_or_none(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan plan = class_of(2, 1, 2, 3);
	struct place w[4] = {0};

	(void)state;
	enter(p, &w[0], 1, 1, 1);
	enter(p, &w[1], 2, 1, 1);
	enter(p, &w[2], 3, 1, 1);
	enter(p, &w[3], 3, 2, 1); /* as if a client had two networks */
	assert_int_equal(claim(p, &w[0], &plan), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[1], &plan), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[2], &plan), PLACES_WAITS); /* network */
	assert_int_equal(claim(p, &w[3], &plan), PLACES_GRANTED);
	places_exit(p, &w[0]); /* room in the network, but not the client */
	assert_none_granted(p);
	/* It does not wait for the network any more. */
	enter(p, &w[0], 4, 1, 1);
	assert_int_equal(claim(p, &w[0], &plan), PLACES_GRANTED);
	places_exit(p, &w[3]); /* now the client, and again not the network */
	assert_none_granted(p);
	places_exit(p, &w[1]);
	assert_granted(p, &w[2], PLACES_GRANT_CAPS);
	exit_all(p, w, COUNT(w));
}

/* Those who cannot go on do not keep the ones behind them. */
static void
one_that_cannot_go_on_steps_aside(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan plan = class_of(2, 1, 0, 1);
	struct place w[4] = {0};

	(void)state;
	enter(p, &w[0], 1, 0, 1);
	enter(p, &w[1], 2, 0, 1);
	enter(p, &w[2], 3, 0, 1);
	enter(p, &w[3], 2, 0, 2);
	assert_int_equal(claim(p, &w[0], &plan), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[1], &plan), PLACES_WAITS); /* stack */
	assert_int_equal(claim(p, &w[2], &plan), PLACES_WAITS); /* stack */
	assert_int_equal(claim(p, &w[3], &plan), PLACES_GRANTED);
	places_exit(p, &w[0]);
	assert_granted(p, &w[2], PLACES_GRANT_CAPS); /* past w[1] */
	assert_none_granted(p);
	places_exit(p, &w[2]);
	assert_none_granted(p);
	places_exit(p, &w[3]);
	assert_granted(p, &w[1], PLACES_GRANT_CAPS);
	exit_all(p, w, COUNT(w));
}

/* Limits come with the plan: a stricter one waits longer, in its turn. */
static void
limits_go_with_the_waiter(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan wide = class_of(2, 3, 0, 0);
	const struct plan tight = class_of(2, 1, 0, 0);
	struct place w[5] = {0};
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++)
		enter(p, &w[i], 1, 0, 0);
	assert_int_equal(claim(p, &w[0], &wide), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[1], &wide), PLACES_GRANTED);
	assert_int_equal(claim(p, &w[2], &tight), PLACES_WAITS);
	assert_int_equal(claim(p, &w[3], &wide), PLACES_WAITS); /* behind it */
	assert_int_equal(claim(p, &w[4], &wide), PLACES_WAITS);
	places_give_caps(p, &w[2]); /* the stricter one leaves */
	assert_granted(p, &w[3], PLACES_GRANT_CAPS);
	assert_none_granted(p);
	exit_all(p, w, COUNT(w));
}

/* Granted, but gone or given back before it was told. */
static void
granted_and_gone(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan plan = class_of(2, 1, 0, 0);
	struct place w[4] = {0};
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		enter(p, &w[i], 1, 0, 0);
		claim(p, &w[i], &plan);
	}
	places_exit(p, &w[0]);
	places_exit(p, &w[1]);
	places_give_caps(p, &w[2]);
	assert_granted(p, &w[3], PLACES_GRANT_CAPS);
	assert_none_granted(p);
	exit_all(p, w, COUNT(w));
}

static void
one_wait_at_a_time(void **state)
{
	struct places *p = open_places(8, 1, 0);
	const struct plan plan = class_of(2, 1, 0, 0);
	struct place w[3] = {0};
	struct places_totals t;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		enter(p, &w[i], 1, 0, 0);
	assert_int_equal(claim(p, &w[0], &plan), PLACES_GRANTED);
	assert_int_equal(places_claim_slot(p, &w[0], SLOT_ANY, 2),
			 PLACES_GRANTED);
	/* Waits for caps, then asks for a slot: out of the caps' queue. */
	assert_int_equal(claim(p, &w[1], &plan), PLACES_WAITS);
	assert_int_equal(places_claim_slot(p, &w[1], SLOT_ANY, 2),
			 PLACES_WAITS);
	places_totals(p, &t);
	assert_int_equal(t.caps_waiting, 0);
	assert_int_equal(t.slots_waiting, 1);
	/* Waits for a slot: caps are only tried. */
	assert_int_equal(claim(p, &w[1], &plan), PLACES_DENIED);
	/* Granted caps, not told, asks for a slot: keeps them, untold. */
	assert_int_equal(claim(p, &w[2], &plan), PLACES_WAITS);
	places_give_caps(p, &w[0]);
	assert_int_equal(places_claim_slot(p, &w[2], SLOT_ANY, 2),
			 PLACES_WAITS);
	assert_none_granted(p);
	assert_int_equal(claim(p, &w[0], &plan), PLACES_WAITS);
	places_give_slot(p, &w[0]);
	/* Granted a slot, not told: caps are only tried then too. */
	assert_int_equal(claim(p, &w[1], &plan), PLACES_DENIED);
	assert_granted(p, &w[1], PLACES_GRANT_SLOT);
	places_exit(p, &w[2]);
	assert_granted(p, &w[0], PLACES_GRANT_CAPS);
	exit_all(p, w, COUNT(w));
}

/* A flood that fills its stack's cap keeps no other class waiting. */
static void
a_flood_stays_in_its_class(void **state)
{
	enum { FLOOD = 500, CAP = 20 };
	struct places *p = open_places(FLOOD + 1, 80, 40);
	struct place *w = calloc(FLOOD + 1, sizeof(*w));
	const struct plan tarpit = class_of(4, 1, 0, CAP);
	const struct plan new = class_of(1, 2, 0, CAP);
	struct places_totals t;
	uint64_t i;

	(void)state;
	assert_non_null(w);
	for (i = 0; i < FLOOD; i++) {
		enter(p, &w[i], i + 1, i + 1, 7);
		claim(p, &w[i], &tarpit);
	}
	places_totals(p, &t);
	assert_int_equal(t.caps_held, CAP);
	assert_int_equal(t.caps_waiting, FLOOD - CAP);
	enter(p, &w[FLOOD], 9999, 9999, 7);
	assert_int_equal(claim(p, &w[FLOOD], &new), PLACES_GRANTED);
	for (i = 0; i <= FLOOD; i++)
		places_exit(p, &w[i]);
	assert_none_granted(p);
	close_places(p);
	free(w);
}

#define CROWD 60u

struct crowd {
	struct places *p;
	struct place w[CROWD];
	bool is_in[CROWD];
	bool has_caps[CROWD];
};

static void
random_step(struct crowd *c, uint64_t *r)
{
	size_t i = next_random(r) % CROWD;
	uint64_t what = next_random(r) >> 40;
	const struct plan plan =
	    class_of(what >> 8 & 1, 1 + (what >> 9 & 1), 1 + (what >> 10 & 1),
		     1 + (what >> 11 & 1));

	if (!c->is_in[i]) {
		enter(c->p, &c->w[i], next_random(r) % 30, next_random(r) % 20,
		      next_random(r) % 10);
		c->is_in[i] = true;
		return;
	}
	c->has_caps[i] = false;
	if (what % 8 < 6) {
		c->has_caps[i] = claim(c->p, &c->w[i], &plan) == PLACES_GRANTED;
	} else if (what % 8 < 7) {
		places_give_caps(c->p, &c->w[i]);
	} else {
		places_exit(c->p, &c->w[i]);
		c->is_in[i] = false;
	}
}

/* All who hold caps leave, again and again, until nobody does. */
static void
empty(struct crowd *c)
{
	struct places_totals t;
	enum places_grant grant;
	const struct place *w;
	size_t i;

	do {
		while ((w = places_next_granted(c->p, 0, &grant)) != NULL)
			c->has_caps[w - c->w] = true;
		for (i = 0; i < CROWD; i++) {
			if (!c->has_caps[i])
				continue;
			places_exit(c->p, &c->w[i]);
			c->is_in[i] = c->has_caps[i] = false;
		}
		places_totals(c->p, &t);
	} while (t.caps_held > 0);
	assert_int_equal(t.caps_waiting, 0);
}

/*
 * Far more keys than entries: some go uncounted, but no queue is taken for
 * room. Whoever waits gets there when those before it leave.
 */
static void
a_crowded_table_loses_no_waiter(void **state)
{
	unsigned long left = rounds(2000);
	struct crowd c = {.p = open_places(1, 1, 0)};
	struct places_totals t;
	uint64_t r = 88172645463325252u;
	size_t i;

	(void)state;
	for (; left > 0; left--) {
		for (i = 0; i < 4u * CROWD; i++)
			random_step(&c, &r);
		empty(&c);
	}
	places_totals(c.p, &t);
	assert_true(t.uncounted > 0);
	exit_all(c.p, c.w, CROWD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_full_cap_waits_in_order),
	    cmocka_unit_test(classes_do_not_see_each_other),
	    cmocka_unit_test(without_a_cap_or_a_key_nobody_waits),
	    cmocka_unit_test(trying_never_waits),
	    cmocka_unit_test(all_caps_or_none),
	    cmocka_unit_test(one_that_cannot_go_on_steps_aside),
	    cmocka_unit_test(limits_go_with_the_waiter),
	    cmocka_unit_test(granted_and_gone),
	    cmocka_unit_test(one_wait_at_a_time),
	    cmocka_unit_test(a_flood_stays_in_its_class),
	    cmocka_unit_test(a_crowded_table_loses_no_waiter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
