/*
 * The state file: what is remembered in a database of SQLite, made for people
 * to ask too. The table `senders` has the rows of the ledger, `notes` what
 * else is kept: lists of numbers (JSON), each in a place of its own.
 *
 * Nothing but a copy: what counts is in memory. Each slot of the ledger has a
 * row of the file to itself, so the file is never larger than the ledger was.
 * The write-ahead log makes each transaction whole or nothing, whatever ends
 * the process; a power cut may take the last ones, never a part of one.
 *
 * A file that is damaged is set aside as PATH.damaged-TIME, with its log, and
 * another is begun. One that is not Tarry's, of a later Tarry, in use by
 * another, or that is no plain file is left alone: the open fails.
 *
 * All of it blocks, on the disk. Not thread-safe: one thread at a time.
 */
#ifndef PROXY_MEMORY_STATE_FILE_H
#define PROXY_MEMORY_STATE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "tarry/ledger.h"

#define STATE_FILE_MUST_CHECK __attribute__((warn_unused_result))

/* PRAGMA user_version. Whoever changes the table raises it, and adds a step
 * that makes the new table of the old one to migrations[]. */
#define STATE_FILE_VERSION 2
#define STATE_FILE_PATH_MAX 1000
#define STATE_FILE_WHY_CAP 1400 /* a path, and what is wrong */

/* Looking a file through, and reading it, take so long at most; a million
 * rows take a tenth. What is read until then is used. */
#define STATE_FILE_CHECK_MS 15000
#define STATE_FILE_LOAD_MS 30000

struct state_file;

/* What became of the rows of a file. */
struct state_file_loaded {
	uint64_t rows;	  /* read and taken */
	uint64_t removed; /* had no room, or were there twice */
	uint64_t odd;	  /* not understood, and left as they are */
	uint64_t took_ms;
};

/*
 * Opens or makes `path` for a ledger of `slots` rows. Says in the log what is
 * worth saying. Returns 0, *out being the caller's, or a negative errno with
 * what is wrong in why[].
 */
STATE_FILE_MUST_CHECK int state_file_open(struct state_file **out,
					  const char *path, uint32_t slots,
					  char why[STATE_FILE_WHY_CAP]);

/* Takes a row (its slot means nothing) and returns the slot that it has now,
 * or LEDGER_NO_SLOT to have it removed. */
typedef uint32_t state_file_take_fn(void *ctx,
				    const struct ledger_entry *entry);

/*
 * Gives all rows to take(ctx). Once, before anything is put. Says in the log
 * how far it has come, if it takes long. 0, or -EBADMSG: the file is damaged,
 * some rows were given; call state_file_replace().
 */
STATE_FILE_MUST_CHECK int state_file_load(struct state_file *f,
					  state_file_take_fn *take, void *ctx,
					  struct state_file_loaded *loaded);

/* Sets the file aside and begins another: as state_file_open(). */
STATE_FILE_MUST_CHECK int state_file_replace(struct state_file *f,
					     char why[STATE_FILE_WHY_CAP]);

/*
 * A transaction: begin, put any number, commit. 0 or a negative errno with
 * why in state_file_why(); then nothing of it was written, and it is over.
 */
STATE_FILE_MUST_CHECK int state_file_begin(struct state_file *f);
STATE_FILE_MUST_CHECK int state_file_put(struct state_file *f,
					 const struct ledger_entry *entry);
STATE_FILE_MUST_CHECK int state_file_commit(struct state_file *f);

/* A list of numbers. Whoever puts to the same place overwrites. */
struct state_note {
	const char *kind; /* of a few; one writer's alone */
	int64_t at;	  /* Unix time, or 0 */
	uint32_t slot;
	const char *name; /* for people, and to find it again */
	const uint32_t *numbers;
	size_t count; /* of numbers; STATE_NOTE_NUMBERS at most */
};

#define STATE_NOTE_NUMBERS 4096

/* In a transaction, as state_file_put(). */
STATE_FILE_MUST_CHECK int state_file_put_note(struct state_file *f,
					      const struct state_note *note);

/* In a transaction: those of this kind that are older. */
STATE_FILE_MUST_CHECK int
state_file_drop_notes(struct state_file *f, const char *kind, int64_t before);

/* *note is valid during the call. */
typedef void state_file_note_fn(void *ctx, const struct state_note *note);

/* Gives all notes of that kind, oldest first; those that are no lists of
 * numbers are passed over. As state_file_load(). */
STATE_FILE_MUST_CHECK int state_file_load_notes(struct state_file *f,
						const char *kind,
						state_file_note_fn *take,
						void *ctx);

/* What was wrong last. Valid until the next call. */
const char *state_file_why(const struct state_file *f);

/* NULL is fine. */
void state_file_close(struct state_file *f);

#endif
