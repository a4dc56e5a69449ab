#include "proxy/config/certificates.h"

#include <string.h>

#include "proxy/config/config.h"
#include "proxy/config/list.h"

struct paths {
	const struct tree *tree;
	const struct tree_section *section;
	struct config_path *all;
	size_t count;
};

static void
take_path(void *ctx, const struct list_item *item)
{
	struct paths *p = ctx;
	struct config_path *all =
	    arena_grow(p->tree->arena, p->all, p->count, sizeof(*all));
	const char *text = arena_text(p->tree->arena, item->text, item->len);

	if (all == NULL || text == NULL)
		return;
	p->all = all;
	if (*text != '/')
		tree_note(p->tree, REPORT_MISTAKE, p->section, item->place,
			  "\"%.60s\" is not possible, expected a path that "
			  "begins with /",
			  text);
	all[p->count++] =
	    (struct config_path){text, item->place->file, item->place->line};
}

static struct paths
read_paths(const struct tree *tree, const struct tree_section *s,
	   const char *name)
{
	struct paths p = {.tree = tree, .section = s};

	for (size_t i = 0; s != NULL && i < s->entries_count; i++) {
		const struct tree_entry *e = &s->entries[i];

		if (strcmp(e->key->name, name) == 0 && *e->value != '\0')
			list_each(tree, s, e, LIST_COMMAS, take_path, &p);
	}
	return p;
}

static void
pair(const struct tree *tree, struct config_tls *tls,
     const struct paths *certificates, const struct paths *theirs)
{
	struct config_certificate *all =
	    arena_take(tree->arena, certificates->count * sizeof(*all));

	if (all == NULL)
		return;
	/* Without keys: they stand in the certificates' own files. */
	for (size_t i = 0; i < certificates->count; i++) {
		all[i].certificate = certificates->all[i];
		all[i].key =
		    theirs->count > 0 ? theirs->all[i] : certificates->all[i];
	}
	tls->certificates = all;
	tls->certificates_count = certificates->count;
}

void
certificates_build(const struct tree *tree, struct config_tls *tls)
{
	const struct tree_section *s = tree_section(tree, "tls", "");
	struct paths certificates = read_paths(tree, s, "certificate");
	struct paths theirs = read_paths(tree, s, "key");

	if (s == NULL)
		return;
	if (theirs.count > 0 && theirs.count != certificates.count) {
		tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "key"),
			  "there are %zu for %zu certificates, expected one "
			  "for each, in the same order",
			  theirs.count, certificates.count);
		return;
	}
	if (tls->mode == CONFIG_TLS_TERMINATE && certificates.count == 0 &&
	    !s->is_bad)
		tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "mode"),
			  "terminate needs a certificate, expected "
			  "certificate = /path and key = /path");
	if (certificates.count > 0)
		pair(tree, tls, &certificates, &theirs);
}
