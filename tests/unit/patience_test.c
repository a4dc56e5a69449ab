/* Curves beside one worked by hand, and delays chosen from them. */
#include "tarry/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Of ten: one leaves at 1 s, two stay until 2 s, three leave at 3 s, one
 * stays until 3 s, one leaves at 5 s, two stay until 9 s.
 * 9/10; then of 7 three: 9/10 * 4/7; then of 3 one: * 2/3. */
static void
as_by_hand(void **state)
{
	static const struct {
		uint32_t ms;
		double gone;
		uint32_t seen;
	} rows[] = {
	    {0, 0, 10},
	    {1000, 1 - 0.9, 10},
	    {2000, 1 - 0.9, 9},
	    {3000, 1 - 0.9 * 4 / 7, 7},
	    {4999, 1 - 0.9 * 4 / 7, 3},
	    {5000, 1 - 0.9 * 4 / 7 * 2 / 3, 3},
	    {900000, 1 - 0.9 * 4 / 7 * 2 / 3, 0},
	};
	struct patience p;

	(void)state;
	patience_init(&p, PATIENCE_SUM_MS);
	patience_add_left(&p, 1000);
	patience_add_stayed(&p, 2000);
	patience_add_stayed(&p, 2500);
	patience_add_left(&p, 3000);
	patience_add_left(&p, 3001);
	patience_add_left(&p, 3999);
	patience_add_stayed(&p, 3000);
	patience_add_left(&p, 5000);
	patience_add_stayed(&p, 9000);
	patience_add_stayed(&p, 9000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const double gone = patience_gone(&p, rows[i].ms);

		assert_true(gone > rows[i].gone - 1e-9);
		assert_true(gone < rows[i].gone + 1e-9);
		assert_int_equal(patience_waited(&p, rows[i].ms), rows[i].seen);
	}
}

static void
many(struct patience *p, uint32_t left, uint32_t left_ms, uint32_t stayed,
     uint32_t stayed_ms)
{
	for (uint32_t i = 0; i < left; i++)
		patience_add_left(p, left_ms);
	for (uint32_t i = 0; i < stayed; i++)
		patience_add_stayed(p, stayed_ms);
}

static void
a_delay_is_chosen_for_both(void **state)
{
	static const struct {
		const char *label;
		uint32_t bad_left;
		uint32_t bad_stayed;
		uint32_t good_left;
		uint32_t good_left_ms;
		uint32_t good_stayed;
		enum patience_answer want;
	} rows[] = {
	    {"found", 95, 5, 0, 1, 6000, PATIENCE_FOUND},
	    {"the bad stay", 50, 50, 0, 1, 6000, PATIENCE_STAY},
	    {"the good leave", 95, 5, 6, 7000, 6000, PATIENCE_GOOD_LEAVE},
	    {"only later", 95, 5, 6, 9000, 6000, PATIENCE_FOUND},
	    {"few good ones", 95, 5, 0, 1, 5999, PATIENCE_TOO_FEW},
	    {"few bad ones", 10, 0, 0, 1, 6000, PATIENCE_TOO_FEW},
	    {"none", 0, 0, 0, 1, 6000, PATIENCE_STAY},
	};
	const struct patience_wish wish = {90, 500};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct patience bad;
		struct patience good;
		uint32_t ms = 0;
		enum patience_answer got;

		patience_init(&bad, PATIENCE_WAIT_MS);
		patience_init(&good, PATIENCE_WAIT_MS);
		many(&bad, 0, 0, 900, 3000); /* made to wait less */
		many(&bad, rows[i].bad_left, 8000, rows[i].bad_stayed, 15000);
		many(&good, rows[i].good_left, rows[i].good_left_ms,
		     rows[i].good_stayed, 20000);
		got = patience_delay(&bad, &good, &wish, &ms);
		if (got != rows[i].want)
			fail_msg("%s: %d", rows[i].label, (int)got);
		if (got != PATIENCE_STAY)
			assert_int_equal(ms, 8250);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_by_hand),
	    cmocka_unit_test(a_delay_is_chosen_for_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
