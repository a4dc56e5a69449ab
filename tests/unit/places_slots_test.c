/*
 * Slots: never more than there are, of the throttled never more than their
 * share, the best rank first, and no slot idle that a waiter may have.
 */
#include "tests/unit/places_rig.h"

#define SESSIONS 16

struct rig {
	struct places *p;
	struct place w[SESSIONS];
};

static struct rig
open_rig(uint32_t slots, uint32_t reserve)
{
	struct rig r = {.p = open_places(SESSIONS, slots, reserve)};

	return r;
}

static void
enter_all(struct rig *r)
{
	size_t i;

	for (i = 0; i < SESSIONS; i++)
		enter(r->p, &r->w[i], 0, 0, 0);
}

static void
close_rig(struct rig *r)
{
	size_t i;

	for (i = 0; i < SESSIONS; i++)
		places_exit(r->p, &r->w[i]);
	assert_none_granted(r->p);
	close_places(r->p);
}

static void
claims(struct rig *r, size_t i, enum slot_wish wish, uint32_t rank,
       enum places_answer want)
{
	enum places_answer got = places_claim_slot(r->p, &r->w[i], wish, rank);

	if (got != want)
		fail_msg("session %zu: %d, not %d", i, (int)got, (int)want);
}

static void
gives(struct rig *r, size_t i)
{
	places_give_slot(r->p, &r->w[i]);
}

static void
granted(struct rig *r, size_t i)
{
	assert_granted(r->p, &r->w[i], PLACES_GRANT_SLOT);
}

static void
assert_used(const struct rig *r, uint32_t used, uint32_t shared,
	    uint32_t waiting)
{
	struct places_totals t;

	places_totals(r->p, &t);
	assert_int_equal(t.slots_used, used);
	assert_int_equal(t.slots_shared, shared);
	assert_int_equal(t.slots_waiting, waiting);
}

static void
first_come_first_served(void **state)
{
	struct rig r = open_rig(2, 0);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_ANY, 1, PLACES_GRANTED);
	claims(&r, 1, SLOT_ANY, 1, PLACES_GRANTED);
	claims(&r, 2, SLOT_ANY, 1, PLACES_WAITS);
	claims(&r, 3, SLOT_ANY, 1, PLACES_WAITS);
	claims(&r, 4, SLOT_ANY, 1, PLACES_WAITS);
	assert_used(&r, 2, 0, 3);
	assert_none_granted(r.p);
	gives(&r, 3); /* out of the queue: nobody is granted */
	assert_none_granted(r.p);
	gives(&r, 0);
	gives(&r, 0); /* twice makes room once */
	granted(&r, 2);
	assert_none_granted(r.p);
	claims(&r, 0, SLOT_ANY, 1, PLACES_WAITS);
	gives(&r, 1);
	gives(&r, 2);
	granted(&r, 4);
	granted(&r, 0);
	assert_used(&r, 2, 0, 0);
	close_rig(&r);
}

static void
the_best_rank_first(void **state)
{
	struct rig r = open_rig(1, 0);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_ANY, 0, PLACES_GRANTED);
	claims(&r, 1, SLOT_ANY, 63, PLACES_WAITS);
	claims(&r, 2, SLOT_SHARE, 3, PLACES_WAITS);
	claims(&r, 3, SLOT_ANY, 3, PLACES_WAITS);
	claims(&r, 4, SLOT_SHARE, 3, PLACES_WAITS);
	claims(&r, 5, SLOT_ANY, 0, PLACES_WAITS);
	gives(&r, 0);
	granted(&r, 5);
	gives(&r, 5);
	granted(&r, 2); /* within a rank by age, whatever is asked for */
	gives(&r, 2);
	granted(&r, 3);
	gives(&r, 3);
	granted(&r, 4);
	gives(&r, 4);
	granted(&r, 1);
	close_rig(&r);
}

