/*
 * See state_file.h. Which row of the file a slot has is told by places[], for
 * slots change with the seed of each start. A place is taken once and kept: a
 * newcomer to a slot overwrites the row of the one that gave way.
 *
 * Rejected: the name as the key. Then who gave way would have to be deleted
 * by name, and a flood of made-up names would make the file grow.
 */
#include "proxy/memory/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/daemon/log.h"
#include "proxy/memory/state_file_parts.h"

#define MODE 0640
#define APPLICATION_ID 1415672441 /* "Tary" */
#define BUSY_MS 2000
/* The log of the database is made this short again. */
#define WAL_BYTES "67108864"
/* Of the virtual machine, between two looks at the clock. */
#define STEPS 20000

_Static_assert(LEDGER_COUNTS == 9 && LEDGER_KINDS == 11,
	       "another table: raise STATE_FILE_VERSION (not for a kind)");

static const char make_table[] =
    "CREATE TABLE senders(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, "
    "name TEXT NOT NULL"
#define LEDGER_COUNT(id, name, help) ", " name " REAL NOT NULL"
#include "tarry/ledger_count.def"
#undef LEDGER_COUNT
    ", seen INTEGER NOT NULL, delivered_at INTEGER NOT NULL"
    ", proof_messages INTEGER NOT NULL, proof_sessions INTEGER NOT NULL"
    ", networks INTEGER NOT NULL, networks_before INTEGER NOT NULL) STRICT;";

#define MAKE_NOTES                                                             \
	"CREATE TABLE notes(kind TEXT NOT NULL, at INTEGER NOT NULL, "         \
	"slot INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, "     \
	"PRIMARY KEY(kind, at, slot)) STRICT, WITHOUT ROWID;"

static const char put_row[] = "INSERT OR REPLACE INTO senders VALUES(?, ?, ?"
#define LEDGER_COUNT(id, name, help) ", ?"
#include "tarry/ledger_count.def"
#undef LEDGER_COUNT
			      ", ?, ?, ?, ?, ?, ?)";

/* migrations[v]: SQL that makes version v + 2 of version v + 1. */
static const char *const migrations[] = {MAKE_NOTES, NULL};

_Static_assert(sizeof(migrations) / sizeof(migrations[0]) == STATE_FILE_VERSION,
	       "a step from each version to the next, and the end");

static int
on_steps(void *arg)
{
	const struct state_file *f = arg;

	return f->deadline_ms != 0 && state_file_clock_ms() > f->deadline_ms;
}

/* The number that a statement gives. 0 or a negative errno. */
static int
ask_number(struct state_file *f, const char *sql, int64_t *out)
{
	sqlite3_stmt *ask = NULL;
	int rc = sqlite3_prepare_v2(f->db, sql, -1, &ask, NULL);

	*out = 0;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(ask);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(ask, 0);
	rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : state_file_fail(f, rc);
	sqlite3_finalize(ask);
	return rc;
}

static int
refuse(struct state_file *f, int error, const char *what)
{
	(void)snprintf(f->why, sizeof(f->why), "%s: %s", f->path, what);
	return error;
}

/* Opens and locks the file itself: a plain one, nobody else's. */
static int
open_plain(struct state_file *f)
{
	struct stat st;

	/* Does not wait for the other end of a pipe. */
	f->fd =
	    open(f->path,
		 O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, MODE);
	if (f->fd < 0 && errno == ELOOP)
		return refuse(f, -ELOOP, "is a symbolic link");
	if (f->fd < 0)
		return refuse(f, -errno, strerror(errno));
	if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return refuse(f, -EINVAL, "is no plain file");
	if (flock(f->fd, LOCK_EX | LOCK_NB) != 0)
		return refuse(f, -EBUSY, "is in use by another tarryd");
	return 0;
}

static void
close_database(struct state_file *f)
{
	sqlite3_finalize(f->put);
	f->put = NULL;
	sqlite3_finalize(f->put_note);
	f->put_note = NULL;
	sqlite3_close(f->db);
	f->db = NULL;
}

