/*
 * The verbs `set` and `unset`: reputations pinned by hand.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/ctl/verbs.h"

#define TEXT_CAP 512

static void
print_pin(void *ctx, const json_t *line)
{
	const char *who = json_string_value(json_object_get(line, "who"));
	const char *as = json_string_value(json_object_get(line, "reputation"));
	json_int_t s = json_integer_value(json_object_get(line, "left_s"));

	(void)ctx;
	printf("%-8s %3lldh %02lldm  %s\n", as != NULL ? as : "?",
	       (long long)(s / 3600), (long long)(s / 60 % 60),
	       who != NULL ? who : "?");
}

/* argv[0..argc) with blanks between them; false: too long. */
static bool
join(char out[TEXT_CAP], int argc, char **argv)
{
	size_t len = 0;

	out[0] = '\0';
	for (int i = 0; i < argc; i++) {
		if (len + strlen(argv[i]) + 2 > TEXT_CAP)
			return false;
		len += (size_t)snprintf(out + len, TEXT_CAP - len, "%s%s",
					i > 0 ? " " : "", argv[i]);
	}
	return true;
}

enum ctl_exit
verb_set(const struct ctl *ctl, int argc, char **argv)
{
	char text[TEXT_CAP];

	if (!join(text, argc, argv)) {
		fprintf(stderr, "tarryctl: set: that is too long\n");
		return CTL_USAGE;
	}
	return asking(ctl, "set", argc > 0 ? text : NULL, print_pin, NULL);
}

enum ctl_exit
verb_unset(const struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return asking(ctl, "unset", argv[0], print_pin, NULL);
}
