/*
 * The ledger: what became of the mail of everybody who looks like this.
 *
 * A table of rows in the caller's memory. It never grows: a newcomer to a
 * full set of LEDGER_WAYS takes the place of the row that is worth least,
 * where delivered mail is worth most; a row with more of it than the newcomer
 * is never given up, and the newcomer is not taken. So a flood of made-up
 * signatures pushes out the like of itself. Counts decay by a half-life, row
 * by row, when a row is touched; nothing ever walks the table.
 *
 * A row is found by a 64 bit hash with a secret seed, so that nobody outside
 * can choose two texts that meet. The text stays beside the row, for people
 * and for the store; another seed is as good after the next start.
 *
 * Bytes a row: 8 of tags, 64 of counts, 96 of text, and a bit; 168.1 in all.
 * A look-up reads one line of tags and one of counts, no lock, no text.
 *
 * Locks are the caller's: all functions with a key touch what belongs to
 * ledger_shard(key), and nothing else.
 *
 * Time is in seconds of a clock that does not jump and goes on while the
 * program is not running; `now_s` earlier than a row's stamp is its stamp.
 */
#ifndef TARRY_LEDGER_H
#define TARRY_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_kind {
#define LEDGER(id, name, help) LEDGER_##id,
#include "tarry/ledger.def"
#undef LEDGER
	LEDGER_KINDS
};

enum ledger_count {
#define LEDGER_COUNT(id, name, help) LEDGER_##id,
#include "tarry/ledger_count.def"
#undef LEDGER_COUNT
	LEDGER_COUNTS
};

/* The names in the .def files. Static text. */
const char *ledger_kind_name(enum ledger_kind kind);
const char *ledger_count_name(enum ledger_count count);

#define LEDGER_WAYS 8
#define LEDGER_SHARDS 16
/* Longest text of a row, without a NUL. */
#define LEDGER_TEXT_CAP 94
#define LEDGER_ROWS_MAX 16777216u

/* So many messages in so many sessions prove a sender, for so long. */
#define LEDGER_PROOF_MESSAGES 3
#define LEDGER_PROOF_SESSIONS 2
#define LEDGER_PROOF_S (36u * 86400)

/* One row, as it lies in the table and as a value: 64 bytes. */
struct ledger_row {
	float counts[LEDGER_COUNTS];
	uint32_t stamp_s;	/* what the counts have decayed to */
	uint32_t proof_s;	/* the last delivery; 0: none */
	uint8_t proof_messages; /* delivered; 255: or more */
	uint8_t proof_sessions; /* with a delivery; 255: or more */
	uint16_t reserved;
	uint64_t sketch[2]; /* networks: of this half-life, the one before */
};

/* What names a row; a value of 112 bytes, made by ledger_key(). */
struct ledger_key {
	uint64_t hash;
	uint8_t kind;
	uint8_t len;
	char text[LEDGER_TEXT_CAP];
};

/* What one session, or what is heard later of one, adds to a row. Counts may
 * be below 0, to take back what was said before; no row goes below 0. */
struct ledger_delta {
	float counts[LEDGER_COUNTS];
	int8_t proof_messages;
	int8_t proof_sessions;
	uint64_t network; /* any hash of the client's network; 0: unknown */
};

/* A row with its name, for the store and for people. */
struct ledger_entry {
	uint32_t slot; /* its place: 0.. rows - 1; the next there replaces it */
	uint8_t kind;
	uint8_t len;
	char text[LEDGER_TEXT_CAP + 1]; /* and a NUL */
	struct ledger_row row;		/* not decayed: see its stamp */
};

/* All only grow, but rows and dirty. */
struct ledger_shard {
	uint32_t rows[LEDGER_KINDS];
	uint32_t dirty;
	uint64_t replaced; /* rows that gave way to a newcomer */
	uint64_t refused;  /* newcomers that were worth less than all */
};

/* The fields are the ledger's. */
struct ledger {
	uint64_t *tags; /* by slot; 0: empty */
	struct ledger_row *rows;
	struct ledger_text *texts;
	uint8_t *dirty; /* by set, a bit a way */
	uint64_t seed;
	uint32_t sets; /* of one shard */
	uint32_t half_life_s;
	struct ledger_shard shards[LEDGER_SHARDS];
};

