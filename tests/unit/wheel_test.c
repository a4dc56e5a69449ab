/*
 * The wheel in simulated time: never early, late by less than a tick, and
 * what was moved or removed does not come.
 */
#include "proxy/relay/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START_MS 1000003
#define RING_MS ((uint64_t)WHEEL_SLOTS * WHEEL_TICK_MS)

static struct wheel wheel;

/* Runs the wheel as a worker does; returns when the first node came, or 0. */
static uint64_t
run_until(uint64_t from_ms, uint64_t to_ms, struct wheel_node **out)
{
	uint64_t now_ms = from_ms;

	for (;;) {
		uint64_t next = wheel_next_ms(&wheel);

		if (next > now_ms)
			now_ms = next;
		if (next == WHEEL_NEVER || now_ms > to_ms)
			return 0;
		*out = wheel_expire(&wheel, now_ms);
		if (*out != NULL)
			return now_ms;
	}
}

struct row {
	const char *label;
	uint64_t after_ms;
};

static const struct row rows[] = {
    {"one millisecond", 1},
    {"a tick", WHEEL_TICK_MS},
    {"odd", 12345},
    {"just in the ring", RING_MS - 2 * WHEEL_TICK_MS},
    {"the ring", RING_MS},
    {"just out of the ring", RING_MS + 1},
    {"fifteen minutes", 900000},
    {"a day", 86400000},
};

static void
comes_when_due(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wheel_node n = {0};
		struct wheel_node *got = NULL;
		uint64_t due = START_MS + rows[i].after_ms;
		uint64_t at;

		wheel_init(&wheel, START_MS);
		wheel_set(&wheel, &n, due);
		at = run_until(START_MS, UINT64_MAX - 1, &got);
		if (got != &n || at < due || at >= due + WHEEL_TICK_MS)
			fail_msg("%s: due %llu, came %llu", rows[i].label,
				 (unsigned long long)due,
				 (unsigned long long)at);
		assert_int_equal(n.place, 0);
		assert_true(wheel_next_ms(&wheel) == WHEEL_NEVER);
	}
}

static void
later_costs_nothing(void **state)
{
	struct wheel_node n = {0};
	struct wheel_node *got = NULL;
	uint32_t place;

	(void)state;
	wheel_init(&wheel, START_MS);
	wheel_set(&wheel, &n, START_MS + 1000);
	place = n.place;
	wheel_set(&wheel, &n, START_MS + 2000);
	assert_int_equal(n.place, place); /* still where it stood */
	assert_null(wheel_expire(&wheel, START_MS + 1500));
	assert_true(run_until(START_MS + 1500, START_MS + 3000, &got) >=
		    START_MS + 2000);
	assert_ptr_equal(got, &n);
}

static void
earlier_comes_earlier(void **state)
{
	struct wheel_node n = {0};

	(void)state;
	wheel_init(&wheel, START_MS);
	wheel_set(&wheel, &n, START_MS + 60000);
	wheel_set(&wheel, &n, START_MS + 100);
	assert_null(wheel_expire(&wheel, START_MS + 99));
	assert_ptr_equal(wheel_expire(&wheel, START_MS + 108), &n);
	assert_null(wheel_expire(&wheel, START_MS + 120000));
}

static void
removed_does_not_come(void **state)
{
	struct wheel_node a = {0};
	struct wheel_node b = {0};
	struct wheel_node c = {0};

	(void)state;
	wheel_init(&wheel, START_MS);
	/* Three in one slot; the middle one goes, then the head. */
	wheel_set(&wheel, &a, START_MS + 100);
	wheel_set(&wheel, &b, START_MS + 100);
	wheel_set(&wheel, &c, START_MS + 100);
	wheel_remove(&wheel, &b);
	wheel_remove(&wheel, &b); /* twice is fine */
	wheel_remove(&wheel, &c);
	assert_ptr_equal(wheel_expire(&wheel, START_MS + 200), &a);
	assert_null(wheel_expire(&wheel, START_MS + 200));
	assert_true(wheel_next_ms(&wheel) == WHEEL_NEVER);
}

