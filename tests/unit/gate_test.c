/*
 * The gate: what places promise also holds between threads, and whoever is
 * granted something is woken.
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

static const struct place_keys nobody;

static void
count_wake(void *ctx)
{
	*(unsigned *)ctx += 1;
}

static struct gate *
open_gate(uint32_t slots)
{
	struct gate *g =
	    gate_open(&(struct places_options){.seats = 8, .slots = slots});

	assert_non_null(g);
	return g;
}

static void
enter(struct gate *g, struct place *w, uint32_t worker)
{
	struct place_counts counts;

	gate_enter(g, w, worker, &nobody, 0, &counts);
}

static void
assert_next(struct gate *g, uint32_t worker, const struct place *want,
	    enum places_grant want_grant)
{
	enum places_grant grant = want_grant;

	assert_ptr_equal(gate_next_granted(g, worker, &grant), want);
	assert_int_equal(grant, want_grant);
}

static void
grants_go_to_the_right_worker(void **state)
{
	struct gate *g = open_gate(1);
	struct place w[3] = {0};
	unsigned wakes[2] = {0};

	(void)state;
	gate_join(g, 0, count_wake, &wakes[0]);
	gate_join(g, 63, count_wake, &wakes[1]);
	enter(g, &w[0], 0);
	enter(g, &w[1], 63);
	enter(g, &w[2], 63);
	assert_int_equal(gate_claim_slot(g, &w[0], SLOT_ANY, 0),
			 PLACES_GRANTED);
	assert_int_equal(gate_claim_slot(g, &w[1], SLOT_ANY, 0), PLACES_WAITS);
	assert_int_equal(wakes[0] + wakes[1], 0); /* the answer was enough */
	gate_give_slot(g, &w[0]);
	assert_int_equal(wakes[0], 0);
	assert_int_equal(wakes[1], 1);
	assert_next(g, 0, NULL, PLACES_GRANT_SLOT);
	assert_next(g, 63, &w[1], PLACES_GRANT_SLOT);
	assert_next(g, 63, NULL, PLACES_GRANT_SLOT);
	/* A worker that left is not woken. */
	gate_join(g, 63, NULL, NULL);
	assert_int_equal(gate_claim_slot(g, &w[2], SLOT_ANY, 0), PLACES_WAITS);
	gate_exit(g, &w[1]);
	assert_int_equal(wakes[1], 1);
	gate_exit(g, &w[2]);
	gate_exit(g, &w[0]);
	gate_free(g);
}

/* One session's end may be news for several workers. */
static void
all_who_were_granted_are_woken(void **state)
{
	static const struct place_keys keys = {{1, 2, 3}};
	static const struct plan plan = {.rank = 1, .caps = {1, 0, 0}};
	struct gate *g = open_gate(1);
	struct place w[3] = {0};
	unsigned wakes[3] = {0};
	struct place_counts c;
	struct places_totals totals;
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		gate_join(g, i, count_wake, &wakes[i]);
		gate_enter(g, &w[i], i, &keys, 0, &c);
		assert_int_equal(c.sessions[PLAN_CAP_CLIENT], i + 1);
	}
	assert_int_equal(gate_claim_caps(g, &w[0], &plan, CAPS_WAIT),
			 PLACES_GRANTED);
	assert_int_equal(gate_claim_slot(g, &w[0], SLOT_ANY, 1),
			 PLACES_GRANTED);
	assert_int_equal(gate_claim_caps(g, &w[1], &plan, CAPS_WAIT),
			 PLACES_WAITS);
	assert_int_equal(gate_claim_slot(g, &w[2], SLOT_ANY, 1), PLACES_WAITS);
	assert_true(gate_is_slot_stress(g));
	gate_totals(g, &totals);
	assert_int_equal(totals.sessions, 3);
	assert_int_equal(totals.caps_waiting, 1);
	assert_int_equal(totals.slots_waiting, 1);
	gate_exit(g, &w[0]);
	assert_int_equal(wakes[0], 0);
	assert_int_equal(wakes[1], 1);
	assert_int_equal(wakes[2], 1);
	assert_next(g, 1, &w[1], PLACES_GRANT_CAPS);
	assert_next(g, 2, &w[2], PLACES_GRANT_SLOT);
	gate_give_caps(g, &w[1]);
	gate_give_slot(g, &w[2]);
	assert_false(gate_is_slot_stress(g));
	gate_learn(g, &w[2], PLAN_CAP_STACK, 9); /* known already */
	gate_look(g, &w[2], 0, &c);
	assert_int_equal(c.sessions[PLAN_CAP_STACK], 2);
	gate_exit(g, &w[1]);
	gate_exit(g, &w[2]);
	gate_free(g);
}

#define THREADS 4u
#define ROUNDS 20000u
#define EACH 4u
#define SLOTS 3
#define SHARE 2
#define CAP 6

static const struct plan capped = {.rank = 1, .caps = {CAP, 0, 0}};

static struct gate *shared;

/* What is held now, and the most there ever was. */
struct level {
	_Atomic int now;
	_Atomic int most;
};
static struct level slots;
static struct level slots_of_share;
static struct level caps;

