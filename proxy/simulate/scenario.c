/*
 * The reader. Lines come from the reader of the configuration and values are
 * parsed by its parsers, so that a mistake is told in the same words; the
 * keys are a table of their own.
 */
#include "proxy/simulate/scenario.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "proxy/config/ini_reader.h"
#include "proxy/config/setting.h"
#include "proxy/simulate/who.h"
#include "tarry/explain.h"

#define LINE_CAP (INI_READER_LINE_MAX + 2)
#define LIST_CAP 600
#define NAME_CAP 32u

/* SECTION_NONE: of keys that belong nowhere. */
enum section_kind { SECTION_NONE, SECTION_scenario, SECTION_mta, SECTION_kind };

enum field { FIELD_SETTING, FIELD_TEXT, FIELD_NETWORK, FIELD_SYN };

struct row {
	enum section_kind section;
	enum field field;
	bool is_range;
	struct key key; /* with name, type, words, bounds, fallback, offset */
};

#define BASE_scenario struct scenario
#define BASE_mta struct scenario
#define BASE_kind struct scenario_kind
#define FIELD_COUNT FIELD_SETTING
#define FIELD_DURATION FIELD_SETTING
#define FIELD_SIZE FIELD_SETTING
#define FIELD_PERCENT FIELD_SETTING
#define FIELD_FLAG FIELD_SETTING
#define FIELD_CHOICE FIELD_SETTING
#define KEY_TEXT KEY_ZONE
#define KEY_NETWORK KEY_NETS
#define KEY_SYN KEY_ZONE

#define ROW(sec, nm, ty, member, dflt, lo, hi, list, range, text)              \
	{.section = SECTION_##sec,                                             \
	 .field = FIELD_##ty,                                                  \
	 .is_range = (range),                                                  \
	 .key = {.section = #sec,                                              \
		 .name = (nm),                                                 \
		 .fallback = (dflt),                                           \
		 .words = (list),                                              \
		 .help = (text),                                               \
		 .offset = offsetof(BASE_##sec, member),                       \
		 .min = (lo),                                                  \
		 .max = (hi),                                                  \
		 .type = KEY_##ty,                                             \
		 .is_built = true}},
#define ONE(sec, nm, ty, member, dflt, lo, hi, list, text)                     \
	ROW(sec, nm, ty, member, dflt, lo, hi, list, false, text)
#define RANGE(sec, nm, ty, member, dflt, lo, hi, list, text)                   \
	ROW(sec, nm, ty, member, dflt, lo, hi, list, true, text)

static const struct row rows[] = {
#include "proxy/simulate/scenario.def"
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const section_names[] = {"", "scenario", "mta", "kind"};

struct reading {
	struct scenario *out;
	struct arena *arena;
	struct report *report;
	struct ini_reader reader;
	enum section_kind section;
	bool is_known;	  /* the section that is read */
	bool has_section; /* any */
	unsigned section_line;
	unsigned lines[ROWS]; /* of the section, where each key stood */
	unsigned first_lines[SECTION_kind + 1];
};

__attribute__((format(printf, 3, 4))) static void
complain(struct reading *r, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_vadd(r->report, REPORT_MISTAKE, r->reader.file, line, format,
		    args);
	va_end(args);
}

static struct scenario_kind *
last_kind(const struct reading *r)
{
	return &r->out->kinds[r->out->kinds_count - 1];
}

/* What the section is called, for people. */
static const char *
title(const struct reading *r)
{
	return r->section == SECTION_kind ? last_kind(r)->name
					  : section_names[r->section];
}

static bool
put_text(const struct row *row, void *base, const char *text,
	 struct arena *arena, struct value_why *why)
{
	if (row->key.max > 0 && strlen(text) > row->key.max)
		return value_fails(why, "%zu bytes, expected at most %u",
				   strlen(text), (unsigned)row->key.max);
	return setting_put(&row->key, base, text, arena, why);
}

static bool
put_syn(const struct row *row, struct scenario_kind *k, const char *text,
	struct arena *arena, struct value_why *why)
{
	struct signature_pattern p;
	const char *error;
	size_t at;

	if (*text != '\0') {
		if (!signature_pattern_parse(&p, SIGNATURE_SYN, text,
					     strlen(text), &error, &at))
			return value_fails(why, "\"%.100s\", byte %zu: %s",
					   text, at + 1, error);
		if (!explain_syn(&p, &k->syn))
			return value_fails(why,
					   "\"%.100s\" names more than one "
					   "SYN, expected one as the log "
					   "shows it",
					   text);
		signature_texts_make(&k->syn_texts, &k->syn);
		k->has_syn = true;
	}
	return put_text(row, k, text, arena, why);
}

/* `a..b`, or one value for both. */
static bool
put_range(const struct row *row, void *base, const char *text,
	  struct value_why *why)
{
	struct range *field = (void *)((char *)base + row->key.offset);
	char low[VALUE_TEXT_CAP];
	const char *dots = strstr(text, "..");
	struct key high = row->key;
	size_t len = dots != NULL ? (size_t)(dots - text) : strlen(text);

	high.offset += offsetof(struct range, high);
	if (len >= sizeof(low))
		return value_fails(why, "%zu bytes are no value", len);
	memcpy(low, text, len);
	low[len] = '\0';
	if (!setting_put(&row->key, base, low, NULL, why) ||
	    !setting_put(&high, base, dots != NULL ? dots + 2 : low, NULL, why))
		return false;
	if (field->low > field->high)
		return value_fails(why,
				   "\"%.60s\" ends before it begins, expected "
				   "the smaller value first",
				   text);
	return true;
}

static bool
put(const struct row *row, void *base, const char *text, struct arena *arena,
    struct value_why *why)
{
	switch (row->field) {
	case FIELD_SETTING:
		return row->is_range
			   ? put_range(row, base, text, why)
			   : setting_put(&row->key, base, text, arena, why);
	case FIELD_TEXT:
		return put_text(row, base, text, arena, why);
	case FIELD_NETWORK:
		return value_net(text, strlen(text),
				 (void *)((char *)base + row->key.offset), why);
	case FIELD_SYN:
		return put_syn(row, base, text, arena, why);
	}
	return false;
}

static void *
base_of(const struct reading *r)
{
	if (r->section == SECTION_kind)
		return last_kind(r);
	return r->out;
}

/* What a section's keys are if it says nothing. */
static void
put_defaults(const struct reading *r, enum section_kind section, void *base)
{
	struct value_why why;

	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].section == section &&
		    strcmp(rows[i].key.fallback, "!") != 0)
			(void)put(&rows[i], base, rows[i].key.fallback,
				  r->arena, &why);
	}
}

