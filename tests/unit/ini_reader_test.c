#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/config/ini_reader.h"
#include "proxy/config/report.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define INIH_CAP 200
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

static void
note_section(void *ctx, const char *text)
{
	fprintf(ctx, "[%s]|", text == NULL ? "-" : text);
}

/*
 * All that the reader gives out and says: `N:line|`, `[section]|`, then the
 * mistakes, each `!text|`. The caller frees it.
 */
static char *
read_all(const char *text, size_t len)
{
	char *got = NULL;
	size_t got_len;
	FILE *log = open_memstream(&got, &got_len);
	FILE *in = fmemopen((void *)(uintptr_t)text, len, "r");
	struct report report = {0};
	struct ini_reader r = {.in = in,
			       .file = "f",
			       .report = &report,
			       .on_section = note_section,
			       .ctx = log};
	char line[INIH_CAP];

	assert_non_null(in);
	while (ini_reader_next(line, sizeof(line), &r) != NULL) {
		assert_int_equal(line[strlen(line) - 1], '\n');
		line[strlen(line) - 1] = '\0';
		fprintf(log, "%u:%s|", r.line, line);
	}
	assert_int_equal(r.error, 0);
	for (size_t i = 0; i < report.count; i++)
		fprintf(log, "!%s|", report.notes[i].text);
	ini_reader_free(&r);
	report_free(&report);
	fclose(in);
	fclose(log);
	return got;
}

static void
lines(void **state)
{
	static const struct {
		const char *label;
		const char *input;
		const char *want;
	} rows[] = {
	    {"key", "a = b\n", "1:a = b|"},
	    {"no end", "a = b", "1:a = b|"},
	    {"CRLF", "[s]\r\na = b\r\n", "[s]|2:a = b|"},
	    {"BOM", "\xef\xbb\xbf[s]\na=b\n", "[s]|2:a=b|"},
	    {"BOM in front of a key",
	     "\xef\xbb\xbf"
	     "a=b\n",
	     "1:a=b|"},
	    {"BOM twice",
	     "\xef\xbb\xbf\xef\xbb\xbf"
	     "a=b\n",
	     "1:\xef\xbb\xbf"
	     "a=b|"},
	    {"BOM in a later line", "a=b\n\xef\xbb\xbf[s]\n",
	     "1:a=b|!f:2: cannot be read, expected \"key = value\" or "
	     "\"[section]\"|"},
	    {"comments", "; c\n# d\n  ; e\n\n \t \na=b\n", "6:a=b|"},
	    {"inline comment", "a = b ; c\n", "1:a = b|"},
	    {"inline comment behind a tab", "a = b\t; c\n", "1:a = b|"},
	    {"no comment", "a = b;c # d\n", "1:a = b;c # d|"},
	    {"empty value", "a =\n", "1:a =|"},
	    {"empty value, comment", "a =  ; c\n", "1:a =|"},
	    {"value with colons", "a = [::]:25\n", "1:a = [::]:25|"},
	    {"value with equals", "a = b=c\n", "1:a = b=c|"},
	    {"blanks in a section", "[ rule  x ]  ; c\n", "[rule  x]|"},
	    {"empty section", "[s]\n[t]\n", "[s]|[t]|"},
	    {"nothing", "\n", ""},
	    {"indented key", "a = b\n  c = d\n",
	     "1:a = b|!f:2: starts with a blank, expected keys and sections "
	     "in the first column (a long list repeats its key)|"},
	    {"indented section", "\t[s]\n",
	     "!f:1: starts with a blank, expected keys and sections in the "
	     "first column (a long list repeats its key)|"},
	    {"no equals sign", "abc\n",
	     "!f:1: cannot be read, expected \"key = value\" or "
	     "\"[section]\"|"},
	    {"colon for equals sign", "a: b = c\n",
	     "!f:1: cannot be read, expected \"key = value\" or "
	     "\"[section]\"|"},
	    {"no key", "= b\n",
	     "!f:1: cannot be read, expected \"key = value\" or "
	     "\"[section]\"|"},
	    {"open section", "[s\na = b\n",
	     "[-]|2:a = b|!f:1: section without ], expected [NAME]|"},
	    {"text behind a section", "[s] x\n",
	     "[-]|!f:1: text behind ], expected nothing or a comment|"},
	    {"comment cuts a section", "[a ;b]\n",
	     "[-]|!f:1: section without ], expected [NAME]|"},
	    {"long section", "[" FIFTY "]\n",
	     "[-]|!f:1: section name of 50 bytes, expected at most 49|"},
	    {"long key", FIFTY " = a\n",
	     "!f:1: key of 50 bytes, expected at most 49|"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *got = read_all(rows[i].input, strlen(rows[i].input));
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got %s", rows[i].label, got);
		free(got);
	}
}

static void
nul_bytes(void **state)
{
	static const char text[] = "a = b\0c\nd = e\n";
	char *got = read_all(text, sizeof(text) - 1);

	(void)state;
	assert_string_equal(got, "2:d = e|!f:1: holds a NUL byte, expected "
				 "text|");
	free(got);
}

/* A key line of exactly `len` bytes, with what stands behind it. */
static char *
long_line(size_t len, const char *behind)
{
	char *text = malloc(len + strlen(behind) + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, "a = ", 4);
	strcpy(text + len, behind);
	return text;
}

static void
longest_line(void **state)
{
	char *fits = long_line(INI_READER_LINE_MAX, "\nb = c\n");
	char *commented = long_line(INI_READER_LINE_MAX, " ; more\nb = c\n");
	char *longer = long_line(INI_READER_LINE_MAX + 1, "\nb = c\n");
	char *got;

	(void)state;
	got = read_all(fits, strlen(fits));
	assert_int_equal(strlen(got), 2 + INI_READER_LINE_MAX + 1 + 8);
	free(got);
	got = read_all(commented, strlen(commented));
	assert_int_equal(strlen(got), 2 + INI_READER_LINE_MAX + 1 + 8);
	free(got);
	got = read_all(longer, strlen(longer));
	assert_string_equal(got, "2:b = c|!f:1: line of 199 bytes, expected "
				 "at most 198 (a long list repeats its key)|");
	free(got);
	free(fits);
	free(commented);
	free(longer);
}

/* Smaller than what we promise to give, as another build of inih may be. */
static void
small_buffer(void **state)
{
	char text[] = "abc = def\nx=y\n";
	FILE *in = fmemopen(text, strlen(text), "r");
	struct report report = {0};
	struct ini_reader r = {.in = in, .file = "f", .report = &report};
	char line[5];

	(void)state;
	assert_ptr_equal(ini_reader_next(line, sizeof(line), &r), line);
	assert_string_equal(line, "x=y\n");
	assert_null(ini_reader_next(line, sizeof(line), &r));
	assert_int_equal(report.mistakes, 1);
	ini_reader_free(&r);
	report_free(&report);
	fclose(in);
}

static void
read_error(void **state)
{
	FILE *in = fopen("/", "r");
	struct report report = {0};
	struct ini_reader r = {.in = in, .file = "f", .report = &report};
	char line[INIH_CAP];

	(void)state;
	assert_non_null(in);
	assert_null(ini_reader_next(line, sizeof(line), &r));
	assert_true(r.error < 0);
	ini_reader_free(&r);
	fclose(in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines),	    cmocka_unit_test(nul_bytes),
	    cmocka_unit_test(longest_line), cmocka_unit_test(small_buffer),
	    cmocka_unit_test(read_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
