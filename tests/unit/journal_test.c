/*
 * The journal with real files, and its loop run by hand. That lines are JSON
 * and can be replayed is shown by a reader in tests/e2e.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "proxy/config/names.h"
#include "proxy/daemon/journal.h"
#include "proxy/daemon/log.h"

static const struct config_log logfmt;

struct rig {
	uv_loop_t loop;
	struct names *names;
	struct journal *journal;
	char dir[64];
	char path[128];
	uint64_t now_ms;
};

static struct rig *
rig_new(void)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	strcpy(r->dir, "/tmp/journal-test-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof r->path, "%s/j", r->dir);
	assert_int_equal(uv_loop_init(&r->loop), 0);
	r->names = names_new();
	assert_int_equal(journal_new(&r->journal, &r->loop, 1, r->names), 0);
	return r;
}

static int
turn_on(struct rig *r, uint64_t size_bytes, uint32_t files)
{
	const struct journal_options options = {
	    .path = r->path, .size_bytes = size_bytes, .files = files};

	return journal_set(r->journal, &options);
}

/* Lets the journal write what is there. */
static void
tick(struct rig *r)
{
	r->now_ms += 100;
	journal_tick(r->journal, r->now_ms);
	while (uv_run(&r->loop, UV_RUN_DEFAULT) != 0)
		continue;
}

static void
rig_free(struct rig *r)
{
	char name[200];

	journal_close(r->journal);
	assert_int_equal(uv_loop_close(&r->loop), 0);
	names_free(r->names);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, i > 0 ? "%s.%d" : "%s", r->path, i);
		unlink(name);
	}
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
}

static void
say(struct rig *r, unsigned number)
{
	const struct session s = {.phase = PHASE_RELAY};
	const struct journal_about about = {
	    .id = number, .session = &s, .now_ms = number};
	const struct session_note note = {.at_ms = number, .code = 250};

	journal_notes(journal_feed(r->journal, 0), &about, &note, 1);
}

/* The file's text; NULL if there is none. */
static char *
read_file(const struct rig *r, int number)
{
	char name[200];
	char *text;
	FILE *in;
	size_t len;

	snprintf(name, sizeof name, number > 0 ? "%s.%d" : "%s", r->path,
		 number);
	in = fopen(name, "r");
	if (in == NULL)
		return NULL;
	text = calloc(1, 4u << 20);
	assert_non_null(text);
	len = fread(text, 1, (4u << 20) - 1, in);
	text[len] = '\0';
	fclose(in);
	return text;
}

/* Checks that the text is whole lines, and counts them. */
static unsigned
count_lines(const char *text)
{
	unsigned count = 0;

	while (*text != '\0') {
		const char *end = strchr(text, '\n');

		assert_non_null(end);
		assert_int_equal(text[0], '{');
		assert_int_equal(end[-1], '}');
		count++;
		text = end + 1;
	}
	return count;
}

static void
off_writes_nothing(void **state)
{
	struct rig *r = rig_new();
	const struct journal_options off = {.path = ""};

	(void)state;
	assert_false(journal_is_on(NULL));
	assert_false(journal_is_on(journal_feed(r->journal, 0)));
	say(r, 1);
	tick(r);
	assert_int_equal(turn_on(r, 1 << 20, 2), 0);
	assert_true(journal_is_on(journal_feed(r->journal, 0)));
	assert_int_equal(journal_set(r->journal, &off), 0);
	say(r, 2);
	tick(r);
	assert_int_equal(journal_written(r->journal), 0);
	assert_int_equal(journal_dropped(r->journal), 0);
	rig_free(r);
}

static void
the_file_is_not_for_everybody(void **state)
{
	struct rig *r = rig_new();
	struct stat st;

	(void)state;
	assert_int_equal(turn_on(r, 1 << 20, 2), 0);
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	rig_free(r);
}

/* The ring goes round several times; each line stays whole and in order. */
static void
the_ring_goes_round(void **state)
{
	struct rig *r = rig_new();
	unsigned said = 0;
	char want[40];
	char *text;
	const char *at;

	(void)state;
	assert_int_equal(turn_on(r, 64u << 20, 2), 0);
	while (journal_written(r->journal) < 3 * JOURNAL_FEED_CAP) {
		for (unsigned i = 0; i < 2777; i++)
			say(r, said++);
		tick(r);
	}
	assert_int_equal(journal_dropped(r->journal), 0);
	text = read_file(r, 0);
	assert_int_equal(count_lines(text), said);
	at = text;
	for (unsigned i = 0; i < said; i += 997) {
		snprintf(want, sizeof want, "\"n\":%u,", i);
		at = strstr(at, want);
		assert_non_null(at);
	}
	free(text);
	rig_free(r);
}

