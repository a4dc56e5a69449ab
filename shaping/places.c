/*
 * Places, as seen from outside: a session comes, is told of its grants, and
 * leaves. See tarry/places.h.
 */
#include "tarry/places.h"

#include <assert.h>
#include <string.h>

#include "shaping/places_parts.h"

static_assert(sizeof(struct place) == 48, "part of every held session");
static_assert(sizeof(struct places_entry) == 16, "six for each seat");
static_assert(PLAN_RANKS == 64 && PLACES_OWNERS_CAP == 64, "bits of a word");

void
places_ring_push(struct place **first, struct place *w)
{
	if (*first == NULL) {
		w->next = w;
		w->prev = w;
		*first = w;
		return;
	}
	w->next = *first;
	w->prev = (*first)->prev;
	w->prev->next = w;
	w->next->prev = w;
}

void
places_ring_remove(struct place **first, struct place *w)
{
	w->prev->next = w->next;
	w->next->prev = w->prev;
	if (*first == w)
		*first = w->next == w ? NULL : w->next;
	w->next = NULL;
	w->prev = NULL;
}

void
places_grant(struct places *p, struct place *w)
{
	places_ring_push(&p->granted[w->owner], w);
	p->woken |= UINT64_C(1) << w->owner;
}

void
places_ungrant(struct places *p, struct place *w)
{
	places_ring_remove(&p->granted[w->owner], w);
}

/* The table follows the struct, on its own cache lines. */
static size_t
head_bytes(void)
{
	return (sizeof(struct places) + 63) / 64 * 64;
}

size_t
places_bytes(uint32_t seats)
{
	return head_bytes() +
	       places_table_entries(seats) * sizeof(struct places_entry);
}

struct places *
places_init(void *memory, const struct places_options *o)
{
	struct places *p = memory;
	char *table = (char *)memory + head_bytes();
	size_t entries = places_table_entries(o->seats);

	assert(o->seats > 0 && o->slots > 0 && o->reserve <= o->slots);
	memset(p, 0, sizeof(*p));
	/* Aligned: the head's size is a multiple of 64. */
	p->table.entries = (struct places_entry *)(void *)table;
	p->table.sets = (uint32_t)(entries / PLACES_WAYS); /* < seats */
	p->slots.total = o->slots;
	p->slots.share = o->slots - o->reserve;
	return p;
}

void
places_learn(struct places *p, struct place *w, enum plan_cap kind,
	     uint64_t key)
{
	uint32_t number;

	if (key == 0 || w->seen[kind] != 0)
		return;
	number = places_table_take(&p->table, places_key_presence(kind, key));
	w->seen[kind] = number;
	if (number != 0)
		places_entry(&p->table, number)->count++;
}

void
places_look(const struct places *p, const struct place *w, uint64_t now_ms,
	    struct place_counts *counts)
{
	const struct places_table *t = &p->table;
	uint32_t client = w->seen[PLAN_CAP_CLIENT];
	unsigned i;

	for (i = 0; i < PLAN_CAPS; i++)
		counts->sessions[i] =
		    w->seen[i] != 0 ? places_entry(t, w->seen[i])->count : 0;
	counts->client_rate =
	    client != 0 ? places_rate(places_entry(t, client), now_ms) : 0;
	counts->slot_stress = p->slots.is_stress;
}

void
places_enter(struct places *p, struct place *w, uint32_t owner,
	     const struct place_keys *keys, uint64_t now_ms,
	     struct place_counts *counts)
{
	unsigned i;

	assert(!w->is_in && owner < PLACES_OWNERS_CAP);
	memset(w, 0, sizeof(*w));
	w->is_in = true;
	w->owner = owner & 63u;
	p->sessions++;
	for (i = 0; i < PLAN_CAPS; i++)
		places_learn(p, w, (enum plan_cap)i, keys->key[i]);
	if (w->seen[PLAN_CAP_CLIENT] != 0)
		places_rate_add(
		    places_entry(&p->table, w->seen[PLAN_CAP_CLIENT]), now_ms);
	places_look(p, w, now_ms, counts);
}

void
places_exit(struct places *p, struct place *w)
{
	unsigned i;

	if (!w->is_in)
		return;
	places_give_caps(p, w);
	places_give_slot(p, w);
	for (i = 0; i < PLAN_CAPS; i++) {
		if (w->seen[i] != 0)
			places_entry(&p->table, w->seen[i])->count--;
	}
	p->sessions--;
	memset(w, 0, sizeof(*w));
}

struct place *
places_next_granted(struct places *p, uint32_t owner, enum places_grant *grant)
{
	struct place *w = p->granted[owner];

	if (w == NULL)
		return NULL;
	places_ungrant(p, w);
	if (w->caps_state == STATE_GRANTED) {
		*grant = PLACES_GRANT_CAPS;
		w->caps_state = STATE_HELD;
	} else {
		*grant = PLACES_GRANT_SLOT;
		w->slot_state = STATE_HELD;
	}
	return w;
}

uint64_t
places_woken(struct places *p)
{
	uint64_t woken = p->woken;

	p->woken = 0;
	return woken;
}

bool
places_is_slot_stress(const struct places *p)
{
	return p->slots.is_stress;
}

void
places_totals(const struct places *p, struct places_totals *totals)
{
	totals->sessions = p->sessions;
	totals->slots_used = p->slots.used;
	totals->slots_shared = p->slots.shared;
	totals->slots_waiting = p->slots.waiting;
	totals->caps_held = p->caps_held;
	totals->caps_waiting = p->caps_waiting;
	totals->uncounted = p->table.uncounted;
}

static void
tell(struct evidence *e, enum evidence_kind kind, uint32_t *fact,
     uint32_t value)
{
	*fact = value;
	if (value > 0)
		e->present |= evidence_bit(kind);
}

void
places_facts(const struct place_counts *counts, struct evidence *e)
{
	tell(e, EVIDENCE_CLIENT_SESSIONS, &e->client_sessions,
	     counts->sessions[PLAN_CAP_CLIENT]);
	tell(e, EVIDENCE_NETWORK_SESSIONS, &e->network_sessions,
	     counts->sessions[PLAN_CAP_NETWORK]);
	tell(e, EVIDENCE_STACK_SESSIONS, &e->stack_sessions,
	     counts->sessions[PLAN_CAP_STACK]);
	tell(e, EVIDENCE_CLIENT_RATE, &e->client_rate, counts->client_rate);
}
