/*
 * The table of counts: fixed, set-associative, never rehashed.
 *
 * A key has two sets of eight to choose from and goes where fewer are in use.
 * An entry never moves while it counts anybody, so that places can hold it by
 * number. One set for a key would do with twice the memory: sets fill by
 * chance, and the fullest of many is far from the mean.
 *
 * An entry knows its key by 32 bits of the hash; that two keys in the same
 * sets share them happens once in some 10^8, and then the two count as one.
 */
#include "shaping/places_parts.h"

#include <string.h>

#define ENTRIES_PER_SEAT 6u
#define SETS_MIN 8u
#define MINUTE_MS 60000u

static const uint64_t odd = 0x9e3779b97f4a7c15u; /* 2^64 / the golden ratio */

/* Every bit of x on every bit of the result; a bijection. */
static uint64_t
mixed(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 29) * 0xa0761d6478bd642fu;
	return x ^ x >> 32;
}

uint64_t
places_key_presence(enum plan_cap kind, uint64_t key)
{
	return mixed(key + odd * (kind + 1u)) & ~UINT64_C(1);
}

/* Numbers of presence entries are as good as keys while they count. */
uint64_t
places_key_cap(uint32_t presence, uint32_t rank)
{
	return mixed((uint64_t)presence << 8 | rank) | 1;
}

size_t
places_table_entries(uint32_t seats)
{
	size_t sets =
	    ((size_t)seats * ENTRIES_PER_SEAT + PLACES_WAYS - 1) / PLACES_WAYS;

	return (sets > SETS_MIN ? sets : SETS_MIN) * PLACES_WAYS;
}

static struct places_entry *
set_at(const struct places_table *t, uint64_t hash)
{
	return &t->entries[((hash >> 32) * t->sets >> 32) * PLACES_WAYS];
}

static struct places_entry *
second_set_at(const struct places_table *t, uint64_t key)
{
	return set_at(t, mixed(key ^ odd));
}

static uint32_t
number_of(const struct places_table *t, const struct places_entry *e)
{
	return (uint32_t)(e - t->entries) + 1; /* seats bound the entries */
}

static bool
is_cap(const struct places_entry *e)
{
	return (e->tag & 1) != 0;
}

static bool
is_free(const struct places_entry *e)
{
	return e->count == 0 && !(is_cap(e) && e->of.queue != NULL);
}

static struct places_entry *
find_in(struct places_entry *set, uint32_t tag)
{
	unsigned i;

	for (i = 0; i < PLACES_WAYS; i++) {
		if (set[i].tag == tag &&
		    (!is_free(&set[i]) || set[i].of.rate.minute != 0))
			return &set[i];
	}
	return NULL;
}

uint32_t
places_table_find(const struct places_table *t, uint64_t key)
{
	uint32_t tag = (uint32_t)key; /* the upper half chose the set */
	struct places_entry *e = find_in(set_at(t, key), tag);

	if (e == NULL)
		e = find_in(second_set_at(t, key), tag);
	return e != NULL ? number_of(t, e) : 0;
}

/* The free entry unused for longest, or NULL; and how many are free. */
static struct places_entry *
oldest_free(struct places_entry *set, unsigned *frees)
{
	struct places_entry *oldest = NULL;
	unsigned i;

	*frees = 0;
	for (i = 0; i < PLACES_WAYS; i++) {
		if (!is_free(&set[i]))
			continue;
		(*frees)++;
		if (oldest == NULL ||
		    set[i].of.rate.minute < oldest->of.rate.minute)
			oldest = &set[i];
	}
	return oldest;
}

uint32_t
places_table_take(struct places_table *t, uint64_t key)
{
	uint32_t number = places_table_find(t, key);
	struct places_entry *e;
	struct places_entry *second;
	unsigned frees;
	unsigned second_frees;

	if (number != 0)
		return number;
	e = oldest_free(set_at(t, key), &frees);
	second = oldest_free(second_set_at(t, key), &second_frees);
	if (second_frees > frees)
		e = second;
	if (e == NULL) {
		t->uncounted++;
		return 0;
	}
	memset(e, 0, sizeof(*e));
	e->tag = (uint32_t)key;
	return number_of(t, e);
}

static uint32_t
minute_of(uint64_t now_ms)
{
	return (uint32_t)(now_ms / MINUTE_MS) + 1; /* 8,000 years */
}

void
places_rate_add(struct places_entry *e, uint64_t now_ms)
{
	uint32_t minute = minute_of(now_ms);

	if (e->of.rate.minute != minute) {
		bool is_next = e->of.rate.minute + 1 == minute;

		e->of.rate.before = is_next ? e->of.rate.now : 0;
		e->of.rate.now = 0;
		e->of.rate.minute = minute;
	}
	if (e->of.rate.now < UINT16_MAX)
		e->of.rate.now++;
}

/*
 * As if those of the minute before had come evenly: counts them less the more
 * of this one is over.
 */
uint32_t
places_rate(const struct places_entry *e, uint64_t now_ms)
{
	uint32_t left_ms = MINUTE_MS - (uint32_t)(now_ms % MINUTE_MS);
	uint32_t minute = minute_of(now_ms);
	uint32_t now = 0;
	uint32_t before = 0;

	if (e->of.rate.minute == minute) {
		now = e->of.rate.now;
		before = e->of.rate.before;
	} else if (e->of.rate.minute + 1 == minute) {
		before = e->of.rate.now;
	}
	/* 65,535 x 60,000 fits. */
	return now + (before * left_ms + MINUTE_MS / 2) / MINUTE_MS;
}