static void
a_full_ring_drops_and_counts(void **state)
{
	struct rig *r = rig_new();
	unsigned said = 0;
	char want[40];
	char *text;

	(void)state;
	assert_int_equal(turn_on(r, 64u << 20, 2), 0);
	while (journal_dropped(r->journal) < 10)
		say(r, said++);
	tick(r);
	say(r, said);
	tick(r);
	text = read_file(r, 0);
	assert_int_equal(count_lines(text), said - 10 + 1);
	/* A reader sees from the numbers that ten are missing. */
	snprintf(want, sizeof want, "\"n\":%u,", said);
	assert_non_null(strstr(text, want));
	free(text);
	rig_free(r);
}

static void
files_rotate_and_stay_within_their_size(void **state)
{
	struct rig *r = rig_new();
	unsigned lines = 0;
	unsigned said = 0;

	(void)state;
	assert_int_equal(turn_on(r, 65536, 3), 0);
	while (journal_written(r->journal) < 10 * 65536) {
		for (unsigned i = 0; i < 300; i++)
			say(r, said++);
		tick(r);
	}
	for (int i = 0; i < 3; i++) {
		char *text = read_file(r, i);

		assert_non_null(text);
		assert_true(strlen(text) <= 65536);
		lines += count_lines(text);
		free(text);
	}
	assert_true(lines < said);
	assert_null(read_file(r, 3));
	assert_int_equal(journal_dropped(r->journal), 0);
	rig_free(r);
}

static void
one_file_is_begun_anew(void **state)
{
	struct rig *r = rig_new();
	char *text;

	(void)state;
	assert_int_equal(turn_on(r, 4096, 1), 0);
	for (unsigned i = 0; i < 200; i++) {
		say(r, i);
		tick(r);
	}
	text = read_file(r, 0);
	assert_true(strlen(text) <= 4096);
	assert_non_null(strstr(text, "\"n\":199,"));
	assert_null(read_file(r, 1));
	free(text);
	rig_free(r);
}

static void
it_goes_on_at_the_end_of_what_is_there(void **state)
{
	struct rig *r = rig_new();
	const struct journal_options off = {.path = ""};
	char *text;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(turn_on(r, 1 << 20, 2), 0);
		say(r, i);
		tick(r);
		assert_int_equal(journal_set(r->journal, &off), 0);
	}
	text = read_file(r, 0);
	assert_int_equal(count_lines(text), 3);
	free(text);
	rig_free(r);
}

static void
no_such_directory(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	snprintf(r->path, sizeof r->path, "%s/none/j", r->dir);
	assert_int_equal(turn_on(r, 1 << 20, 2), -ENOENT);
	assert_false(journal_is_on(journal_feed(r->journal, 0)));
	rig_free(r);
}

/* A file system that is full: said once a minute, counted, and over when
 * there is room. /dev/full takes nothing; the link is then a file. */
static void
a_full_disk_is_counted(void **state)
{
	struct rig *r = rig_new();
	char *text;

	(void)state;
	assert_int_equal(symlink("/dev/full", r->path), 0);
	assert_int_equal(turn_on(r, 1 << 20, 2), 0);
	for (unsigned i = 0; i < 5; i++) {
		say(r, i);
		tick(r);
	}
	assert_int_equal(journal_dropped(r->journal), 5);
	assert_int_equal(journal_written(r->journal), 0);
	assert_int_equal(unlink(r->path), 0);
	{
		const struct journal_options off = {.path = ""};

		assert_int_equal(journal_set(r->journal, &off), 0);
	}
	assert_int_equal(turn_on(r, 1 << 20, 2), 0);
	say(r, 5);
	tick(r);
	text = read_file(r, 0);
	assert_int_equal(count_lines(text), 1);
	assert_int_equal(journal_dropped(r->journal), 5);
	free(text);
	rig_free(r);
}

static int
log_to_nowhere(void **state)
{
	(void)state;
	log_open(open("/dev/null", O_WRONLY | O_CLOEXEC), &logfmt, NULL, NULL);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(off_writes_nothing),
	    cmocka_unit_test(the_file_is_not_for_everybody),
	    cmocka_unit_test(the_ring_goes_round),
	    cmocka_unit_test(a_full_ring_drops_and_counts),
	    cmocka_unit_test(files_rotate_and_stay_within_their_size),
	    cmocka_unit_test(one_file_is_begun_anew),
	    cmocka_unit_test(it_goes_on_at_the_end_of_what_is_there),
	    cmocka_unit_test(no_such_directory),
	    cmocka_unit_test(a_full_disk_is_counted),
	};

	return cmocka_run_group_tests(tests, log_to_nowhere, NULL);
}