/* Keys that must be there, and pairs that must fit. */
static void
end_section(struct reading *r)
{
	const struct scenario_kind *k;

	if (!r->is_known)
		return;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].section == r->section && r->lines[i] == 0 &&
		    strcmp(rows[i].key.fallback, "!") == 0)
			complain(r, r->section_line,
				 "%s.%s: is missing, expected %s", title(r),
				 rows[i].key.name, rows[i].key.help);
	}
	if (r->section != SECTION_kind)
		return;
	k = last_kind(r);
	if (k->until_ms != 0 && k->until_ms <= k->from_ms)
		complain(r, r->section_line,
			 "%s.until: is not behind from, so nobody comes",
			 k->name);
	if (k->clients > who_room(&k->network))
		complain(r, r->section_line,
			 "%s.clients: %u do not fit into its network, which "
			 "has %u addresses",
			 k->name, (unsigned)k->clients,
			 (unsigned)who_room(&k->network));
}

static const char *
nearest_section(const char *word)
{
	for (int i = SECTION_scenario; i <= SECTION_kind; i++) {
		if (word_is_near(word, section_names[i]))
			return section_names[i];
	}
	return NULL;
}

static bool
is_name(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_";

	return *text != '\0' && strlen(text) <= NAME_CAP &&
	       text[strspn(text, letters)] == '\0';
}

static bool
add_kind(struct reading *r, const char *name)
{
	struct scenario *out = r->out;
	struct scenario_kind *all;

	if (!is_name(name)) {
		complain(r, r->reader.line,
			 "[kind %s]: expected [kind NAME], a name of letters, "
			 "digits, - and _, %u at most",
			 name, NAME_CAP);
		return false;
	}
	for (size_t i = 0; i < out->kinds_count; i++) {
		if (strcmp(out->kinds[i].name, name) == 0) {
			complain(r, r->reader.line,
				 "[kind %s]: stands there a second time, "
				 "first in line %u",
				 name, out->kinds[i].line);
			return false;
		}
	}
	if (out->kinds_count == SCENARIO_KINDS_CAP) {
		complain(r, r->reader.line,
			 "[kind %s]: one too many, expected at most %d", name,
			 SCENARIO_KINDS_CAP);
		return false;
	}
	all = arena_grow(r->arena, out->kinds, out->kinds_count, sizeof(*all));
	if (all == NULL)
		return false;
	out->kinds = all;
	all += out->kinds_count++;
	*all = (struct scenario_kind){.line = r->reader.line};
	all->name = arena_text(r->arena, name, strlen(name));
	put_defaults(r, SECTION_kind, all);
	return all->name != NULL;
}

