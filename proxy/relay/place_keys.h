/*
 * By what a session is counted at the gate.
 */
#ifndef PROXY_RELAY_PLACE_KEYS_H
#define PROXY_RELAY_PLACE_KEYS_H

#include "tarry/places.h"
#include "tarry/signature.h"

/*
 * The keys of a client and its signature (NULL: unknown, then there is no stack
 * key): hashed with a seed of this process, which is the same in all threads.
 */
void place_keys_make(struct place_keys *out, const struct addr *client,
		     const struct signature_texts *t);

/* The stack's key alone; never 0. */
uint64_t place_keys_stack(const struct signature_texts *t);

#endif
