/*
 * Sites whose true effect is known, drawn many times: networks of their own
 * size and badness, days, bots that leave and come again, and the real
 * holdout. The interval that is reported must hold the truth in 95 of 100.
 *
 * The truth is that of two worlds in which everybody is slowed, or nobody.
 */
#include "tarry/effect.h"
#include "tarry/holdout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 1000u
#define TRUTH_SEEDS 300u
#define TRIES 3u

struct site {
	const char *label;
	uint32_t networks;
	uint32_t days;
	uint32_t share;	 /* held out, of ten thousand */
	uint32_t spam;	 /* percent of sessions of a bad network */
	uint32_t leaves; /* percent of the bots that are slowed */
	uint32_t again;	 /* percent of those that come again that day */
};

static const struct site sites[] = {
    {"as shipped, a week", 1500, 7, 500, 90, 70, 0},
    {"who leaves comes again", 1500, 7, 500, 90, 70, 60},
    {"no effect", 1500, 7, 500, 60, 0, 0},
    {"a day", 1500, 1, 500, 90, 70, 30},
    {"few networks", 200, 14, 1000, 80, 60, 30},
    {"hardly any spam", 1500, 7, 500, 4, 50, 0},
};

static uint64_t dice;

static uint32_t
draw(uint32_t count)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)((dice * 0x2545f4914f6cdd1du) >> 33) % count;
}

static bool
percent(uint32_t p)
{
	return draw(100) < p;
}

/* One who comes, until he has brought it or comes no more. */
static void
come(struct effect *e, const struct site *site, const struct plan *plan,
     uint64_t network, uint32_t spam)
{
	const enum effect_arm arm =
	    plan->is_held_out ? EFFECT_HELD_OUT : EFFECT_SHAPED;
	const bool is_bad = percent(spam);

	for (uint32_t i = 0; i < TRIES; i++) {
		const bool has_left =
		    is_bad && !plan->is_held_out && percent(site->leaves);

		effect_add(e, arm, network,
			   is_bad && !has_left ? 1u << EFFECT_SPAM : 0);
		if (!has_left || !percent(site->again))
			return;
	}
}

static void
play(struct effect *e, const struct site *site, uint64_t seed, uint32_t share)
{
	dice = seed * 0x9e3779b97f4a7c15u | 1;
	for (uint32_t n = 0; n < site->networks; n++) {
		const uint8_t ip[4] = {10, (uint8_t)(n >> 8), (uint8_t)n, 1};
		/* Half of them send no spam; one in ten is ten times larger. */
		const uint32_t spam = percent(50) ? site->spam : 0;
		const uint32_t size = percent(10) ? 20 : 2;
		struct addr client;

		addr_set_v4(&client, ip, 25);
		for (uint32_t day = 0; day < site->days; day++) {
			const uint32_t count = draw(size + 1);
			struct plan plan = {.rank = 1, .greet_ms = 3000};

			holdout_apply(seed, &client, day, share, &plan);
			for (uint32_t i = 0; i < count; i++)
				come(e, site, &plan,
				     holdout_network(seed, &client), spam);
		}
	}
}

/* The share of sessions with spam where all are in one arm. */
static double
share_of(const struct site *site, uint32_t share)
{
	double sessions = 0;
	double spam = 0;

	for (uint64_t seed = 1; seed <= TRUTH_SEEDS; seed++) {
		struct effect e = {0};
		const struct effect_group *g = &e.groups[0][0];

		play(&e, site, seed + 1000000, share);
		for (size_t i = 0; i < (size_t)EFFECT_ARMS * EFFECT_GROUPS;
		     i++) {
			sessions += g[i].sessions;
			spam += g[i].counts[EFFECT_SPAM];
		}
	}
	return spam / sessions;
}

static void
the_interval_holds_the_truth(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		const struct site *site = &sites[i];
		const double truth =
		    share_of(site, 0) - share_of(site, HOLDOUT_ALL);
		double width = 0;
		uint32_t hits = 0;

		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			struct effect e = {0};
			struct effect_change c;

			play(&e, site, seed, site->share);
			assert_true(effect_of(&e, EFFECT_SPAM, &c));
			hits += c.low <= truth && truth <= c.high;
			width += (c.high - c.low) / SEEDS;
		}
		print_message("%s: truth %.3f, held by %u of %u, mean width "
			      "%.3f\n",
			      site->label, truth, hits, SEEDS, width);
		assert_true(hits * 100 >= 95 * SEEDS);
		/* An interval that says nothing would hold it too. */
		assert_true(width < 0.6);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_interval_holds_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
