/*
 * The gate: never more holders than slots, first come first served, and no
 * slot lost whoever leaves when. Also with real threads.
 */
#include "proxy/relay/gate.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned wakes;

static void
count_wake(void *ctx)
{
	*(unsigned *)ctx += 1;
}

static struct gate *
open_gate(uint32_t slots)
{
	struct gate *g = gate_new(slots);

	assert_non_null(g);
	wakes = 0;
	gate_join(g, 0, count_wake, &wakes);
	return g;
}

static void
assert_counts(struct gate *g, uint32_t want_used, uint32_t want_waiting)
{
	uint32_t used;
	uint32_t waiting;

	gate_counts(g, &used, &waiting);
	assert_int_equal(used, want_used);
	assert_int_equal(waiting, want_waiting);
}

static void
first_come_first_served(void **state)
{
	struct gate *g = open_gate(1);
	struct gate_waiter w[4] = {0};

	(void)state;
	assert_true(gate_ask(g, &w[0], 0));
	assert_false(gate_ask(g, &w[1], 0));
	assert_false(gate_ask(g, &w[2], 0));
	assert_false(gate_ask(g, &w[3], 0));
	assert_counts(g, 1, 3);
	assert_null(gate_take_granted(g, 0));
	gate_leave(g, &w[0]);
	assert_int_equal(wakes, 1);
	assert_ptr_equal(gate_take_granted(g, 0), &w[1]);
	assert_null(gate_take_granted(g, 0));
	gate_leave(g, &w[2]); /* out of the queue: nobody is granted */
	assert_int_equal(wakes, 1);
	gate_leave(g, &w[1]);
	assert_ptr_equal(gate_take_granted(g, 0), &w[3]);
	gate_leave(g, &w[3]);
	assert_counts(g, 0, 0);
	gate_free(g);
}

/* Granted, but gone before it knew: the slot goes on to the next. */
static void
granted_and_gone(void **state)
{
	struct gate *g = open_gate(1);
	struct gate_waiter w[3] = {0};

	(void)state;
	assert_true(gate_ask(g, &w[0], 0));
	assert_false(gate_ask(g, &w[1], 0));
	assert_false(gate_ask(g, &w[2], 0));
	gate_leave(g, &w[0]);
	gate_leave(g, &w[1]);
	assert_int_equal(wakes, 2);
	assert_ptr_equal(gate_take_granted(g, 0), &w[2]);
	assert_null(gate_take_granted(g, 0));
	gate_leave(g, &w[2]);
	gate_leave(g, &w[2]); /* twice is fine */
	assert_counts(g, 0, 0);
	gate_free(g);
}

static void
grants_go_to_the_right_worker(void **state)
{
	struct gate *g = open_gate(1);
	struct gate_waiter w[3] = {0};
	unsigned other = 0;

	(void)state;
	gate_join(g, 5, count_wake, &other);
	assert_true(gate_ask(g, &w[0], 0));
	assert_false(gate_ask(g, &w[1], 5));
	gate_leave(g, &w[0]);
	assert_int_equal(wakes, 0);
	assert_int_equal(other, 1);
	assert_null(gate_take_granted(g, 0));
	assert_ptr_equal(gate_take_granted(g, 5), &w[1]);
	gate_leave(g, &w[1]);
	/* A worker that left is not woken. */
	gate_join(g, 5, NULL, NULL);
	assert_true(gate_ask(g, &w[0], 0));
	assert_false(gate_ask(g, &w[1], 5));
	gate_leave(g, &w[0]);
	assert_int_equal(other, 1);
	gate_leave(g, &w[1]);
	assert_counts(g, 0, 0);
	gate_free(g);
}

#define THREADS 4
#define ROUNDS 20000
#define SLOTS 3
#define EACH 4

static struct gate *shared;
static _Atomic int holders;
static _Atomic int most;

static void
no_wake(void *ctx)
{
	(void)ctx;
}

static void
hold(void)
{
	int now = atomic_fetch_add(&holders, 1) + 1;
	int seen = atomic_load(&most);

	while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
		continue;
}

static void *
work(void *arg)
{
	uint32_t id = *(uint32_t *)arg;
	struct gate_waiter w[EACH] = {0};
	bool holds[EACH] = {false};
	uint32_t r = id + 12345;
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		struct gate_waiter *got;
		unsigned k;

		r = r * 1664525 + 1013904223;
		k = r >> 16 & (EACH - 1);
		while ((got = gate_take_granted(shared, id)) != NULL) {
			holds[got - w] = true;
			hold();
		}
		if (w[k].state == GATE_OUT) {
			holds[k] = gate_ask(shared, &w[k], id);
			if (holds[k])
				hold();
		} else {
			if (holds[k])
				atomic_fetch_sub(&holders, 1);
			holds[k] = false;
			gate_leave(shared, &w[k]);
		}
		if ((r >> 24 & 7) == 0)
			sched_yield();
	}
	for (i = 0; i < EACH; i++) {
		if (holds[i])
			atomic_fetch_sub(&holders, 1);
		gate_leave(shared, &w[i]);
	}
	return NULL;
}

static void
never_more_than_slots(void **state)
{
	pthread_t threads[THREADS];
	uint32_t ids[THREADS];
	uint32_t i;

	(void)state;
	shared = gate_new(SLOTS);
	assert_non_null(shared);
	for (i = 0; i < THREADS; i++) {
		ids[i] = i;
		gate_join(shared, i, no_wake, NULL);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, work, &ids[i]), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&holders), 0);
	assert_int_equal(atomic_load(&most), SLOTS);
	assert_counts(shared, 0, 0);
	gate_free(shared);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_come_first_served),
	    cmocka_unit_test(granted_and_gone),
	    cmocka_unit_test(grants_go_to_the_right_worker),
	    cmocka_unit_test(never_more_than_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
