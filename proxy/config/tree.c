#include "proxy/config/tree.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/ini_reader.h"

#define LIST_CAP 1000

/* A file on its way into a tree. */
struct reading {
	struct tree *tree;
	struct ini_reader reader;
	bool is_skipping; /* keys of a section that is not there */
	bool has_section;
};

__attribute__((format(printf, 2, 3))) static void
complain(struct reading *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_vadd(r->tree->report, REPORT_MISTAKE, r->reader.file,
		    r->reader.line, format, args);
	va_end(args);
}

/* Adds ", `before``word``after`" to a list text, as far as there is room. */
static void
append_word(char list[LIST_CAP], const char *before, const char *word,
	    const char *after)
{
	size_t used = strlen(list);

	snprintf(list + used, LIST_CAP - used, "%s%s%s%s", used > 0 ? ", " : "",
		 before, word, after);
}

static void
unknown_section(struct reading *r, const char *text, const char *kind)
{
	const struct section *near = section_nearest(kind);
	char list[LIST_CAP] = "";

	if (near != NULL) {
		complain(r, "[%s]: unknown section, did you mean [%s%s]?", text,
			 near->name,
			 near->naming == SECTION_NAMED ? " NAME" : "");
		return;
	}
	for (size_t i = 0; i < sections_count; i++) {
		if (sections[i].is_built)
			append_word(list, "[", sections[i].name,
				    sections[i].naming == SECTION_NAMED
					? " NAME]"
					: "]");
	}
	complain(r, "[%s]: unknown section, expected one of %s", text, list);
}

/* Letters, digits, - and _. */
static bool
is_name(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_";

	return *text != '\0' && text[strspn(text, letters)] == '\0';
}

/* Says what is wrong with a section's name, if anything. */
static bool
check_section_name(struct reading *r, const struct section *kind,
		   const char *name)
{
	if (kind->naming == SECTION_ONE) {
		if (*name == '\0')
			return true;
		if (strcmp(kind->name, "mta") == 0)
			complain(r,
				 "[mta %s]: more than one MTA is not built "
				 "in this version, expected [mta]",
				 name);
		else
			complain(r, "[%s %s]: has a name, expected [%s]",
				 kind->name, name, kind->name);
		return false;
	}
	if (*name == '\0') {
		complain(r, "[%s]: has no name, expected [%s NAME]", kind->name,
			 kind->name);
		return false;
	}
	if (!is_name(name)) {
		complain(r,
			 "[%s %s]: cannot be a name, expected letters, "
			 "digits, - and _ only",
			 kind->name, name);
		return false;
	}
	if (strcmp(kind->name, "class") == 0 &&
	    (strcmp(name, "pass") == 0 || strcmp(name, "defer") == 0)) {
		complain(r, "[class %s]: is built in, expected another name",
			 name);
		return false;
	}
	return true;
}

/* Text `kind name` as two strings in the arena; false without memory. */
static bool
split_section(struct arena *arena, const char *text, const char **kind,
	      const char **name)
{
	size_t kind_len = strcspn(text, " \t");
	const char *rest = text + kind_len;

	rest += strspn(rest, " \t");
	*kind = arena_text(arena, text, kind_len);
	*name = arena_text(arena, rest, strlen(rest));
	return *kind != NULL && *name != NULL;
}

static const char *
section_title(struct arena *arena, const char *kind, const char *name)
{
	size_t kind_len = strlen(kind);
	size_t name_len = strlen(name);
	char *title = arena_take(arena, kind_len + name_len + 2);

	if (title == NULL)
		return NULL;
	memcpy(title, kind, kind_len);
	if (name_len > 0) {
		title[kind_len] = ' ';
		memcpy(title + kind_len + 1, name, name_len);
	}
	return title;
}

/* A new, empty section at the end; NULL without memory. */
static struct tree_section *
add_section(struct tree *tree, const struct section *kind, const char *name)
{
	const char *title = section_title(tree->arena, kind->name, name);
	struct tree_section *all =
	    arena_grow(tree->arena, tree->sections, tree->sections_count,
		       sizeof(*tree->sections));

	if (title == NULL || all == NULL)
		return NULL;
	tree->sections = all;
	all += tree->sections_count++;
	*all = (struct tree_section){.kind = kind,
				     .name = name,
				     .title = title,
				     .file = TREE_COMMAND_LINE};
	return all;
}