/* So many rows are there really, if so many are asked for: whole sets. */
uint32_t ledger_rows(uint32_t capacity);

/* Bytes for that many. */
size_t ledger_bytes(uint32_t capacity);

/*
 * An empty ledger in memory[0..ledger_bytes(capacity)), which is zeroed,
 * aligned to 64 bytes, and outlives it. half_life_s > 0; seed: secret.
 */
void ledger_init(struct ledger *l, void *memory, uint32_t capacity,
		 uint32_t half_life_s, uint64_t seed);

/*
 * The key of text[0..len). A text longer than LEDGER_TEXT_CAP is known by its
 * beginning, `~` and a hash of the whole; key.text is what it is known by,
 * and has that same key. Reads the seed alone.
 */
struct ledger_key ledger_key(const struct ledger *l, enum ledger_kind kind,
			     const char *text, size_t len);

/* 0..LEDGER_SHARDS - 1. */
static inline uint32_t
ledger_shard(const struct ledger_key *key)
{
	return (uint32_t)(key->hash >> 60);
}

/* Asks the memory for what ledger_find() will read first. */
void ledger_prefetch(const struct ledger *l, const struct ledger_key *key);

/*
 * Copies the row, decayed to now_s, into *out. False if there is none; *out
 * is then zeroed.
 */
bool ledger_find(const struct ledger *l, const struct ledger_key *key,
		 uint32_t now_s, struct ledger_row *out);

/*
 * Adds to the row, which is made if there is none. False if it could not be,
 * for all rows of its set have more delivered mail.
 */
bool ledger_add(struct ledger *l, const struct ledger_key *key,
		const struct ledger_delta *delta, uint32_t now_s);

/*
 * Adds to a row that is there, by the hash of its key alone: for what is heard
 * of a session when its names are forgotten. False if the row is gone. The
 * shard is that of the hash: its highest four bits.
 */
bool ledger_amend(struct ledger *l, uint64_t hash,
		  const struct ledger_delta *delta, uint32_t now_s);

/*
 * Puts a row that was kept somewhere, in the place of what there is; not
 * dirty. The row may come from anywhere: what is no number, or below 0, or of
 * the future, is put right. False as for ledger_add().
 */
bool ledger_put(struct ledger *l, const struct ledger_key *key,
		const struct ledger_row *row, uint32_t now_s);

/* What ledger_dirty_next() found. */
enum ledger_scan {
	LEDGER_SCAN_DONE, /* no more rows; the next round begins at 0 */
	LEDGER_SCAN_ROW,  /* *out is one */
	LEDGER_SCAN_PAUSE /* none in LEDGER_SCAN_SETS sets: call again */
};
#define LEDGER_SCAN_SETS 4096u

/*
 * The next row of a shard that was changed since it was last given out here,
 * from set *cursor on (0 at first), which is moved; the row is clean then.
 * No call takes long.
 */
enum ledger_scan ledger_dirty_next(struct ledger *l, uint32_t shard,
				   uint32_t *cursor, struct ledger_entry *out);

/* The slot of a key's row; LEDGER_NO_SLOT if there is none. */
#define LEDGER_NO_SLOT UINT32_MAX
uint32_t ledger_slot(const struct ledger *l, const struct ledger_key *key);

/* The row at a slot, if there is one, counts as changed. */
void ledger_touch(struct ledger *l, uint32_t slot);

/* The row at a slot as it stands. False if it is empty. For dumps. */
bool ledger_at(const struct ledger *l, uint32_t slot, struct ledger_entry *out);

/* The shard of a slot. */
uint32_t ledger_slot_shard(const struct ledger *l, uint32_t slot);

/* Distinct networks that the row came from, roughly: 15 % off up to a
 * hundred, and no more than 300. */
uint32_t ledger_networks(const struct ledger_row *row);

/*
 * True if the row's sender has proved itself, and less than a twentieth of
 * what came of it was bad.
 */
bool ledger_is_proven(const struct ledger_row *row, uint32_t now_s);

/* What is left after age_s: 2 to the power of -age_s / half_life_s. */
double ledger_decay(uint32_t age_s, uint32_t half_life_s);

#endif
