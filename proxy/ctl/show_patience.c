/*
 * `tarryctl patience`, for a person: a table of each curve, with a bar where
 * somebody looks at it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/ctl/verbs.h"

#define BAR 40
#define ARGUMENT_CAP 512

/* Rows of a table, s; a curve ends where nobody was seen to wait longer. */
static const double waits_s[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 17, 20, 25};
static const double sums_s[] = {1,  2,	3,  5,	8,  10, 15,  20,
				25, 30, 40, 50, 60, 80, 100, 120};

static long long
whole(const json_t *of, const char *key)
{
	return (long long)json_integer_value(json_object_get(of, key));
}

static const char *
text(const json_t *of, const char *key)
{
	const char *value = json_string_value(json_object_get(of, key));

	return value != NULL ? value : "-";
}

struct point {
	double gone;
	long long at_risk;
};

/* The curve at `ms`: what has happened in the bins before it. */
static struct point
at(const json_t *line, double ms)
{
	struct point p = {0, 0};
	const json_t *bin;
	size_t i;

	json_array_foreach(json_object_get(line, "bins"), i, bin)
	{
		if ((double)json_integer_value(json_array_get(bin, 0)) < ms)
			p.gone = json_real_value(json_array_get(bin, 3));
		else if (p.at_risk == 0)
			p.at_risk = json_integer_value(json_array_get(bin, 1));
	}
	return p;
}

static void
print_row(const json_t *line, double s)
{
	const struct point p = at(line, 1000 * s);
	int len = (int)(p.gone * BAR + 0.5);

	printf("  %5.0f s %9.2f %% %10lld", s, 100 * p.gone, p.at_risk);
	if (isatty(STDOUT_FILENO))
		printf("  %.*s", len,
		       "########################################");
	printf("\n");
}

static void
print_curve(const json_t *line)
{
	const bool is_wait = strcmp(text(line, "by"), "wait") == 0;
	const double *rows = is_wait ? waits_s : sums_s;
	size_t count = is_wait ? sizeof(waits_s) / sizeof(waits_s[0])
			       : sizeof(sums_s) / sizeof(sums_s[0]);

	if (whole(line, "sessions") == 0)
		return;
	printf("%s, by %s: %lld sessions\n", text(line, "who"),
	       is_wait ? "the longest wait" : "the sum of all waits",
	       whole(line, "sessions"));
	printf("  %7s %11s %10s\n", "delay", "have left", "wait on");
	for (size_t i = 0; i < count; i++) {
		print_row(line, rows[i]);
		if (at(line, 1000 * rows[i]).at_risk == 0)
			break;
	}
}

static void
print_delay(const json_t *line)
{
	const char *answer = text(line, "answer");
	const char *by = strcmp(text(line, "by"), "wait") == 0
			     ? "one wait"
			     : "all waits together";
	const double s = (double)whole(line, "ms") / 1000;

	if (strcmp(answer, "found") == 0)
		printf("%s of %.2f s: %lld %% of the bad have left, and fewer "
		       "than %lld of a million good ones\n",
		       by, s, whole(line, "bad_percent"),
		       whole(line, "good_ppm"));
	else if (strcmp(answer, "stay") == 0)
		printf("%s: %lld %% of the bad never left\n", by,
		       whole(line, "bad_percent"));
	else if (strcmp(answer, "good_leave") == 0)
		printf("%s of %.2f s: %lld %% of the bad have left, but too "
		       "many of the good\n",
		       by, s, whole(line, "bad_percent"));
	else
		printf("%s of %.2f s: too few were seen to wait so long (good "
		       "ones: %lld)\n",
		       by, s, whole(line, "good_waited"));
}

static void
print_line(void *ctx, const json_t *line)
{
	(void)ctx;
	if (strcmp(text(line, "kind"), "curve") == 0)
		print_curve(line);
	else
		print_delay(line);
}

enum ctl_exit
verb_patience(const struct ctl *ctl, int argc, char **argv)
{
	char argument[ARGUMENT_CAP] = "";
	size_t len = 0;

	for (int i = 0; i < argc; i++) {
		const int n = snprintf(argument + len, sizeof(argument) - len,
				       i > 0 ? " %s" : "%s", argv[i]);

		if (n < 0 || (size_t)n >= sizeof(argument) - len) {
			fprintf(stderr, "tarryctl: too long: %.40s...\n",
				argv[i]);
			return CTL_USAGE;
		}
		len += (size_t)n;
	}
	return asking(ctl, "patience", argc > 0 ? argument : NULL, print_line,
		      NULL);
}
