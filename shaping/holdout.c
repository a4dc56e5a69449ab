/*
 * Who is left unshaped. Rejected: drawing anew for each session, for then a
 * sender that gives up and comes again would be in both arms.
 */
#include "tarry/holdout.h"

#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

#define V4_BYTES 15 /* of the mapped form: a /24 */
#define V6_BYTES 6

static uint64_t
hash_of(uint64_t salt, const struct addr *client, uint32_t day)
{
	const size_t len = client->family == 4 ? V4_BYTES : V6_BYTES;
	uint8_t key[V4_BYTES + sizeof(day)] = {0};

	memcpy(key, client->ip, len);
	memcpy(key + V4_BYTES, &day, sizeof(day));
	return XXH3_64bits_withSeed(key, sizeof(key), salt);
}

uint64_t
holdout_salt(const char *words, size_t len)
{
	return XXH3_64bits(words, len);
}

uint64_t
holdout_network(uint64_t salt, const struct addr *client)
{
	return hash_of(salt, client, UINT32_MAX);
}

bool
holdout_arm(uint64_t salt, const struct addr *client, uint32_t day,
	    uint32_t share)
{
	return hash_of(salt, client, day) % HOLDOUT_ALL < share;
}

void
holdout_apply(uint64_t salt, const struct addr *client, uint32_t day,
	      uint32_t share, struct plan *plan)
{
	if (share == 0 || plan->is_shadow || !plan_is_slowing(plan) ||
	    !holdout_arm(salt, client, day, share))
		return;
	plan->is_shadow = true;
	plan->is_held_out = true;
}
