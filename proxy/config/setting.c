#include "proxy/config/setting.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "tarry/addr.h"
#include "tarry/policy.h"

static_assert(sizeof(enum section_naming) == sizeof(unsigned),
	      "a CHOICE is written as an unsigned");

bool
setting_is_scalar(const struct key *key)
{
	return !key_is_list(key) && !key->is_condition &&
	       key->type != KEY_CLASS;
}

static bool
put_duration(const struct key *key, void *field, const char *text,
	     struct value_why *why)
{
	uint32_t ms = SETTING_WORD_MS;
	bool is_built;

	if (!value_is_word(text, key->words, &is_built) &&
	    !value_duration(text, key->min, key->max, &ms, why))
		return false;
	memcpy(field, &ms, sizeof(ms));
	return true;
}

/* A word stands for 0. */
static bool
put_size(const struct key *key, void *field, const char *text,
	 struct value_why *why)
{
	uint32_t bytes = 0;
	bool is_built;

	if (!value_is_word(text, key->words, &is_built) &&
	    !value_size(text, key->min, key->max, &bytes, why))
		return false;
	memcpy(field, &bytes, sizeof(bytes));
	return true;
}

static bool
put_percent(const struct key *key, void *field, const char *text,
	    struct value_why *why)
{
	uint32_t percent;

	if (!value_percent(text, key->min, key->max, &percent, why))
		return false;
	memcpy(field, &percent, sizeof(percent));
	return true;
}

/* Two words, the second of which is true. */
static bool
put_mode(const struct key *key, void *field, const char *text,
	 struct value_why *why)
{
	unsigned index;
	bool is_second;

	if (!value_choice(text, key->words, &index, why))
		return false;
	is_second = index == 1;
	memcpy(field, &is_second, sizeof(is_second));
	return true;
}

/* A word stands for 0. */
static bool
put_count(const struct key *key, void *field, const char *text,
	  struct value_why *why)
{
	uint32_t count = 0;
	bool is_built;

	if (!value_is_word(text, key->words, &is_built) &&
	    !value_count(text, key->min, key->max, &count, why)) {
		if (*key->words != '\0')
			value_fails(why,
				    "\"%.60s\" is not possible, expected %s "
				    "or %" PRIu32 " to %" PRIu32,
				    text, key->words, key->min, key->max);
		return false;
	}
	memcpy(field, &count, sizeof(count));
	return true;
}

static bool
put_address(const struct key *key, void *field, const char *text,
	    struct value_why *why)
{
	struct addr a = {.family = 0};
	bool is_built;

	/* A word stands for family 0, and so does nothing where it may. */
	if (!value_is_word(text, key->words, &is_built) &&
	    (*text != '\0' || key->min > 0) &&
	    !value_address(text, key->min > 0 ? 1 : 0, &a, why))
		return false;
	memcpy(field, &a, sizeof(a));
	return true;
}

static bool
put_text(void *field, const char *text, struct arena *arena)
{
	const char *copy = arena_text(arena, text, strlen(text));

	if (copy != NULL)
		memcpy(field, &copy, sizeof(copy));
	return true; /* the arena remembers what it had no room for */
}

static bool
put_path(const struct key *key, void *field, const char *text,
	 struct arena *arena, struct value_why *why)
{
	if (*text != '\0' && *text != '/')
		return value_fails(why,
				   "\"%.60s\" is no absolute path, "
				   "expected one that starts with /",
				   text);
	if (strlen(text) > key->max)
		return value_fails(why,
				   "path of %zu bytes, expected at most "
				   "%" PRIu32,
				   strlen(text), key->max);
	return put_text(field, text, arena);
}

static bool
put_name(const struct key *key, void *field, const char *text,
	 struct arena *arena, struct value_why *why)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:[]";

	if (text[strspn(text, letters)] != '\0' || strlen(text) > key->max)
		return value_fails(why,
				   "\"%.60s\" is no host name, expected "
				   "one such as mx1.example.org",
				   text);
	return put_text(field, text, arena);
}

static bool
put_flag(void *field, const char *text, struct value_why *why)
{
	bool flag;

	if (!value_flag(text, &flag, why))
		return false;
	memcpy(field, &flag, sizeof(flag));
	return true;
}

static bool
put_choice(const struct key *key, void *field, const char *text,
	   struct value_why *why)
{
	unsigned index;

	if (!value_choice(text, key->words, &index, why))
		return false;
	memcpy(field, &index, sizeof(index));
	return true;
}

static bool
put_points(const struct key *key, void *field, const char *text,
	   struct value_why *why)
{
	int32_t points = POLICY_POINTS_WEIGHT;
	bool is_built;

	if (!value_is_word(text, key->words, &is_built) &&
	    !value_points(text, key->max, &points, why))
		return false;
	memcpy(field, &points, sizeof(points));
	return true;
}

bool
setting_put(const struct key *key, void *base, const char *text,
	    struct arena *arena, struct value_why *why)
{
	void *field = (char *)base + key->offset;

