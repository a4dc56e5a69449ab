/* Configurations from texts, for the tests of proxy/config. */
#ifndef TESTS_UNIT_CONFIG_TEXT_H
#define TESTS_UNIT_CONFIG_TEXT_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/config/config.h"
#include "proxy/config/keys.h"
#include "proxy/config/value.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define LISTEN "[listen smtp]\naddress = 127.0.0.1:2500\n"

/* A file with this text. unlink() and free() it. */
static inline char *
write_file(const char *text)
{
	char *path = strdup("/tmp/config_test.XXXXXX");
	int fd;

	assert_non_null(path);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

/* Loads a text; rc in *rc, the report as text, in which `F` is the file. */
static inline struct config *
load(const char *text, const struct config_options *options, int *rc,
     char **said)
{
	struct report report = {0};
	struct config *config;
	char *path = write_file(text);
	size_t said_len;
	FILE *out = open_memstream(said, &said_len);

	*rc = config_load(&config, path, options, &report);
	assert_int_equal(*rc == 0, report.mistakes == 0);
	assert_int_equal(*rc == 0, config != NULL);
	for (size_t i = 0; i < report.count; i++) {
		const char *note = report.notes[i].text;
		size_t len = strlen(path);
		if (strncmp(note, path, len) == 0)
			fprintf(out, "F%s\n", note + len);
		else
			fprintf(out, "%s\n", note);
	}
	fclose(out);
	report_free(&report);
	unlink(path);
	free(path);
	return config;
}

/* A text that must load without a word. */
static inline struct config *
load_good(const char *text)
{
	char *said;
	int rc;
	struct config *config = load(text, NULL, &rc, &said);

	if (rc != 0 || *said != '\0')
		fail_msg("%s", said);
	free(said);
	return config;
}

static inline struct config *
load_built_in(void)
{
	struct report report = {0};
	struct config *config;

	if (config_load(&config, NULL, NULL, &report) != 0)
		fail_msg("%s", report.notes[0].text);
	assert_int_equal(report.count, 0);
	return config;
}

/* What config_print_effective() prints; free() it. */
static inline char *
effective(const struct config *config)
{
	FILE *out = tmpfile();
	char *text;
	long len;

	assert_non_null(out);
	config_print_effective(config, out);
	len = ftell(out);
	assert_true(len > 0);
	text = calloc(1, (size_t)len + 1);
	assert_non_null(text);
	rewind(out);
	assert_int_equal(fread(text, 1, (size_t)len, out), len);
	fclose(out);
	return text;
}

#endif
