/* Who goes first when sessions run out: tables of comers and what is asked. */
#include "tarry/crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEATS 8

static struct crowd crowd;
static struct crowd_link links[SEATS];

static void
open_crowd(const uint8_t *ranks, uint32_t n)
{
	uint32_t i;

	memset(links, 0, sizeof(links));
	crowd_init(&crowd, links, 100);
	for (i = 0; i < n; i++)
		crowd_join(&crowd, i, ranks[i]);
}

static void
the_newest_of_the_worst_gives_way(void **state)
{
	static const uint8_t ranks[] = {3, 0, 3, 1};
	static const uint32_t order[] = {2, 0, 3, 1, CROWD_NONE};
	size_t i;

	(void)state;
	open_crowd(ranks, 4);
	for (i = 0; i < 5; i++) {
		assert_int_equal(crowd_gives_way(&crowd), order[i]);
		if (order[i] != CROWD_NONE)
			crowd_leave(&crowd, order[i]);
	}
}

static void
the_oldest_of_the_worst_is_let_go(void **state)
{
	static const uint8_t ranks[] = {3, 0, 3, 1};
	static const uint32_t order[] = {0, 2, 3, CROWD_NONE};
	size_t i;

	(void)state;
	open_crowd(ranks, 4);
	for (i = 0; i < 4; i++) {
		assert_int_equal(crowd_is_let_go(&crowd), order[i]);
		if (order[i] != CROWD_NONE)
			crowd_leave(&crowd, order[i]);
	}
	assert_int_equal(crowd_gives_way(&crowd), 1);
}

static void
another_rank_is_another_queue(void **state)
{
	static const uint8_t ranks[] = {2, 2, 2};

	(void)state;
	open_crowd(ranks, 3);
	crowd_join(&crowd, 1, 2);
	assert_int_equal(crowd_gives_way(&crowd), 2);
	crowd_join(&crowd, 0, 5);
	assert_int_equal(crowd_gives_way(&crowd), 0);
	assert_int_equal(crowd_is_let_go(&crowd), 0);
	crowd_join(&crowd, 0, 2);
	assert_int_equal(crowd_gives_way(&crowd), 0);
	assert_int_equal(crowd_is_let_go(&crowd), 1);
	crowd_leave(&crowd, 2);
	crowd_leave(&crowd, 2);
	assert_int_equal(crowd_is_let_go(&crowd), 1);
}

static void
stress_has_a_hysteresis(void **state)
{
	static const struct {
		uint32_t sessions;
		bool is_stressed;
		bool changed;
	} rows[] = {{89, false, false}, {90, true, true},  {100, true, false},
		    {71, true, false},	{70, false, true}, {89, false, false}};
	size_t i;

	(void)state;
	open_crowd(NULL, 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(crowd_note(&crowd, rows[i].sessions),
				 rows[i].changed);
		assert_int_equal(crowd.is_stressed, rows[i].is_stressed);
	}
	assert_false(crowd_is_full(&crowd, 100));
	assert_true(crowd_is_full(&crowd, 101));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_newest_of_the_worst_gives_way),
	    cmocka_unit_test(the_oldest_of_the_worst_is_let_go),
	    cmocka_unit_test(another_rank_is_another_queue),
	    cmocka_unit_test(stress_has_a_hysteresis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
