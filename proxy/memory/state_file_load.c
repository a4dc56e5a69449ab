/*
 * See state_file.h: the rows as they are read. Nothing of them is believed:
 * a row that is not as we write them is passed over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/daemon/log.h"
#include "proxy/memory/state_file_parts.h"

#define SAY_MS 2000

const char state_file_rows[] = "SELECT id, kind, name"
#define LEDGER_COUNT(id, name, help) ", " name
#include "tarry/ledger_count.def"
#undef LEDGER_COUNT
			       ", seen, delivered_at, proof_messages, "
			       "proof_sessions, networks, networks_before "
			       "FROM senders";

uint64_t
state_file_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int
state_file_fail(struct state_file *f, int rc)
{
	(void)snprintf(f->why, sizeof(f->why), "%s: %s", f->path,
		       f->db != NULL ? sqlite3_errmsg(f->db)
				     : sqlite3_errstr(rc));
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_INTERRUPT:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

int
state_file_run(struct state_file *f, const char *sql)
{
	int rc = sqlite3_exec(f->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : state_file_fail(f, rc);
}

/* A whole number of a column, or false. */
static bool
read_whole(sqlite3_stmt *s, int column, int64_t max, int64_t *out)
{
	*out = sqlite3_column_int64(s, column);
	return sqlite3_column_type(s, column) == SQLITE_INTEGER && *out >= 0 &&
	       *out <= max;
}

static bool
read_counts(sqlite3_stmt *s, struct ledger_row *row)
{
	for (int i = 0; i < LEDGER_COUNTS; i++) {
		int type = sqlite3_column_type(s, COLUMN_COUNTS + i);
		double value = sqlite3_column_double(s, COLUMN_COUNTS + i);

		if ((type != SQLITE_FLOAT && type != SQLITE_INTEGER) ||
		    !(value >= 0 && value < 1e9))
			return false;
		row->counts[i] = (float)value;
	}
	return true;
}

static bool
read_name(sqlite3_stmt *s, struct ledger_entry *e)
{
	const unsigned char *kind = sqlite3_column_text(s, COLUMN_KIND);
	const void *text = sqlite3_column_blob(s, COLUMN_NAME);
	int len = sqlite3_column_bytes(s, COLUMN_NAME);

	e->kind = 0;
	while (e->kind < LEDGER_KINDS && kind != NULL &&
	       strcmp(ledger_kind_name((enum ledger_kind)e->kind),
		      (const char *)kind) != 0)
		e->kind++;
	if (kind == NULL || e->kind == LEDGER_KINDS || len > LEDGER_TEXT_CAP ||
	    sqlite3_column_type(s, COLUMN_NAME) != SQLITE_TEXT)
		return false;
	e->len = (uint8_t)len;
	if (len > 0)
		memcpy(e->text, text, (size_t)len);
	e->text[len] = '\0';
	return true;
}

/* False for a row that is none of ours: of a later version, or written by
 * someone else. */
static bool
read_row(sqlite3_stmt *s, struct ledger_entry *e, uint32_t *place)
{
	int64_t numbers[5];

	memset(e, 0, sizeof(*e));
	if (!read_whole(s, COLUMN_ID, 4000000000, &numbers[0]) ||
	    !read_whole(s, COLUMN_SEEN, UINT32_MAX, &numbers[1]) ||
	    !read_whole(s, COLUMN_DELIVERED_AT, UINT32_MAX, &numbers[2]) ||
	    !read_whole(s, COLUMN_PROOF_MESSAGES, UINT8_MAX, &numbers[3]) ||
	    !read_whole(s, COLUMN_PROOF_SESSIONS, UINT8_MAX, &numbers[4]) ||
	    !read_counts(s, &e->row) || !read_name(s, e) || numbers[0] == 0)
		return false;
	*place = (uint32_t)numbers[0];
	e->row.stamp_s = (uint32_t)numbers[1];
	e->row.proof_s = (uint32_t)numbers[2];
	e->row.proof_messages = (uint8_t)numbers[3];
	e->row.proof_sessions = (uint8_t)numbers[4];
	for (int i = 0; i < 2; i++)
		e->row.sketch[i] =
		    (uint64_t)sqlite3_column_int64(s, COLUMN_NETWORKS + i);
	return true;
}

