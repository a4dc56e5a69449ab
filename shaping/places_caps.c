/*
 * Caps: all of a session's at once, or none and a place in a queue.
 *
 * Between two calls the first in each queue could not go on: its own limit on
 * that cap is reached. So whoever waits is behind something that is full, and
 * only what is given back or left can change that.
 *
 * Taking the caps one by one, and keeping those had while waiting for the
 * next, would spare waiters the way from queue to queue; but then one that
 * waits for a crowded stack keeps its client's other stacks waiting too.
 */
#include "shaping/places_parts.h"

#include <string.h>

/* What a session wants of each cap: its limit, and its entry if it has one. */
struct want {
	uint16_t limits[PLAN_CAPS]; /* 0: no cap */
	uint32_t numbers[PLAN_CAPS];
};

static void
look_up(const struct places *p, const struct place *w, uint32_t rank,
	const uint16_t *limits, struct want *want)
{
	unsigned i;

	for (i = 0; i < PLAN_CAPS; i++) {
		want->limits[i] = w->seen[i] != 0 ? limits[i] : 0;
		want->numbers[i] = 0;
		if (want->limits[i] != 0)
			want->numbers[i] = places_table_find(
			    &p->table, places_key_cap(w->seen[i], rank));
	}
}

/* The first full cap, or PLAN_CAPS; `turn`: the queue that one is first in. */
static unsigned
first_full(const struct places *p, const struct want *want, uint32_t turn)
{
	unsigned i;

	for (i = 0; i < PLAN_CAPS; i++) {
		const struct places_entry *e;

		if (want->numbers[i] == 0)
			continue;
		e = places_entry(&p->table, want->numbers[i]);
		if (e->count >= want->limits[i] ||
		    (e->of.queue != NULL && want->numbers[i] != turn))
			break;
	}
	return i;
}

/* Existing entries first, so that none of them is taken for another. */
static void
hold(struct places *p, struct place *w, uint32_t rank, const struct want *want)
{
	unsigned i;

	for (i = 0; i < PLAN_CAPS; i++) {
		w->caps.held[i] = want->numbers[i];
		if (want->numbers[i] != 0)
			places_entry(&p->table, want->numbers[i])->count++;
	}
	for (i = 0; i < PLAN_CAPS; i++) {
		if (want->limits[i] == 0 || want->numbers[i] != 0)
			continue;
		w->caps.held[i] = places_table_take(
		    &p->table, places_key_cap(w->seen[i], rank));
		if (w->caps.held[i] != 0)
			places_entry(&p->table, w->caps.held[i])->count++;
	}
	p->caps_held++;
}

static void
queue_up(struct places *p, struct place *w, const struct want *want,
	 unsigned kind)
{
	memcpy(w->caps.wait.limits, want->limits, sizeof(want->limits));
	w->caps.wait.queue = want->numbers[kind];
	w->wait_kind = kind & 3u;
	places_ring_push(
	    &places_entry(&p->table, want->numbers[kind])->of.queue, w);
}

static bool
may_try(const struct places_entry *e)
{
	const struct place *w = e->of.queue;

	return w != NULL && e->count < w->caps.wait.limits[w->wait_kind];
}

/* The first ones of a queue go on: to their caps, or to another queue. */
static void
serve(struct places *p, uint32_t number)
{
	struct places_entry *e = places_entry(&p->table, number);

	while (may_try(e)) {
		struct place *w = e->of.queue;
		struct want want;
		unsigned full;

		look_up(p, w, w->rank, w->caps.wait.limits, &want);
		full = first_full(p, &want, number);
		places_ring_remove(&e->of.queue, w);
		if (full < PLAN_CAPS) {
			queue_up(p, w, &want, full);
			continue;
		}
		hold(p, w, w->rank, &want);
		p->caps_waiting--;
		w->caps_state = STATE_GRANTED;
		places_grant(p, w);
	}
}

static void
drop(struct places *p, struct place *w)
{
	uint32_t held[PLAN_CAPS];
	unsigned i;

	memcpy(held, w->caps.held, sizeof(held));
	p->caps_held--;
	for (i = 0; i < PLAN_CAPS; i++) {
		if (held[i] != 0)
			places_entry(&p->table, held[i])->count--;
	}
	for (i = 0; i < PLAN_CAPS; i++) {
		if (held[i] != 0)
			serve(p, held[i]);
	}
}

static void
leave_queue(struct places *p, struct place *w)
{
	uint32_t number = w->caps.wait.queue;

	places_ring_remove(&places_entry(&p->table, number)->of.queue, w);
	p->caps_waiting--;
	/* The next may be content with more than the first was. */
	serve(p, number);
}

void
places_give_caps(struct places *p, struct place *w)
{
	unsigned state = w->caps_state;

	w->caps_state = STATE_NONE;
	if (state == STATE_WAITING) {
		leave_queue(p, w);
		return;
	}
	if (state == STATE_GRANTED)
		places_ungrant(p, w);
	if (state != STATE_NONE)
		drop(p, w);
}

static bool
is_linked_for_slot(const struct place *w)
{
	return w->slot_state == STATE_WAITING || w->slot_state == STATE_GRANTED;
}

enum places_answer
places_claim_caps(struct places *p, struct place *w, const struct plan *plan,
		  enum caps_wish wish)
{
	struct want want;
	unsigned full;

	places_give_caps(p, w);
	look_up(p, w, plan->rank, plan->caps, &want);
	full = first_full(p, &want, 0);
	if (full == PLAN_CAPS) {
		hold(p, w, plan->rank, &want);
		w->caps_state = STATE_HELD;
		return PLACES_GRANTED;
	}
	if (wish != CAPS_WAIT || is_linked_for_slot(w))
		return PLACES_DENIED;
	w->rank = plan->rank & 63u;
	w->caps_state = STATE_WAITING;
	p->caps_waiting++;
	queue_up(p, w, &want, full);
	return PLACES_WAITS;
}