static void
close_file(struct state_file *f)
{
	close_database(f);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Makes the table, or brings it to this version, as a whole. */
static int
bring_up(struct state_file *f, int64_t version)
{
	int64_t v = version == 0 ? STATE_FILE_VERSION : version;
	char sql[100];
	int rc;

	if (version == STATE_FILE_VERSION)
		return 0;
	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA application_id = %d; PRAGMA user_version = %d",
		       APPLICATION_ID, STATE_FILE_VERSION);
	rc = state_file_run(f, "BEGIN IMMEDIATE");
	if (rc == 0 && version == 0)
		rc = state_file_run(f, make_table);
	if (rc == 0 && version == 0)
		rc = state_file_run(f, MAKE_NOTES);
	for (; v < STATE_FILE_VERSION && rc == 0; v++)
		rc = state_file_run(f, migrations[v - 1]);
	if (rc == 0)
		rc = state_file_run(f, sql);
	if (rc == 0)
		rc = state_file_run(f, "COMMIT");
	return rc;
}

static int
check_whose(struct state_file *f, int64_t *version)
{
	int64_t id = 0;
	int64_t tables = 0;
	int rc = ask_number(f, "PRAGMA application_id", &id);

	if (rc == 0)
		rc = ask_number(f, "PRAGMA user_version", version);
	if (rc == 0)
		rc = ask_number(f, "SELECT count(*) FROM sqlite_schema",
				&tables);
	if (rc != 0)
		return rc;
	if (id == 0 && *version == 0 && tables == 0)
		return 0; /* empty */
	if (id != APPLICATION_ID)
		return refuse(f, -EINVAL, "is a database, but not Tarry's");
	if (*version > STATE_FILE_VERSION)
		return refuse(f, -EINVAL, "was written by a later Tarry");
	return *version < 1 ? -EBADMSG : 0;
}