	switch (key->type) {
	case KEY_COUNT:
		return put_count(key, field, text, why);
	case KEY_DURATION:
		return put_duration(key, field, text, why);
	case KEY_SIZE:
		return put_size(key, field, text, why);
	case KEY_PERCENT:
		return put_percent(key, field, text, why);
	case KEY_MODE:
		return put_mode(key, field, text, why);
	case KEY_FLAG:
		return put_flag(field, text, why);
	case KEY_CHOICE:
		return put_choice(key, field, text, why);
	case KEY_NAME:
		return put_name(key, field, text, arena, why);
	case KEY_PATH:
		return put_path(key, field, text, arena, why);
	case KEY_ADDRESS:
		return put_address(key, field, text, why);
	case KEY_POINTS:
		return put_points(key, field, text, why);
	case KEY_ZONE:
		return put_text(field, text, arena);
	case KEY_ADDRESSES:
	case KEY_PATHS:
	case KEY_CLASS:
	case KEY_NETS:
	case KEY_PATTERNS:
	case KEY_LABELS:
	case KEY_LISTENERS:
	case KEY_WILDCARDS:
	case KEY_STANDINGS:
	case KEY_PTRS:
	case KEY_LISTS:
	case KEY_RANGES:
	case KEY_RANGE:
	case KEY_YESNO:
		break;
	}
	return value_fails(why, "cannot be set alone");
}

void
setting_fill(const struct tree *tree, const char *kind,
	     const struct tree_section *section, void *base)
{
	struct value_why why;

	for (size_t i = 0; i < keys_count; i++) {
		if (strcmp(keys[i].section, kind) == 0 && keys[i].is_built &&
		    setting_is_scalar(&keys[i]) &&
		    !setting_put(&keys[i], base, keys[i].fallback, tree->arena,
				 &why))
			report_add(tree->report, REPORT_MISTAKE, "keys.def", 0,
				   "%s.%s: %s", kind, keys[i].name, why.text);
	}
	if (section == NULL)
		return;
	for (size_t i = 0; i < section->entries_count; i++) {
		const struct tree_entry *e = &section->entries[i];
		if (setting_is_scalar(e->key) &&
		    !setting_put(e->key, base, e->value, tree->arena, &why))
			tree_note(tree, REPORT_MISTAKE, section, e, "%s",
				  why.text);
	}
}

static void
print_count(const struct key *key, const void *field, FILE *out)
{
	uint32_t count;

	memcpy(&count, field, sizeof(count));
	if (count == 0 && *key->words != '\0')
		fputs(key->words, out);
	else
		fprintf(out, "%" PRIu32, count);
}

static void
print_duration(const void *field, FILE *out)
{
	char text[VALUE_TEXT_CAP];
	uint32_t ms;

	memcpy(&ms, field, sizeof(ms));
	value_duration_text(ms, text);
	fputs(text, out);
}

static void
print_flag(const void *field, FILE *out)
{
	bool flag;

	memcpy(&flag, field, sizeof(flag));
	fputs(flag ? "yes" : "no", out);
}

static void
print_choice(const struct key *key, const void *field, FILE *out)
{
	char text[VALUE_TEXT_CAP];
	unsigned index;

	memcpy(&index, field, sizeof(index));
	value_word(key->words, index, text);
	fputs(text, out);
}

static void
print_text(const void *field, FILE *out)
{
	const char *text;

	memcpy(&text, field, sizeof(text));
	fputs(text, out);
}

static void
print_address(const struct key *key, const void *field, FILE *out)
{
	char text[ADDR_TEXT_CAP];
	struct addr a;

	memcpy(&a, field, sizeof(a));
	if (a.family != 0)
		addr_text(&a, text, sizeof(text));
	fputs(a.family != 0 ? text : key->words, out);
}

static void
print_size(const struct key *key, const void *field, FILE *out)
{
	char text[VALUE_TEXT_CAP];
	uint32_t bytes;

	memcpy(&bytes, field, sizeof(bytes));
	value_size_text(bytes, text);
	fputs(bytes == 0 && *key->words != '\0' ? key->words : text, out);
}

static void
print_percent(const void *field, FILE *out)
{
	uint32_t percent;

	memcpy(&percent, field, sizeof(percent));
	fprintf(out, "%" PRIu32 "%%", percent);
}

static void
print_mode(const struct key *key, const void *field, FILE *out)
{
	char text[VALUE_TEXT_CAP];
	bool is_second;

	memcpy(&is_second, field, sizeof(is_second));
	value_word(key->words, is_second ? 1 : 0, text);
	fputs(text, out);
}

static void
print_points(const void *field, FILE *out)
{
	int32_t points;

	memcpy(&points, field, sizeof(points));
	if (points == POLICY_POINTS_WEIGHT)
		fputs("weight", out);
	else
		fprintf(out, "%" PRId32, points);
}

void
setting_print(const struct key *key, const void *base, FILE *out)
{
	const void *field = (const char *)base + key->offset;

	switch (key->type) {
	case KEY_COUNT:
		print_count(key, field, out);
		break;
	case KEY_DURATION:
		print_duration(field, out);
		break;
	case KEY_SIZE:
		print_size(key, field, out);
		break;
	case KEY_PERCENT:
		print_percent(field, out);
		break;
	case KEY_MODE:
		print_mode(key, field, out);
		break;
	case KEY_FLAG:
		print_flag(field, out);
		break;
	case KEY_CHOICE:
		print_choice(key, field, out);
		break;
	case KEY_NAME:
	case KEY_PATH:
	case KEY_ZONE:
		print_text(field, out);
		break;
	case KEY_ADDRESS:
		print_address(key, field, out);
		break;
	case KEY_POINTS:
		print_points(field, out);
		break;
	case KEY_ADDRESSES:
	case KEY_PATHS:
	case KEY_CLASS:
	case KEY_NETS:
	case KEY_PATTERNS:
	case KEY_LABELS:
	case KEY_LISTENERS:
	case KEY_WILDCARDS:
	case KEY_STANDINGS:
	case KEY_PTRS:
	case KEY_LISTS:
	case KEY_RANGES:
	case KEY_RANGE:
	case KEY_YESNO:
		break;
	}
}
