#include "proxy/memory/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#define MS_PER_S 1000u

/* One line of the cache each. */
struct shard_lock {
	_Alignas(64) pthread_mutex_t mutex;
};

struct memory {
	struct shard_lock locks[LEDGER_SHARDS];
	struct ledger ledger;
	void *rows;
	size_t bytes;
	uint32_t start_s;
	uint64_t start_ms;
};

static int
open_ledger(struct memory *m, uint32_t capacity, uint32_t half_life_s)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -EIO;
	m->bytes = ledger_bytes(capacity);
	/* Zeroed, aligned to a page, and only there once it is touched. */
	m->rows = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->rows == MAP_FAILED)
		return -ENOMEM;
	ledger_init(&m->ledger, m->rows, capacity, half_life_s, seed);
	return 0;
}

int
memory_new(struct memory **out, uint32_t capacity, uint32_t half_life_s,
	   uint64_t now_ms)
{
	struct memory *m;
	struct timespec wall;
	int rc;

	*out = NULL;
	if (capacity == 0)
		return 0;
	m = aligned_alloc(64, (sizeof(*m) + 63) / 64 * 64);
	if (m == NULL)
		return -ENOMEM;
	memset(m, 0, sizeof(*m));
	rc = open_ledger(m, capacity, half_life_s);
	if (rc != 0) {
		free(m);
		return rc;
	}
	for (size_t i = 0; i < LEDGER_SHARDS; i++)
		(void)pthread_mutex_init(&m->locks[i].mutex, NULL);
	(void)clock_gettime(CLOCK_REALTIME, &wall);
	m->start_s = (uint32_t)wall.tv_sec; /* until 2106 */
	m->start_ms = now_ms;
	*out = m;
	return 0;
}

void
memory_free(struct memory *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < LEDGER_SHARDS; i++)
		(void)pthread_mutex_destroy(&m->locks[i].mutex);
	(void)munmap(m->rows, m->bytes);
	free(m);
}

uint32_t
memory_now_s(const struct memory *m, uint64_t now_ms)
{
	const uint64_t ms = now_ms > m->start_ms ? now_ms - m->start_ms : 0;

	return m->start_s + (uint32_t)(ms / MS_PER_S);
}

struct ledger *
memory_lock(struct memory *m, uint32_t shard)
{
	(void)pthread_mutex_lock(&m->locks[shard].mutex);
	return &m->ledger;
}

void
memory_unlock(struct memory *m, uint32_t shard)
{
	(void)pthread_mutex_unlock(&m->locks[shard].mutex);
}

const struct ledger *
memory_ledger(const struct memory *m)
{
	return &m->ledger;
}

void
memory_keys(const struct memory *m, const struct history_names *names,
	    struct history_keys *keys)
{
	history_keys_make(keys, &m->ledger, names);
}

void
memory_recall(struct memory *m, const struct history_keys *keys,
	      uint64_t now_ms, struct history *h)
{
	memset(h->rows, 0, sizeof(h->rows));
	h->now_s = memory_now_s(m, now_ms);
	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		if ((keys->known & 1u << i) != 0)
			ledger_prefetch(&m->ledger, &keys->keys[i]);
	}
	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		const struct ledger_key *key = &keys->keys[i];

		if ((keys->known & 1u << i) == 0)
			continue;
		(void)ledger_find(memory_lock(m, ledger_shard(key)), key,
				  h->now_s, &h->rows[i]);
		memory_unlock(m, ledger_shard(key));
	}
}

void
memory_learn(struct memory *m, const struct history_keys *keys,
	     const struct ledger_delta *delta, uint64_t now_ms,
	     uint64_t *hashes)
{
	const uint32_t now_s = memory_now_s(m, now_ms);
	struct ledger_delta d = *delta;

	if ((keys->known & 1u << LEDGER_NETWORK) != 0)
		d.network = keys->keys[LEDGER_NETWORK].hash;
	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		const struct ledger_key *key = &keys->keys[i];
		const bool is_known = (keys->known & 1u << i) != 0;

		if (hashes != NULL)
			hashes[i] = is_known ? key->hash : 0;
		if (!is_known)
			continue;
		(void)ledger_add(memory_lock(m, ledger_shard(key)), key, &d,
				 now_s);
		memory_unlock(m, ledger_shard(key));
	}
}

void
memory_amend(struct memory *m, const uint64_t hashes[LEDGER_KINDS],
	     const struct ledger_delta *delta, uint64_t now_ms)
{
	const uint32_t now_s = memory_now_s(m, now_ms);

	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		const uint32_t shard = (uint32_t)(hashes[i] >> 60);

		if (hashes[i] == 0)
			continue;
		(void)ledger_amend(memory_lock(m, shard), hashes[i], delta,
				   now_s);
		memory_unlock(m, shard);
	}
}

void
memory_totals(struct memory *m, struct ledger_shard *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < LEDGER_SHARDS; i++) {
		const struct ledger_shard *s = &memory_lock(m, i)->shards[i];

		for (size_t k = 0; k < LEDGER_KINDS; k++)
			out->rows[k] += s->rows[k];
		out->dirty += s->dirty;
		out->replaced += s->replaced;
		out->refused += s->refused;
		memory_unlock(m, i);
	}
}

void
memory_print_size(const struct memory *m, FILE *out)
{
	if (m == NULL)
		return;
	fprintf(out, "memory of senders: %.1f MB, %.0f bytes a row\n",
		(double)m->bytes / 1e6,
		(double)m->bytes /
		    (m->ledger.sets * LEDGER_SHARDS * LEDGER_WAYS));
}