/* Has SQLite look the file through. */
static int
check_pages(struct state_file *f)
{
	sqlite3_stmt *ask = NULL;
	const unsigned char *text = NULL;
	int rc;

	f->deadline_ms = state_file_clock_ms() + STATE_FILE_CHECK_MS;
	rc = sqlite3_prepare_v2(f->db, "PRAGMA quick_check(1)", -1, &ask, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(ask);
	f->deadline_ms = 0;
	if (rc == SQLITE_ROW)
		text = sqlite3_column_text(ask, 0);
	if (rc != SQLITE_ROW)
		rc = state_file_fail(f, rc);
	else if (text == NULL || strcmp((const char *)text, "ok") != 0)
		rc = refuse(f, -EBADMSG,
			    text != NULL ? (const char *)text : "no answer");
	else
		rc = 0;
	sqlite3_finalize(ask);
	if (rc != -ETIMEDOUT)
		return rc;
	log_say(LOG_LEVEL_WARNING,
		"%s: too large to be looked through in %d s; used as it is",
		f->path, STATE_FILE_CHECK_MS / 1000);
	return 0;
}

/* What rows are asked for tells whether they have our columns. */
static int
prepare(struct state_file *f)
{
	sqlite3_stmt *ask = NULL;
	int64_t last = 0;
	int rc = sqlite3_prepare_v2(f->db, state_file_rows, -1, &ask, NULL);

	sqlite3_finalize(ask);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(f->db, put_row, -1,
					SQLITE_PREPARE_PERSISTENT, &f->put,
					NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(f->db, state_file_put_note_sql, -1,
					SQLITE_PREPARE_PERSISTENT, &f->put_note,
					NULL);
	if ((rc & 0xff) == SQLITE_ERROR) {
		(void)state_file_fail(f, rc);
		return -EBADMSG; /* no such table, no such column */
	}
	if (rc != SQLITE_OK)
		return state_file_fail(f, rc);
	rc = ask_number(f,
			"SELECT max(id) FROM senders WHERE id BETWEEN 1 AND "
			"4000000000",
			&last);
	f->next = (uint32_t)last + 1;
	return rc;
}

static int
open_database(struct state_file *f)
{
	int64_t version = 0;
	int rc = sqlite3_open_v2(
	    f->path, &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return state_file_fail(f, rc);
	/* What others left in the file is no program for us. */
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_busy_timeout(f->db, BUSY_MS);
	sqlite3_progress_handler(f->db, STEPS, on_steps, f);
	rc = check_whose(f, &version);
	if (rc == 0)
		rc =
		    state_file_run(f, "PRAGMA journal_mode = WAL;"
				      "PRAGMA synchronous = NORMAL;"
				      "PRAGMA journal_size_limit = " WAL_BYTES);
	if (rc == 0)
		rc = check_pages(f);
	if (rc == 0)
		rc = bring_up(f, version);
	return rc == 0 ? prepare(f) : rc;
}

/* Renames the file and what belongs to it. */
static int
set_aside(struct state_file *f)
{
	static const char *const parts[] = {"", "-wal", "-shm"};
	char from[STATE_FILE_PATH_MAX + 64];
	char to[STATE_FILE_PATH_MAX + 64];
	long long now = (long long)time(NULL);

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		(void)snprintf(from, sizeof(from), "%s%s", f->path, parts[i]);
		(void)snprintf(to, sizeof(to), "%s.damaged-%lld%s", f->path,
			       now, parts[i]);
		if (rename(from, to) != 0 && (i == 0 || errno != ENOENT))
			return refuse(f, -errno, strerror(errno));
	}
	log_say(LOG_LEVEL_ERROR,
		"%s; the file is damaged and was set aside as "
		"%s.damaged-%lld, what was learned begins anew",
		f->why, f->path, now);
	return 0;
}

int
state_file_replace(struct state_file *f, char why[STATE_FILE_WHY_CAP])
{
	int rc;

	close_database(f);
	rc = set_aside(f);
	close_file(f);
	memset(f->places, 0, f->slots * sizeof(*f->places));
	if (rc == 0)
		rc = open_plain(f);
	if (rc == 0)
		rc = open_database(f);
	if (rc != 0)
		memcpy(why, f->why, sizeof(f->why));
	return rc;
}

int
state_file_open(struct state_file **out, const char *path, uint32_t slots,
		char why[STATE_FILE_WHY_CAP])
{
	struct state_file *f = calloc(1, sizeof(*f));
	int rc = f != NULL ? 0 : -ENOMEM;

	*out = NULL;
	(void)snprintf(why, STATE_FILE_WHY_CAP, "%s", strerror(ENOMEM));
	if (f == NULL)
		return rc;
	f->fd = -1;
	f->slots = slots;
	f->places = calloc(slots, sizeof(*f->places));
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
	if (f->places == NULL)
		rc = refuse(f, -ENOMEM, strerror(ENOMEM));
	else if (strlen(path) > STATE_FILE_PATH_MAX)
		rc = refuse(f, -ENAMETOOLONG, strerror(ENAMETOOLONG));
	if (rc == 0)
		rc = open_plain(f);
	if (rc == 0)
		rc = open_database(f);
	memcpy(why, f->why, sizeof(f->why));
	if (rc == -EBADMSG)
		rc = state_file_replace(f, why);
	if (rc == 0)
		*out = f;
	else
		state_file_close(f);
	return rc;
}

void
state_file_roll_back(struct state_file *f)
{
	if (!sqlite3_get_autocommit(f->db))
		(void)sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
}

int
state_file_begin(struct state_file *f)
{
	return state_file_run(f, "BEGIN IMMEDIATE");
}

static void
bind(struct state_file *f, const struct ledger_entry *e, uint32_t place)
{
	sqlite3_stmt *s = f->put;
	const struct ledger_row *row = &e->row;
	const char *kind = ledger_kind_name((enum ledger_kind)e->kind);
	int at = COLUMN_COUNTS + 1;

	sqlite3_bind_int64(s, COLUMN_ID + 1, place);
	sqlite3_bind_text(s, COLUMN_KIND + 1, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, COLUMN_NAME + 1, e->text, e->len, SQLITE_STATIC);
	for (size_t i = 0; i < LEDGER_COUNTS; i++)
		sqlite3_bind_double(s, at++, (double)row->counts[i]);
	sqlite3_bind_int64(s, at++, row->stamp_s);
	sqlite3_bind_int64(s, at++, row->proof_s);
	sqlite3_bind_int64(s, at++, row->proof_messages);
	sqlite3_bind_int64(s, at++, row->proof_sessions);
	for (size_t i = 0; i < 2; i++)
		sqlite3_bind_int64(s, at++, (sqlite3_int64)row->sketch[i]);
}

int
state_file_put(struct state_file *f, const struct ledger_entry *entry)
{
	uint32_t *place = &f->places[entry->slot];
	int rc;

	if (*place == 0)
		*place = f->next++;
	bind(f, entry, *place);
	rc = sqlite3_step(f->put);
	rc = rc == SQLITE_DONE ? 0 : state_file_fail(f, rc);
	sqlite3_reset(f->put);
	if (rc != 0)
		state_file_roll_back(f);
	return rc;
}

int
state_file_commit(struct state_file *f)
{
	int rc = state_file_run(f, "COMMIT");

	if (rc != 0)
		state_file_roll_back(f);
	return rc;
}

const char *
state_file_why(const struct state_file *f)
{
	return f->why;
}

void
state_file_close(struct state_file *f)
{
	if (f == NULL)
		return;
	close_file(f);
	free(f->places);
	free(f->spare);
	free(f);
}
