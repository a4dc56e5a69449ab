#include "proxy/ctl/top_screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_ASKED "2000"
#define SIGNATURES_ASKED "50"

static json_int_t
number(const json_t *of, const char *key)
{
	return json_integer_value(json_object_get(of, key));
}

static const char *
text(const json_t *of, const char *key)
{
	const char *value = json_string_value(json_object_get(of, key));

	return value != NULL ? value : "-";
}

/* tarryd escapes what peers said; a terminal is not to rely on it. */
static void
make_harmless(char *line)
{
	for (; *line != '\0'; line++) {
		if (*line < ' ' || *line > '~')
			*line = '?';
	}
}

static void
collect(void *ctx, const json_t *line)
{
	(void)json_array_append_new(ctx, json_deep_copy(line));
}

/* Held now before the others, then by age. */
static int
by_wait(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a;
	const json_t *y = *(json_t *const *)b;
	const int x_held = json_is_true(json_object_get(x, "held"));
	const int y_held = json_is_true(json_object_get(y, "held"));
	const json_int_t x_age = number(x, "age_ms");
	const json_int_t y_age = number(y, "age_ms");

	if (x_held != y_held)
		return y_held - x_held;
	return (x_age < y_age) - (x_age > y_age);
}

/* The same rows in that order; as they were if there is no memory. */
static json_t *
sorted(json_t *list)
{
	const size_t count = json_array_size(list);
	json_t **rows = calloc(count + 1, sizeof(json_t *));
	json_t *out = json_array();

	if (rows == NULL || out == NULL) {
		free(rows);
		json_decref(out);
		return list;
	}
	for (size_t i = 0; i < count; i++)
		rows[i] = json_array_get(list, i);
	qsort(rows, count, sizeof(json_t *), by_wait);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append(out, rows[i]);
	free(rows);
	json_decref(list);
	return out;
}

enum ctl_exit
top_ask(const struct ctl *ctl, struct top_facts *out)
{
	const struct ctl plain = {.socket = ctl->socket};
	enum ctl_exit status;

	*out = (struct top_facts){.status = json_array(),
				  .signatures = json_array(),
				  .sessions = json_array()};
	status = asking(&plain, "status", NULL, collect, out->status);
	if (status == CTL_FINE)
		status = asking(&plain, "signatures", SIGNATURES_ASKED, collect,
				out->signatures);
	/* Not counted without a dashboard: the rest is there all the same. */
	if (status == CTL_REFUSED)
		status = CTL_FINE;
	if (status == CTL_FINE)
		status = asking(&plain, "sessions", SESSIONS_ASKED, collect,
				out->sessions);
	out->sessions = sorted(out->sessions);
	return status;
}

void
top_facts_free(struct top_facts *f)
{
	json_decref(f->status);
	json_decref(f->signatures);
	json_decref(f->sessions);
	*f = (struct top_facts){0};
}

void
top_head(const struct top_facts *f, size_t line, char out[TOP_WIDTH])
{
	const json_t *all = json_array_get(f->status, 0);
	const json_t *sessions = json_object_get(all, "sessions");
	const json_t *slots = json_object_get(all, "slots");
	const json_t *mta = json_object_get(all, "mta");
	const bool is_ready = json_is_true(json_object_get(mta, "ready"));

	out[0] = '\0';
	if (line == 0)
		(void)snprintf(
		    out, TOP_WIDTH, "tarryd %s, %s, mode %s, up %lld s",
		    text(all, "version"), text(all, "state"), text(all, "mode"),
		    (long long)number(all, "uptime_s"));
	if (line == 1)
		(void)snprintf(
		    out, TOP_WIDTH,
		    "%lld sessions, %lld of them held, at most %lld; "
		    "connections to the MTA: %lld of %lld, %lld wait",
		    (long long)number(sessions, "open"),
		    (long long)number(sessions, "held"),
		    (long long)number(sessions, "limit"),
		    (long long)number(slots, "used"),
		    (long long)number(slots, "limit"),
		    (long long)number(slots, "waiting"));
	if (line == 2)
		(void)snprintf(out, TOP_WIDTH, "MTA %s: %s%s",
			       text(mta, "address"),
			       is_ready ? "ready" : "NOT READY, ",
			       is_ready ? "" : text(mta, "why"));
	make_harmless(out);
}

void
top_signature(const json_t *row, char out[TOP_WIDTH])
{
	if (row == NULL)
		(void)snprintf(out, TOP_WIDTH, "%9s %9s %7s %7s %7s  %-20s %s",
			       "SESSIONS", "DELIVERED", "SPAM", "UNKNOWN",
			       "GAVE UP", "LABEL", "SIGNATURE");
	else
		(void)snprintf(out, TOP_WIDTH,
			       "%9lld %9lld %7lld %7lld %7lld  %-20.20s %s",
			       (long long)number(row, "sessions"),
			       (long long)number(row, "delivered"),
			       (long long)number(row, "spam"),
			       (long long)number(row, "unknown_users"),
			       (long long)number(row, "gave_up"),
			       text(row, "label"), text(row, "text"));
	make_harmless(out);
}

void
top_session(const json_t *row, char out[TOP_WIDTH])
{
	if (row == NULL)
		(void)snprintf(out, TOP_WIDTH,
			       "%8s %8s  %-4s %-26s %-12s %-14s"
			       " %-8s %s",
			       "ID", "AGE", "HELD", "CLIENT", "CLASS", "RULE",
			       "PHASE", "DIALECT");
	else
		(void)snprintf(
		    out, TOP_WIDTH,
		    "%8lld %7.1fs  %-4s %-26.60s %-12s %-14s %-8s %s",
		    (long long)number(row, "id"),
		    (double)number(row, "age_ms") / 1000,
		    json_is_true(json_object_get(row, "held")) ? "now" : "",
		    text(row, "client"), text(row, "class"), text(row, "rule"),
		    text(row, "phase"),
		    text(row, "dialect_label")[0] != '\0'
			? text(row, "dialect_label")
			: text(row, "dialect"));
	make_harmless(out);
}

static void
print_table(const json_t *rows, void (*make)(const json_t *, char *))
{
	char line[TOP_WIDTH];
	const json_t *row;
	size_t i;

	make(NULL, line);
	puts(line);
	json_array_foreach(rows, i, row)
	{
		make(row, line);
		puts(line);
	}
}

void
top_print(const struct top_facts *f)
{
	char line[TOP_WIDTH];

	for (size_t i = 0; i < TOP_HEAD; i++) {
		top_head(f, i, line);
		puts(line);
	}
	print_table(f->signatures, top_signature);
	puts("");
	print_table(f->sessions, top_session);
}