static void
take_section(void *ctx, const char *text)
{
	struct reading *r = ctx;
	struct tree_section *added;
	const char *kind_name;
	const char *name;

	r->has_section = true;
	r->is_skipping = true;
	if (text == NULL ||
	    !split_section(r->tree->arena, text, &kind_name, &name))
		return;
	const struct section *kind = section_find(kind_name);
	if (kind == NULL) {
		unknown_section(r, text, kind_name);
		return;
	}
	if (!kind->is_built) {
		complain(r, "[%s]: not built in this version", text);
		return;
	}
	if (!check_section_name(r, kind, name))
		return;
	added = add_section(r->tree, kind, name);
	if (added == NULL)
		return;
	added->file = r->reader.file;
	added->line = r->reader.line;
	r->is_skipping = false;
}

static void
unknown_key(struct reading *r, const struct tree_section *s, const char *name)
{
	const char *kind = s->kind->name;
	const struct key *near = key_nearest(kind, name);
	const struct key *other = key_elsewhere(name);
	char list[LIST_CAP] = "";

	if (other != NULL) {
		const struct section *home = section_find(other->section);
		complain(r, "%s.%s: unknown key here, it belongs in [%s%s]",
			 s->title, name, home->name,
			 home->naming == SECTION_NAMED ? " NAME" : "");
		return;
	}
	if (near != NULL) {
		complain(r, "%s.%s: unknown key, did you mean \"%s\"?",
			 s->title, name, near->name);
		return;
	}
	for (size_t i = 0; i < keys_count; i++) {
		if (keys[i].is_built && !keys[i].is_not &&
		    strcmp(keys[i].section, kind) == 0)
			append_word(list, "", keys[i].name, "");
	}
	complain(r, "%s.%s: unknown key, expected one of %s", s->title, name,
		 list);
}

/* False, and said, if a key that is no list stands there already. */
static bool
check_first(struct reading *r, const struct tree_section *s,
	    const struct key *key)
{
	const struct tree_entry *first;

	if (key_is_list(key))
		return true;
	first = tree_entry(s, key->name);
	if (first == NULL)
		return true;
	complain(r, "%s.%s: stands there a second time, first in line %u",
		 s->title, key->name, first->line);
	return false;
}

static void
add_entry(struct tree *tree, struct tree_section *s, struct tree_entry entry)
{
	struct tree_entry *all = arena_grow(tree->arena, s->entries,
					    s->entries_count, sizeof(entry));

	entry.value = arena_text(tree->arena, entry.value, strlen(entry.value));
	if (all == NULL || entry.value == NULL)
		return;
	s->entries = all;
	all[s->entries_count++] = entry;
}

/* A row of its own for a name of a row that stands for many. */
static const struct key *
own_key(struct reading *r, const struct key *many, const char *name)
{
	struct key *own = arena_take(r->tree->arena, sizeof(*own));

	if (own == NULL)
		return many;
	*own = *many;
	own->name = arena_text(r->tree->arena, name, strlen(name));
	if (own->name == NULL)
		return many;
	own->part = own->name + strlen(many->name) - 1;
	return own;
}

/* inih's handler. inih's own idea of the section is not looked at. */
static int
take_key(void *ctx, const char *section, const char *name, const char *value)
{
	struct reading *r = ctx;
	struct tree_section *s;
	const struct key *key;

	(void)section;
	if (!r->has_section)
		complain(r, "\"%s\" stands in front of the first [section]",
			 name);
	if (!r->has_section || r->is_skipping)
		return 1;
	s = &r->tree->sections[r->tree->sections_count - 1];
	key = key_find(s->kind->name, name);
	if (key != NULL && key->is_built && key_is_many(key))
		key = own_key(r, key, name);
	s->is_bad |= key == NULL || !key->is_built;
	if (key == NULL)
		unknown_key(r, s, name);
	else if (!key->is_built)
		complain(r, "%s.%s: not built in this version", s->title, name);
	else if (check_first(r, s, key))
		add_entry(r->tree, s,
			  (struct tree_entry){.key = key,
					      .value = value,
					      .file = r->reader.file,
					      .line = r->reader.line});
	return 1;
}

