/*
 * See names.h. A list of texts that only grows: an entry is written before
 * the count that makes it visible, and never again. The index is the
 * assigning thread's alone.
 */
#include "proxy/config/names.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

#include "proxy/config/config.h"

#define OTHER "other"
/* Of a name so many bytes are kept, and two names that long are one. */
#define NAME_CAP 64

struct name_list {
	const char **texts;	/* cap of them */
	uint16_t *index;	/* open addressing: id + 1, 0 is free */
	_Atomic uint32_t count; /* cap at most; the last is OTHER then */
	uint32_t cap;
	uint32_t mask; /* of the index, which is never more than half full */
};

struct names {
	struct name_list classes;
	struct name_list rules;
};

_Static_assert(NAMES_RULES_CAP < UINT16_MAX, "ids, and one for `free`");

static uint32_t
index_size(uint32_t cap)
{
	uint32_t size = 1;

	while (size < 2 * cap)
		size *= 2;
	return size;
}

static bool
list_open(struct name_list *list, uint32_t cap)
{
	uint32_t size = index_size(cap);

	list->cap = cap;
	list->mask = size - 1;
	list->texts = calloc(cap, sizeof(char *));
	list->index = calloc(size, sizeof(uint16_t));
	return list->texts != NULL && list->index != NULL;
}

static void
list_free(struct name_list *list)
{
	uint32_t count = atomic_load(&list->count);

	/* The last one of a full list is a static text. */
	for (uint32_t i = 0; i < count && i < list->cap - 1; i++)
		free((void *)(uintptr_t)list->texts[i]);
	free(list->texts);
	free(list->index);
}

struct names *
names_new(void)
{
	struct names *names = calloc(1, sizeof *names);

	if (names == NULL)
		return NULL;
	if (!list_open(&names->classes, NAMES_CLASSES_CAP) ||
	    !list_open(&names->rules, NAMES_RULES_CAP)) {
		names_free(names);
		return NULL;
	}
	return names;
}

void
names_free(struct names *names)
{
	if (names == NULL)
		return;
	list_free(&names->classes);
	list_free(&names->rules);
	free(names);
}

/* Adds a name at the free place `at` of the index; its id. */
static uint16_t
list_add(struct name_list *list, uint32_t at, const char *name, size_t len)
{
	uint32_t count = atomic_load(&list->count);
	uint16_t other = (uint16_t)(list->cap - 1); /* < UINT16_MAX */
	char *text;

	if (count >= list->cap - 1) {
		list->texts[other] = OTHER;
		atomic_store_explicit(&list->count, list->cap,
				      memory_order_release);
		return other;
	}
	text = strndup(name, len);
	if (text == NULL)
		return other;
	list->texts[count] = text;
	list->index[at] = (uint16_t)(count + 1);
	atomic_store_explicit(&list->count, count + 1, memory_order_release);
	return (uint16_t)count;
}

static uint16_t
list_id(struct name_list *list, const char *name)
{
	size_t len = strnlen(name, NAME_CAP);
	uint32_t at = (uint32_t)XXH3_64bits(name, len) & list->mask;

	while (list->index[at] != 0) {
		uint16_t id = (uint16_t)(list->index[at] - 1);

		if (strncmp(list->texts[id], name, NAME_CAP) == 0)
			return id;
		at = (at + 1) & list->mask;
	}
	return list_add(list, at, name, len);
}

void
names_assign(struct names *names, struct config *config)
{
	/* The config is the caller's still; only its readers see it const. */
	struct policy_class *classes =
	    (struct policy_class *)(uintptr_t)config->policy.classes;
	struct policy_rule *rules =
	    (struct policy_rule *)(uintptr_t)config->policy.rules;

	for (size_t i = 0; i < config->policy.classes_count; i++)
		classes[i].id = list_id(&names->classes, classes[i].name);
	for (size_t i = 0; i < config->policy.rules_count; i++)
		rules[i].id = list_id(&names->rules, rules[i].name);
}

static const char *
list_text(const struct name_list *list, uint16_t id)
{
	uint32_t count =
	    atomic_load_explicit(&list->count, memory_order_acquire);

	return id < count ? list->texts[id] : OTHER;
}

const char *
names_class(const struct names *names, uint16_t id)
{
	if (id == PLAN_CLASS_PASS)
		return "pass";
	if (id == PLAN_CLASS_DEFER)
		return "defer";
	return list_text(&names->classes, id);
}

const char *
names_rule(const struct names *names, uint16_t id)
{
	return id == PLAN_NO_RULE ? "-" : list_text(&names->rules, id);
}

size_t
names_classes_count(const struct names *names)
{
	return atomic_load_explicit(&names->classes.count,
				    memory_order_acquire);
}

size_t
names_rules_count(const struct names *names)
{
	return atomic_load_explicit(&names->rules.count, memory_order_acquire);
}

static size_t
list_bytes(uint32_t cap)
{
	return cap * (sizeof(char *) + NAME_CAP) +
	       index_size(cap) * sizeof(uint16_t);
}

void
names_print_size(FILE *out)
{
	size_t bytes =
	    list_bytes(NAMES_CLASSES_CAP) + list_bytes(NAMES_RULES_CAP);

	fprintf(out,
		"names    of %d classes and %d rules = %8.1f MiB at most\n",
		NAMES_CLASSES_CAP - 1, NAMES_RULES_CAP - 1,
		(double)bytes / (1024.0 * 1024.0));
}
