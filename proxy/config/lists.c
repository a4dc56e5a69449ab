#include "proxy/config/lists.h"

#include <string.h>

#include "proxy/config/setting.h"

/* With 64 bytes for an IPv6 address in front, it fits a name of 253. */
#define DOMAIN_CAP 189

static void
filter_set(struct config_filter *f, unsigned at, unsigned low, unsigned high)
{
	for (unsigned i = low; i <= high; i++)
		f->bytes[at][i / 64] |= (uint64_t)1 << (i % 64);
}

bool
lists_filter_has(const struct config_filter *filter, const uint8_t ip[4])
{
	for (unsigned at = 0; at < 4; at++) {
		uint64_t word = filter->bytes[at][ip[at] / 64];

		if ((word >> (ip[at] % 64) & 1) == 0)
			return false;
	}
	return true;
}

/* A number up to `max`; NULL if there is none. */
static const char *
read_number(const char *p, unsigned max, unsigned *number)
{
	const char *start = p;

	*number = 0;
	while (*p >= '0' && *p <= '9' && *number <= max)
		*number = *number * 10 + (unsigned)(*p++ - '0');
	return p > start && *number <= max ? p : NULL;
}

/* `4` or `4..7` into the byte's set. */
static const char *
read_range(const char *p, struct config_filter *f, unsigned at)
{
	unsigned low;
	unsigned high;

	p = read_number(p, 255, &low);
	if (p == NULL)
		return NULL;
	high = low;
	if (strncmp(p, "..", 2) == 0)
		p = read_number(p + 2, 255, &high);
	if (p == NULL || high < low)
		return NULL;
	filter_set(f, at, low, high);
	return p;
}

/* `4` or `[1;4..7]` */
static const char *
read_byte(const char *p, struct config_filter *f, unsigned at)
{
	unsigned number;

	if (*p != '[') {
		p = read_number(p, 255, &number);
		if (p != NULL)
			filter_set(f, at, number, number);
		return p;
	}
	do
		p = read_range(p + 1, f, at);
	while (p != NULL && *p == ';');
	return p != NULL && *p == ']' ? p + 1 : NULL;
}

static const char *
read_filter(const char *p, struct config_filter *f)
{
	for (unsigned at = 0; at < 4; at++) {
		if (at > 0 && *p++ != '.')
			return NULL;
		p = read_byte(p, f, at);
		if (p == NULL)
			return NULL;
	}
	return p;
}

static void
filter_any(struct config_filter *f)
{
	filter_set(f, 0, 127, 127);
	for (unsigned at = 1; at < 4; at++)
		filter_set(f, at, 0, 255);
}

/* Labels of 1 to 63 bytes with dots between; at least two. */
static bool
is_domain(const char *text, size_t len)
{
	size_t label = 0;
	size_t dots = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			dots++;
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '-' || c == '_') ||
		    ++label > 63)
			return false;
	}
	return label > 0 && dots > 0 && len < DOMAIN_CAP;
}

static bool
read_weight(const char *p, struct config_list *list, struct value_why *why)
{
	unsigned weight = 1;

	if (*p == '*' && p[1] == '-')
		return value_fails(why, "a weight below 0 is not possible, "
					"expected such a list in [dnswl NAME]");
	if (*p == '*')
		p = read_number(p + 1, CONFIG_LIST_WEIGHT_MAX, &weight);
	if (p == NULL || *p != '\0' || weight == 0)
		return value_fails(why,
				   "its weight is not possible, expected "
				   "*1 to *%d at the end",
				   CONFIG_LIST_WEIGHT_MAX);
	list->weight = (uint8_t)weight; /* <= CONFIG_LIST_WEIGHT_MAX */
	return true;
}

bool
lists_zone(const char *text, struct config_list *list, char *domain,
	   size_t domain_cap, struct value_why *why)
{
	size_t len = strcspn(text, "=*");
	const char *p = text + len;

	if (!is_domain(text, len) || len >= domain_cap)
		return value_fails(why,
				   "\"%.60s\" has no domain in front, expected "
				   "one such as zen.example.org",
				   text);
	memcpy(domain, text, len);
	domain[len] = '\0';
	memset(&list->filter, 0, sizeof(list->filter));
	if (*p == '=')
		p = read_filter(p + 1, &list->filter);
	else
		filter_any(&list->filter);
	if (p == NULL || (*p != '*' && *p != '\0'))
		return value_fails(why,
				   "the answers in \"%.60s\" cannot be read, "
				   "expected four numbers such as "
				   "127.0.0.[2..11]",
				   text);
	return read_weight(p, list, why);
}

static void
build_list(const struct tree *tree, const struct tree_section *s,
	   struct config_list *list)
{
	const struct tree_entry *e = tree_entry(s, "zone");
	struct value_why why;
	char domain[DOMAIN_CAP];

	list->name = s->name;
	list->is_allow = strcmp(s->kind->name, "dnswl") == 0;
	setting_fill(tree, s->kind->name, s, list);
	if (e == NULL) {
		tree_note(tree, REPORT_MISTAKE, s, NULL,
			  "has no zone, expected zone = the list's domain");
		return;
	}
	if (!lists_zone(e->value, list, domain, sizeof(domain), &why)) {
		tree_note(tree, REPORT_MISTAKE, s, e, "%s", why.text);
		return;
	}
	list->domain = arena_text(tree->arena, domain, strlen(domain));
}

static bool
is_list(const struct tree_section *s)
{
	return strcmp(s->kind->name, "dnsbl") == 0 ||
	       strcmp(s->kind->name, "dnswl") == 0;
}

uint8_t
lists_place(const struct tree *tree, const char *kind, const char *name)
{
	uint8_t place = 0;

	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];

		if (!is_list(s))
			continue;
		if (++place > CONFIG_LISTS_CAP)
			return 0;
		if (strcmp(s->kind->name, kind) == 0 &&
		    strcmp(s->name, name) == 0)
			return place;
	}
	return 0;
}

void
lists_build(const struct tree *tree, struct config_dns *dns)
{
	struct config_list *all =
	    arena_take(tree->arena, CONFIG_LISTS_CAP * sizeof(*all));
	const char **names =
	    arena_take(tree->arena, CONFIG_LISTS_CAP * sizeof(*names));

	if (all == NULL || names == NULL)
		return;
	dns->lists = all;
	dns->names = names;
	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];

		if (!is_list(s))
			continue;
		if (dns->lists_count == CONFIG_LISTS_CAP) {
			tree_note(tree, REPORT_MISTAKE, s, NULL,
				  "is one list too many, expected at most %d "
				  "[dnsbl NAME] and [dnswl NAME]",
				  CONFIG_LISTS_CAP);
			return;
		}
		names[dns->lists_count] = s->name;
		build_list(tree, s, &all[dns->lists_count++]);
	}
}
