#include "proxy/config/listeners.h"

#include <string.h>

#include "proxy/config/config.h"
#include "proxy/config/list.h"
#include "proxy/config/setting.h"
#include "proxy/config/value.h"

/* The listeners so far, and the section in work. */
struct build {
	const struct tree *tree;
	const struct tree_section *section;
	const struct addr *mta;
	bool ends_tls;
	struct config_listener *listeners; /* the last one is in work */
	size_t listeners_count;
	struct addr *addresses; /* of the last one, still to be written to */
};

static bool
is_any_ip(const struct addr *a)
{
	static const uint8_t zeros[16];

	return a->family == 4 ? memcmp(a->ip + 12, zeros, 4) == 0
			      : memcmp(a->ip, zeros, 16) == 0;
}

static bool
is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	return a->family == 4 ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
}

/* True if a connection to `mta` would come to the listener at `a`. */
static bool
is_ourselves(const struct addr *mta, const struct addr *a)
{
	if (mta->port != a->port)
		return false;
	return addr_same_ip(mta, a) ||
	       (mta->family == a->family && is_any_ip(a) && is_loopback(mta));
}

static bool
is_listener_at(const struct config_listener *l, const struct addr *a)
{
	for (size_t i = 0; i < l->addresses_count; i++) {
		const struct addr *b = &l->addresses[i];
		if (a->port == b->port && addr_same_ip(a, b))
			return true;
	}
	return false;
}

/* Port 0 is a new port each time. */
static bool
is_taken(const struct build *b, const struct addr *a)
{
	for (size_t i = 0; i < b->listeners_count; i++) {
		if (a->port != 0 && is_listener_at(&b->listeners[i], a))
			return true;
	}
	return false;
}

/* False, and said why, if text is no address that we can listen on. */
static bool
check_address(const struct build *b, const struct list_item *item,
	      const char *text, struct addr *a)
{
	struct value_why why;

	if (!value_address(text, 0, a, &why))
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "%s", why.text);
	else if (is_taken(b, a))
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "%s is there twice, expected each address once",
			  text);
	else if (is_ourselves(b->mta, a))
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "mta.address leads to %s, so every session would "
			  "come back here; expected another port",
			  text);
	else
		return true;
	return false;
}

static void
take_address(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	struct config_listener *l = &b->listeners[b->listeners_count - 1];
	const char *text = arena_text(b->tree->arena, item->text, item->len);
	struct addr *all = arena_grow(b->tree->arena, b->addresses,
				      l->addresses_count, sizeof(*all));

	if (all == NULL || text == NULL)
		return;
	b->addresses = all;
	l->addresses = all;
	if (check_address(b, item, text, &all[l->addresses_count]))
		l->addresses_count++;
}

static void
check_tls(const struct build *b, const struct tree_section *s)
{
	if (b->listeners[b->listeners_count - 1].tls ==
		CONFIG_LISTEN_IMPLICIT &&
	    !b->ends_tls)
		tree_note(b->tree, REPORT_MISTAKE, s, tree_entry(s, "tls"),
			  "implicit needs TLS that ends here, expected mode = "
			  "terminate in [tls]");
}

static void
build_listener(struct build *b)
{
	const struct tree_section *s = b->section;
	struct config_listener *all = arena_grow(
	    b->tree->arena, b->listeners, b->listeners_count, sizeof(*all));

	if (all == NULL)
		return;
	all[b->listeners_count++].name = s->name;
	b->listeners = all;
	b->addresses = NULL;
	setting_fill(b->tree, "listen", s, &all[b->listeners_count - 1]);
	check_tls(b, s);
	for (size_t i = 0; i < s->entries_count; i++) {
		if (s->entries[i].key->type == KEY_ADDRESSES)
			list_each(b->tree, s, &s->entries[i], LIST_COMMAS,
				  take_address, b);
	}
	if (tree_entry(s, "address") == NULL)
		tree_note(b->tree, REPORT_MISTAKE, s, NULL,
			  "has no address, expected address = 0.0.0.0:25 or "
			  "the like");
}

void
listeners_build(const struct tree *tree, const char *file,
		struct config *config)
{
	struct build b = {.tree = tree,
			  .mta = &config->mta.address,
			  .ends_tls = config->tls.mode == CONFIG_TLS_TERMINATE};

	for (size_t i = 0; i < tree->sections_count; i++) {
		b.section = &tree->sections[i];
		if (strcmp(b.section->kind->name, "listen") == 0)
			build_listener(&b);
	}
	if (b.listeners_count == 0)
		report_add(tree->report, REPORT_MISTAKE, file, 0,
			   "there is no [listen NAME], expected one, such as "
			   "[listen smtp] with address = 0.0.0.0:25");
	config->listeners = b.listeners;
	config->listeners_count = b.listeners_count;
}
