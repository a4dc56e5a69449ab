/* Intervals beside published ones, and how often they hold what is true. */
#include "tarry/effect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 2000u

static uint64_t random_state;

static uint64_t
draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1du >> 11;
}

static double
unit(void)
{
	return (double)draw() / (double)(1ull << 53);
}

/* `sessions` evenly over all groups, each `count`th of them with the fact. */
static void
fill(struct effect *e, enum effect_arm arm, uint32_t sessions, uint32_t with)
{
	for (uint32_t i = 0; i < sessions; i++)
		effect_add(e, arm, i, i < with ? 1u << EFFECT_SPAM : 0);
}

/* Newcombe 1998, table II, method 10, for sessions that are independent of each
 * other. Ours are no narrower, and not much wider. */
static void
no_narrower_than_newcombe(void **state)
{
	static const struct {
		uint32_t n[2];
		uint32_t with[2];
		double low;
		double high;
	} rows[] = {
	    {{70, 80}, {56, 48}, 0.0524, 0.3339},
	    {{10, 10}, {9, 3}, 0.1705, 0.8090},
	    {{10, 10}, {10, 0}, 0.6075, 1.0000},
	    {{10, 20}, {0, 0}, -0.1611, 0.2775},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct effect e = {0};
		struct effect_change c;

		fill(&e, EFFECT_SHAPED, rows[i].n[0], rows[i].with[0]);
		fill(&e, EFFECT_HELD_OUT, rows[i].n[1], rows[i].with[1]);
		assert_true(effect_of(&e, EFFECT_SPAM, &c));
		assert_true(c.low <= rows[i].low + 1e-4);
		assert_true(c.high >= rows[i].high - 1e-4);
		assert_true(c.low > rows[i].low - 0.12);
		assert_true(c.high < rows[i].high + 0.12);
	}
}

static void
nothing_is_said_of_nothing(void **state)
{
	struct effect e = {0};
	struct effect_change c;

	(void)state;
	assert_false(effect_of(&e, EFFECT_SPAM, &c));
	fill(&e, EFFECT_SHAPED, 1000, 10);
	assert_false(effect_of(&e, EFFECT_SPAM, &c));
	effect_add(&e, EFFECT_HELD_OUT, 5, 0);
	effect_add(&e, EFFECT_HELD_OUT, 5, 0);
	assert_false(effect_of(&e, EFFECT_SPAM, &c)); /* one network */
	assert_true(c.low <= -1 && c.high >= 1);
	effect_add(&e, EFFECT_HELD_OUT, 6, 0);
	assert_true(effect_of(&e, EFFECT_SPAM, &c));
}

static void
two_halves_are_a_whole(void **state)
{
	struct effect whole = {0};
	struct effect half = {0};

	(void)state;
	fill(&whole, EFFECT_SHAPED, 500, 100);
	fill(&half, EFFECT_SHAPED, 500, 100);
	effect_merge(&whole, &half);
	fill(&half, EFFECT_SHAPED, 500, 100);
	assert_memory_equal(&whole, &half, sizeof(whole));
}

/* One site: networks of very different sizes, each with its own share of
 * spam; the held-out bring spam with that share, the slowed with `left` of
 * it. Returns the expected change, of networks and days drawn again. */
struct site {
	uint32_t networks;
	double held_out;
	double spam; /* mean share */
	double left;
};

static void
one_month(struct effect *e, const struct site *site)
{
	memset(e, 0, sizeof(*e));
	for (uint32_t n = 0; n < site->networks; n++) {
		const double size = unit();
		const uint32_t sessions = 1 + (uint32_t)(8 * size * size / 1.0);
		const bool is_out = unit() < site->held_out;
		/* Half of the networks are twice as bad, half not at all. */
		const double own = unit() < 0.5 ? 2 * site->spam : 0;
		const uint64_t hash = draw();

		for (uint32_t i = 0; i < sessions; i++) {
			const double share = is_out ? own : own * site->left;

			effect_add(e, is_out ? EFFECT_HELD_OUT : EFFECT_SHAPED,
				   hash,
				   unit() < share ? 1u << EFFECT_SPAM : 0);
		}
	}
}

static void
the_interval_holds_the_truth(void **state)
{
	static const struct site sites[] = {
	    {2000, 0.05, 0.45, 0.30}, /* as it should be */
	    {2000, 0.05, 0.45, 1.00}, /* of no effect */
	    {400, 0.05, 0.40, 0.20},  /* a rare signature */
	    {2000, 0.05, 0.02, 0.50}, /* hardly any spam */
	    {1000, 0.50, 0.49, 0.01}, /* nearly all, nearly none */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		const double truth = sites[i].spam * (sites[i].left - 1);
		uint32_t hits = 0;
		double width = 0;

		random_state = 0x1234567 + i;
		for (uint32_t seed = 0; seed < SEEDS; seed++) {
			struct effect e;
			struct effect_change c;

			one_month(&e, &sites[i]);
			(void)effect_of(&e, EFFECT_SPAM, &c);
			hits += c.low <= truth && truth <= c.high;
			width += c.high - c.low;
		}
		print_message("site %zu: %.1f %% of %u seeds hold %.3f, "
			      "mean width %.3f\n",
			      i, 100.0 * hits / SEEDS, SEEDS, truth,
			      width / SEEDS);
		assert_true(hits * 100 >= 95 * SEEDS);
		assert_true(width / SEEDS < 0.7);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_narrower_than_newcombe),
	    cmocka_unit_test(nothing_is_said_of_nothing),
	    cmocka_unit_test(two_halves_are_a_whole),
	    cmocka_unit_test(the_interval_holds_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
