/*
 * See store.h. One request of the thread pool at a time; while it runs the
 * file and the burst are its own, and what it has to tell lies in `done`
 * until the loop takes it.
 *
 * A row that was given out counts as unchanged, so the store notes which
 * slots a transaction has taken, a bit each, to give them back if it fails.
 */
#include "proxy/memory/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/daemon/log.h"

/* Rows taken under one lock: 15 us. */
#define BURST 32u
#define SAY_MS 60000u

struct done {
	int rc;
	uint64_t rows;
	uint64_t took_us;
};

struct store {
	uv_loop_t *loop;
	uv_work_t work;
	bool is_working;
	struct memory *memory;
	struct state_file *file; /* NULL: nothing is kept */
	uint32_t slots;
	uint64_t due_ms; /* of the next flush; 0: not yet told */
	uint64_t say_ms; /* not before this it is said that it fails */
	bool has_failed; /* the last flush */
	struct done done;
	struct store_keeper keepers[STORE_KEEPERS];
	size_t keepers_count;
	uint8_t *taken; /* by the transaction that runs, a bit a slot */
	struct ledger_entry burst[BURST];
	struct store_status status;
	char why[STATE_FILE_WHY_CAP];
};

static bool
is_taken(const struct store *s, uint32_t slot)
{
	return (s->taken[slot / 8] & 1u << slot % 8) != 0;
}

/*
 * Takes some rows of a shard. *cursor moves behind a row that was taken
 * before: one that changes all the time would never let us go on.
 */
static enum ledger_scan
take_burst(struct store *s, uint32_t shard, uint32_t *cursor, size_t *count)
{
	struct ledger *l = memory_lock(s->memory, shard);
	enum ledger_scan scan = LEDGER_SCAN_ROW;

	*count = 0;
	while (*count < BURST && scan == LEDGER_SCAN_ROW) {
		struct ledger_entry *e = &s->burst[*count];

		scan = ledger_dirty_next(l, shard, cursor, e);
		if (scan != LEDGER_SCAN_ROW)
			break;
		if (is_taken(s, e->slot)) {
			ledger_touch(l, e->slot);
			++*cursor;
			continue;
		}
		s->taken[e->slot / 8] |= (uint8_t)(1u << e->slot % 8);
		++*count;
	}
	memory_unlock(s->memory, shard);
	return scan;
}

static int
put_shard(struct store *s, uint32_t shard)
{
	enum ledger_scan scan;
	uint32_t cursor = 0;
	size_t count;
	int rc = 0;

	do {
		scan = take_burst(s, shard, &cursor, &count);
		for (size_t i = 0; i < count && rc == 0; i++)
			rc = state_file_put(s->file, &s->burst[i]);
		s->done.rows += count;
	} while (rc == 0 && scan != LEDGER_SCAN_DONE);
	return rc;
}

/* All that was taken has changed, as before. */
static void
give_back(struct store *s)
{
	for (size_t i = 0; i < s->keepers_count; i++)
		s->keepers[i].put_again(s->keepers[i].ctx);
	for (uint32_t slot = 0; slot < s->slots; slot++) {
		uint32_t shard;

		if (!is_taken(s, slot))
			continue;
		shard = ledger_slot_shard(memory_ledger(s->memory), slot);
		ledger_touch(memory_lock(s->memory, shard), slot);
		memory_unlock(s->memory, shard);
	}
}

static void
flush(struct store *s)
{
	uint64_t start_ns = uv_hrtime();
	int rc;

	s->done = (struct done){0};
	memset(s->taken, 0, s->slots / 8 + 1);
	rc = state_file_begin(s->file);
	for (uint32_t i = 0; i < LEDGER_SHARDS && rc == 0; i++)
		rc = put_shard(s, i);
	for (size_t i = 0; i < s->keepers_count && rc == 0; i++)
		rc = s->keepers[i].put(s->keepers[i].ctx, s->file);
	if (rc == 0)
		rc = state_file_commit(s->file);
	if (rc != 0)
		give_back(s);
	s->done.rc = rc;
	s->done.took_us = (uv_hrtime() - start_ns) / 1000;
}

static uint64_t
unix_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

static void
note_done(struct store *s)
{
	uint64_t now_ms = uv_hrtime() / 1000000;

	if (s->done.rc == 0) {
		s->status.flushes++;
		s->status.written += s->done.rows;
		s->status.took_us = s->done.took_us;
		s->status.ok_unix_s = unix_s();
		if (s->has_failed)
			log_say(LOG_LEVEL_INFO,
				"what is learned is written again");
		s->has_failed = false;
		s->why[0] = '\0';
		return;
	}
	s->status.failures++;
	s->has_failed = true;
	(void)snprintf(s->why, sizeof(s->why), "%s", state_file_why(s->file));
	if (now_ms < s->say_ms)
		return;
	log_say(LOG_LEVEL_WARNING,
		"%s; what was learned is in memory alone, until it can be "
		"written; mail flows",
		s->why);
	s->say_ms = now_ms + SAY_MS;
}