static void
unknown_section(struct reading *r, const char *text, const char *word)
{
	const char *near = nearest_section(word);

	if (near != NULL)
		complain(r, r->reader.line,
			 "[%s]: unknown section, did you mean [%s%s]?", text,
			 near, strcmp(near, "kind") == 0 ? " NAME" : "");
	else
		complain(r, r->reader.line,
			 "[%s]: unknown section, expected [scenario], [mta] or "
			 "[kind NAME]",
			 text);
}

/* [scenario] or [mta], once. */
static bool
open_one(struct reading *r, enum section_kind kind, const char *name)
{
	if (*name != '\0') {
		complain(r, r->reader.line,
			 "[%s %s]: has a name, expected [%s]",
			 section_names[kind], name, section_names[kind]);
		return false;
	}
	if (r->first_lines[kind] != 0) {
		complain(r, r->reader.line,
			 "[%s]: stands there a second time, first in line %u",
			 section_names[kind], r->first_lines[kind]);
		return false;
	}
	r->first_lines[kind] = r->reader.line;
	return true;
}

static void
on_section(void *ctx, const char *text)
{
	struct reading *r = ctx;
	char word[INI_READER_NAME_MAX + 1];
	const char *name;
	int kind = SECTION_scenario;

	end_section(r);
	r->has_section = true;
	r->is_known = false;
	r->section_line = r->reader.line;
	memset(r->lines, 0, sizeof(r->lines));
	if (text == NULL)
		return;
	(void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(text, " \t"),
		       text);
	name = text + strlen(word);
	name += strspn(name, " \t");
	while (kind <= SECTION_kind && strcmp(word, section_names[kind]) != 0)
		kind++;
	if (kind > SECTION_kind)
		unknown_section(r, text, word);
	else
		r->is_known = kind == SECTION_kind
				  ? add_kind(r, name)
				  : open_one(r, (enum section_kind)kind, name);
	r->section = r->is_known ? (enum section_kind)kind : SECTION_NONE;
}

static void
unknown_key(struct reading *r, const char *name)
{
	const struct row *near = NULL;
	char list[LIST_CAP] = "";
	size_t used = 0;

	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].section != r->section)
			continue;
		if (near == NULL && word_is_near(name, rows[i].key.name))
			near = &rows[i];
		used +=
		    (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
				     used > 0 ? ", " : "", rows[i].key.name);
	}
	if (near != NULL)
		complain(r, r->reader.line,
			 "%s.%s: unknown key, did you mean \"%s\"?", title(r),
			 name, near->key.name);
	else
		complain(r, r->reader.line,
			 "%s.%s: unknown key, expected one of %s", title(r),
			 name, list);
}

static void
take_key(struct reading *r, const char *name, const char *text)
{
	struct value_why why;
	size_t i = 0;

	while (i < ROWS && (rows[i].section != r->section ||
			    strcmp(rows[i].key.name, name) != 0))
		i++;
	if (i == ROWS) {
		unknown_key(r, name);
		return;
	}
	if (r->lines[i] != 0) {
		complain(r, r->reader.line,
			 "%s.%s: stands there a second time, first in line %u",
			 title(r), name, r->lines[i]);
		return;
	}
	r->lines[i] = r->reader.line;
	if (!put(&rows[i], base_of(r), text, r->arena, &why))
		complain(r, r->reader.line, "%s.%s: %s", title(r), name,
			 why.text);
}

/* `key = value` and a newline, as the reader gives it out. */
static void
take_line(struct reading *r, char *line)
{
	char *text = strchr(line, '=');
	char *end = text;

	if (!r->has_section)
		complain(r, r->reader.line,
			 "stands in front of the first [section]");
	if (!r->is_known || text == NULL)
		return;
	*text++ = '\0';
	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	text += strspn(text, " \t");
	text[strcspn(text, "\r\n")] = '\0';
	end = text + strlen(text);
	while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	take_key(r, line, text);
}

bool
scenario_read(struct scenario *out, FILE *in, const char *file,
	      struct arena *arena, struct report *report)
{
	struct reading r = {
	    .out = out,
	    .arena = arena,
	    .report = report,
	    .reader = {.in = in,
		       .file = file,
		       .report = report,
		       .on_section = on_section},
	};
	char line[LINE_CAP];

	*out = (struct scenario){.for_ms = 0};
	r.reader.ctx = &r;
	put_defaults(&r, SECTION_scenario, out);
	put_defaults(&r, SECTION_mta, out);
	while (ini_reader_next(line, sizeof(line), &r.reader) != NULL)
		take_line(&r, line);
	end_section(&r);
	if (r.reader.error != 0)
		complain(&r, 0, "cannot be read: %s",
			 strerror(-r.reader.error));
	else if (out->kinds_count == 0 && report->mistakes == 0)
		complain(&r, 0, "has no [kind NAME]: nobody comes");
	if (arena_has_failed(arena))
		complain(&r, 0, "no memory");
	ini_reader_free(&r.reader);
	return report->mistakes == 0;
}
