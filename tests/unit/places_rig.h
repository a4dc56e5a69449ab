/*
 * Places on the heap, and sessions in them, for the tests of places.
 */
#ifndef TESTS_UNIT_PLACES_RIG_H
#define TESTS_UNIT_PLACES_RIG_H

#include "tarry/places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Rounds of the long tests; more by hand: TARRY_ROUNDS=1000000. */
static inline unsigned long
rounds(unsigned long usual)
{
	const char *text = getenv("TARRY_ROUNDS");

	return text != NULL ? strtoul(text, NULL, 10) : usual;
}

/* xorshift64: the same numbers each time. */
static inline uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline struct places *
open_places(uint32_t seats, uint32_t slots, uint32_t reserve)
{
	const struct places_options o = {seats, slots, reserve};
	void *memory = calloc(1, places_bytes(seats));

	assert_non_null(memory);
	return places_init(memory, &o);
}

/* Fails unless all are out and nothing is left behind. */
static inline void
close_places(struct places *p)
{
	struct places_totals t;

	places_totals(p, &t);
	assert_int_equal(t.sessions, 0);
	assert_int_equal(t.slots_used, 0);
	assert_int_equal(t.slots_shared, 0);
	assert_int_equal(t.slots_waiting, 0);
	assert_int_equal(t.caps_held, 0);
	assert_int_equal(t.caps_waiting, 0);
	free(p);
}

/* In, with owner 0, at time 0. */
static inline struct place_counts
enter(struct places *p, struct place *w, uint64_t client, uint64_t network,
      uint64_t stack)
{
	const struct place_keys keys = {{client, network, stack}};
	struct place_counts counts;

	places_enter(p, w, 0, &keys, 0, &counts);
	return counts;
}

static inline struct plan
class_of(uint8_t rank, uint16_t client, uint16_t network, uint16_t stack)
{
	const struct plan plan = {
	    .rank = rank,
	    .caps = {client, network, stack},
	};

	return plan;
}

/* The next one granted must be this one, for that. */
static inline void
assert_granted(struct places *p, const struct place *want,
	       enum places_grant want_grant)
{
	enum places_grant grant;

	assert_ptr_equal(places_next_granted(p, 0, &grant), want);
	assert_int_equal(grant, want_grant);
}

static inline void
assert_none_granted(struct places *p)
{
	enum places_grant grant;

	assert_null(places_next_granted(p, 0, &grant));
}

#endif
