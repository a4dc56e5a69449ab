/*
 * The items of a list value: parted by commas where the key allows it, and
 * the lines of a file for `@/path`.
 */
#ifndef PROXY_CONFIG_LIST_H
#define PROXY_CONFIG_LIST_H

#include <stddef.h>

#include "proxy/config/tree.h"

/* Whether commas part the items; patterns have commas of their own. */
enum list_commas { LIST_COMMAS, LIST_WHOLE };

/* One item, trimmed and never empty. */
struct list_item {
	const char *text; /* valid during the call only */
	size_t len;
	/* The entry it came from, or the line of the file it names. */
	const struct tree_entry *place;
};

/*
 * Calls `take` for each item of the entry. What cannot be read is reported,
 * and the rest is gone through all the same.
 */
void list_each(const struct tree *tree, const struct tree_section *section,
	       const struct tree_entry *entry, enum list_commas commas,
	       void (*take)(void *ctx, const struct list_item *item),
	       void *ctx);

#endif
