/*
 * Of a rule's keys, those that are conditions.
 */
#include "proxy/config/rule_condition.h"

#include <stdbool.h>
#include <string.h>

#include "proxy/config/list.h"
#include "proxy/config/lists.h"
#include "proxy/config/rule_index.h"
#include "proxy/config/value.h"
#include "tarry/dialect.h"

/* A condition on its way into the policy. */
struct build {
	const struct tree *tree;
	const struct networks_all *lists;
	const struct tree_section *section;
	const struct key *key; /* of the condition in work */
	struct policy_condition *condition;
	/* The condition's lists, still to be written to. */
	struct net *nets;
	struct signature_pattern *patterns;
	const char **texts;
	struct policy_range *ranges;
};

static bool
is_item(const struct list_item *item, const char *word)
{
	return item->len == strlen(word) &&
	       memcmp(item->text, word, item->len) == 0;
}

static void
take_net(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	struct policy_condition *c = b->condition;
	struct value_why why;
	struct net net;

	if (!value_net(item->text, item->len, &net, &why)) {
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "%s", why.text);
		return;
	}
	struct net *all =
	    arena_grow(b->tree->arena, b->nets, c->count, sizeof(*all));
	if (all == NULL)
		return;
	all[c->count++] = net;
	b->nets = all;
	c->nets = all;
}

static enum signature_level
pattern_level(const struct key *key)
{
	if (key->evidence == EVIDENCE_SYN)
		return SIGNATURE_SYN;
	return key->evidence == EVIDENCE_STACK ? SIGNATURE_STACK
					       : SIGNATURE_FAMILY;
}

static void
bad_pattern(const struct build *b, const struct list_item *item,
	    const char *error, size_t at)
{
	size_t left = item->len - at;

	if (left == 0)
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "%s, at its end", error);
	else
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "%s, at \"%.*s\"", error,
			  (int)(left < 80 ? left : 80), item->text + at);
}

static void
take_pattern(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	struct policy_condition *c = b->condition;
	struct signature_pattern pattern;
	const char *error;
	size_t at;

	if (is_item(item, "unknown")) {
		c->is_unknown = true;
		return;
	}
	if (!signature_pattern_parse(&pattern, pattern_level(b->key),
				     item->text, item->len, &error, &at)) {
		bad_pattern(b, item, error, at);
		return;
	}
	struct signature_pattern *all =
	    arena_grow(b->tree->arena, b->patterns, c->count, sizeof(*all));
	if (all == NULL)
		return;
	all[c->count++] = pattern;
	b->patterns = all;
	c->patterns = all;
}

static void
add_text(struct build *b, const struct list_item *item)
{
	struct policy_condition *c = b->condition;
	const char **all =
	    arena_grow(b->tree->arena, b->texts, c->count, sizeof(*all));
	const char *text = arena_text(b->tree->arena, item->text, item->len);
	if (all == NULL || text == NULL)
		return;
	all[c->count++] = text;
	b->texts = all;
	c->texts = all;
}

static void
take_label(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;

	if (is_item(item, "unknown"))
		b->condition->is_unknown = true;
	else
		add_text(b, item);
}

/* What a JA4 can be made of, so that a slip of the pen does not
 * stand there for ever and never hold. */
static bool
is_ja4_text(const struct list_item *item)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ_,*";

	if (item->len == 0 || (item->text[0] != 't' && item->text[0] != '*'))
		return false;
	for (size_t i = 0; i < item->len; i++) {
		if (strchr(letters, item->text[i]) == NULL)
			return false;
	}
	return true;
}

static void
take_wildcard(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	bool is_dialect = b->key->evidence == EVIDENCE_DIALECT;

	if (is_item(item, "unknown"))
		b->condition->is_unknown = true;
	else if (is_dialect ? dialect_is_pattern(item->text, item->len)
			    : is_ja4_text(item))
		add_text(b, item);
	else
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "\"%.*s\" is no %s",
			  (int)(item->len < 80 ? item->len : 80), item->text,
			  is_dialect ? "dialect, expected a text such as "
				       "EHLO:*:mail.FROM<:*"
				     : "JA4, expected a text such as "
				       "t13d*_8daaf6152771_*, or a raw one");
}

static void
take_standing(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;

	if (is_item(item, "unknown"))
		b->condition->is_unknown = true;
	else if (is_item(item, "good") || is_item(item, "suspect") ||
		 is_item(item, "bad"))
		add_text(b, item);
	else
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "\"%.*s\" is no reputation, expected good, unknown, "
			  "suspect or bad",
			  (int)(item->len < 80 ? item->len : 80), item->text);
}

static void
take_ptr(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;

	for (unsigned i = EVIDENCE_PTR_NONE; i < EVIDENCE_PTR_COUNT; i++) {
		if (is_item(item, evidence_ptr_name((enum evidence_ptr)i))) {
			add_text(b, item);
			return;
		}
	}
	if (is_item(item, "unknown")) {
		b->condition->is_unknown = true;
		return;
	}
	tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
		  "\"%.*s\" is not possible, expected confirmed, unconfirmed, "
		  "none or unknown",
		  (int)(item->len < 60 ? item->len : 60), item->text);
}

static bool
is_listener(const struct tree *tree, const struct list_item *item)
{
	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];
		if (strcmp(s->kind->name, "listen") != 0)
			continue;
		/* The command line has put its own in place of the file's. */
		if (s->line == 0 || is_item(item, s->name))
			return true;
	}
	return false;
}

static void
take_listener(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;

	if (is_listener(b->tree, item))
		add_text(b, item);
	else
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "there is no [listen %.*s]",
			  (int)(item->len < 60 ? item->len : 60), item->text);
}

