/* The state file: what is written is read, and what else may lie there. */
#include "proxy/memory/state_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 1024u
#define NOW 1700000000u

static char dir[64];
static char path[100];
static char why[STATE_FILE_WHY_CAP];
static struct ledger ledger;
static void *memory;

static void
new_ledger(uint32_t rows)
{
	size_t bytes = (ledger_bytes(rows) + 63) / 64 * 64;

	free(memory);
	memory = aligned_alloc(64, bytes);
	assert_non_null(memory);
	memset(memory, 0, bytes);
	ledger_init(&ledger, memory, rows, 604800, 4711 + rows);
}

static int
open_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/tarry-state-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/state.db", dir);
	new_ledger(ROWS);
	return 0;
}

static int
close_dir(void **state)
{
	char command[100];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	free(memory);
	memory = NULL;
	return system(command);
}

/* Files whose names begin like that. */
static int
count_files(const char *start)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int count = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		count += strncmp(e->d_name, start, strlen(start)) == 0;
	closedir(d);
	return count;
}

static uint32_t
take(void *ctx, const struct ledger_entry *e)
{
	struct ledger_key key =
	    ledger_key(&ledger, (enum ledger_kind)e->kind, e->text, e->len);

	(void)ctx;
	if (ledger_slot(&ledger, &key) != LEDGER_NO_SLOT)
		return LEDGER_NO_SLOT;
	(void)ledger_put(&ledger, &key, &e->row, NOW + 1000);
	return ledger_slot(&ledger, &key);
}

static struct state_file *
open_file(void)
{
	struct state_file *f;

	assert_int_equal(state_file_open(&f, path, ledger_rows(ROWS), why), 0);
	return f;
}

static struct state_file_loaded
load(struct state_file *f)
{
	struct state_file_loaded loaded;

	assert_int_equal(state_file_load(f, take, NULL, &loaded), 0);
	return loaded;
}

static void
learn(const char *name, float sessions)
{
	struct ledger_delta delta = {
	    .counts = {[LEDGER_SESSIONS] = sessions, [LEDGER_GOOD] = 1},
	    .proof_messages = 2,
	    .proof_sessions = 1,
	    .network = strlen(name) + 7};
	struct ledger_key key =
	    ledger_key(&ledger, LEDGER_CLIENT, name, strlen(name));

	assert_true(ledger_add(&ledger, &key, &delta, NOW));
}

/* Writes all that was changed; how many rows that were. */
static int
flush(struct state_file *f)
{
	struct ledger_entry e;
	int count = 0;

	assert_int_equal(state_file_begin(f), 0);
	for (uint32_t shard = 0; shard < LEDGER_SHARDS; shard++) {
		uint32_t cursor = 0;

		while (ledger_dirty_next(&ledger, shard, &cursor, &e) ==
		       LEDGER_SCAN_ROW) {
			assert_int_equal(state_file_put(f, &e), 0);
			count++;
		}
	}
	assert_int_equal(state_file_commit(f), 0);
	return count;
}

static struct ledger_row
row_of(const char *name)
{
	struct ledger_key key =
	    ledger_key(&ledger, LEDGER_CLIENT, name, strlen(name));
	struct ledger_row row;

	(void)ledger_find(&ledger, &key, NOW, &row);
	return row;
}

/* Makes a file with 100 rows, without its log. */
static void
make_file(void)
{
	struct state_file *f = open_file();
	char name[32];

	(void)load(f);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "192.0.2.%d", i);
		learn(name, (float)i + 0.25f);
	}
	assert_int_equal(flush(f), 100);
	state_file_close(f);
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

static void
write_bytes(const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

/* Bit for bit, whatever the seed and the size of the ledger are by then. */
static void
what_is_written_is_read(void **state)
{
	struct ledger_row before[2];
	struct ledger_row after[2];
	struct state_file *f;
	struct stat st;

	(void)state;
	make_file();
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777 & ~0640u, 0);
	before[0] = row_of("192.0.2.7");
	before[1] = row_of("192.0.2.99");
	new_ledger(ROWS * 4); /* another seed, other slots */
	f = NULL;
	assert_int_equal(state_file_open(&f, path, ledger_rows(ROWS * 4), why),
			 0);
	assert_int_equal(load(f).rows, 100);
	after[0] = row_of("192.0.2.7");
	after[1] = row_of("192.0.2.99");
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(after[0].proof_messages, 2);
	/* What is learnt now goes to the same row of the file. */
	learn("192.0.2.7", 1000);
	learn("198.51.100.1", 1);
	assert_int_equal(flush(f), 2);
	state_file_close(f);
	new_ledger(ROWS);
	f = open_file();
	assert_int_equal(load(f).rows, 101);
	assert_true(row_of("192.0.2.7").counts[LEDGER_SESSIONS] > 1007);
	state_file_close(f);
}

