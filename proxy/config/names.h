/*
 * Names of classes and rules, as numbers that stay.
 *
 * Plans, counts and log lines speak of a class or rule by an id. A file that
 * is loaded anew may have its rules in another order; so each name gets its
 * id once and keeps it for the life of the process, whether or not a later
 * file still has it. There is room for so many names; those behind share the
 * last id, "other".
 *
 * One thread assigns; any thread may ask at the same time, without a lock.
 */
#ifndef PROXY_CONFIG_NAMES_H
#define PROXY_CONFIG_NAMES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config;
struct names;

/* The last id of each is "other". */
#define NAMES_CLASSES_CAP 125
#define NAMES_RULES_CAP 16384

/* Without names; NULL without memory. */
struct names *names_new(void);

/* Frees the names and every text they gave out. NULL is fine. */
void names_free(struct names *names);

/*
 * Puts the ids into all classes and rules of a config that nobody else reads
 * yet. A name for which there is no memory is "other".
 */
void names_assign(struct names *names, struct config *config);

/*
 * The name of a plan's class_id: also "pass" and "defer"; "other" for an id
 * that was never given. Static, or lives as long as `names`.
 */
const char *names_class(const struct names *names, uint16_t id);

/* The name of a plan's rule_id; "-" for PLAN_NO_RULE; "other" as above. */
const char *names_rule(const struct names *names, uint16_t id);

/* How many ids were given; they are 0 .. count - 1. */
size_t names_classes_count(const struct names *names);
size_t names_rules_count(const struct names *names);

/* One line: what memory the names take at most. */
void names_print_size(FILE *out);

#endif