static void
on_work(uv_work_t *work)
{
	flush(work->data);
}

static void
on_work_done(uv_work_t *work, int status)
{
	struct store *s = work->data;

	(void)status;
	s->is_working = false;
	note_done(s);
}

void
store_tick(struct store *s, uint64_t now_ms, uint32_t interval_ms)
{
	if (s == NULL || s->file == NULL || s->is_working)
		return;
	if (s->due_ms == 0)
		s->due_ms = now_ms + interval_ms;
	if (now_ms < s->due_ms && s->due_ms <= now_ms + interval_ms)
		return;
	s->due_ms = now_ms + interval_ms;
	s->work.data = s;
	s->is_working =
	    uv_queue_work(s->loop, &s->work, on_work, on_work_done) == 0;
}

/* A row of the file. */
static uint32_t
take_row(void *ctx, const struct ledger_entry *e)
{
	struct store *s = ctx;
	struct ledger_key key =
	    ledger_key(memory_ledger(s->memory), (enum ledger_kind)e->kind,
		       e->text, e->len);
	uint32_t shard = ledger_shard(&key);
	struct ledger *l = memory_lock(s->memory, shard);
	uint32_t slot = LEDGER_NO_SLOT;

	/* Twice in the file: some hand's work. The first one stays. */
	if (ledger_slot(l, &key) == LEDGER_NO_SLOT &&
	    ledger_put(l, &key, &e->row,
		       memory_now_s(s->memory, uv_now(s->loop))))
		slot = ledger_slot(l, &key);
	memory_unlock(s->memory, shard);
	return slot;
}

/* What was read before the damage is to be in the new file. */
static int
begin_anew(struct store *s)
{
	int rc = state_file_replace(s->file, s->why);

	memset(s->taken, 0xff, s->slots / 8 + 1);
	give_back(s);
	return rc;
}

static int
load(struct store *s, const char *path)
{
	struct state_file_loaded loaded;
	int rc = state_file_load(s->file, take_row, s, &loaded);

	if (rc == 0)
		log_say(LOG_LEVEL_INFO,
			"state %s: %llu rows in %llu ms, %llu without room "
			"removed, %llu not understood",
			path, (unsigned long long)loaded.rows,
			(unsigned long long)loaded.took_ms,
			(unsigned long long)loaded.removed,
			(unsigned long long)loaded.odd);
	else
		rc = begin_anew(s);
	s->status.loaded = loaded.rows;
	return rc;
}

int
store_open(struct store **out, uv_loop_t *loop, struct memory *memory,
	   const char *path, uint32_t slots)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc;

	*out = s;
	if (s == NULL)
		return -ENOMEM;
	s->loop = loop;
	s->memory = memory;
	s->slots = slots;
	s->taken = calloc(slots / 8 + 1, 1);
	if (s->taken == NULL)
		return -ENOMEM;
	rc = state_file_open(&s->file, path, slots, s->why);
	if (rc == 0)
		rc = load(s, path);
	if (rc == 0) {
		s->why[0] = '\0';
		return 0;
	}
	log_say(LOG_LEVEL_ERROR,
		"%s; what is learned is lost with the end of this process; "
		"mail flows; put it right and start again",
		s->why);
	state_file_close(s->file);
	s->file = NULL;
	return 0;
}

/* 0, -EBADMSG, or another: some notes are not there. */
static int
load_notes(struct store *s, const struct store_keeper *k)
{
	int rc = 0;

	for (size_t i = 0; k->kinds[i] != NULL && rc == 0; i++)
		rc = state_file_load_notes(s->file, k->kinds[i], k->take,
					   k->ctx);
	return rc;
}

void
store_keep(struct store *s, const struct store_keeper *keeper)
{
	int rc;

	if (s == NULL || s->file == NULL || s->keepers_count == STORE_KEEPERS)
		return;
	s->keepers[s->keepers_count++] = *keeper;
	rc = load_notes(s, keeper);
	if (rc == 0)
		return;
	log_say(LOG_LEVEL_WARNING, "%s; not all notes were read",
		state_file_why(s->file));
	if (rc != -EBADMSG || begin_anew(s) == 0)
		return;
	log_say(LOG_LEVEL_ERROR,
		"%s; what is learned is lost with the end of this process; "
		"mail flows; put it right and start again",
		s->why);
	state_file_close(s->file);
	s->file = NULL;
}

void
store_status(const struct store *s, struct store_status *out)
{
	*out = s->status;
	out->is_kept = s->file != NULL;
	out->why = s->why;
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	if (s->file != NULL) {
		flush(s);
		note_done(s);
	}
	state_file_close(s->file);
	free(s->taken);
	free(s);
}
