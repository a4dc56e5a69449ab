/*
 * The table of all keys, expanded from keys.def, which is also what the man
 * page is checked against.
 */
#include "proxy/config/keys.h"

#include <string.h>

#include "proxy/config/config.h"

#define WORD_CAP 64

const struct section sections[] = {
#define SECTION(id, naming, help) {#id, help, SECTION_##naming, true},
#define SECTION_LATER(id) {#id, "", SECTION_ONE, false},
#define KEY(section, name, type, field, fallback, min, max, words, reload, help)
#define CONDITION(evidence, name, type, min, max, help)
#define KEY_LATER(section, name)
#define CONDITION_LATER(name)
#include "tarry/keys.def"
#undef SECTION
#undef SECTION_LATER
#undef KEY
#undef CONDITION
#undef KEY_LATER
#undef CONDITION_LATER
};
const size_t sections_count = sizeof(sections) / sizeof(*sections);

#define RELOAD_YES true
#define RELOAD_NO false
#define OFFSET_tarry(field) offsetof(struct config, field)
#define OFFSET_mta(field) offsetof(struct config, field)
#define OFFSET_syn(field) offsetof(struct config, field)
#define OFFSET_tls(field) offsetof(struct config, field)
#define OFFSET_budget(field) offsetof(struct config, field)
#define OFFSET_score(field) offsetof(struct config, field)
#define OFFSET_dns(field) offsetof(struct config, field)
#define OFFSET_dnsbl(field) offsetof(struct config_list, field)
#define OFFSET_dnswl(field) offsetof(struct config_list, field)
#define OFFSET_list(field) 0
#define OFFSET_asn(field) offsetof(struct config, field)
#define OFFSET_control(field) offsetof(struct config, field)
#define OFFSET_learn(field) offsetof(struct config, field)
#define OFFSET_p0f(field) offsetof(struct config, field)
#define OFFSET_verdict(field) offsetof(struct config, field)
#define OFFSET_journal(field) offsetof(struct config, field)
#define OFFSET_http(field) offsetof(struct config, field)
#define OFFSET_log(field) offsetof(struct config, field)
#define OFFSET_listen(field) offsetof(struct config_listener, field)
#define OFFSET_class(field) offsetof(struct policy_class, field)
#define OFFSET_rule(field) offsetof(struct policy_rule, field)

const struct key keys[] = {
#define SECTION(id, naming, help)
#define SECTION_LATER(id)
#define KEY(sec, nm, ty, field, dflt, lo, hi, list, reload, text)              \
	{.section = #sec,                                                      \
	 .name = nm,                                                           \
	 .fallback = dflt,                                                     \
	 .words = list,                                                        \
	 .help = text,                                                         \
	 .offset = OFFSET_##sec(field),                                        \
	 .min = lo,                                                            \
	 .max = hi,                                                            \
	 .type = KEY_##ty,                                                     \
	 .is_built = true,                                                     \
	 .is_reloadable = RELOAD_##reload},
#define CONDITION_ROW(fact, nm, ty, lo, hi, text, negated)                     \
	{.section = "rule",                                                    \
	 .name = nm,                                                           \
	 .fallback = "",                                                       \
	 .words = "",                                                          \
	 .help = text,                                                         \
	 .min = lo,                                                            \
	 .max = hi,                                                            \
	 .type = KEY_##ty,                                                     \
	 .evidence = EVIDENCE_##fact,                                          \
	 .is_built = true,                                                     \
	 .is_condition = true,                                                 \
	 .is_not = negated,                                                    \
	 .is_reloadable = true},
#define CONDITION(fact, nm, ty, lo, hi, text)                                  \
	CONDITION_ROW(fact, nm, ty, lo, hi, text, false)                       \
	CONDITION_ROW(fact, "not." nm, ty, lo, hi, text, true)
#define CONDITION_LATER(nm) KEY_LATER(rule, nm) KEY_LATER(rule, "not." nm)
#define KEY_LATER(sec, nm)                                                     \
	{.section = #sec, .name = nm, .fallback = "", .words = "", .help = ""},
#include "tarry/keys.def"
#undef SECTION
#undef SECTION_LATER
#undef KEY
#undef CONDITION
#undef KEY_LATER
#undef CONDITION_LATER
};
const size_t keys_count = sizeof(keys) / sizeof(*keys);

static unsigned
least3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

unsigned
word_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_CAP + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);

	if (a_len > WORD_CAP || b_len > WORD_CAP)
		return WORD_CAP;
	memset(rows, 0, sizeof(rows));
	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned *free_row = before;
		before = above;
		above = row;
		row = free_row;
		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			unsigned change = a[i - 1] != b[j - 1] ? 1 : 0;
			row[j] = least3(row[j - 1] + 1, above[j] + 1,
					above[j - 1] + change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] =
				    least3(row[j], before[j - 2] + 1, row[j]);
		}
	}
	return row[b_len];
}

bool
word_is_near(const char *written, const char *meant)
{
	unsigned limit = strlen(meant) < 5 ? 1 : strlen(meant) < 9 ? 2 : 3;

	return word_distance(written, meant) <= limit;
}

const struct section *
section_find(const char *name)
{
	for (size_t i = 0; i < sections_count; i++) {
		if (strcmp(sections[i].name, name) == 0)
			return &sections[i];
	}
	return NULL;
}

const struct section *
section_nearest(const char *name)
{
	const struct section *best = NULL;

	for (size_t i = 0; i < sections_count; i++) {
		const struct section *s = &sections[i];
		if (s->is_built && word_is_near(name, s->name) &&
		    (best == NULL || word_distance(name, s->name) <
					 word_distance(name, best->name)))
			best = s;
	}
	return best;
}

bool
key_is_many(const struct key *key)
{
	size_t len = strlen(key->name);

	return len > 2 && strcmp(key->name + len - 2, ".*") == 0;
}

/* `x.*` is all of x.y, where y has a letter at least. */
static bool
has_name(const struct key *key, const char *name)
{
	size_t len = strlen(key->name);

	if (!key_is_many(key))
		return strcmp(key->name, name) == 0;
	return strncmp(key->name, name, len - 1) == 0 && name[len - 1] != '\0';
}

const struct key *
key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < keys_count; i++) {
		if (strcmp(keys[i].section, section) == 0 &&
		    has_name(&keys[i], name))
			return &keys[i];
	}
	return NULL;
}

const struct key *
key_nearest(const char *section, const char *name)
{
	const struct key *best = NULL;

	for (size_t i = 0; i < keys_count; i++) {
		const struct key *k = &keys[i];
		if (k->is_built && strcmp(k->section, section) == 0 &&
		    word_is_near(name, k->name) &&
		    (best == NULL || word_distance(name, k->name) <
					 word_distance(name, best->name)))
			best = k;
	}
	return best;
}

const struct key *
key_elsewhere(const char *name)
{
	for (size_t i = 0; i < keys_count; i++) {
		if (keys[i].is_built && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

bool
key_is_list(const struct key *key)
{
	return key->type == KEY_ADDRESSES || key->type == KEY_PATHS ||
	       key->type == KEY_NETS || key->type == KEY_PATTERNS ||
	       key->type == KEY_LABELS || key->type == KEY_LISTENERS ||
	       key->type == KEY_WILDCARDS || key->type == KEY_STANDINGS ||
	       key->type == KEY_PTRS || key->type == KEY_LISTS ||
	       key->type == KEY_RANGES;
}