/* One worker and its sessions. */
struct crew {
	uint32_t id;
	uint32_t random;
	atomic_bool is_woken;
	unsigned grants;
	unsigned unannounced;
	struct place w[EACH];
	bool is_in[EACH];
	bool wants_share[EACH];
	bool has_slot[EACH];
	bool has_caps[EACH];
};

static void
up(struct level *l)
{
	int now = atomic_fetch_add(&l->now, 1) + 1;
	int most = atomic_load(&l->most);

	while (now > most &&
	       !atomic_compare_exchange_weak(&l->most, &most, now))
		continue;
}

static void
down(struct level *l)
{
	atomic_fetch_sub(&l->now, 1);
}

static void
crew_wake(void *ctx)
{
	atomic_store(&((struct crew *)ctx)->is_woken, true);
}

static void
note_slot(struct crew *c, size_t k)
{
	c->has_slot[k] = true;
	up(&slots);
	if (c->wants_share[k])
		up(&slots_of_share);
}

static void
drop_slot(struct crew *c, size_t k)
{
	if (c->has_slot[k]) {
		down(&slots);
		if (c->wants_share[k])
			down(&slots_of_share);
	}
	c->has_slot[k] = false;
}

static void
drop_caps(struct crew *c, size_t k)
{
	if (c->has_caps[k])
		down(&caps);
	c->has_caps[k] = false;
}

static void
note_caps(struct crew *c, size_t k)
{
	c->has_caps[k] = true;
	up(&caps);
}

static void
take_grants(struct crew *c)
{
	bool was_woken = atomic_exchange(&c->is_woken, false);
	enum places_grant grant;
	const struct place *w;

	while ((w = gate_next_granted(shared, c->id, &grant)) != NULL) {
		c->grants++;
		/* If it came just now, then so did the wake-up. */
		if (!was_woken && !atomic_load(&c->is_woken))
			c->unannounced++;
		if (grant == PLACES_GRANT_SLOT)
			note_slot(c, (size_t)(w - c->w));
		else
			note_caps(c, (size_t)(w - c->w));
	}
}

static void
leave(struct crew *c, size_t k)
{
	drop_slot(c, k);
	drop_caps(c, k);
	gate_exit(shared, &c->w[k]);
	c->is_in[k] = false;
}

/* In: waits for its caps, or asks for a slot, or leaves. */
static void
go_on(struct crew *c, size_t k)
{
	static const struct place_keys keys = {{7, 0, 0}};
	struct place_counts counts;

	if (!c->is_in[k]) {
		gate_enter(shared, &c->w[k], c->id, &keys, c->random, &counts);
		c->is_in[k] = true;
		if (gate_claim_caps(shared, &c->w[k], &capped, CAPS_WAIT) ==
		    PLACES_GRANTED)
			note_caps(c, k);
	} else if (c->has_caps[k] && !c->has_slot[k] && c->random >> 31 != 0) {
		c->wants_share[k] = (c->random >> 30 & 1) != 0;
		if (gate_claim_slot(shared, &c->w[k],
				    c->wants_share[k] ? SLOT_SHARE : SLOT_ANY,
				    c->random >> 28 & 3) == PLACES_GRANTED)
			note_slot(c, k);
	} else {
		leave(c, k);
	}
}

static void *
work(void *arg)
{
	struct crew *c = arg;
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		c->random = c->random * 1664525 + 1013904223;
		take_grants(c);
		go_on(c, c->random >> 16 & (EACH - 1));
		if ((c->random >> 24 & 7) == 0)
			sched_yield();
	}
	for (i = 0; i < EACH; i++)
		leave(c, i);
	return NULL;
}

static void
threads_keep_the_limits(void **state)
{
	static struct crew crews[THREADS];
	pthread_t threads[THREADS];
	struct places_totals t;
	uint32_t i;

	(void)state;
	shared = gate_open(&(struct places_options){
	    .seats = THREADS * EACH, .slots = SLOTS, .reserve = SLOTS - SHARE});
	assert_non_null(shared);
	for (i = 0; i < THREADS; i++) {
		crews[i].id = i;
		crews[i].random = i + 12345;
		gate_join(shared, i, crew_wake, &crews[i]);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, work, &crews[i]), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < THREADS; i++) {
		assert_true(crews[i].grants > 0);
		assert_int_equal(crews[i].unannounced, 0);
		assert_null(gate_next_granted(
		    shared, i, &(enum places_grant){PLACES_GRANT_CAPS}));
	}
	assert_int_equal(atomic_load(&caps.now), 0);
	assert_int_equal(atomic_load(&caps.most), CAP);
	assert_int_equal(atomic_load(&slots.now), 0);
	assert_int_equal(atomic_load(&slots.most), SLOTS);
	assert_int_equal(atomic_load(&slots_of_share.now), 0);
	assert_int_equal(atomic_load(&slots_of_share.most), SHARE);
	gate_totals(shared, &t);
	assert_int_equal(t.sessions + t.slots_used + t.caps_held, 0);
	gate_free(shared);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(grants_go_to_the_right_worker),
	    cmocka_unit_test(all_who_were_granted_are_woken),
	    cmocka_unit_test(threads_keep_the_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