static void
the_share_is_a_limit_for_the_throttled_alone(void **state)
{
	struct rig r = open_rig(4, 2);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_SHARE, 0, PLACES_GRANTED);
	claims(&r, 1, SLOT_SHARE, 0, PLACES_GRANTED);
	claims(&r, 2, SLOT_SHARE, 0, PLACES_WAITS);
	assert_used(&r, 2, 2, 1);
	/* A better rank that waits for the share blocks nobody. */
	claims(&r, 3, SLOT_ANY, 5, PLACES_GRANTED);
	claims(&r, 4, SLOT_ANY, 5, PLACES_GRANTED);
	claims(&r, 5, SLOT_ANY, 5, PLACES_WAITS);
	gives(&r, 3);
	granted(&r, 5);
	assert_none_granted(r.p);
	gives(&r, 0);
	granted(&r, 2);
	assert_used(&r, 4, 2, 0);
	close_rig(&r);
}

/* Any may be all of them; then the throttled wait though the share is empty. */
static void
any_may_use_all(void **state)
{
	struct rig r = open_rig(4, 2);
	size_t i;

	(void)state;
	enter_all(&r);
	for (i = 0; i < 4; i++)
		claims(&r, i, SLOT_ANY, 0, PLACES_GRANTED);
	claims(&r, 4, SLOT_SHARE, 0, PLACES_WAITS);
	assert_used(&r, 4, 0, 1);
	gives(&r, 0);
	granted(&r, 4);
	assert_used(&r, 4, 1, 0);
	close_rig(&r);
}

#define OVER_CAP (PLAN_RANKS - 1)

static void
half_of_the_reserve_is_for_the_throttled_too(void **state)
{
	static const struct {
		const char *label;
		uint32_t slots;
		uint32_t reserve;
		uint32_t any; /* taken beside a full share */
		enum places_answer want;
		uint32_t rank;
	} rows[] = {
	    {"all four free", 8, 4, 0, PLACES_GRANTED},
	    {"three of four free", 8, 4, 1, PLACES_GRANTED},
	    {"half of it free is not more than half", 8, 4, 2, PLACES_DENIED},
	    {"one of four free", 8, 4, 3, PLACES_DENIED},
	    {"none free", 8, 4, 4, PLACES_DENIED},
	    {"two of three free", 6, 3, 1, PLACES_GRANTED},
	    {"one of three free", 6, 3, 2, PLACES_DENIED},
	    {"one of one free", 2, 1, 0, PLACES_GRANTED},
	    {"none of one free", 2, 1, 1, PLACES_DENIED},
	    {"there is no reserve", 2, 0, 0, PLACES_DENIED},
	    {"over a cap: all free", 8, 4, 0, PLACES_GRANTED, OVER_CAP},
	    {"over a cap: three quarters", 8, 4, 1, PLACES_DENIED, OVER_CAP},
	    {"over a cap: seven of eight", 12, 8, 1, PLACES_GRANTED, OVER_CAP},
	    {"over a cap: six of eight", 12, 8, 2, PLACES_DENIED, OVER_CAP},
	    {"over a cap: one of one", 2, 1, 0, PLACES_GRANTED, OVER_CAP},
	    {"over a cap: no reserve", 2, 0, 0, PLACES_DENIED, OVER_CAP},
	    {"the rank before has half", 8, 4, 1, PLACES_GRANTED, OVER_CAP - 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig r = open_rig(rows[i].slots, rows[i].reserve);
		uint32_t share = rows[i].slots - rows[i].reserve;
		uint32_t k;

		enter_all(&r);
		for (k = 0; k < share; k++)
			claims(&r, k, SLOT_SHARE, 0, PLACES_GRANTED);
		for (; k < share + rows[i].any; k++)
			claims(&r, k, SLOT_ANY, 0, PLACES_GRANTED);
		claims(&r, 15, SLOT_SHARE, 0, PLACES_WAITS);
		if (places_claim_slot(r.p, &r.w[15], SLOT_RESERVE,
				      rows[i].rank) != rows[i].want)
			fail_msg("%s", rows[i].label);
		/* It does not wait any more, and does not count as throttled.
		 */
		assert_used(&r, k + (rows[i].want == PLACES_GRANTED), share, 0);
		gives(&r, 0);
		assert_none_granted(r.p);
		close_rig(&r);
	}
}

/* With no reserve at all, even a free slot is none of it. */
static void
no_reserve_nothing_of_it(void **state)
{
	struct rig r = open_rig(2, 0);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_RESERVE, 0, PLACES_DENIED);
	assert_used(&r, 0, 0, 0);
	close_rig(&r);
}

