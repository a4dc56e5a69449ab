/*
 * `tarryctl dump` and `tarryctl load`: what tarryd remembers, as JSON lines.
 * tarryd answers in pieces, so each verb asks until there is no more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/admin/control_protocol.h"
#include "proxy/ctl/verbs.h"

/* One question holds so much, and a line of the file this much less. */
#define BATCH_CAP (CONTROL_LINE_CAP - 64)
#define ROW_CAP (BATCH_CAP - 64)
#define BATCH_ROWS 64

struct dump {
	long long next; /* slot; -1: that was all */
	long long left; /* rows */
};

static void
take_row(void *ctx, const json_t *line)
{
	struct dump *d = ctx;
	const json_t *next = json_object_get(line, "next");
	char *text;

	if (next != NULL) {
		d->next = json_integer_value(next);
		return;
	}
	if (d->left == 0)
		return;
	d->left--;
	text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	puts(text != NULL ? text : "");
	free(text);
}

enum ctl_exit
verb_dump(const struct ctl *ctl, int argc, char **argv)
{
	struct ctl plain = {.socket = ctl->socket};
	struct dump d = {.left = -1};
	enum ctl_exit status = CTL_FINE;
	char question[128];
	char *end = NULL;

	if (argc > 1)
		d.left = strtoll(argv[1], &end, 10);
	if (end != NULL && (*end != '\0' || d.left <= 0)) {
		fprintf(stderr, "tarryctl: \"%s\" is no number of rows\n",
			argv[1]);
		return CTL_USAGE;
	}
	while (status == CTL_FINE && d.next >= 0 && d.left != 0) {
		(void)snprintf(question, sizeof(question), "%lld%s%.60s",
			       d.next, argc > 0 ? " " : "",
			       argc > 0 ? argv[0] : "");
		d.next = -1;
		status = asking(&plain, "dump", question, take_row, &d);
	}
	return status;
}

struct load {
	const struct ctl *ctl;
	const char *name; /* of the file, for messages */
	bool is_dry;
	enum ctl_exit status;
	long long fresh;
	long long merged;
	long long refused;
	long long bad;
	size_t rows; /* in the batch */
	size_t len;
	char batch[CONTROL_LINE_CAP];
};

static void
say_bad(struct load *l, long long line, const char *why)
{
	fprintf(stderr, "tarryctl: %s:%lld: %s; skipped\n", l->name, line, why);
	l->bad++;
}

static void
take_answer(void *ctx, const json_t *line)
{
	struct load *l = ctx;
	const char *error = json_string_value(json_object_get(line, "error"));

	if (error != NULL)
		say_bad(l, json_integer_value(json_object_get(line, "line")),
			error);
	l->fresh += json_integer_value(json_object_get(line, "new"));
	l->merged += json_integer_value(json_object_get(line, "merged"));
	l->refused += json_integer_value(json_object_get(line, "refused"));
}

static void
send_batch(struct load *l)
{
	struct ctl plain = {.socket = l->ctl->socket};

	if (l->rows == 0 || l->status != CTL_FINE)
		return;
	memcpy(l->batch + l->len, "]", 2);
	l->status = asking(&plain, "load", l->batch, take_answer, l);
	l->rows = 0;
}

/* Adds one row to the batch, which goes out when it is full. */
static void
add_row(struct load *l, long long number, const char *text)
{
	size_t need = strlen(text) + 32;

	if (l->rows == BATCH_ROWS || l->len + need > BATCH_CAP)
		send_batch(l);
	if (l->rows == 0)
		l->len = (size_t)snprintf(l->batch, sizeof(l->batch), "%s[",
					  l->is_dry ? "dry " : "");
	l->len += (size_t)snprintf(l->batch + l->len, sizeof(l->batch) - l->len,
				   "%s[%lld,%s]", l->rows > 0 ? "," : "",
				   number, text);
	l->rows++;
}

static void
take_line(struct load *l, long long number, const char *bytes, size_t len)
{
	json_t *row;
	char *text = NULL;

	if (strspn(bytes, " \t\r\n") == len)
		return; /* an empty line */
	row = json_loadb(bytes, len, 0, NULL);
	if (json_is_object(row))
		text = json_dumps(row, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (text == NULL)
		say_bad(l, number, "that is no JSON object");
	else if (strlen(text) > ROW_CAP)
		say_bad(l, number, "too long for a row");
	else
		add_row(l, number, text);
	free(text);
	json_decref(row);
}

static void
read_file(struct load *l, FILE *in)
{
	char *bytes = NULL;
	size_t cap = 0;
	ssize_t len;

	for (long long n = 1;
	     l->status == CTL_FINE && (len = getline(&bytes, &cap, in)) >= 0;
	     n++)
		take_line(l, n, bytes, (size_t)len);
	send_batch(l);
	if (ferror(in)) {
		fprintf(stderr, "tarryctl: %s: %s\n", l->name, strerror(errno));
		l->status = CTL_REFUSED;
	}
	free(bytes);
}

static void
print_sums(const struct load *l)
{
	printf(l->ctl->is_json
		   ? "{\"new\":%lld,\"merged\":%lld,\"refused\":%lld,"
		     "\"bad\":%lld}\n"
		   : "%lld new, %lld merged with what is known, %lld without "
		     "room, %lld not understood\n",
	       l->fresh, l->merged, l->refused, l->bad);
}

/* Reads it all; the exit status. */
static enum ctl_exit
load_file(struct load *l)
{
	bool is_pipe = strcmp(l->name, "-") == 0;
	FILE *in = is_pipe ? stdin : fopen(l->name, "re");

	if (in == NULL) {
		fprintf(stderr, "tarryctl: %s: %s\n", l->name, strerror(errno));
		return CTL_REFUSED;
	}
	read_file(l, in);
	if (!is_pipe)
		(void)fclose(in);
	print_sums(l);
	return l->status == CTL_FINE && l->bad > 0 ? CTL_REFUSED : l->status;
}

enum ctl_exit
verb_load(const struct ctl *ctl, int argc, char **argv)
{
	struct load *l;
	enum ctl_exit status;

	if (argc > 1 && strcmp(argv[1], "dry") != 0) {
		fprintf(stderr, "tarryctl: \"%s\" is not \"dry\"\n", argv[1]);
		return CTL_USAGE;
	}
	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		fprintf(stderr, "tarryctl: %s\n", strerror(ENOMEM));
		return CTL_LATER;
	}
	l->ctl = ctl;
	l->name = argv[0];
	l->is_dry = argc > 1;
	status = load_file(l);
	free(l);
	return status;
}
