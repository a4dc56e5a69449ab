/*
 * The gate: MTA slots, for all workers together.
 *
 * First in, first out. A grant is no message that could be lost: the gate
 * links the waiter on its worker's granted list and wakes the worker, who
 * fetches it. A waiter that leaves meanwhile hands its slot to the next.
 * One mutex, never held across I/O.
 */
#ifndef PROXY_RELAY_GATE_H
#define PROXY_RELAY_GATE_H

#include <stdbool.h>
#include <stdint.h>

#define GATE_WORKERS_CAP 64

struct gate;

enum gate_state {
	GATE_OUT,     /* neither has nor wants a slot */
	GATE_WAITING, /* in the queue */
	GATE_GRANTED, /* has one, and does not know yet */
	GATE_HOLDING  /* has one */
};

/* Embedded by the owner, zeroed at first; the fields are the gate's. */
struct gate_waiter {
	struct gate_waiter *next;
	struct gate_waiter *prev;
	uint16_t worker;
	uint8_t state; /* enum gate_state */
};

typedef void gate_wake_fn(void *ctx);

/* A gate of `slots` (> 0) slots, or NULL if memory is out. */
struct gate *gate_new(uint32_t slots);

/* Frees the gate. All waiters must be out. NULL is fine. */
void gate_free(struct gate *g);

/*
 * Names the function that wakes a worker (0 .. GATE_WORKERS_CAP - 1): called
 * from any thread, it must neither block nor call the gate. A worker joins
 * before it asks; it leaves (wake NULL) after its last waiter is out, and is
 * not woken any more once that has returned.
 */
void gate_join(struct gate *g, uint32_t worker, gate_wake_fn *wake, void *ctx);

/*
 * Asks for a slot. True: holding it, no wake-up follows. False: waiting.
 * The waiter must be out.
 */
bool gate_ask(struct gate *g, struct gate_waiter *w, uint32_t worker);

/* Leaves, in whatever state: out of the queue, or the slot to the next. */
void gate_leave(struct gate *g, struct gate_waiter *w);

/* One waiter of this worker that was granted its slot: now holding. Or NULL. */
struct gate_waiter *gate_take_granted(struct gate *g, uint32_t worker);

/* Slots in use, and how many wait. */
void gate_counts(struct gate *g, uint32_t *used, uint32_t *waiting);

#endif
