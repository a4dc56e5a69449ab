/*
 * The verbs that change how tarryd runs as a whole.
 */
#include <stdio.h>

#include "proxy/ctl/verbs.h"

static void
print_note(void *ctx, const json_t *line)
{
	const char *kind = json_string_value(json_object_get(line, "kind"));
	const char *text = json_string_value(json_object_get(line, "text"));

	(void)ctx;
	printf("%s: %s\n", kind != NULL ? kind : "note",
	       text != NULL ? text : "");
}

enum ctl_exit
verb_reload(const struct ctl *ctl, int argc, char **argv)
{
	enum ctl_exit status = asking(ctl, "reload", NULL, print_note, NULL);

	(void)argc;
	(void)argv;
	if (status == CTL_FINE && !ctl->is_json)
		puts("the configuration was read again and is in force");
	return status;
}

static void
print_modes(void *ctx, const json_t *line)
{
	const char *mode = json_string_value(json_object_get(line, "mode"));
	json_t *one;
	size_t i;

	(void)ctx;
	printf("mode = %s\n", mode != NULL ? mode : "?");
	json_array_foreach(json_object_get(line, "set"), i, one)
	{
		const char *rule =
		    json_string_value(json_object_get(one, "rule"));

		mode = json_string_value(json_object_get(one, "mode"));
		printf("%s%s: %s, until the next reload\n",
		       rule != NULL ? "rule " : "all", rule != NULL ? rule : "",
		       mode != NULL ? mode : "?");
	}
}

enum ctl_exit
verb_shadow(const struct ctl *ctl, int argc, char **argv)
{
	char text[256];

	if (argc == 0)
		return asking(ctl, "shadow", NULL, print_modes, NULL);
	(void)snprintf(text, sizeof(text), "%s %s", argv[0],
		       argc > 1 ? argv[1] : "");
	return asking(ctl, "shadow", text, print_modes, NULL);
}

static void
print_released(void *ctx, const json_t *line)
{
	json_int_t count =
	    json_integer_value(json_object_get(line, "released"));

	(void)ctx;
	if (count > 0)
		printf("%lld %s released\n", (long long)count,
		       count == 1 ? "session was" : "sessions were");
}

enum ctl_exit
verb_release(const struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return asking(ctl, "release", argv[0], print_released, NULL);
}

static void
print_drain(void *ctx, const json_t *line)
{
	json_int_t s = json_integer_value(json_object_get(line, "waits_s"));

	(void)ctx;
	printf("shutting down: no new clients, all delays end; what has not "
	       "ended in %lld s is cut\n",
	       (long long)s);
}

enum ctl_exit
verb_drain(const struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return asking(ctl, "drain", NULL, print_drain, NULL);
}
