#include "proxy/ctl/simulate.h"

#include <stdio.h>
#include <string.h>

#define BAR 40
#define BAR_ROWS 12 /* divides LEVEL_STEPS */
#define KIB 1024.0

static json_t *
seconds(uint32_t ms)
{
	return json_real(ms / 1000.0);
}

static json_t *
spread_object(const struct spread *s)
{
	return json_pack("{sI so so so so}", "count", (json_int_t)s->count,
			 "mean_s", json_real(spread_mean(s) / 1000), "p50_s",
			 seconds(spread_at(s, 500)), "p99_s",
			 seconds(spread_at(s, 990)), "max_s", seconds(s->max));
}

static json_t *
level_object(const struct level *l)
{
	json_t *steps = json_array();

	for (uint32_t i = 0; i < LEVEL_STEPS; i++)
		(void)json_array_append_new(steps, json_real(level_step(l, i)));
	return json_pack("{sf sI sI so}", "mean", level_mean(l), "p99",
			 (json_int_t)level_at(l, 990), "max",
			 (json_int_t)l->max, "steps", steps);
}

static void
put_count(json_t *object, const char *key, uint64_t n)
{
	(void)json_object_set_new(object, key, json_integer((json_int_t)n));
}

static json_t *
reasons_object(const struct simulation_kind *k)
{
	json_t *object = json_object();

	for (int i = 0; i < REASON_COUNT; i++) {
		if (k->ended[i] > 0)
			put_count(object,
				  session_reason_name((enum session_reason)i),
				  k->ended[i]);
	}
	return object;
}

static json_t *
classes_object(const struct simulation_kind *k, const struct policy *policy)
{
	json_t *object = json_object();

	for (size_t i = 0; i < PLAN_RANKS; i++) {
		const char *name = "pass";

		if (i == PLAN_RANK_DEFER)
			name = "defer";
		else if (i > 0 && i <= policy->classes_count)
			name = policy->classes[i - 1].name;
		if (k->classes[i] > 0)
			put_count(object, name, k->classes[i]);
	}
	return object;
}

static json_t *
kind_object(const struct simulation_kind *k, const struct policy *policy,
	    uint32_t for_ms)
{
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
	    {"sessions", k->sessions}, {"retries", k->retries},
	    {"no_room", k->no_room},   {"gave_up", k->gave_up},
	    {"told_421", k->told_421}, {"messages", k->wanted},
	    {"taken", k->taken},       {"refused", k->refused},
	    {"lost", k->lost},	       {"waiting", k->waiting},
	};
	json_t *object = json_object();

	(void)json_object_set_new(object, "kind", json_string(k->kind->name));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put_count(object, rows[i].key, rows[i].value);
	(void)json_object_set_new(object, "held_mean",
				  json_real((double)k->held_ms / for_ms));
	(void)json_object_set_new(object, "delay", spread_object(&k->delay));
	(void)json_object_set_new(object, "delay_mail",
				  spread_object(&k->delay_mail));
	(void)json_object_set_new(object, "mail_after",
				  spread_object(&k->mail_after));
	(void)json_object_set_new(object, "gave_up_after",
				  spread_object(&k->gave_up_after));
	(void)json_object_set_new(object, "ended", reasons_object(k));
	(void)json_object_set_new(object, "classes", classes_object(k, policy));
	return object;
}

json_t *
simulate_object(const struct simulation_result *r, const struct policy *policy,
		double wall_s)
{
	json_t *kinds = json_array();

	for (size_t i = 0; i < r->kinds_count; i++)
		(void)json_array_append_new(
		    kinds, kind_object(&r->kinds[i], policy, r->for_ms));
	return json_pack("{so sI sI sI sI so so so so sf sI sf sf so}", "for_s",
			 seconds(r->for_ms), "seed", (json_int_t)r->seed,
			 "sessions", (json_int_t)r->sessions, "max_sessions",
			 (json_int_t)r->max_sessions, "max_connections",
			 (json_int_t)r->max_connections, "open",
			 level_object(&r->open), "held", level_object(&r->held),
			 "mta_connections", level_object(&r->slots), "lead",
			 seconds(r->lead_ms), "over_s",
			 (double)r->end_ms / 1000, "memory_bytes",
			 (json_int_t)simulation_memory(r), "wall_s", wall_s,
			 "sessions_a_minute", (double)r->sessions * 60 / wall_s,
			 "kinds", kinds);
}

static long long
whole(const json_t *of, const char *key)
{
	return (long long)json_integer_value(json_object_get(of, key));
}

static double
real(const json_t *of, const char *key)
{
	return json_real_value(json_object_get(of, key));
}

static void
print_level(const json_t *object, const char *key, const char *name)
{
	const json_t *l = json_object_get(object, key);

	printf("%-22s %10.1f %10lld %10lld\n", name, real(l, "mean"),
	       whole(l, "p99"), whole(l, "max"));
}

