#include "proxy/config/networks.h"

#include <string.h>

#include "proxy/config/list.h"
#include "proxy/config/value.h"

/* A list on its way. */
struct build {
	const struct tree *tree;
	struct networks *list;
};

static void
take_net(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	struct networks *n = b->list;
	struct value_why why;
	struct net net;
	struct net *all;

	if (!value_net(item->text, item->len, &net, &why)) {
		tree_note(b->tree, REPORT_MISTAKE, n->section, item->place,
			  "%s", why.text);
		return;
	}
	all = arena_grow(b->tree->arena, n->nets, n->count, sizeof(*all));
	if (all == NULL)
		return;
	all[n->count++] = net;
	n->nets = all;
}

static void
build_list(const struct tree *tree, struct networks *list)
{
	struct build b = {.tree = tree, .list = list};
	const struct tree_section *s = list->section;

	for (size_t i = 0; i < s->entries_count; i++)
		list_each(tree, s, &s->entries[i], LIST_COMMAS, take_net, &b);
	if (s->entries_count == 0)
		tree_note(tree, REPORT_MISTAKE, s, NULL,
			  "has no networks, expected network = 192.0.2.0/24 "
			  "or @FILE");
}

static bool
is_list(const struct tree_section *s)
{
	return strcmp(s->kind->name, "list") == 0;
}

void
networks_build(const struct tree *tree, struct networks_all *all)
{
	size_t cap = 0;

	*all = (struct networks_all){0};
	for (size_t i = 0; i < tree->sections_count; i++)
		cap += is_list(&tree->sections[i]);
	all->lists = arena_take(tree->arena, cap * sizeof(*all->lists));
	if (all->lists == NULL)
		return;
	for (size_t i = 0; i < tree->sections_count; i++) {
		if (!is_list(&tree->sections[i]))
			continue;
		all->lists[all->count].section = &tree->sections[i];
		build_list(tree, &all->lists[all->count++]);
	}
}

const struct networks *
networks_find(const struct networks_all *all, const char *text, size_t len)
{
	for (size_t i = 0; i < all->count; i++) {
		const char *name = all->lists[i].section->name;
		if (strlen(name) == len && memcmp(name, text, len) == 0)
			return &all->lists[i];
	}
	return NULL;
}
