/*
 * The inside of a state file, shared by state_file*.c alone.
 */
#ifndef PROXY_MEMORY_STATE_FILE_PARTS_H
#define PROXY_MEMORY_STATE_FILE_PARTS_H

#include <sqlite3.h>

#include "proxy/memory/state_file.h"

struct state_file {
	char path[STATE_FILE_PATH_MAX + 1];
	int fd; /* holds the lock; closed after the database, never before */
	sqlite3 *db;
	sqlite3_stmt *put;
	sqlite3_stmt *put_note;
	uint32_t *places; /* by slot; 0: none yet */
	uint32_t slots;
	uint32_t next;	 /* the next place */
	uint32_t *spare; /* places to be removed */
	size_t spare_count;
	size_t spare_cap;
	uint64_t deadline_ms; /* of what runs; 0: none */
	char why[STATE_FILE_WHY_CAP];
};

/* What is asked for of each row, and put. */
enum column {
	COLUMN_ID,
	COLUMN_KIND,
	COLUMN_NAME,
	COLUMN_COUNTS,
	COLUMN_SEEN = COLUMN_COUNTS + LEDGER_COUNTS,
	COLUMN_DELIVERED_AT,
	COLUMN_PROOF_MESSAGES,
	COLUMN_PROOF_SESSIONS,
	COLUMN_NETWORKS
};

/* SELECT of all of them. */
extern const char state_file_rows[];

/* INSERT of a note. */
extern const char state_file_put_note_sql[];

/* Breaks the transaction off. */
void state_file_roll_back(struct state_file *f);

/* A negative errno for what SQLite said last, which goes to why[]. */
int state_file_fail(struct state_file *f, int rc);

/* Runs statements that give nothing. 0 or a negative errno. */
int state_file_run(struct state_file *f, const char *sql);

uint64_t state_file_clock_ms(void);

#endif
