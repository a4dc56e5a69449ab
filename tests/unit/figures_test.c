#include "proxy/simulate/figures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/simulate/dice.h"

#define DRAWS 200000u

static struct spread spread;

static void
near(double got, double want, double share)
{
	if (got < want * (1 - share) || got > want * (1 + share))
		fail_msg("got %f, wanted %f", got, want);
}

static void
percentiles_are_near(void **state)
{
	static const uint32_t tops[] = {10, 64, 100, 1000, 65535, 4000000000u};

	(void)state;
	for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
		const double top = tops[i];
		/* Of a bin, and for values being whole. */
		const double share = 0.01 + 1.1 / top;

		memset(&spread, 0, sizeof(spread));
		for (uint32_t n = 1; n <= 1000; n++)
			spread_add(&spread, (uint32_t)(top * n / 1000), 1);
		assert_int_equal(spread.count, 1000);
		assert_int_equal(spread.max, tops[i]);
		near(spread_at(&spread, 500), top / 2, 0.01);
		near(spread_at(&spread, 990), top * 0.99, share);
		assert_true(spread_at(&spread, 1000) <= tops[i]);
		near(spread_mean(&spread), top / 2, share);
	}
}

static void
nothing_is_zero(void **state)
{
	(void)state;
	memset(&spread, 0, sizeof(spread));
	spread_add(&spread, 7, 0);
	assert_int_equal(spread_at(&spread, 500), 0);
	assert_int_equal(spread.max, 0);
	assert_true(spread_mean(&spread) >= 0 && spread_mean(&spread) <= 0);
}

static void
a_level_is_weighed_by_time(void **state)
{
	struct level l;

	(void)state;
	assert_true(level_open(&l, 11, 1000, 7000));
	level_set(&l, 2, 2000); /* 0 for 1 s */
	level_set(&l, 2, 2500);
	level_set(&l, 9, 3000);	 /* 2 for 1 s */
	level_set(&l, 5, 3000);	 /* 9 for no time */
	level_set(&l, 10, 6900); /* 5 for 3.9 s */
	level_set(&l, 0, 9000);	 /* 10 for 0.1 s: the rest is too late */
	near(level_mean(&l), (2 * 1.0 + 5 * 3.9 + 10 * 0.1) / 6, 1e-9);
	assert_int_equal(level_at(&l, 100), 0);
	assert_int_equal(level_at(&l, 300), 2);
	assert_int_equal(level_at(&l, 500), 5);
	assert_int_equal(level_at(&l, 983), 5);
	assert_int_equal(level_at(&l, 990), 10);
	assert_int_equal(l.max, 10);
	/* Parts of 100 ms. */
	assert_true(level_step(&l, 9) <= 0);
	near(level_step(&l, 10), 2, 1e-9);
	near(level_step(&l, 20), 5, 1e-9);
	near(level_step(&l, 59), 10, 1e-9);
	assert_int_equal(l.maxima[59], 10);
	level_close(&l);
}

static void
waits_are_as_long_as_they_should_be(void **state)
{
	uint64_t dice = 42;
	double sum = 0;
	uint32_t longer = 0;

	(void)state;
	for (uint32_t i = 0; i < DRAWS; i++) {
		const double wait = dice_wait(&dice, 10);

		assert_true(wait >= 0);
		sum += wait;
		longer += wait > 20;
	}
	near(sum / DRAWS, 10, 0.01);
	near((double)longer / DRAWS, 0.1353, 0.02); /* e to the -2 */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(percentiles_are_near),
	    cmocka_unit_test(nothing_is_zero),
	    cmocka_unit_test(a_level_is_weighed_by_time),
	    cmocka_unit_test(waits_are_as_long_as_they_should_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
