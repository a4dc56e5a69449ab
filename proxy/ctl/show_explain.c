/*
 * `tarryctl explain`, for a person.
 */
#include <stdint.h>
#include <stdio.h>

#include "proxy/ctl/verbs.h"

static const char *
text(const json_t *of, const char *key)
{
	const char *value = json_string_value(json_object_get(of, key));

	return value != NULL ? value : "-";
}

static long long
number(const json_t *of, const char *key)
{
	return (long long)json_integer_value(json_object_get(of, key));
}

static double
seconds(const json_t *of, const char *key)
{
	return (double)number(of, key) / 1000;
}

static void
print_plan(const char *title, const json_t *plan)
{
	printf("%-8s rule %s, class %s (%s): greet %.1fs, reply %.1fs, error "
	       "%.1fs, drip %.1fs",
	       title, text(plan, "rule"), text(plan, "class"),
	       text(plan, "mode"), seconds(plan, "greet_ms"),
	       seconds(plan, "reply_ms"), seconds(plan, "error_ms"),
	       seconds(plan, "drip_ms"));
	if (number(plan, "data_rate") > 0)
		printf(", upload %lld bytes/s", number(plan, "data_rate"));
	printf("\n");
}

static void
print_session(const json_t *line)
{
	printf("session  %lld of %s, phase %s, %.1fs old, held for %.1fs\n",
	       number(line, "session"), text(line, "client"),
	       text(line, "phase"), seconds(line, "age_ms"),
	       seconds(line, "held_ms"));
	print_plan("in force", json_object_get(line, "in_force"));
}

static void
print_facts(const json_t *facts)
{
	const char *name;
	const json_t *value;
	void *at;

	printf("known\n");
	for (at = json_object_iter((json_t *)(uintptr_t)facts); at != NULL;
	     at = json_object_iter_next((json_t *)(uintptr_t)facts, at)) {
		name = json_object_iter_key(at);
		value = json_object_iter_value(at);
		printf("  %s = %s\n", name, json_string_value(value));
	}
}

static void
print_condition(const json_t *c)
{
	const char *value = json_string_value(json_object_get(c, "value"));

	printf("    %-6s %s", text(c, "says"), text(c, "condition"));
	if (value != NULL)
		printf("   [%s]", value);
	else
		printf("   [not known]");
	printf("\n");
}

static void
print_rule(const json_t *line)
{
	const json_t *list = json_object_get(line, "conditions");
	const json_t *c;
	bool holds = json_is_true(json_object_get(line, "holds"));
	size_t i;

	printf("rule     %s: %s%s%s\n", text(line, "rule"),
	       holds ? "holds, " : "does not hold, ", text(line, "effect"),
	       json_is_true(json_object_get(line, "shadow"))
		   ? " (in shadow, skipped)"
	       : json_is_true(json_object_get(line, "decides")) ? ": decides"
								: "");
	json_array_foreach(list, i, c)
	{
		print_condition(c);
	}
}

static void
print_new_plan(const json_t *line)
{
	const json_t *plan = json_object_get(line, "plan");

	print_plan("plan now", plan);
	printf("         score %lld of %lld sources\n", number(plan, "score"),
	       number(plan, "sources"));
	if (number(plan, "cut_greet_ms") > 0)
		printf("         the budget took %.1fs off the greeting's "
		       "delay\n",
		       seconds(plan, "cut_greet_ms"));
	if (number(plan, "cut_reply_ms") > 0)
		printf("         the budget took %.1fs off a reply's delay\n",
		       seconds(plan, "cut_reply_ms"));
	if (json_is_true(json_object_get(line, "stress_sessions")))
		printf("         sessions are nearly used up: greetings are "
		       "shortened\n");
	if (json_is_true(json_object_get(line, "stress_slots")))
		printf("         MTA connections are nearly used up: no delay "
		       "behind the greeting\n");
}

static void
print_line(void *ctx, const json_t *line)
{
	(void)ctx;
	if (json_object_get(line, "session") != NULL)
		print_session(line);
	else if (json_object_get(line, "what_if") != NULL)
		printf("client   %s, no session: what if it came now\n",
		       text(line, "client"));
	else if (json_object_get(line, "facts") != NULL)
		print_facts(json_object_get(line, "facts"));
	else if (json_object_get(line, "rule") != NULL)
		print_rule(line);
	else if (json_object_get(line, "plan") != NULL)
		print_new_plan(line);
	else if (json_object_get(line, "cause") != NULL)
		printf("cause    %s\n", text(line, "cause"));
	else if (json_object_get(line, "rules_left_out") != NULL)
		printf("         and %lld more rules that do not hold\n",
		       number(line, "rules_left_out"));
}

enum ctl_exit
verb_explain(const struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return asking(ctl, "explain", argv[0], print_line, NULL);
}
