/*
 * `tarryctl status`, for a person.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/ctl/verbs.h"

static long long
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

static bool
is_set(const json_t *of, const char *key)
{
	return json_is_true(json_object_get(of, key));
}

/* "3d 4h", "5m 6s": the two largest units. */
static void
print_age(long long s)
{
	static const struct {
		long long s;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	size_t i = 0;

	while (i < 3 && s < units[i].s)
		i++;
	printf("%lld%c", s / units[i].s, units[i].unit);
	s %= units[i].s;
	if (i < 3 && s >= units[i + 1].s)
		printf(" %lld%c", s / units[i + 1].s, units[i + 1].unit);
}

static void
print_sessions(const json_t *s)
{
	printf("sessions  %lld open, %lld of them held; at most %lld",
	       number(s, "open"), number(s, "held"), number(s, "limit"));
	if (is_set(s, "full"))
		printf("; full, new ones wait");
	else if (is_set(s, "stress"))
		printf("; nearly full, greetings come early");
	printf("\n");
}

static void
print_mta(const json_t *mta)
{
	printf("mta       %s (%s): %s\n", text(mta, "address"),
	       text(mta, "client_address"),
	       is_set(mta, "ready") ? "ready" : "NOT READY");
	if (!is_set(mta, "ready"))
		printf("          %s\n"
		       "          `tarryctl doctor` looks closer\n",
		       text(mta, "why"));
}

static void
print_slots(const json_t *s)
{
	printf("slots     %lld of %lld connections to the MTA in use, %lld "
	       "wait for one%s\n",
	       number(s, "used"), number(s, "limit"), number(s, "waiting"),
	       is_set(s, "stress") ? "; nearly used up, delays are short" : "");
	printf("          %lld of %lld that slowed sessions may have; %lld "
	       "wait under a cap\n",
	       number(s, "throttled"), number(s, "throttled_limit"),
	       number(s, "caps_waiting"));
}

static void
print_sidecar(const json_t *s)
{
	printf("sidecar   %s", text(s, "state"));
	if (strcmp(text(s, "state"), "up") == 0)
		printf(", %lld SYNs seen, %lld lost", number(s, "received"),
		       number(s, "dropped"));
	else if (strcmp(text(s, "state"), "not used") != 0)
		printf(" (%s): the kernel's copies of SYNs are used",
		       text(s, "socket"));
	printf("\n");
}

static void
print_config(const json_t *c)
{
	const char *file = json_string_value(json_object_get(c, "file"));

	printf("config    %s", file != NULL ? file : "the one compiled in");
	if (is_set(c, "reload_failed"))
		printf("; THE LAST RELOAD WAS REFUSED, what was before holds");
	if (json_array_size(json_object_get(c, "modes")) > 0)
		printf("; modes were set by hand: tarryctl shadow");
	printf("\n");
}

static void
print_memory(const json_t *m)
{
	if (number(m, "limit") == 0)
		return;
	printf("memory    %lld of %lld rows, %lld changed since they were "
	       "written\n",
	       number(m, "rows"), number(m, "limit"), number(m, "changed"));
	if (text(m, "file")[0] == '\0')
		printf("          kept nowhere: tarry.state is empty\n");
	else if (text(m, "why")[0] != '\0')
		printf("          NOT KEPT: %s\n", text(m, "why"));
	else
		printf("          kept in %s, %lld rows written\n",
		       text(m, "file"), number(m, "written"));
}

/* Said only where there is something that is not seen. */
static void
print_blind(const json_t *ended)
{
	long long all = number(ended, "all");
	long long opaque = number(ended, "opaque") - number(ended, "told");

	if (all > 0 && opaque * 100 >= all)
		printf("outcomes  learning is blind for %lld %% of sessions: "
		       "their TLS passes through,\n"
		       "          and nobody sees, or tells, what became of "
		       "their mail\n",
		       opaque * 100 / all);
}

static void
print_status(void *ctx, const json_t *line)
{
	const char *mode = text(line, "mode");

	(void)ctx;
	printf("tarryd    %s, %s, up ", text(line, "version"),
	       text(line, "state"));
	print_age(number(line, "uptime_s"));
	printf(", process %lld\n", number(line, "pid"));
	printf("mode      %s\n", strcmp(mode, "shadow") == 0
				     ? "shadow: nothing is delayed, "
				       "only noted"
				     : mode);
	print_sessions(json_object_get(line, "sessions"));
	print_mta(json_object_get(line, "mta"));
	print_slots(json_object_get(line, "slots"));
	print_sidecar(json_object_get(line, "sidecar"));
	print_config(json_object_get(line, "config"));
	print_memory(json_object_get(line, "memory"));
	print_blind(json_object_get(line, "ended"));
	if (number(line, "log_lines_dropped") > 0)
		printf("log       %lld lines were dropped\n",
		       number(line, "log_lines_dropped"));
}

enum ctl_exit
verb_status(const struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return asking(ctl, "status", NULL, print_status, NULL);
}
