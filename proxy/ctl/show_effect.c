/*
 * `tarryctl effect`, for a person.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/ctl/verbs.h"

static double
real(const json_t *of, const char *key)
{
	return json_number_value(json_object_get(of, key));
}

static long long
whole(const json_t *of, const char *key)
{
	return (long long)json_integer_value(json_object_get(of, key));
}

static bool
says(const json_t *of, const char *key, const char *word)
{
	const char *value = json_string_value(json_object_get(of, key));

	return value != NULL && strcmp(value, word) == 0;
}

static void
print_about(const json_t *line)
{
	if (json_is_true(json_object_get(line, "shadow")))
		printf("Nothing is delayed (mode = shadow): no effect.\n");
	else if (whole(line, "holdout") == 0)
		printf("Nobody is held out now, so nothing can be compared: "
		       "set learn.holdout = 5%%.\n");
	if (whole(line, "shaped_blind") + whole(line, "held_out_blind") > 0)
		printf("Of %lld slowed and %lld held out the mail was not seen "
		       "(TLS that passes through): they count as having "
		       "brought nothing.\n",
		       whole(line, "shaped_blind"),
		       whole(line, "held_out_blind"));
}

/* A share of sessions in both arms; the change in points of a percent. */
static void
print_fact(const json_t *line, const char *key, const char *words)
{
	const json_t *f = json_object_get(line, key);

	printf("  %-22s slowed %6.2f %%   held out %6.2f %%   ", words,
	       100 * real(f, "shaped"), 100 * real(f, "held_out"));
	if (json_is_true(json_object_get(f, "known")))
		printf("%+7.2f (%+.2f to %+.2f)\n", 100 * real(f, "change"),
		       100 * real(f, "low"), 100 * real(f, "high"));
	else
		printf("too few to tell\n");
}

/* In sessions: what the slowed would have brought, less what they did. */
static void
print_avoided(const json_t *line)
{
	const json_t *f = json_object_get(line, "spam");
	const double n = (double)whole(line, "shaped");

	if (json_is_true(json_object_get(f, "known")))
		printf("  sessions with spam avoided: %.0f (%.0f to %.0f)\n",
		       -n * real(f, "change"), -n * real(f, "high"),
		       -n * real(f, "low"));
}

static void
print_line(void *ctx, const json_t *line)
{
	const char *name = json_string_value(json_object_get(line, "name"));

	(void)ctx;
	if (says(line, "kind", "about")) {
		print_about(line);
		return;
	}
	printf("%s %s: %lld slowed, %lld held out\n",
	       json_string_value(json_object_get(line, "kind")),
	       name != NULL ? name : "-", whole(line, "shaped"),
	       whole(line, "held_out"));
	print_fact(line, "spam", "brought spam");
	print_fact(line, "good", "delivered mail");
	print_fact(line, "late", "and that was late");
	print_avoided(line);
}

enum ctl_exit
verb_effect(const struct ctl *ctl, int argc, char **argv)
{
	return asking(ctl, "effect", argc > 0 ? argv[0] : NULL, print_line,
		      NULL);
}
