/*
 * See config_keep.h. The keys are those of keys.def; what they fill is
 * compared as values, so that `64k` in place of `65536` is no change.
 */
#include "proxy/config/config_keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/setting.h"
#include "proxy/config/tree.h"

static void
print_addresses(const struct config_listener *l, FILE *out)
{
	for (size_t i = 0; i < l->addresses_count; i++) {
		char text[ADDR_TEXT_CAP];

		addr_text(&l->addresses[i], text, sizeof(text));
		fprintf(out, "%s%s", i > 0 ? ", " : "", text);
	}
}

/* Of each listener, by its name. */
static void
print_of_listeners(const struct config *config, const struct key *key,
		   FILE *out)
{
	for (size_t i = 0; i < config->listeners_count; i++) {
		const struct config_listener *l = &config->listeners[i];

		fprintf(out, "%s%s: ", i > 0 ? "; " : "", l->name);
		if (setting_is_scalar(key))
			setting_print(key, l, out);
		else
			print_addresses(l, out);
	}
}

/* A value as a file would say it, of listeners behind their names; free() it.
 * NULL without memory. */
static char *
print_value(const struct config *config, const struct key *key)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	if (strcmp(key->section, "listen") == 0)
		print_of_listeners(config, key, out);
	else
		setting_print(key, config, out);
	fclose(out);
	return text;
}

/* Both are as they were loaded, and `running` as it was kept. */
static void
warn(const struct config *next, const struct config *running,
     const struct key *key, const char *name, struct report *report)
{
	const struct tree_entry *at =
	    tree_entry(tree_section(next->tree, key->section, name), key->name);
	char *now = print_value(next, key);
	char *was = print_value(running, key);

	report_add(report, REPORT_WARNING,
		   at != NULL ? at->file : TREE_BUILT_IN,
		   at != NULL ? at->line : 0,
		   "%s.%s: `%s` needs a restart; until then it is `%s`, as "
		   "before",
		   key->section, key->name, now != NULL ? now : "",
		   was != NULL ? was : "");
	free(now);
	free(was);
}

static bool
same_address(const struct addr *a, const struct addr *b)
{
	return addr_same_ip(a, b) && a->port == b->port;
}

static bool
is_text(const struct key *key)
{
	return key->type == KEY_NAME || key->type == KEY_PATH;
}

static size_t
size_of(const struct key *key)
{
	if (is_text(key))
		return sizeof(char *);
	if (key->type == KEY_ADDRESS)
		return sizeof(struct addr);
	if (key->type == KEY_FLAG)
		return sizeof(bool);
	if (key->type == KEY_CHOICE)
		return sizeof(enum config_log_format);
	return sizeof(uint32_t);
}

/* Fields are texts, addresses, or plain numbers of some size. */
static bool
same_value(const struct key *key, const void *a, const void *b)
{
	const char *texts[2];
	struct addr addresses[2];

	if (is_text(key)) {
		memcpy(&texts[0], a, sizeof(texts[0]));
		memcpy(&texts[1], b, sizeof(texts[1]));
		return strcmp(texts[0], texts[1]) == 0;
	}
	if (key->type == KEY_ADDRESS) {
		memcpy(&addresses[0], a, sizeof(addresses[0]));
		memcpy(&addresses[1], b, sizeof(addresses[1]));
		return same_address(&addresses[0], &addresses[1]);
	}
	return memcmp(a, b, size_of(key)) == 0;
}

static void
keep_scalar(struct config *next, const struct config *running,
	    const struct key *key, struct report *report)
{
	unsigned char *to = (unsigned char *)next + key->offset;
	const unsigned char *from =
	    (const unsigned char *)running + key->offset;
	const char *text;

	if (same_value(key, to, from))
		return;
	warn(next, running, key, "", report);
	memcpy(to, from, size_of(key));
	if (!is_text(key))
		return;
	memcpy(&text, from, sizeof(text));
	text = arena_text(next->arena, text, strlen(text));
	if (text != NULL)
		memcpy(to, &text, sizeof(text));
}

static bool
same_listener(const struct config_listener *a, const struct config_listener *b)
{
	if (strcmp(a->name, b->name) != 0 ||
	    a->addresses_count != b->addresses_count)
		return false;
	for (size_t i = 0; i < a->addresses_count; i++) {
		if (!same_address(&a->addresses[i], &b->addresses[i]))
			return false;
	}
	return true;
}

static bool
same_addresses(const struct config *a, const struct config *b)
{
	if (a->listeners_count != b->listeners_count)
		return false;
	for (size_t i = 0; i < a->listeners_count; i++) {
		if (!same_listener(&a->listeners[i], &b->listeners[i]))
			return false;
	}
	return true;
}

static bool
same_in_all(const struct key *key, const struct config *a,
	    const struct config *b)
{
	for (size_t i = 0; i < a->listeners_count; i++) {
		if (!same_value(key,
				(const char *)&a->listeners[i] + key->offset,
				(const char *)&b->listeners[i] + key->offset))
			return false;
	}
	return true;
}

/* A key of [listen NAME] that is not the same; NULL: all are. */
static const struct key *
other_key(const struct config *a, const struct config *b)
{
	if (!same_addresses(a, b))
		return key_find("listen", "address");
	for (size_t i = 0; i < keys_count; i++) {
		if (strcmp(keys[i].section, "listen") == 0 &&
		    keys[i].is_built && setting_is_scalar(&keys[i]) &&
		    !same_in_all(&keys[i], a, b))
			return &keys[i];
	}
	return NULL;
}

/* Copies the running listeners into the memory of `next`. */
static void
copy_listeners(struct config *next, const struct config *running)
{
	size_t count = running->listeners_count;
	struct config_listener *list =
	    arena_take(next->arena, count * sizeof(*list));

	for (size_t i = 0; list != NULL && i < count; i++) {
		const struct config_listener *from = &running->listeners[i];
		size_t bytes = from->addresses_count * sizeof(struct addr);
		struct addr *addresses = arena_take(next->arena, bytes);

		list[i].tls = from->tls;
		list[i].name =
		    arena_text(next->arena, from->name, strlen(from->name));
		if (list[i].name == NULL || addresses == NULL)
			return;
		memcpy(addresses, from->addresses, bytes);
		list[i].addresses = addresses;
		list[i].addresses_count = from->addresses_count;
		list[i].is_transparent = from->is_transparent;
	}
	if (list == NULL)
		return;
	next->listeners = list;
	next->listeners_count = count;
}

/* The first listener of which the file says that key. */
static const char *
name_of_first(const struct config *config, const struct key *key)
{
	for (size_t i = 0; i < config->listeners_count; i++) {
		const char *name = config->listeners[i].name;

		if (tree_entry(tree_section(config->tree, key->section, name),
			       key->name) != NULL)
			return name;
	}
	return "";
}

static void
keep_listeners(struct config *next, const struct config *running,
	       struct report *report)
{
	const struct key *key = other_key(next, running);

	if (key == NULL)
		return;
	warn(next, running, key, name_of_first(next, key), report);
	copy_listeners(next, running);
}

void
config_keep(struct config *next, const struct config *running,
	    struct report *report)
{
	for (size_t i = 0; i < keys_count; i++) {
		const struct section *section = section_find(keys[i].section);

		if (keys[i].is_built && !keys[i].is_reloadable &&
		    section->naming == SECTION_ONE)
			keep_scalar(next, running, &keys[i], report);
	}
	keep_listeners(next, running, report);
	report_sort(report);
}
