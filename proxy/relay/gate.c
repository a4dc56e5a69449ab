/*
 * A mutex around places, and the wake-ups. One mutex for all: it is taken
 * some ten times a session, for well under a microsecond each, while a
 * session costs tens of them elsewhere. The wake-up is made under the lock,
 * so that none comes after gate_join() has taken the function away.
 */
#include "proxy/relay/gate.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

struct member {
	gate_wake_fn *wake;
	void *ctx;
};

struct gate {
	pthread_mutex_t lock;
	struct places *places;
	size_t places_bytes;
	atomic_bool is_slot_stress;
	struct member workers[GATE_WORKERS_CAP];
};

static struct places *
enter_lock(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	return g->places;
}

static void
leave_lock(struct gate *g)
{
	uint64_t woken = places_woken(g->places);

	atomic_store_explicit(&g->is_slot_stress,
			      places_is_slot_stress(g->places),
			      memory_order_relaxed);
	for (; woken != 0; woken &= woken - 1) {
		const struct member *m = &g->workers[__builtin_ctzll(woken)];

		if (m->wake != NULL)
			m->wake(m->ctx);
	}
	pthread_mutex_unlock(&g->lock);
}

struct gate *
gate_open(const struct places_options *options)
{
	struct gate *g = calloc(1, sizeof(*g));
	void *memory;

	if (g == NULL)
		return NULL;
	/* Mapped: zeroed, on a page's boundary, and touched only as used. */
	g->places_bytes = places_bytes(options->seats);
	memory = mmap(NULL, g->places_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		goto free_gate;
	if (pthread_mutex_init(&g->lock, NULL) != 0)
		goto unmap_places;
	g->places = places_init(memory, options);
	return g;

unmap_places:
	(void)munmap(memory, g->places_bytes);
free_gate:
	free(g);
	return NULL;
}

void
gate_free(struct gate *g)
{
	struct places_totals totals;

	if (g == NULL)
		return;
	places_totals(g->places, &totals);
	assert(totals.sessions == 0 && totals.slots_used == 0 &&
	       totals.slots_waiting == 0 && totals.caps_waiting == 0);
	pthread_mutex_destroy(&g->lock);
	(void)munmap(g->places, g->places_bytes);
	free(g);
}

void
gate_join(struct gate *g, uint32_t worker, gate_wake_fn *wake, void *ctx)
{
	assert(worker < GATE_WORKERS_CAP);
	(void)enter_lock(g);
	g->workers[worker].wake = wake;
	g->workers[worker].ctx = ctx;
	leave_lock(g);
}

void
gate_enter(struct gate *g, struct place *w, uint32_t worker,
	   const struct place_keys *keys, uint64_t now_ms,
	   struct place_counts *counts)
{
	places_enter(enter_lock(g), w, worker, keys, now_ms, counts);
	leave_lock(g);
}

void
gate_learn(struct gate *g, struct place *w, enum plan_cap kind, uint64_t key)
{
	places_learn(enter_lock(g), w, kind, key);
	leave_lock(g);
}

void
gate_look(struct gate *g, const struct place *w, uint64_t now_ms,
	  struct place_counts *counts)
{
	places_look(enter_lock(g), w, now_ms, counts);
	leave_lock(g);
}

void
gate_exit(struct gate *g, struct place *w)
{
	places_exit(enter_lock(g), w);
	leave_lock(g);
}

enum places_answer
gate_claim_caps(struct gate *g, struct place *w, const struct plan *plan,
		enum caps_wish wish)
{
	enum places_answer answer;

	answer = places_claim_caps(enter_lock(g), w, plan, wish);
	leave_lock(g);
	return answer;
}

void
gate_give_caps(struct gate *g, struct place *w)
{
	places_give_caps(enter_lock(g), w);
	leave_lock(g);
}

enum places_answer
gate_claim_slot(struct gate *g, struct place *w, enum slot_wish wish,
		uint32_t rank)
{
	enum places_answer answer;

	answer = places_claim_slot(enter_lock(g), w, wish, rank);
	leave_lock(g);
	return answer;
}

void
gate_give_slot(struct gate *g, struct place *w)
{
	places_give_slot(enter_lock(g), w);
	leave_lock(g);
}

struct place *
gate_next_granted(struct gate *g, uint32_t worker, enum places_grant *grant)
{
	struct place *w = places_next_granted(enter_lock(g), worker, grant);

	leave_lock(g);
	return w;
}

bool
gate_is_slot_stress(const struct gate *g)
{
	return atomic_load_explicit(&g->is_slot_stress, memory_order_relaxed);
}

void
gate_totals(struct gate *g, struct places_totals *totals)
{
	places_totals(enter_lock(g), totals);
	leave_lock(g);
}
