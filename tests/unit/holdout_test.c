/* Who is held out: whole networks, for a day, as many as was asked for. */
#include "tarry/holdout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SALT 77
#define NETWORKS 20000u

static struct addr
client(const char *text)
{
	struct addr a;

	assert_true(addr_parse_ip(&a, text, strlen(text)));
	return a;
}

static struct addr
network(uint32_t n)
{
	const uint8_t ip[4] = {10, (uint8_t)(n >> 8), (uint8_t)n, 1};
	struct addr a;

	addr_set_v4(&a, ip, 25);
	return a;
}

static void
a_network_is_in_one_arm_all_day(void **state)
{
	static const struct {
		const char *one;
		const char *other;
		bool is_same;
	} rows[] = {
	    {"192.0.2.1", "192.0.2.255", true},
	    {"192.0.2.1", "192.0.3.1", false},
	    {"2001:db8:1::1", "2001:db8:1:ffff::2", true},
	    {"2001:db8:1::1", "2001:db8:2::1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct addr a = client(rows[i].one);
		const struct addr b = client(rows[i].other);
		bool differs = false;

		for (uint32_t day = 0; day < 200; day++)
			differs |= holdout_arm(SALT, &a, day, 5000) !=
				   holdout_arm(SALT, &b, day, 5000);
		assert_int_equal(differs, !rows[i].is_same);
		assert_int_equal(holdout_network(SALT, &a) ==
				     holdout_network(SALT, &b),
				 rows[i].is_same);
	}
}

static uint32_t
held_out(uint64_t salt, uint32_t day, uint32_t share)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NETWORKS; i++) {
		const struct addr a = network(i);

		n += holdout_arm(salt, &a, day, share);
	}
	return n;
}

static void
the_share_is_what_was_asked_for(void **state)
{
	(void)state;
	assert_int_equal(held_out(SALT, 1, 0), 0);
	assert_int_equal(held_out(SALT, 1, HOLDOUT_ALL), NETWORKS);
	assert_in_range(held_out(SALT, 1, 500), 880, 1120);
	assert_in_range(held_out(SALT, 1, 5000), 9700, 10300);
}

/* Another day and another salt hold out others. */
static void
nobody_can_count_on_it(void **state)
{
	uint32_t both_days = 0;
	uint32_t both_salts = 0;

	(void)state;
	for (uint32_t i = 0; i < NETWORKS; i++) {
		const struct addr a = network(i);
		const bool is_out = holdout_arm(SALT, &a, 1, 5000);

		both_days += is_out && holdout_arm(SALT, &a, 2, 5000);
		both_salts += is_out && holdout_arm(SALT + 1, &a, 1, 5000);
	}
	assert_in_range(both_days, 4700, 5300);
	assert_in_range(both_salts, 4700, 5300);
}

/* Only what slows, and is not in shadow anyway, can be left out. */
static void
only_the_slowed_are_left_out(void **state)
{
	static const struct {
		const char *label;
		struct plan plan;
		uint32_t share;
		bool is_out;
	} rows[] = {
	    {"slow", {.rank = 2, .greet_ms = 9}, HOLDOUT_ALL, true},
	    {"none wanted", {.rank = 2, .greet_ms = 9}, 0, false},
	    {"pass", {.class_id = PLAN_CLASS_PASS}, HOLDOUT_ALL, false},
	    {"defer",
	     {.rank = PLAN_RANK_DEFER, .class_id = PLAN_CLASS_DEFER},
	     HOLDOUT_ALL,
	     false},
	    {"shadow", {.rank = 2, .is_shadow = true}, HOLDOUT_ALL, false},
	};
	const struct addr who = client("192.0.2.1");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct plan p = rows[i].plan;

		print_message("%s\n", rows[i].label);
		holdout_apply(SALT, &who, 1, rows[i].share, &p);
		assert_int_equal(p.is_held_out, rows[i].is_out);
		assert_int_equal(p.is_shadow,
				 rows[i].is_out || rows[i].plan.is_shadow);
		assert_string_equal(plan_mode_name(&p),
				    p.is_held_out ? "holdout"
				    : p.is_shadow ? "shadow"
						  : "enforce");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_network_is_in_one_arm_all_day),
	    cmocka_unit_test(the_share_is_what_was_asked_for),
	    cmocka_unit_test(nobody_can_count_on_it),
	    cmocka_unit_test(only_the_slowed_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
