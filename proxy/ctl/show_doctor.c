/*
 * `tarryctl doctor`, for a person.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/ctl/verbs.h"

struct count {
	unsigned errors;
	unsigned warnings;
};

static const char *
text_of(const json_t *line, const char *key)
{
	const char *text = json_string_value(json_object_get(line, key));

	return text != NULL ? text : "";
}

static void
count_finding(void *ctx, const json_t *line)
{
	struct count *count = ctx;

	count->errors += strcmp(text_of(line, "level"), "error") == 0;
	count->warnings += strcmp(text_of(line, "level"), "warning") == 0;
}

static void
print_finding(void *ctx, const json_t *line)
{
	const json_t *mend = json_object_get(line, "mend");

	(void)ctx;
	printf("%-8s %-12s %s\n", text_of(line, "level"),
	       text_of(line, "check"), text_of(line, "text"));
	for (size_t i = 0; i < json_array_size(mend); i++) {
		const char *text = json_string_value(json_array_get(mend, i));

		printf("%*s-> %s\n", 22, "", text != NULL ? text : "");
	}
}

enum ctl_exit
verb_doctor(const struct ctl *ctl, int argc, char **argv)
{
	struct count count = {0};
	enum ctl_exit status =
	    asking_seen(ctl, "doctor", argc > 0 ? argv[0] : NULL, print_finding,
			count_finding, &count);

	if (status != CTL_FINE)
		return status;
	if (!ctl->is_json)
		printf("%u %s, %u %s\n", count.errors,
		       count.errors == 1 ? "error" : "errors", count.warnings,
		       count.warnings == 1 ? "warning" : "warnings");
	if (count.errors > 0)
		return CTL_REFUSED;
	return count.warnings > 0 ? CTL_WARNED : CTL_FINE;
}
