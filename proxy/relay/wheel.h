/*
 * Deadlines: a wheel of slots, one a worker.
 *
 * A node stands in the slot of its deadline, or in an earlier one: moving a
 * deadline further away only writes it down, and the node is put right when
 * its slot comes by. So an idle timer that each byte re-arms costs a store.
 * Time is absolute and given by the caller; what is late is caught up with.
 * One thread, no allocation behind wheel_init().
 */
#ifndef PROXY_RELAY_WHEEL_H
#define PROXY_RELAY_WHEEL_H

#include <stdint.h>

#define WHEEL_TICK_MS 4
#define WHEEL_SLOTS 8192
#define WHEEL_NEVER UINT64_MAX
/* So often wheel_expire() is called at least, and be the wheel empty: then no
 * deadline is ever mistaken for one 198 days before. */
#define WHEEL_REST_MS 86400000

/*
 * Embedded by the owner; zeroed is "no deadline". Small, because there is one
 * a session: of the deadline's tick the low half is kept, which is enough for
 * deadlines up to 99 days ahead.
 */
struct wheel_node {
	struct wheel_node *next;
	struct wheel_node *prev;
	uint32_t due;	/* tick of the deadline, modulo 2^32 */
	uint32_t place; /* slot that it stands in, and 1; 0: in none */
};

struct wheel {
	uint64_t tick; /* slots up to this one have been served */
	uint64_t occupied[WHEEL_SLOTS / 64];
	struct wheel_node *slots[WHEEL_SLOTS];
};

/* Makes an empty wheel that begins at now_ms. */
void wheel_init(struct wheel *w, uint64_t now_ms);

/*
 * Sets a node's deadline, in place of the one it had. A deadline that is over
 * comes out of wheel_expire() at the next tick, never in the same round.
 */
void wheel_set(struct wheel *w, struct wheel_node *n, uint64_t deadline_ms);

/* Takes the node out. After this its memory is no longer known. */
void wheel_remove(struct wheel *w, struct wheel_node *n);

/*
 * The next node whose deadline has come, taken out; NULL when there is none
 * left. Never early; late by less than a tick.
 */
struct wheel_node *wheel_expire(struct wheel *w, uint64_t now_ms);

/*
 * When wheel_expire() should be asked next: no later than the earliest
 * deadline's tick, perhaps earlier. WHEEL_NEVER for an empty wheel.
 */
uint64_t wheel_next_ms(const struct wheel *w);

#endif