/* Who gave way is not in the file any more, nor is there any growth. */
static void
newcomers_take_the_place(void **state)
{
	struct state_file *f = open_file();
	struct state_file_loaded loaded;
	char name[32];

	(void)state;
	(void)load(f);
	for (int i = 0; i < 20000; i++) {
		struct ledger_delta bad = {.counts = {[LEDGER_BAD] = 1}};
		struct ledger_key key;

		(void)snprintf(name, sizeof(name), "made-up-%d", i);
		key = ledger_key(&ledger, LEDGER_SYN, name, strlen(name));
		(void)ledger_add(&ledger, &key, &bad, NOW + (uint32_t)i / 100);
		if (i % 1000 == 999)
			(void)flush(f);
	}
	state_file_close(f);
	new_ledger(ROWS);
	f = open_file();
	loaded = load(f);
	assert_true(loaded.rows + loaded.removed <= ledger_rows(ROWS));
	assert_true(loaded.rows > ledger_rows(ROWS) / 2);
	state_file_close(f);
	/* In a small ledger some give way: they leave the file too. */
	new_ledger(128);
	assert_int_equal(state_file_open(&f, path, ledger_rows(128), why), 0);
	loaded = load(f);
	assert_true(loaded.rows <= ledger_rows(128));
	assert_true(loaded.removed > 0);
	state_file_close(f);
	new_ledger(ROWS);
	f = open_file();
	assert_int_equal(load(f).rows, loaded.rows);
	state_file_close(f);
}

static void
a_transaction_is_whole_or_nothing(void **state)
{
	struct state_file *f;
	struct ledger_entry e = {.slot = 3, .kind = LEDGER_CLIENT, .len = 1};

	(void)state;
	make_file();
	new_ledger(ROWS);
	f = open_file();
	(void)load(f);
	assert_int_equal(state_file_begin(f), 0);
	assert_int_equal(state_file_put(f, &e), 0);
	state_file_close(f); /* without a commit */
	new_ledger(ROWS);
	f = open_file();
	assert_int_equal(load(f).rows, 100);
	state_file_close(f);
}

static void
only_one_may_have_it(void **state)
{
	struct state_file *f;
	struct state_file *g;

	(void)state;
	make_file();
	f = open_file();
	assert_int_equal(state_file_open(&g, path, ROWS, why), -EBUSY);
	assert_null(g);
	assert_non_null(strstr(why, "in use by another tarryd"));
	state_file_close(f);
}

/* What lies there; made by `sql` or by `make`. */
static void
make_nothing(void)
{
	write_bytes("", 0);
}

static void
make_text(void)
{
	write_bytes("this is no database\n", 20);
}

static void
make_half(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 8192);
	assert_int_equal(truncate(path, st.st_size / 2 / 4096 * 4096), 0);
}

static void
make_torn(void)
{
	assert_int_equal(truncate(path, 5000), 0);
}

static void
make_scribbled(void)
{
	char noise[3000];
	int fd = open(path, O_WRONLY);

	memset(noise, 0xa5, sizeof(noise));
	assert_int_equal(pwrite(fd, noise, sizeof(noise), 4096), sizeof(noise));
	close(fd);
}

static void
make_link(void)
{
	char other[120];

	(void)snprintf(other, sizeof(other), "%s/other.db", dir);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
}

static void
make_directory(void)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void
make_pipe(void)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
}

/* The log of another file: as a crash may leave it. */
static void
make_foreign_log(void)
{
	char log[120];
	FILE *out;

	(void)snprintf(log, sizeof(log), "%s-wal", path);
	out = fopen(log, "w");
	assert_non_null(out);
	for (int i = 0; i < 9000; i++)
		fputc(i * 7, out);
	fclose(out);
}

struct nasty {
	const char *name;
	void (*make)(void);
	const char *sql;
	int error;	 /* of the open */
	const char *why; /* is told then */
	uint64_t rows;	 /* are read otherwise */
	uint64_t odd;
	int aside; /* files set aside, their logs not counted */
};

