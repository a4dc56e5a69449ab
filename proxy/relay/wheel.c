/*
 * One ring of slots rather than a hierarchy: what lies beyond the ring waits
 * in its last slot and is put in anew when that comes by, twice a minute.
 * libuv's own timers are a heap: a re-arm there costs twenty times as much.
 */
#include "proxy/relay/wheel.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SLOT(tick) ((size_t)((tick) % WHEEL_SLOTS))

static uint64_t
tick_of(uint64_t ms)
{
	return ms / WHEEL_TICK_MS + (ms % WHEEL_TICK_MS != 0);
}

static bool
is_placed(const struct wheel_node *n)
{
	return n->place != 0;
}

/* The tick at which the node's slot comes by; w->tick is being served. */
static uint64_t
placed_tick(const struct wheel *w, const struct wheel_node *n)
{
	return w->tick +
	       (n->place - 1 + WHEEL_SLOTS - SLOT(w->tick)) % WHEEL_SLOTS;
}

/* How far ahead of w->tick the deadline is; negative: it is over. */
static int32_t
ticks_ahead(const struct wheel *w, const struct wheel_node *n)
{
	/* Two's complement by intent: both are the low half of a tick. */
	return (int32_t)(n->due - (uint32_t)w->tick);
}

static void
link_node(struct wheel *w, struct wheel_node *n)
{
	int32_t ahead = ticks_ahead(w, n);
	size_t slot;

	if (ahead < 1)
		ahead = 1;
	if (ahead >= WHEEL_SLOTS)
		ahead = WHEEL_SLOTS - 1;
	slot = SLOT(w->tick + (uint64_t)ahead);
	n->place = (uint32_t)slot + 1; /* < WHEEL_SLOTS */
	n->prev = NULL;
	n->next = w->slots[slot];
	if (n->next != NULL)
		n->next->prev = n;
	w->slots[slot] = n;
	w->occupied[slot / 64] |= (uint64_t)1 << slot % 64;
}

static void
unlink_node(struct wheel *w, struct wheel_node *n)
{
	size_t slot = n->place - 1;

	if (n->next != NULL)
		n->next->prev = n->prev;
	if (n->prev != NULL)
		n->prev->next = n->next;
	else
		w->slots[slot] = n->next;
	if (w->slots[slot] == NULL)
		w->occupied[slot / 64] &= ~((uint64_t)1 << slot % 64);
	n->next = NULL;
	n->prev = NULL;
	n->place = 0;
}

void
wheel_init(struct wheel *w, uint64_t now_ms)
{
	memset(w, 0, sizeof(*w));
	w->tick = now_ms / WHEEL_TICK_MS;
}

void
wheel_set(struct wheel *w, struct wheel_node *n, uint64_t deadline_ms)
{
	uint64_t due = tick_of(deadline_ms);

	assert(deadline_ms > 0);
	n->due = (uint32_t)due; /* the low half */
	if (is_placed(n)) {
		if (placed_tick(w, n) <= due)
			return;
		unlink_node(w, n);
	}
	link_node(w, n);
}

void
wheel_remove(struct wheel *w, struct wheel_node *n)
{
	if (is_placed(n))
		unlink_node(w, n);
}

/* The first occupied tick behind w->tick, or 0. */
static uint64_t
next_tick(const struct wheel *w)
{
	uint64_t tick = w->tick + 1;
	uint64_t end = w->tick + WHEEL_SLOTS;

	while (tick < end) {
		size_t slot = SLOT(tick);
		uint64_t bits = w->occupied[slot / 64] >> slot % 64;

		if (bits != 0) {
			tick += (uint64_t)__builtin_ctzll(bits);
			return tick < end ? tick : 0;
		}
		tick += 64 - slot % 64;
	}
	return 0;
}

/* Puts every node of the slot that has not come yet where it belongs. */
static struct wheel_node *
serve_slot(struct wheel *w)
{
	size_t slot = SLOT(w->tick);
	struct wheel_node *n;

	while ((n = w->slots[slot]) != NULL) {
		unlink_node(w, n);
		if (ticks_ahead(w, n) <= 0)
			return n;
		link_node(w, n);
	}
	return NULL;
}

struct wheel_node *
wheel_expire(struct wheel *w, uint64_t now_ms)
{
	uint64_t now_tick = now_ms / WHEEL_TICK_MS;

	for (;;) {
		struct wheel_node *n = serve_slot(w);
		uint64_t tick;

		if (n != NULL)
			return n;
		tick = next_tick(w);
		if (tick == 0 || tick > now_tick) {
			if (now_tick > w->tick)
				w->tick = now_tick;
			return NULL;
		}
		w->tick = tick;
	}
}

uint64_t
wheel_next_ms(const struct wheel *w)
{
	uint64_t tick = next_tick(w);

	if (w->slots[SLOT(w->tick)] != NULL)
		tick = w->tick;
	return tick == 0 ? WHEEL_NEVER : tick * WHEEL_TICK_MS;
}
