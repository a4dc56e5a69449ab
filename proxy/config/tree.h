/*
 * The file as sections and keys that are known to exist; values are still
 * text. Everything lives in one arena.
 */
#ifndef PROXY_CONFIG_TREE_H
#define PROXY_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proxy/config/arena.h"
#include "proxy/config/keys.h"
#include "proxy/config/report.h"

/* What is printed in place of a file's name. */
#define TREE_COMMAND_LINE "command line"
#define TREE_BUILT_IN "built-in"

struct tree_entry {
	const struct key *key;
	const char *value;
	const char *file;
	unsigned line; /* 0: no line to speak of */
};

struct tree_section {
	const struct section *kind;
	const char *name;  /* "" without one */
	const char *title; /* `mta`, `rule friends` */
	const char *file;
	unsigned line;
	bool is_bad; /* has mistakes: what it lacks may be one of them */
	struct tree_entry *entries;
	size_t entries_count;
};

struct tree {
	struct tree_section *sections; /* in file order */
	size_t sections_count;
	struct arena *arena;
	struct report *report;
};

/*
 * Reads a file into the tree. What does not exist, is not built or stands
 * there twice is reported and left out. `file` is its name for people and
 * must live as long as the arena. Returns 0 or a negative errno of reading.
 */
int tree_read(struct tree *tree, FILE *in, const char *file);

/* Forgets all sections of a kind. */
void tree_remove(struct tree *tree, const char *kind);

/*
 * Puts one value in place of all that the section says for the key; the
 * section is made if there is none. Section and key must be in keys.def.
 */
void tree_set(struct tree *tree, const char *kind, const char *name,
	      const char *key, const char *value);

/* The one section of a kind and name, or NULL. */
const struct tree_section *tree_section(const struct tree *tree,
					const char *kind, const char *name);

/* The last entry of that name, or NULL; the section may be NULL. */
const struct tree_entry *tree_entry(const struct tree_section *section,
				    const char *name);

/*
 * Reports `file:line: section.key: ...`, at the entry, or at the section
 * where entry is NULL: `file:line: [section]: ...`. The section must be one
 * of the tree's.
 */
void tree_note(const struct tree *tree, enum report_kind kind,
	       const struct tree_section *section,
	       const struct tree_entry *entry, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