/* A deadline that is over must not keep one round busy for ever. */
static void
past_deadline_waits_a_tick(void **state)
{
	uint64_t now_ms = START_MS + 100;
	uint64_t due;

	(void)state;
	for (due = now_ms - 2 * WHEEL_TICK_MS; due <= now_ms; due++) {
		struct wheel_node n = {0};
		struct wheel_node *got = NULL;

		wheel_init(&wheel, START_MS);
		assert_null(wheel_expire(&wheel, now_ms));
		wheel_set(&wheel, &n, due);
		assert_null(wheel_expire(&wheel, now_ms));
		assert_true(run_until(now_ms, now_ms + WHEEL_TICK_MS, &got) >
			    0);
		assert_ptr_equal(got, &n);
	}
}

/* A loop that was asleep for an hour serves all it missed, each once. */
static void
catches_up(void **state)
{
	enum { COUNT = 500 };
	static struct wheel_node nodes[COUNT];
	unsigned came = 0;
	size_t i;

	(void)state;
	wheel_init(&wheel, START_MS);
	for (i = 0; i < COUNT; i++)
		wheel_set(&wheel, &nodes[i], START_MS + 1 + i * 7919);
	while (wheel_expire(&wheel, START_MS + 3600000) != NULL)
		came++;
	/* 3600000 / 7919 = 454.6: indices 0 .. 454 are due. */
	assert_int_equal(came, 455);
}

/* Many deadlines, moved at random, against a plain list. */
static void
agrees_with_a_list(void **state)
{
	enum { COUNT = 200 };
	static struct wheel_node nodes[COUNT];
	static uint64_t due[COUNT];
	uint64_t now_ms = START_MS;
	uint64_t r = 88172645463325252u;
	unsigned step;
	size_t i;

	(void)state;
	wheel_init(&wheel, now_ms);
	for (step = 0; step < 200000; step++) {
		struct wheel_node *n;

		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		i = r % COUNT;
		if (r % 11 == 0) {
			wheel_remove(&wheel, &nodes[i]);
			due[i] = 0;
		} else {
			due[i] = now_ms + 1 + (r >> 20) % (3 * RING_MS);
			if (r % 3 == 0)
				due[i] = now_ms + 1 + (r >> 20) % 50;
			wheel_set(&wheel, &nodes[i], due[i]);
		}
		now_ms += (r >> 40) % 40;
		while ((n = wheel_expire(&wheel, now_ms)) != NULL) {
			i = (size_t)(n - nodes);
			assert_true(due[i] != 0 && due[i] <= now_ms);
			due[i] = 0;
		}
		for (i = 0; i < COUNT; i++)
			assert_true(due[i] == 0 ||
				    due[i] + WHEEL_TICK_MS > now_ms);
	}
}

/* Of a tick the low half is kept: where that begins anew nothing changes. */
static void
half_a_tick_is_enough(void **state)
{
	const uint64_t wrap_ms = ((uint64_t)1 << 32) * WHEEL_TICK_MS;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t start = wrap_ms - rows[i].after_ms / 2 - 1;
		uint64_t due = start + rows[i].after_ms;
		struct wheel_node n = {0};
		struct wheel_node *got = NULL;
		uint64_t at;

		wheel_init(&wheel, start);
		wheel_set(&wheel, &n, due);
		at = run_until(start, UINT64_MAX - 1, &got);
		if (got != &n || at < due || at >= due + WHEEL_TICK_MS)
			fail_msg("%s", rows[i].label);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_when_due),
	    cmocka_unit_test(later_costs_nothing),
	    cmocka_unit_test(earlier_comes_earlier),
	    cmocka_unit_test(removed_does_not_come),
	    cmocka_unit_test(past_deadline_waits_a_tick),
	    cmocka_unit_test(catches_up),
	    cmocka_unit_test(half_a_tick_is_enough),
	    cmocka_unit_test(agrees_with_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