/* Remembers that the row has to go. Without memory it stays: harmless. */
static void
spare(struct state_file *f, uint32_t place)
{
	size_t cap = f->spare_cap != 0 ? f->spare_cap * 2 : 1024;
	uint32_t *more = f->spare;

	if (f->spare_count == f->spare_cap) {
		more = realloc(f->spare, cap * sizeof(*more));
		if (more == NULL)
			return;
		f->spare = more;
		f->spare_cap = cap;
	}
	f->spare[f->spare_count++] = place;
}

static void
take_row(struct state_file *f, uint32_t place, uint32_t slot,
	 struct state_file_loaded *loaded)
{
	if (slot >= f->slots) {
		spare(f, place);
		return;
	}
	/* Who stood there gave way. */
	if (f->places[slot] != 0) {
		spare(f, f->places[slot]);
		loaded->rows--;
	}
	f->places[slot] = place;
	loaded->rows++;
}

static int
remove_spare(struct state_file *f)
{
	sqlite3_stmt *s = NULL;
	int rc;

	if (f->spare_count == 0)
		return 0;
	rc = sqlite3_prepare_v2(f->db, "DELETE FROM senders WHERE id = ?", -1,
				&s, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(f->db, "BEGIN", NULL, NULL, NULL);
	for (size_t i = 0; i < f->spare_count && rc == SQLITE_OK; i++) {
		sqlite3_bind_int64(s, 1, f->spare[i]);
		rc = sqlite3_step(s) == SQLITE_DONE ? SQLITE_OK : SQLITE_IOERR;
		sqlite3_reset(s);
	}
	rc = rc == SQLITE_OK ? 0 : state_file_fail(f, rc);
	sqlite3_finalize(s);
	if (rc == 0)
		rc = state_file_run(f, "COMMIT");
	if (!sqlite3_get_autocommit(f->db))
		(void)sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

static int
read_all(struct state_file *f, state_file_take_fn *take, void *ctx,
	 struct state_file_loaded *loaded)
{
	struct ledger_entry e;
	sqlite3_stmt *s = NULL;
	uint64_t say_ms = state_file_clock_ms() + SAY_MS;
	uint32_t place;
	int rc = sqlite3_prepare_v2(f->db, state_file_rows, -1, &s, NULL);

	for (uint64_t n = 1; rc == SQLITE_OK || rc == SQLITE_ROW; n++) {
		rc = sqlite3_step(s);
		if (rc != SQLITE_ROW)
			break;
		if (read_row(s, &e, &place))
			take_row(f, place, take(ctx, &e), loaded);
		else
			loaded->odd++;
		if (n % 4096 == 0 && state_file_clock_ms() >= say_ms) {
			log_say(LOG_LEVEL_INFO, "%s: %llu rows read so far",
				f->path, (unsigned long long)n);
			say_ms += SAY_MS;
		}
	}
	rc = rc == SQLITE_DONE ? 0 : state_file_fail(f, rc);
	sqlite3_finalize(s);
	return rc;
}

int
state_file_load(struct state_file *f, state_file_take_fn *take, void *ctx,
		struct state_file_loaded *loaded)
{
	uint64_t start_ms = state_file_clock_ms();
	int rc;

	*loaded = (struct state_file_loaded){0};
	f->deadline_ms = start_ms + STATE_FILE_LOAD_MS;
	rc = read_all(f, take, ctx, loaded);
	f->deadline_ms = 0;
	if (rc == -EBADMSG)
		return rc;
	if (rc != 0)
		log_say(LOG_LEVEL_WARNING,
			"%s; only %llu rows were read in %d s", f->why,
			(unsigned long long)loaded->rows,
			STATE_FILE_LOAD_MS / 1000);
	loaded->removed = f->spare_count;
	if (remove_spare(f) != 0)
		log_say(LOG_LEVEL_WARNING, "%s: rows to be removed stay",
			f->why);
	f->spare_count = 0;
	loaded->took_ms = state_file_clock_ms() - start_ms;
	return 0;
}
