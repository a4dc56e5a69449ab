/*
 * What the files of places share: the table, the caps, the slots. Nothing
 * here is for anybody else.
 */
#ifndef SHAPING_PLACES_PARTS_H
#define SHAPING_PLACES_PARTS_H

#include "tarry/places.h"

/* place.caps_state and place.slot_state. */
enum { STATE_NONE, STATE_WAITING, STATE_GRANTED, STATE_HELD };

/*
 * One count. Presence entries have even tags, caps odd ones, so that no
 * unlucky hash takes a client's rate for a queue.
 */
struct places_entry {
	uint32_t tag;	/* of the key's hash */
	uint32_t count; /* 0: free to be used for another key */
	union {
		struct place *queue; /* of a cap: the oldest waiter */
		struct {
			uint32_t minute; /* of the last one, from 1; 0: none */
			uint16_t now;	 /* came in that minute */
			uint16_t before; /* and in the one before it */
		} rate;			 /* of a client */
	} of;
};

struct places_table {
	struct places_entry *entries;
	uint32_t sets;
	uint64_t uncounted;
};

/* Queues by what is wanted: any slot, or one of the share. */
enum { QUEUE_ANY, QUEUE_SHARE, QUEUES };

struct places_slots {
	uint32_t total;
	uint32_t share; /* of the throttled: total less the reserve */
	uint32_t used;
	uint32_t shared;
	uint32_t waiting;
	uint32_t ticket; /* of the next that waits */
	bool is_stress;
	uint64_t ranks[QUEUES]; /* with somebody in the queue, a bit each */
	struct place *queues[QUEUES][PLAN_RANKS];
};

struct places {
	struct places_table table;
	struct places_slots slots;
	uint32_t sessions;
	uint32_t caps_held;
	uint32_t caps_waiting;
	uint64_t woken;
	struct place *granted[PLACES_OWNERS_CAP];
};

/* Rings: *first is the oldest, first->prev the newest. */
void places_ring_push(struct place **first, struct place *w);
void places_ring_remove(struct place **first, struct place *w);

/* Entries in a set of the table. */
#define PLACES_WAYS 8u

/* Entries that a table for so many seats has. */
size_t places_table_entries(uint32_t seats);

/* Entries are named by number, from 1. */
static inline struct places_entry *
places_entry(const struct places_table *t, uint32_t number)
{
	return &t->entries[number - 1];
}

/* Two keys of the table: a kind's presence, and a cap upon it. */
uint64_t places_key_presence(enum plan_cap kind, uint64_t key);
uint64_t places_key_cap(uint32_t presence, uint32_t rank);

/* The key's entry, or 0: none, or one of which nothing is left to know. */
uint32_t places_table_find(const struct places_table *t, uint64_t key);

/*
 * The key's entry, made if need be: in place of a free one, the longest
 * unused first. 0 and counted: no room. The caller counts in it, before it
 * takes another.
 */
uint32_t places_table_take(struct places_table *t, uint64_t key);

void places_rate_add(struct places_entry *e, uint64_t now_ms);
uint32_t places_rate(const struct places_entry *e, uint64_t now_ms);

/* Puts a place on its owner's list: it has what it waited for. */
void places_grant(struct places *p, struct place *w);

/* And takes it off again, unseen. */
void places_ungrant(struct places *p, struct place *w);

#endif