static const struct nasty nasties[] = {
    {"no bytes", make_nothing, NULL, 0, NULL, 0, 0, 0},
    {"text", make_text, NULL, 0, NULL, 0, 0, 1},
    {"half of it", make_half, NULL, 0, NULL, 0, 0, 1},
    {"a torn page", make_torn, NULL, 0, NULL, 0, 0, 1},
    {"noise in a page", make_scribbled, NULL, 0, NULL, 0, 0, 1},
    {"a foreign log", make_foreign_log, NULL, 0, NULL, 100, 0, 0},
    {"a link", make_link, NULL, -ELOOP, "symbolic link", 0, 0, 0},
    {"a directory", make_directory, NULL, -EISDIR, "directory", 0, 0, 0},
    {"a pipe", make_pipe, NULL, -EINVAL, "no plain file", 0, 0, 0},
    {"of a later version", NULL, "PRAGMA user_version = 3", -EINVAL,
     "later Tarry", 0, 0, 0},
    {"of another program", NULL, "PRAGMA application_id = 5", -EINVAL,
     "not Tarry's", 0, 0, 0},
    {"without a table", NULL, "DROP TABLE senders", 0, NULL, 0, 0, 1},
    {"without notes", NULL, "DROP TABLE notes", 0, NULL, 0, 0, 1},
    {"without a column", NULL, "ALTER TABLE senders DROP COLUMN spam", 0, NULL,
     0, 0, 1},
    {"of other columns", NULL, "ALTER TABLE senders ADD COLUMN mood TEXT", 0,
     NULL, 0, 0, 1},
    {"of a table that is a view", NULL,
     "ALTER TABLE senders RENAME TO s; CREATE VIEW senders AS SELECT * FROM s",
     0, NULL, 0, 0, 1},
    {"kinds that nobody knows", NULL,
     "UPDATE senders SET kind = 'moon' WHERE id <= 10", 0, NULL, 90, 10, 0},
    {"names too long", NULL,
     "UPDATE senders SET name = printf('%.*c', 95, 'x') WHERE id <= 3", 0, NULL,
     97, 3, 0},
    {"names twice", NULL, "UPDATE senders SET name = 'x' WHERE id <= 3", 0,
     NULL, 98, 0, 0},
    {"counts below 0", NULL, "UPDATE senders SET spam = -1 WHERE id <= 3", 0,
     NULL, 97, 3, 0},
    {"counts without end", NULL,
     "UPDATE senders SET good = 9e999 WHERE id <= 3", 0, NULL, 97, 3, 0},
    {"times out of range", NULL,
     "UPDATE senders SET seen = 1 << 40 WHERE id <= 3", 0, NULL, 97, 3, 0},
    {"places out of range", NULL,
     "UPDATE senders SET id = id - 5 WHERE id <= 5; "
     "UPDATE senders SET id = id + 10000000000 WHERE id > 95",
     0, NULL, 90, 10, 0},
    {"wrong types", NULL,
     "ALTER TABLE senders RENAME TO s; "
     "CREATE TABLE senders AS SELECT * FROM s; DROP TABLE s; "
     "UPDATE senders SET seen = 'noon' WHERE id = 1; "
     "UPDATE senders SET spam = 'much' WHERE id = 2; "
     "UPDATE senders SET name = x'00ff' WHERE id = 3; "
     "UPDATE senders SET kind = NULL WHERE id = 4; "
     "UPDATE senders SET id = 'one' WHERE id = 5; "
     "UPDATE senders SET proof_sessions = 256 WHERE id = 6",
     0, NULL, 94, 6, 0},
};

static void
whatever_lies_there_tarry_starts(void **state)
{
	for (size_t i = 0; i < sizeof(nasties) / sizeof(nasties[0]); i++) {
		const struct nasty *n = &nasties[i];
		struct state_file *f = NULL;
		struct state_file_loaded loaded;

		assert_int_equal(open_dir(state), 0);
		make_file();
		if (n->sql != NULL)
			sql(n->sql);
		else
			n->make();
		new_ledger(ROWS);
		print_message("%s\n", n->name);
		assert_int_equal(
		    state_file_open(&f, path, ledger_rows(ROWS), why),
		    n->error);
		assert_int_equal(count_files("state.db.damaged-"), n->aside);
		if (f == NULL) {
			assert_non_null(strstr(why, n->why));
		} else {
			loaded = load(f);
			assert_int_equal(loaded.rows, n->rows);
			assert_int_equal(loaded.odd, n->odd);
			learn("203.0.113.9", 1);
			assert_int_equal(flush(f), 1);
		}
		state_file_close(f);
		assert_int_equal(close_dir(state), 0);
	}
	(void)open_dir(state);
}

static void
where_nothing_can_be_written(void **state)
{
	struct state_file *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/none/state.db", dir);
	assert_int_equal(state_file_open(&f, path, ROWS, why), -ENOENT);
	assert_non_null(strstr(why, "No such file"));
	(void)snprintf(path, sizeof(path), "/proc/self/state.db");
	assert_true(state_file_open(&f, path, ROWS, why) < 0);
	assert_null(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_dir, close_dir)
	    TEST(what_is_written_is_read),
	    TEST(newcomers_take_the_place),
	    TEST(a_transaction_is_whole_or_nothing),
	    TEST(only_one_may_have_it),
	    TEST(whatever_lies_there_tarry_starts),
	    TEST(where_nothing_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
