/*
 * keys.def as a table: which sections and keys there are, and which name a
 * misspelt one was meant to be.
 */
#ifndef PROXY_CONFIG_KEYS_H
#define PROXY_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tarry/evidence.h"

enum section_naming { SECTION_ONE, SECTION_NAMED };

struct section {
	const char *name;
	const char *help;
	enum section_naming naming;
	bool is_built;
};

enum key_type {
	KEY_COUNT,
	KEY_DURATION,
	KEY_SIZE,
	KEY_PERCENT,
	KEY_FLAG,
	KEY_CHOICE,
	KEY_MODE,
	KEY_NAME,
	KEY_PATH,
	KEY_ADDRESS,
	KEY_ADDRESSES,
	KEY_PATHS,
	KEY_CLASS,
	KEY_POINTS,
	KEY_ZONE,
	/* Conditions of a rule. */
	KEY_NETS,
	KEY_PATTERNS,
	KEY_LABELS,
	KEY_LISTENERS,
	KEY_WILDCARDS,
	KEY_STANDINGS, /* words of reputation_name(), a list */
	KEY_PTRS,
	KEY_LISTS,  /* names of [list NAME], a list */
	KEY_RANGES, /* a list of them */
	KEY_RANGE,
	KEY_YESNO
};

struct key {
	const char *section;
	const char *name; /* `x.*` stands for every x.y; see key_is_many() */
	const char *part; /* the y; NULL in the table */
	const char *fallback; /* the value where the file says nothing */
	const char *words;    /* parted by spaces, `!` in front: not built */
	const char *help;
	size_t offset; /* in the section's struct */
	uint32_t min;
	uint32_t max;
	enum key_type type;
	enum evidence_kind evidence; /* of a condition */
	bool is_built;
	bool is_condition;
	bool is_not; /* `not.x`, behind the row of x */
	bool is_reloadable;
};

extern const struct section sections[];
extern const size_t sections_count;
extern const struct key keys[];
extern const size_t keys_count;

/* The row of a section, or NULL. */
const struct section *section_find(const char *name);

/* The section whose name is nearest, or NULL if none is near. */
const struct section *section_nearest(const char *name);

/* The row of a key, or NULL. */
const struct key *key_find(const char *section, const char *name);

/* True if the row stands for many keys, each of which is a row of its own
 * wherever the file says it: with its name and its part. */
bool key_is_many(const struct key *key);

/* The built key of the section whose name is nearest, or NULL. */
const struct key *key_nearest(const char *section, const char *name);

/* The first key of that name in any section, or NULL. */
const struct key *key_elsewhere(const char *name);

/* True if the key may stand there more than once. */
bool key_is_list(const struct key *key);

/*
 * How many letters must be put, taken, changed or swapped to make one word of
 * the other; words of more than 64 bytes are just far apart.
 */
unsigned word_distance(const char *a, const char *b);

/* True if the distance is so small that a slip of the hand explains it. */
bool word_is_near(const char *written, const char *meant);

#endif
