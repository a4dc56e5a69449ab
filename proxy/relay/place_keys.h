/*
 * By what a session is counted at the gate.
 */
#ifndef PROXY_RELAY_PLACE_KEYS_H
#define PROXY_RELAY_PLACE_KEYS_H

#include "tarry/places.h"
#include "tarry/syn.h"

/*
 * The keys of a client and its SYN (NULL: unknown, then there is no stack
 * key): hashed with a seed of this process, which is the same in all threads.
 */
void place_keys_make(struct place_keys *out, const struct addr *client,
		     const struct syn *syn);

/* The stack's key alone; never 0. */
uint64_t place_keys_stack(const struct syn *syn);

#endif