static void
add_nets(struct build *b, const struct networks *list)
{
	struct policy_condition *c = b->condition;
	const size_t count = c->count + list->count;
	struct net *all = arena_take(b->tree->arena, count * sizeof(*all));

	if (all == NULL || list->count == 0)
		return;
	if (c->count > 0)
		memcpy(all, b->nets, c->count * sizeof(*all));
	memcpy(all + c->count, list->nets, list->count * sizeof(*all));
	c->count = count;
	b->nets = all;
	c->nets = all;
}

static void
take_listed(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	const struct networks *list =
	    networks_find(b->lists, item->text, item->len);

	if (list != NULL)
		add_nets(b, list);
	else
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "there is no [list %.*s]",
			  (int)(item->len < 60 ? item->len : 60), item->text);
}

/* `dnsbl.NAME`: the place of that list among all of them. */
static void
take_part(struct build *b, const struct tree_entry *e)
{
	const char *kind =
	    b->key->evidence == EVIDENCE_DNSBL ? "dnsbl" : "dnswl";

	b->condition->list = lists_place(b->tree, kind, b->key->part);
	if (b->condition->list == 0)
		tree_note(b->tree, REPORT_MISTAKE, b->section, e,
			  "there is no [%s %.60s]", kind, b->key->part);
}

static void
take_number(struct build *b, const struct tree_entry *e)
{
	struct value_why why;
	bool flag = false;
	bool is_good;

	if (b->key->type == KEY_YESNO) {
		is_good = value_flag(e->value, &flag, &why);
		b->condition->low = flag ? 1 : 0;
		b->condition->high = b->condition->low;
	} else {
		is_good =
		    value_range(e->value, b->key->min, b->key->max,
				&b->condition->low, &b->condition->high, &why);
	}
	if (!is_good)
		tree_note(b->tree, REPORT_MISTAKE, b->section, e, "%s",
			  why.text);
}

static void
take_range(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	struct policy_condition *c = b->condition;
	const char *text = arena_text(b->tree->arena, item->text, item->len);
	struct policy_range range;
	struct policy_range *all;
	struct value_why why;

	if (is_item(item, "unknown")) {
		c->is_unknown = true;
		return;
	}
	if (text == NULL)
		return;
	if (!value_range(text, b->key->min, b->key->max, &range.low,
			 &range.high, &why)) {
		tree_note(b->tree, REPORT_MISTAKE, b->section, item->place,
			  "%s", why.text);
		return;
	}
	all = arena_grow(b->tree->arena, b->ranges, c->count, sizeof(*all));
	if (all == NULL)
		return;
	all[c->count++] = range;
	b->ranges = all;
	c->ranges = all;
}

static void
take_entry(struct build *b, const struct tree_entry *e)
{
	switch (b->key->type) {
	case KEY_NETS:
		list_each(b->tree, b->section, e, LIST_COMMAS, take_net, b);
		break;
	case KEY_PATTERNS:
		list_each(b->tree, b->section, e, LIST_WHOLE, take_pattern, b);
		break;
	case KEY_LABELS:
		list_each(b->tree, b->section, e, LIST_COMMAS, take_label, b);
		break;
	case KEY_LISTENERS:
		list_each(b->tree, b->section, e, LIST_COMMAS, take_listener,
			  b);
		break;
	case KEY_WILDCARDS:
		list_each(b->tree, b->section, e, LIST_WHOLE, take_wildcard, b);
		break;
	case KEY_STANDINGS:
		list_each(b->tree, b->section, e, LIST_COMMAS, take_standing,
			  b);
		break;
	case KEY_PTRS:
		list_each(b->tree, b->section, e, LIST_COMMAS, take_ptr, b);
		break;
	case KEY_LISTS:
		list_each(b->tree, b->section, e, LIST_COMMAS, take_listed, b);
		break;
	case KEY_RANGES:
		list_each(b->tree, b->section, e, LIST_COMMAS, take_range, b);
		break;
	case KEY_RANGE:
	case KEY_YESNO:
		if (b->key->part != NULL)
			take_part(b, e);
		take_number(b, e);
		break;
	case KEY_COUNT:
	case KEY_DURATION:
	case KEY_SIZE:
	case KEY_PERCENT:
	case KEY_MODE:
	case KEY_FLAG:
	case KEY_CHOICE:
	case KEY_NAME:
	case KEY_PATH:
	case KEY_ADDRESS:
	case KEY_ADDRESSES:
	case KEY_PATHS:
	case KEY_CLASS:
	case KEY_POINTS:
	case KEY_ZONE:
		break;
	}
}

void
rule_condition_build(const struct rule_sources *sources,
		     const struct tree_section *section, const struct key *key,
		     struct policy_condition *condition)
{
	struct build b = {
	    .tree = sources->tree,
	    .lists = &sources->lists,
	    .section = section,
	    .key = key,
	    .condition = condition,
	};
	const struct tree_entry *last = NULL;
	size_t mistakes = b.tree->report->mistakes;

	for (size_t i = 0; i < section->entries_count; i++) {
		if (section->entries[i].key != key)
			continue;
		last = &section->entries[i];
		take_entry(&b, last);
	}
	condition->kind = key->evidence;
	condition->is_not = key->is_not;
	rule_index_sort(b.tree->arena, condition, b.nets, b.texts);
	if (key_is_list(key) && condition->count == 0 &&
	    !condition->is_unknown && !key->is_not &&
	    b.tree->report->mistakes == mistakes)
		tree_note(b.tree, REPORT_WARNING, section, last,
			  "its list is empty, the rule never holds");
}
