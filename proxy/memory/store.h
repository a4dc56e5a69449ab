/*
 * The store: what is remembered outlives the process.
 *
 * Memory is the truth; each interval the rows that changed since are written
 * to the state file, in one transaction, by a thread of the pool. That thread
 * takes few rows at a time under the lock of their shard, so that neither a
 * worker nor the main thread ever waits for more than a copy of those. What
 * could not be written counts as changed again, and goes with the next
 * interval.
 *
 * A process that is killed loses what it learned since the last interval, and
 * nothing else. Without the file mail flows all the same, and all is
 * remembered until the end: why is in the log and in the status.
 *
 * The main thread's, all of it.
 */
#ifndef PROXY_MEMORY_STORE_H
#define PROXY_MEMORY_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/memory/memory.h"
#include "proxy/memory/state_file.h"

struct store;

/* How it is. */
struct store_status {
	bool is_kept;	    /* there is a file */
	const char *why;    /* what was wrong last; "": nothing is. Until the
			       next call of anything */
	uint64_t loaded;    /* rows, at the start */
	uint64_t written;   /* rows */
	uint64_t flushes;   /* that worked */
	uint64_t failures;  /* that did not */
	uint64_t took_us;   /* the last that worked */
	uint64_t ok_unix_s; /* and when it was; 0: none yet */
};

/*
 * Opens the file at `path` for a memory of `slots` rows, which outlives the
 * store, and fills the memory from it; blocks for so long, three quarters of a
 * minute at
 * worst. No other thread uses the memory yet. *out is the caller's
 * (store_close()), whether there is a file or not. Returns 0 or -ENOMEM.
 */
__attribute__((warn_unused_result)) int
store_open(struct store **out, uv_loop_t *loop, struct memory *memory,
	   const char *path, uint32_t slots);

/* What else is kept, in notes of the file. */
struct store_keeper {
	const char *const *kinds; /* of notes; the last is NULL */
	void *ctx;
	/* One that was there at the start. */
	state_file_note_fn *take;
	/* Puts what has changed; by a thread of the pool, in the transaction
	 * of a flush. 0, or what state_file_put_note() said. */
	int (*put)(void *ctx, struct state_file *f);
	/* Nothing of that was written: all has changed. Any thread. */
	void (*put_again)(void *ctx);
};

#define STORE_KEEPERS 3

/* Gives it all its notes; from now on it is asked at each flush. Before the
 * first tick; ctx outlives the store. `s` may be NULL: nothing happens. */
void store_keep(struct store *s, const struct store_keeper *keeper);

/* Begins to write if it is time. Call some times a second; never blocks. */
void store_tick(struct store *s, uint64_t now_ms, uint32_t interval_ms);

void store_status(const struct store *s, struct store_status *out);

/*
 * Writes what is left and frees all; blocks for that. The loop has ended, and
 * nobody else uses the memory any more. NULL is fine.
 */
void store_close(struct store *s);

#endif