static void
a_slot_moves_into_the_share(void **state)
{
	struct rig r = open_rig(4, 2);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_INTO_SHARE, 0, PLACES_DENIED); /* it has none */
	claims(&r, 0, SLOT_ANY, 0, PLACES_GRANTED);
	claims(&r, 0, SLOT_INTO_SHARE, 0, PLACES_GRANTED);
	claims(&r, 0, SLOT_INTO_SHARE, 0, PLACES_GRANTED); /* once */
	assert_used(&r, 1, 1, 0);
	claims(&r, 1, SLOT_SHARE, 0, PLACES_GRANTED);
	claims(&r, 2, SLOT_ANY, 0, PLACES_GRANTED);
	claims(&r, 2, SLOT_INTO_SHARE, 0, PLACES_DENIED);
	claims(&r, 2, SLOT_SHARE, 0, PLACES_DENIED);
	assert_used(&r, 3, 2, 0);
	/* It still has it, and gives back one that is not of the share. */
	gives(&r, 2);
	assert_used(&r, 2, 2, 0);
	claims(&r, 3, SLOT_SHARE, 0, PLACES_WAITS);
	claims(&r, 3, SLOT_INTO_SHARE, 0, PLACES_DENIED); /* waits on */
	assert_used(&r, 2, 2, 1);
	gives(&r, 0);
	granted(&r, 3);
	close_rig(&r);
}

/* Whoever is not throttled any more leaves the share to one that waits. */
static void
a_slot_leaves_the_share(void **state)
{
	struct rig r = open_rig(4, 3);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_SHARE, 0, PLACES_GRANTED);
	claims(&r, 1, SLOT_SHARE, 0, PLACES_WAITS);
	claims(&r, 2, SLOT_SHARE, 0, PLACES_WAITS);
	claims(&r, 0, SLOT_ANY, 0, PLACES_GRANTED);
	granted(&r, 1);
	assert_none_granted(r.p);
	assert_used(&r, 2, 1, 1);
	claims(&r, 1, SLOT_RESERVE, 0, PLACES_GRANTED);
	granted(&r, 2);
	assert_used(&r, 3, 1, 0);
	close_rig(&r);
}

/* One that waits may change its wish or its rank: it queues anew. */
static void
asking_again_queues_anew(void **state)
{
	struct rig r = open_rig(1, 0);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_ANY, 1, PLACES_GRANTED);
	claims(&r, 1, SLOT_ANY, 1, PLACES_WAITS);
	claims(&r, 2, SLOT_ANY, 1, PLACES_WAITS);
	claims(&r, 3, SLOT_ANY, 4, PLACES_WAITS);
	claims(&r, 1, SLOT_ANY, 1, PLACES_WAITS);
	claims(&r, 3, SLOT_SHARE, 0, PLACES_WAITS);
	assert_used(&r, 1, 0, 3);
	gives(&r, 0);
	granted(&r, 3);
	gives(&r, 3);
	granted(&r, 2);
	gives(&r, 2);
	granted(&r, 1);
	close_rig(&r);
}

