/*
 * `tarryctl signatures`, for a person.
 */
#include <stdio.h>

#include "proxy/ctl/top_screen.h"
#include "proxy/ctl/verbs.h"

static void
print_row(void *ctx, const json_t *row)
{
	bool *has_head = ctx;
	char line[TOP_WIDTH];

	if (!*has_head) {
		top_signature(NULL, line);
		puts(line);
	}
	*has_head = true;
	top_signature(row, line);
	puts(line);
}

enum ctl_exit
verb_signatures(const struct ctl *ctl, int argc, char **argv)
{
	bool has_head = false;

	return asking(ctl, "signatures", argc > 0 ? argv[0] : NULL, print_row,
		      &has_head);
}
