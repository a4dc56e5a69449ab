/*
 * The effective configuration. Scalars are printed from the struct, so that
 * what is shown is what is used; lists as they were written, since a file
 * named by one need not be written out.
 */
#include <string.h>

#include "proxy/config/config.h"
#include "proxy/config/setting.h"
#include "proxy/config/tree.h"

static void
print_origin(const struct tree_entry *entry, FILE *out)
{
	if (entry == NULL)
		fputs("  ; built-in default\n", out);
	else if (entry->line == 0 || strcmp(entry->file, TREE_BUILT_IN) == 0)
		fprintf(out, "  ; %s\n", entry->file);
	else
		fprintf(out, "  ; %s:%u\n", entry->file, entry->line);
}

static void
print_header(const char *title, FILE *out)
{
	fprintf(out, "\n[%s]\n", title);
}

/* All scalar keys of a section that fills `base`. */
static void
print_scalars(const char *kind, const struct tree_section *section,
	      const void *base, FILE *out)
{
	for (size_t i = 0; i < keys_count; i++) {
		const struct key *key = &keys[i];
		if (strcmp(key->section, kind) != 0 || !key->is_built ||
		    !setting_is_scalar(key))
			continue;
		fprintf(out, "%s = ", key->name);
		setting_print(key, base, out);
		print_origin(tree_entry(section, key->name), out);
	}
}

static void
print_entry(const struct tree_entry *e, FILE *out)
{
	fprintf(out, "%s = %s", e->key->name, e->value);
	print_origin(e, out);
}

/* What the section says, as it says it. */
static void
print_entries(const struct tree_section *section, FILE *out)
{
	for (size_t i = 0; i < section->entries_count; i++)
		print_entry(&section->entries[i], out);
}

static void
print_classes(const struct config *config, FILE *out)
{
	for (size_t i = 0; i < config->policy.classes_count; i++) {
		const struct policy_class *class = &config->policy.classes[i];
		const struct tree_section *s =
		    tree_section(config->tree, "class", class->name);
		print_header(s->title, out);
		print_scalars("class", s, class, out);
	}
}

static void
print_named(const struct config *config, const char *kind, FILE *out)
{
	for (size_t i = 0; i < config->tree->sections_count; i++) {
		const struct tree_section *s = &config->tree->sections[i];
		if (strcmp(s->kind->name, kind) != 0)
			continue;
		print_header(s->title, out);
		print_entries(s, out);
	}
}

static void
print_list(const struct tree_section *section, const struct key *key, FILE *out)
{
	if (tree_entry(section, key->name) == NULL) {
		fprintf(out, "%s = ", key->name);
		print_origin(NULL, out);
		return;
	}
	for (size_t i = 0; i < section->entries_count; i++) {
		if (section->entries[i].key == key)
			print_entry(&section->entries[i], out);
	}
}

/* Its lists behind its scalars. */
static void
print_one(const struct config *config, const char *kind, FILE *out)
{
	const struct tree_section *s = tree_section(config->tree, kind, "");

	print_scalars(kind, s, config, out);
	for (size_t i = 0; i < keys_count; i++) {
		if (strcmp(keys[i].section, kind) == 0 && keys[i].is_built &&
		    key_is_list(&keys[i]))
			print_list(s, &keys[i], out);
	}
}

void
config_print_effective(const struct config *config, FILE *out)
{
	for (size_t i = 0; i < sections_count; i++) {
		const char *kind = sections[i].name;
		if (!sections[i].is_built)
			continue;
		if (strcmp(kind, "class") == 0) {
			print_classes(config, out);
		} else if (sections[i].naming == SECTION_NAMED) {
			print_named(config, kind, out);
		} else {
			print_header(kind, out);
			print_one(config, kind, out);
		}
	}
}
