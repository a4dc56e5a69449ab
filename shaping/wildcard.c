/*
 * A star that turns out to have been too short is made one longer; only the
 * last star needs that, because what stands between two stars may as well be
 * found as early as possible.
 */
#include "tarry/wildcard.h"

#include <stddef.h>

bool
wildcard_match(const char *pattern, const char *text)
{
	const char *star = NULL; /* behind the last one that was met */
	const char *tried = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			tried = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++tried;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}
