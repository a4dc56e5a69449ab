/*
 * The client chooses what is hashed; hence the random seed. It is the
 * process's and not a worker's, because all workers count together.
 */
#include "proxy/relay/place_keys.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

#include "tarry/signature.h"

#define BYTE_BITS 8

/* Bits of the address that make a client and a network; IPv4 is mapped. */
enum { CLIENT_V4 = 128, CLIENT_V6 = 64, NETWORK_V4 = 120, NETWORK_V6 = 48 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t seed;

static void
make_seed(void)
{
	ssize_t n = getrandom(&seed, sizeof(seed), 0);

	assert(n == (ssize_t)sizeof(seed)); /* so few come whole */
	(void)n;
}

/* Kinds are told apart, so that no client is counted with a network. */
static uint64_t
hash(enum plan_cap kind, const void *bytes, size_t len)
{
	uint64_t h;

	(void)pthread_once(&once, make_seed);
	h = XXH3_64bits_withSeed(bytes, len, seed + (uint64_t)kind);
	return h != 0 ? h : 1;
}

static uint64_t
hash_prefix(enum plan_cap kind, const struct addr *a, size_t bits)
{
	return hash(kind, a->ip, bits / BYTE_BITS);
}

uint64_t
place_keys_stack(const struct signature_texts *t)
{
	return hash(PLAN_CAP_STACK, t->text[SIGNATURE_STACK],
		    t->len[SIGNATURE_STACK]);
}

void
place_keys_make(struct place_keys *out, const struct addr *client,
		const struct signature_texts *t)
{
	bool is_v4 = client->family == 4;

	out->key[PLAN_CAP_CLIENT] =
	    hash_prefix(PLAN_CAP_CLIENT, client, is_v4 ? CLIENT_V4 : CLIENT_V6);
	out->key[PLAN_CAP_NETWORK] = hash_prefix(
	    PLAN_CAP_NETWORK, client, is_v4 ? NETWORK_V4 : NETWORK_V6);
	out->key[PLAN_CAP_STACK] = t != NULL ? place_keys_stack(t) : 0;
}
