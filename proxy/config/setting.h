/*
 * Keys with one value: text into the field that keys.def names, and back.
 */
#ifndef PROXY_CONFIG_SETTING_H
#define PROXY_CONFIG_SETTING_H

#include <stdbool.h>
#include <stdio.h>

#include "proxy/config/arena.h"
#include "proxy/config/keys.h"
#include "proxy/config/tree.h"
#include "proxy/config/value.h"

/* What a DURATION holds whose text is one of the key's words. */
#define SETTING_WORD_MS UINT32_MAX

/* True for the types that this module knows. */
bool setting_is_scalar(const struct key *key);

/*
 * Parses the text and puts it into the field of `base`, a struct of the kind
 * that the key's section fills. False: `why` says what is wrong with it, and
 * the field is as it was.
 */
bool setting_put(const struct key *key, void *base, const char *text,
		 struct arena *arena, struct value_why *why);

/*
 * Fills all scalar fields of `base` for a section of that kind: first what
 * keys.def says, then what the section says. The section may be NULL.
 * Mistakes are reported.
 */
void setting_fill(const struct tree *tree, const char *kind,
		  const struct tree_section *section, void *base);

/* Prints the field's value, as the file would have it. */
void setting_print(const struct key *key, const void *base, FILE *out);

#endif
