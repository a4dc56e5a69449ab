/*
 * `tarryctl sessions`, for a person.
 */
#include <stdio.h>

#include "proxy/ctl/verbs.h"

static const char *
text(const json_t *of, const char *key)
{
	const char *value = json_string_value(json_object_get(of, key));

	return value != NULL ? value : "-";
}

static double
seconds(const json_t *of, const char *key)
{
	return (double)json_integer_value(json_object_get(of, key)) / 1000;
}

/* How the client behaves, if it is worth a word, and speaks. */
static void
print_manners(const json_t *line)
{
	const json_t *list = json_object_get(line, "manners");
	const json_t *name;
	size_t i;

	json_array_foreach(list, i, name)
	{
		printf(" %s", json_string_value(name));
	}
	if (text(line, "dialect")[0] != '\0')
		printf(" %s", text(line, "dialect"));
	if (text(line, "dialect_label")[0] != '\0')
		printf(" (%s)", text(line, "dialect_label"));
	printf("\n");
}

/* What is usual needs no word. */
static const char *
mode(const char *name)
{
	if (name[0] == 's')
		return " (shadow)";
	return name[0] == 'h' ? " (held out)" : "";
}

static void
print_session(void *ctx, const json_t *line)
{
	bool *has_head = ctx;

	if (!*has_head)
		printf("%-8s %-24s %-10s %-14s %-8s %8s %8s\n", "id", "client",
		       "class", "rule", "phase", "age", "held");
	*has_head = true;
	printf("%-8lld %-24s %-10s %-14s %-8s %7.1fs %7.1fs%s%s",
	       (long long)json_integer_value(json_object_get(line, "id")),
	       text(line, "client"), text(line, "class"), text(line, "rule"),
	       text(line, "phase"), seconds(line, "age_ms"),
	       seconds(line, "held_ms"),
	       json_is_true(json_object_get(line, "held")) ? " now" : "",
	       mode(text(line, "mode")));
	print_manners(line);
}

enum ctl_exit
verb_sessions(const struct ctl *ctl, int argc, char **argv)
{
	bool has_head = false;

	return asking(ctl, "sessions", argc > 0 ? argv[0] : NULL, print_session,
		      &has_head);
}