/* Granted, but not told: gone, given back, or asking for something else. */
static void
granted_and_not_told(void **state)
{
	struct rig r = open_rig(2, 1);

	(void)state;
	enter_all(&r);
	claims(&r, 0, SLOT_ANY, 0, PLACES_GRANTED);
	claims(&r, 1, SLOT_SHARE, 0, PLACES_GRANTED);
	claims(&r, 2, SLOT_ANY, 0, PLACES_WAITS);
	claims(&r, 3, SLOT_ANY, 0, PLACES_WAITS);
	claims(&r, 4, SLOT_ANY, 0, PLACES_WAITS);
	gives(&r, 0);
	places_exit(r.p, &r.w[2]); /* on to 3 */
	gives(&r, 3);		   /* on to 4 */
	/* Throttled meanwhile, and the share is full: it waits for that. */
	claims(&r, 4, SLOT_SHARE, 0, PLACES_WAITS);
	assert_none_granted(r.p);
	assert_used(&r, 1, 1, 1);
	gives(&r, 1);
	/* It has one, says the answer; so it is not told again. */
	claims(&r, 4, SLOT_RESERVE, 0, PLACES_GRANTED);
	assert_none_granted(r.p);
	assert_used(&r, 1, 0, 0);
	enter(r.p, &r.w[2], 0, 0, 0);
	claims(&r, 2, SLOT_ANY, 0, PLACES_GRANTED);
	claims(&r, 5, SLOT_ANY, 0, PLACES_WAITS);
	gives(&r, 2);
	/* Throttled meanwhile, and the share has room: it keeps the slot. */
	claims(&r, 5, SLOT_SHARE, 0, PLACES_GRANTED);
	assert_none_granted(r.p);
	assert_used(&r, 2, 1, 0);
	close_rig(&r);
}

static void
stress_comes_at_90_and_goes_at_70(void **state)
{
	/* Slots in use of ten, one after the other, and stress then. */
	static const struct {
		uint32_t used;
		bool want;
	} rows[] = {{8, false}, {9, true},  {10, true}, {8, true}, {7, false},
		    {8, false}, {10, true}, {7, false}, {9, true}, {0, false}};
	struct rig r = open_rig(10, 0);
	struct place_counts c;
	uint32_t used = 0;
	size_t i;

	(void)state;
	enter_all(&r);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		while (used < rows[i].used)
			claims(&r, used++, SLOT_ANY, 0, PLACES_GRANTED);
		while (used > rows[i].used)
			gives(&r, --used);
		places_look(r.p, &r.w[0], 0, &c);
		if (c.slot_stress != rows[i].want ||
		    places_is_slot_stress(r.p) != rows[i].want)
			fail_msg("row %zu: %u used", i, rows[i].used);
	}
	close_rig(&r);
}

static void
grants_go_to_their_owner(void **state)
{
	struct places *p = open_places(SESSIONS, 1, 0);
	const struct place_keys nobody = {0};
	struct place w[3] = {0};
	struct place_counts c;
	enum places_grant grant;
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		places_enter(p, &w[i], i * 31, &nobody, 0, &c);
	for (i = 0; i < 3; i++)
		places_claim_slot(p, &w[i], SLOT_ANY, 0);
	assert_int_equal(places_woken(p), 0);
	places_give_slot(p, &w[0]);
	assert_int_equal(places_woken(p), UINT64_C(1) << 31);
	assert_int_equal(places_woken(p), 0);
	assert_null(places_next_granted(p, 0, &grant));
	assert_null(places_next_granted(p, 62, &grant));
	assert_ptr_equal(places_next_granted(p, 31, &grant), &w[1]);
	places_exit(p, &w[1]);
	assert_int_equal(places_woken(p), UINT64_C(1) << 62);
	assert_ptr_equal(places_next_granted(p, 62, &grant), &w[2]);
	places_exit(p, &w[0]);
	places_exit(p, &w[2]);
	close_places(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_come_first_served),
	    cmocka_unit_test(the_best_rank_first),
	    cmocka_unit_test(the_share_is_a_limit_for_the_throttled_alone),
	    cmocka_unit_test(any_may_use_all),
	    cmocka_unit_test(half_of_the_reserve_is_for_the_throttled_too),
	    cmocka_unit_test(no_reserve_nothing_of_it),
	    cmocka_unit_test(a_slot_moves_into_the_share),
	    cmocka_unit_test(a_slot_leaves_the_share),
	    cmocka_unit_test(asking_again_queues_anew),
	    cmocka_unit_test(granted_and_not_told),
	    cmocka_unit_test(stress_comes_at_90_and_goes_at_70),
	    cmocka_unit_test(grants_go_to_their_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
