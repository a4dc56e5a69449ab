/*
 * `tarryctl replay`: other rules on what a journal recorded, or on the SYNs
 * of a capture. Needs no tarryd.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/ctl/replay.h"
#include "proxy/ctl/verbs.h"

/* tarryd keeps so many files of a journal at most. */
#define FILES_MAX 1000
#define PATH_CAP 1100

/* Mistakes are said; NULL if there were any. */
static struct config *
load(const char *path)
{
	struct report report = {0};
	struct config *config = NULL;

	if (config_load(&config, path, NULL, &report) != 0)
		report_print(&report, stderr);
	report_free(&report);
	return config;
}

static void
read_lines(struct replay *r, FILE *in)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	while (!r->is_out_of_memory && (len = getline(&line, &cap, in)) > 0)
		replay_line(r, line, (size_t)len);
	free(line);
}

static bool
read_file(struct replay *r, const char *path)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

	if (in == NULL) {
		fprintf(stderr, "tarryctl: %s: %s\n", path, strerror(errno));
		return false;
	}
	r->path = path;
	r->lines = 0;
	read_lines(r, in);
	if (ferror(in))
		fprintf(stderr, "tarryctl: %s: %s; read up to there\n", path,
			strerror(errno));
	if (in != stdin)
		(void)fclose(in);
	return true;
}

/* The files that were turned away, the oldest first, and then the last. */
static bool
read_journal(struct replay *r, const char *path)
{
	char older[PATH_CAP];
	unsigned n = 0;
	bool is_read;

	do
		(void)snprintf(older, sizeof(older), "%s.%u", path, ++n);
	while (n < FILES_MAX && strcmp(path, "-") != 0 &&
	       access(older, R_OK) == 0);
	while (--n > 0) {
		(void)snprintf(older, sizeof(older), "%s.%u", path, n);
		(void)read_file(r, older);
	}
	is_read = read_file(r, path);
	r->path = path;
	return is_read;
}

static enum ctl_exit
replay_journal(const struct ctl *ctl, const char *path, struct config *rules,
	       struct config *against)
{
	struct replay *r = calloc(1, sizeof(*r));
	enum ctl_exit status = CTL_REFUSED;

	if (r == NULL)
		return CTL_REFUSED;
	r->rules = rules;
	r->against = against;
	config_hash(against != NULL ? against : rules, r->hash);
	if (read_journal(r, path))
		status = replay_say(r, ctl);
	free(r->sessions);
	free(r->index);
	free(r);
	return status;
}

enum ctl_exit
verb_replay(const struct ctl *ctl, int argc, char **argv)
{
	struct config *rules = load(ctl->config);
	struct config *against =
	    ctl->against != NULL ? load(ctl->against) : NULL;
	enum ctl_exit status = CTL_REFUSED;

	(void)argc;
	if (rules == NULL || (ctl->against != NULL && against == NULL))
		status = CTL_REFUSED;
	else if (replay_is_capture(argv[0]))
		status = replay_capture(ctl, argv[0], rules, against);
	else
		status = replay_journal(ctl, argv[0], rules, against);
	config_free(rules);
	config_free(against);
	return status;
}
