/*
 * The budget of sends: kept with any number of sessions, and not before it
 * has to be.
 */
#include "proxy/relay/drip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct row {
	const char *label;
	uint32_t held;
	uint32_t gap_ms;
};

static const struct row rows[] = {
    {"nobody", 0, 200},
    {"one", 1, 200},
    {"the budget, just", 160, 200},
    {"one more", 161, 400},
    {"twice", 320, 400},
    {"a thousand", 1000, 1400},
    {"a sixth of 100,000", 16667, 21000},
};

static void
gap_grows_with_the_number_held(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t got = drip_gap_ms(rows[i].held);

		if (got != rows[i].gap_ms)
			fail_msg("%s: %u ms", rows[i].label, (unsigned)got);
	}
}

static void
budget_is_kept(void **state)
{
	uint32_t held;

	(void)state;
	for (held = 0; held < 200000; held += 7) {
		uint64_t gap_ms = drip_gap_ms(held);

		assert_true(gap_ms >= DRIP_GAP_MS);
		assert_true((uint64_t)held * 1000 <=
			    gap_ms * DRIP_BUDGET_PER_S);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gap_grows_with_the_number_held),
	    cmocka_unit_test(budget_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
