/*
 * What the process remembers: one ledger for all threads.
 *
 * Sixteen locks, one a shard of the ledger, each held while one row is copied
 * or added to, and never across anything that can wait. So a worker asks and
 * tells from its own thread, in a microsecond or two, and nobody has to be
 * told of it by message.
 *
 * Times given are those of the loops (CLOCK_MONOTONIC, ms); rows are dated by
 * the wall clock as it stood at the start and that time on from there, so
 * that a clock that is set makes nobody forget.
 */
#ifndef PROXY_MEMORY_MEMORY_H
#define PROXY_MEMORY_MEMORY_H

#include <stdio.h>

#include "tarry/reputation.h"

struct memory;

/*
 * Room for `capacity` rows (0: NULL, and nothing is remembered), which decay
 * by half_life_s; now_ms is the loop's time. Returns 0 or a negative errno;
 * *out is the caller's.
 */
__attribute__((warn_unused_result)) int memory_new(struct memory **out,
						   uint32_t capacity,
						   uint32_t half_life_s,
						   uint64_t now_ms);
void memory_free(struct memory *m);

/* `now_ms` as the date of rows. */
uint32_t memory_now_s(const struct memory *m, uint64_t now_ms);

/* The rows of these names. To write the names costs more than to look. */
void memory_keys(const struct memory *m, const struct history_names *names,
		 struct history_keys *keys);

/* Fills h->rows and h->now_s with what is known under these names. */
void memory_recall(struct memory *m, const struct history_keys *keys,
		   uint64_t now_ms, struct history *h);

/*
 * Adds to each of these rows. Unless `hashes` is NULL, it
 * gets the hashes of those rows, for memory_amend(): LEDGER_KINDS of them, 0
 * where there is none.
 */
void memory_learn(struct memory *m, const struct history_keys *keys,
		  const struct ledger_delta *delta, uint64_t now_ms,
		  uint64_t *hashes);

/* Adds to the rows of a session that was learnt before. */
void memory_amend(struct memory *m, const uint64_t hashes[LEDGER_KINDS],
		  const struct ledger_delta *delta, uint64_t now_ms);

/*
 * For the store: the ledger of one shard is the caller's from lock to unlock,
 * which must be soon. memory_ledger() is for what needs no lock.
 */
struct ledger *memory_lock(struct memory *m, uint32_t shard);
void memory_unlock(struct memory *m, uint32_t shard);
const struct ledger *memory_ledger(const struct memory *m);

/* The sum over all shards. */
void memory_totals(struct memory *m, struct ledger_shard *out);

/* A line of what it takes; `m` may be NULL. */
void memory_print_size(const struct memory *m, FILE *out);

#endif