static void
print_head(const json_t *o)
{
	printf("%lld sessions in %.0f s, seed %lld; %lld sessions and %lld MTA "
	       "connections\nat a time at most. The rules are in force. The "
	       "last session was over at %.0f s.\n\n",
	       whole(o, "sessions"), real(o, "for_s"), whole(o, "seed"),
	       whole(o, "max_sessions"), whole(o, "max_connections"),
	       real(o, "over_s"));
	printf("%-22s %10s %10s %10s\n", "at a time", "mean", "p99", "max");
	print_level(o, "open", "sessions");
	print_level(o, "held", "held");
	print_level(o, "mta_connections", "MTA connections");
	printf("%-22s %10s %10s %6.0f KiB\n\n", "memory of sessions", "", "",
	       (double)whole(o, "memory_bytes") / KIB);
}

static void
print_kind(const json_t *k)
{
	const json_t *delay = json_object_get(k, "delay");
	const json_t *gone = json_object_get(k, "gave_up_after");

	printf("%-16.16s %9lld %8lld %7.1f %7lld %9.1f %8.1f %8.1f\n",
	       json_string_value(json_object_get(k, "kind")),
	       whole(k, "sessions"), whole(k, "gave_up"), real(gone, "p50_s"),
	       whole(k, "told_421"), real(k, "held_mean"), real(delay, "p50_s"),
	       real(delay, "p99_s"));
}

/* They wait where nobody looks; or, as here, go. */
static void
print_no_room(const json_t *k)
{
	if (whole(k, "no_room") > 0)
		printf("%-16.16s %9lld more found no seat (max_sessions)\n",
		       json_string_value(json_object_get(k, "kind")),
		       whole(k, "no_room"));
}

static void
print_mail(const json_t *k)
{
	const json_t *after = json_object_get(k, "mail_after");

	printf("%-16.16s %9lld %8lld %7lld %7lld %9lld %8.1f %8.1f\n",
	       json_string_value(json_object_get(k, "kind")),
	       whole(k, "messages"), whole(k, "taken"), whole(k, "refused"),
	       whole(k, "lost"), whole(k, "waiting"), real(after, "p50_s"),
	       real(after, "p99_s"));
}

static void
print_classes(const json_t *k)
{
	json_t *of = json_object_get(k, "classes");
	const char *name;
	json_t *n;

	printf("%-16.16s ", json_string_value(json_object_get(k, "kind")));
	json_object_foreach(of, name, n)
	{
		printf(" %s %lld", name, (long long)json_integer_value(n));
	}
	printf("\n");
}

static void
print_all(const json_t *kinds, void (*print)(const json_t *k))
{
	const json_t *k;
	size_t i;

	json_array_foreach(kinds, i, k)
	{
		print(k);
	}
}

/* The mean of the steps of a row. */
static double
row_mean(const json_t *steps, size_t row)
{
	const size_t n = LEVEL_STEPS / BAR_ROWS;
	double sum = 0;

	for (size_t i = row * n; i < (row + 1) * n; i++)
		sum += json_real_value(json_array_get(steps, i));
	return sum / (double)n;
}

static void
print_bars(const json_t *object)
{
	const json_t *held =
	    json_object_get(json_object_get(object, "held"), "steps");
	const json_t *mta = json_object_get(
	    json_object_get(object, "mta_connections"), "steps");
	double most = 1;

	for (size_t i = 0; i < BAR_ROWS; i++) {
		if (row_mean(held, i) > most)
			most = row_mean(held, i);
	}
	printf("\n%10s %10s %10s\n", "until, s", "held", "MTA");
	for (size_t i = 0; i < BAR_ROWS; i++) {
		const double h = row_mean(held, i);
		const int len = (int)(h / most * BAR + 0.5);

		printf("%10.0f %10.1f %10.1f  %.*s\n",
		       real(object, "for_s") * (double)(i + 1) / BAR_ROWS, h,
		       row_mean(mta, i), len,
		       "########################################");
	}
}

void
simulate_print(const json_t *object)
{
	const json_t *kinds = json_object_get(object, "kinds");

	print_head(object);
	printf("%-16s %9s %8s %7s %7s %9s %8s %8s\n", "", "sessions", "gave up",
	       "after,s", "421", "held mean", "delay", "p99, s");
	print_all(kinds, print_kind);
	print_all(kinds, print_no_room);
	printf("\n%-16s %9s %8s %7s %7s %9s %8s %8s\n", "", "messages", "taken",
	       "refused", "lost", "waiting", "after,s", "p99, s");
	print_all(kinds, print_mail);
	printf("\n%-16s  classes at the end\n", "");
	print_all(kinds, print_classes);
	print_bars(object);
	printf("\nIt took %.2f s: %.0f sessions a minute.\n",
	       real(object, "wall_s"), real(object, "sessions_a_minute"));
}