/* By kind and name, then as they stand. */
static int
compare_sections(const void *left, const void *right)
{
	const struct tree_section *a = *(struct tree_section *const *)left;
	const struct tree_section *b = *(struct tree_section *const *)right;
	int by_title = strcmp(a->title, b->title);

	if (by_title != 0)
		return by_title;
	return a->line < b->line ? -1 : a->line > b->line;
}

/* Reports sections of one name, and leaves the first of them. */
static void
drop_doubles(struct tree *tree)
{
	size_t n = tree->sections_count;
	size_t kept = 0;
	struct tree_section **by_title =
	    arena_take(tree->arena, n * sizeof(*by_title));
	const struct tree_section *first = NULL;

	if (by_title == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		by_title[i] = &tree->sections[i];
	qsort(by_title, n, sizeof(*by_title), compare_sections);
	for (size_t i = 0; i < n; i++) {
		struct tree_section *s = by_title[i];
		if (first == NULL || strcmp(first->title, s->title) != 0) {
			first = s;
			continue;
		}
		tree_note(tree, REPORT_MISTAKE, s, NULL,
			  "stands there a second time, first in line %u",
			  first->line);
		s->kind = NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (tree->sections[i].kind != NULL)
			tree->sections[kept++] = tree->sections[i];
	}
	tree->sections_count = kept;
}

int
tree_read(struct tree *tree, FILE *in, const char *file)
{
	struct reading r = {
	    .tree = tree,
	    .reader = {.in = in, .file = file, .report = tree->report},
	};
	int rc;

	r.reader.on_section = take_section;
	r.reader.ctx = &r;
	rc = ini_parse_stream(ini_reader_next, &r.reader, take_key, &r);
	if (rc > 0)
		report_add(tree->report, REPORT_MISTAKE, file, 0,
			   "key line number %d cannot be read", rc);
	rc = rc < 0 ? -ENOMEM : r.reader.error;
	ini_reader_free(&r.reader);
	drop_doubles(tree);
	return rc;
}

void
tree_remove(struct tree *tree, const char *kind)
{
	size_t kept = 0;

	for (size_t i = 0; i < tree->sections_count; i++) {
		if (strcmp(tree->sections[i].kind->name, kind) != 0)
			tree->sections[kept++] = tree->sections[i];
	}
	tree->sections_count = kept;
}

static struct tree_section *
find_section(const struct tree *tree, const char *kind, const char *name)
{
	for (size_t i = 0; i < tree->sections_count; i++) {
		struct tree_section *s = &tree->sections[i];
		if (strcmp(s->kind->name, kind) == 0 &&
		    strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

void
tree_set(struct tree *tree, const char *kind, const char *name, const char *key,
	 const char *value)
{
	struct tree_section *s = find_section(tree, kind, name);
	size_t kept = 0;

	if (s == NULL)
		s = add_section(tree, section_find(kind), name);
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->entries_count; i++) {
		if (strcmp(s->entries[i].key->name, key) != 0)
			s->entries[kept++] = s->entries[i];
	}
	s->entries_count = kept;
	add_entry(tree, s,
		  (struct tree_entry){.key = key_find(kind, key),
				      .value = value,
				      .file = TREE_COMMAND_LINE});
}

const struct tree_section *
tree_section(const struct tree *tree, const char *kind, const char *name)
{
	return find_section(tree, kind, name);
}

const struct tree_entry *
tree_entry(const struct tree_section *section, const char *name)
{
	if (section == NULL)
		return NULL;
	for (size_t i = section->entries_count; i > 0; i--) {
		if (strcmp(section->entries[i - 1].key->name, name) == 0)
			return &section->entries[i - 1];
	}
	return NULL;
}

void
tree_note(const struct tree *tree, enum report_kind kind,
	  const struct tree_section *section, const struct tree_entry *entry,
	  const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (kind == REPORT_MISTAKE)
		tree->sections[section - tree->sections].is_bad = true;
	if (entry != NULL)
		report_add(tree->report, kind, entry->file, entry->line,
			   "%s.%s: %s", section->title, entry->key->name, text);
	else
		report_add(tree->report, kind, section->file, section->line,
			   "[%s]: %s", section->title, text);
}
