/*
 * The gate: places for all workers together.
 *
 * Everything that tarry/places.h says, under one mutex that is never held
 * across I/O. A grant is no message that could be lost: the place is linked
 * on its worker's granted list and the worker is woken, who fetches it with
 * gate_next_granted(). A session that ends meanwhile hands on what it was
 * granted. Functions named as in places.h do what is written there, from any
 * thread; a place is only ever handed in by the worker that entered it.
 */
#ifndef PROXY_RELAY_GATE_H
#define PROXY_RELAY_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tarry/places.h"

#define GATE_WORKERS_CAP PLACES_OWNERS_CAP

struct gate;

typedef void gate_wake_fn(void *ctx);

/* A gate, or NULL if memory is out. Its pages are touched as they are used. */
struct gate *gate_open(const struct places_options *options);

/* Frees the gate. All places must be out. NULL is fine. */
void gate_free(struct gate *g);

/*
 * Names the function that wakes a worker (0 .. GATE_WORKERS_CAP - 1): called
 * from any thread, it must neither block nor call the gate. A worker joins
 * before its first session enters; it leaves (wake NULL) after its last place
 * is out, and is not woken any more once that has returned.
 */
void gate_join(struct gate *g, uint32_t worker, gate_wake_fn *wake, void *ctx);

/* The session's coming and going; `worker` is the owner. */
void gate_enter(struct gate *g, struct place *w, uint32_t worker,
		const struct place_keys *keys, uint64_t now_ms,
		struct place_counts *counts);
void gate_learn(struct gate *g, struct place *w, enum plan_cap kind,
		uint64_t key);
void gate_look(struct gate *g, const struct place *w, uint64_t now_ms,
	       struct place_counts *counts);
void gate_exit(struct gate *g, struct place *w);

/*
 * Orders of the session: claim_caps and claim_slot. PLACES_GRANTED and
 * PLACES_DENIED are the answer, no wake-up follows; PLACES_WAITS: one may.
 */
enum places_answer gate_claim_caps(struct gate *g, struct place *w,
				   const struct plan *plan,
				   enum caps_wish wish);
void gate_give_caps(struct gate *g, struct place *w);
enum places_answer gate_claim_slot(struct gate *g, struct place *w,
				   enum slot_wish wish, uint32_t rank);
void gate_give_slot(struct gate *g, struct place *w);

/* One place of this worker that was granted what it waited for. Or NULL. */
struct place *gate_next_granted(struct gate *g, uint32_t worker,
				enum places_grant *grant);

/* As of the last change, without the mutex: cheap enough for each turn. */
bool gate_is_slot_stress(const struct gate *g);

void gate_totals(struct gate *g, struct places_totals *totals);

#endif
