/* Notes of the state file, and how a file without them is brought up. */
#include "proxy/memory/state_file.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLOTS 64u

static char dir[64];
static char path[100];

static int
open_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/tarry-notes-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/state.db", dir);
	return 0;
}

static int
close_dir(void **state)
{
	char command[100];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct state_file *
open_file(void)
{
	char why[STATE_FILE_WHY_CAP];
	struct state_file *f;

	assert_int_equal(state_file_open(&f, path, SLOTS, why), 0);
	return f;
}

/* The number that a statement gives, or 0. */
static int
ask(const char *text)
{
	sqlite3_stmt *s;
	sqlite3 *db;
	int n = 0;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_prepare_v2(db, text, -1, &s, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	if (sqlite3_step(s) == SQLITE_ROW)
		n = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return n;
}

static void
sql(const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* What was read of notes: "SLOT NAME NUMBER..;" each. */
static char read_notes[400];

static void
take_note(void *ctx, const struct state_note *note)
{
	size_t len = strlen(read_notes);

	(void)ctx;
	(void)snprintf(read_notes + len, sizeof(read_notes) - len, "%d %u %s",
		       (int)note->at, note->slot, note->name);
	for (size_t i = 0; i < note->count; i++) {
		len = strlen(read_notes);
		(void)snprintf(read_notes + len, sizeof(read_notes) - len,
			       " %u", note->numbers[i]);
	}
	strcat(read_notes, ";");
}

static const char *
notes_of(struct state_file *f, const char *kind)
{
	read_notes[0] = '\0';
	assert_int_equal(state_file_load_notes(f, kind, take_note, NULL), 0);
	return read_notes;
}

static void
put_note(struct state_file *f, int64_t at, uint32_t slot, const char *name)
{
	const uint32_t numbers[] = {slot, UINT32_MAX, 0};
	const struct state_note note = {.kind = "k",
					.at = at,
					.slot = slot,
					.name = name,
					.numbers = numbers,
					.count = slot};

	assert_int_equal(state_file_put_note(f, &note), 0);
}

static void
notes_are_kept(void **state)
{
	struct state_file *f = open_file();

	(void)state;
	assert_int_equal(state_file_begin(f), 0);
	put_note(f, 9, 1, "later");
	put_note(f, 5, 3, "three");
	put_note(f, 5, 0, "gives way");
	put_note(f, 5, 0, "none");
	assert_int_equal(state_file_commit(f), 0);
	assert_int_equal(state_file_begin(f), 0);
	put_note(f, 1, 1, "is not committed");
	state_file_close(f);
	f = open_file();
	assert_string_equal(notes_of(f, "k"),
			    "5 0 none;5 3 three 3 4294967295 0;9 1 later 1;");
	assert_string_equal(notes_of(f, "other"), "");
	assert_int_equal(state_file_begin(f), 0);
	assert_int_equal(state_file_drop_notes(f, "other", 100), 0);
	assert_int_equal(state_file_drop_notes(f, "k", 9), 0);
	assert_int_equal(state_file_commit(f), 0);
	assert_string_equal(notes_of(f, "k"), "9 1 later 1;");
	state_file_close(f);
}

static void
odd_notes_are_passed_over(void **state)
{
	static const char *const values[] = {"",
					     "1",
					     "[",
					     "[1",
					     "[1,]",
					     "[,1]",
					     "[-1]",
					     "[a]",
					     "[1]x",
					     "[4294967296]",
					     "[1;2]",
					     "[ 1]",
					     "[1 ]",
					     "{}",
					     "[[1]]",
					     "[1.5]",
					     "[1,,2]",
					     "]",
					     "[99999999999999999999999]"};
	struct state_file *f = open_file();
	char text[200];

	(void)state;
	state_file_close(f);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		(void)snprintf(text, sizeof(text),
			       "INSERT INTO notes VALUES('k', 0, %zu, 'n', "
			       "'%s')",
			       i, values[i]);
		sql(text);
	}
	sql("INSERT INTO notes VALUES('k', 0, -1, 'n', '[1]'); "
	    "INSERT INTO notes VALUES('k', 0, 1 << 40, 'n', '[1]'); "
	    "INSERT INTO notes VALUES('k', 7, 100, 'good', '[4,5]'); "
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	    "LIMIT 4097) INSERT INTO notes SELECT 'k', 0, 101, 'long', "
	    "json_group_array(i) FROM n");
	f = open_file();
	assert_string_equal(notes_of(f, "k"), "7 100 good 4 5;");
	state_file_close(f);
}

/* As a Tarry of before the notes left it. */
static void
a_file_of_version_1_is_brought_up(void **state)
{
	struct state_file *f;

	(void)state;
	state_file_close(open_file());
	sql("INSERT INTO senders(id, kind, name"
#define LEDGER_COUNT(id, name, help) ", " name
#include "tarry/ledger_count.def"
#undef LEDGER_COUNT
	    ", seen, delivered_at, proof_messages, proof_sessions, networks, "
	    "networks_before) VALUES(1, 'client', '192.0.2.1'"
#define LEDGER_COUNT(id, name, help) ", 1"
#include "tarry/ledger_count.def"
#undef LEDGER_COUNT
	    ", 5, 0, 0, 0, 0, 0); DROP TABLE notes; PRAGMA user_version = 1");
	f = open_file();
	assert_string_equal(notes_of(f, "k"), "");
	assert_int_equal(state_file_begin(f), 0);
	put_note(f, 1, 1, "new");
	assert_int_equal(state_file_commit(f), 0);
	state_file_close(f);
	assert_int_equal(ask("PRAGMA user_version"), STATE_FILE_VERSION);
	f = open_file(); /* and only once */
	assert_string_equal(notes_of(f, "k"), "1 1 new 1;");
	state_file_close(f);
	assert_int_equal(ask("SELECT count(*) FROM senders"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_dir, close_dir)
	    TEST(notes_are_kept),
	    TEST(odd_notes_are_passed_over),
	    TEST(a_file_of_version_1_is_brought_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
