/*
 * Texts with wildcards, for facts that are text: `*` is any run of
 * characters, an empty one too; all else is itself.
 */
#ifndef TARRY_WILDCARD_H
#define TARRY_WILDCARD_H

#include <stdbool.h>

/*
 * True if the whole text is one that the pattern means. Both end with a NUL.
 * Takes at most the product of their lengths; never recurses.
 */
bool wildcard_match(const char *pattern, const char *text);

#endif
