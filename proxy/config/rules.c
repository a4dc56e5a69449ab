#include "proxy/config/rules.h"

#include <stdbool.h>
#include <string.h>

#include "proxy/config/list.h"
#include "proxy/config/rule_index.h"
#include "proxy/config/setting.h"

/* A rule on its way into the policy. */
struct build {
	const struct tree *tree;
	const struct tree_section *section;
	const struct key *key; /* of the condition in work */
	struct policy_condition *condition;
	/* The condition's lists, still to be written to. */
	struct net *nets;
	struct signature_pattern *patterns;
	const char **texts;
};

static size_t
count_sections(const struct tree *tree, const char *kind)
{
	size_t count = 0;

	for (size_t i = 0; i < tree->sections_count; i++) {
		if (strcmp(tree->sections[i].kind->name, kind) == 0)
			count++;
	}
	return count;
}

static void
build_classes(const struct tree *tree, struct policy *policy)
{
	size_t cap = count_sections(tree, "class");
	struct policy_class *all = arena_take(tree->arena, cap * sizeof(*all));

	if (all == NULL)
		return;
	policy->classes = all;
	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];
		struct policy_class *class = &all[policy->classes_count];
		if (strcmp(s->kind->name, "class") != 0)
			continue;
		if (policy->classes_count >= PLAN_CLASSES_CAP) {
			tree_note(tree, REPORT_MISTAKE, s, NULL,
				  "is one class too many, expected at most %d",
				  PLAN_CLASSES_CAP);
			return;
		}
		setting_fill(tree, "class", s, class);
		class->name = s->name;
		class->id = (uint16_t)policy->classes_count;
		if (class->error_ms == SETTING_WORD_MS)
			class->error_ms = class->reply_ms;
		policy->classes_count++;
	}
}

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

/* The same of a dialect. */
static bool
is_dialect_text(const struct list_item *item)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ:._<+-?*";

	for (size_t i = 0; i < item->len; i++) {
		if (strchr(letters, item->text[i]) == NULL)
			return false;
	}
	return item->len > 0 && (memchr(item->text, ':', item->len) != NULL ||
				 memchr(item->text, '*', item->len) != NULL);
}

static void
take_wildcard(void *ctx, const struct list_item *item)
{
	struct build *b = ctx;
	bool is_dialect = b->key->evidence == EVIDENCE_DIALECT;

	if (is_item(item, "unknown"))
		b->condition->is_unknown = true;
	else if (is_dialect ? is_dialect_text(item) : is_ja4_text(item))
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
	case KEY_RANGE:
	case KEY_YESNO:
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

/* The condition of one key; false if the rule does not have it. */
static bool
build_condition(struct build *b)
{
	const struct tree_entry *last = NULL;
	size_t mistakes = b->tree->report->mistakes;

	for (size_t i = 0; i < b->section->entries_count; i++) {
		if (b->section->entries[i].key != b->key)
			continue;
		last = &b->section->entries[i];
		take_entry(b, last);
	}
	if (last == NULL)
		return false;
	b->condition->kind = b->key->evidence;
	b->condition->is_not = b->key->is_not;
	rule_index_sort(b->tree->arena, b->condition, b->nets, b->texts);
	if (key_is_list(b->key) && b->condition->count == 0 &&
	    !b->condition->is_unknown && !b->key->is_not &&
	    b->tree->report->mistakes == mistakes)
		tree_note(b->tree, REPORT_WARNING, b->section, last,
			  "its list is empty, the rule never holds");
	return true;
}

static void
build_conditions(const struct tree *tree, const struct tree_section *section,
		 struct policy_rule *rule)
{
	struct policy_condition *all = /* each has an entry at least */
	    arena_take(tree->arena, section->entries_count * sizeof(*all));

	if (all == NULL)
		return;
	rule->conditions = all;
	for (size_t i = 0; i < keys_count; i++) {
		struct build b = {
		    .tree = tree,
		    .section = section,
		    .key = &keys[i],
		    .condition = &all[rule->conditions_count],
		};
		if (keys[i].is_condition &&
		    tree_entry(section, keys[i].name) != NULL &&
		    build_condition(&b))
			rule->conditions_count++;
	}
}

static void
unknown_class(const struct tree *tree, const struct policy *policy,
	      const struct tree_section *section, const struct tree_entry *e)
{
	for (size_t i = 0; i < policy->classes_count; i++) {
		if (word_is_near(e->value, policy->classes[i].name)) {
			tree_note(tree, REPORT_MISTAKE, section, e,
				  "there is no class \"%.60s\", did you mean "
				  "\"%s\"?",
				  e->value, policy->classes[i].name);
			return;
		}
	}
	tree_note(tree, REPORT_MISTAKE, section, e,
		  "there is no class \"%.60s\", expected pass, defer or "
		  "the NAME of a [class NAME]",
		  e->value);
}

/* The class that the rule names; PLAN_CLASS_PASS, and said, if there is none.
 */
static uint16_t
find_class(const struct tree *tree, const struct policy *policy,
	   const struct tree_section *section)
{
	const struct tree_entry *e = tree_entry(section, "class");
	bool is_built;

	if (value_is_word(e->value, e->key->words, &is_built))
		return strcmp(e->value, "defer") == 0 ? PLAN_CLASS_DEFER
						      : PLAN_CLASS_PASS;
	for (size_t i = 0; i < policy->classes_count; i++) {
		if (strcmp(policy->classes[i].name, e->value) == 0)
			return (uint16_t)i; /* < PLAN_CLASS_PASS classes */
	}
	unknown_class(tree, policy, section, e);
	return PLAN_CLASS_PASS;
}

/* What the rule does, one of two. */
static void
build_act(const struct tree *tree, const struct policy *policy,
	  const struct tree_section *section, struct policy_rule *rule)
{
	const struct tree_entry *add = tree_entry(section, "add");
	const struct tree_entry *class = tree_entry(section, "class");
	struct value_why why;

	rule->class_index = PLAN_CLASS_PASS;
	if (class != NULL)
		rule->class_index = find_class(tree, policy, section);
	if (add == NULL && class == NULL) {
		tree_note(
		    tree, REPORT_MISTAKE, section, NULL,
		    "has no class and adds nothing, expected class = pass, "
		    "defer or the NAME of a [class NAME], or add = POINTS");
		return;
	}
	if (add == NULL)
		return;
	rule->is_add = true;
	if (class != NULL)
		tree_note(tree, REPORT_MISTAKE, section, add,
			  "stands beside class, expected one of the two");
	else if (!setting_put(add->key, rule, add->value, tree->arena, &why))
		tree_note(tree, REPORT_MISTAKE, section, add, "%s", why.text);
}

static void
build_mode(const struct tree *tree, const struct tree_section *section,
	   struct policy_rule *rule)
{
	const struct tree_entry *e = tree_entry(section, "mode");
	struct value_why why;

	if (e != NULL &&
	    !setting_put(e->key, rule, e->value, tree->arena, &why))
		tree_note(tree, REPORT_MISTAKE, section, e, "%s", why.text);
}

static bool
reads_counts(const struct policy_rule *rule)
{
	for (size_t i = 0; i < rule->conditions_count; i++) {
		enum evidence_kind kind = rule->conditions[i].kind;
		if (kind == EVIDENCE_SESSION_ERRORS ||
		    kind == EVIDENCE_SESSION_RECIPIENTS ||
		    kind == EVIDENCE_SESSION_MESSAGES ||
		    kind == EVIDENCE_SESSION_UNKNOWN_USERS ||
		    kind == EVIDENCE_DIALECT)
			return true;
	}
	return false;
}

static uint8_t
rank_of(uint16_t class_index)
{
	if (class_index == PLAN_CLASS_PASS)
		return 0;
	if (class_index == PLAN_CLASS_DEFER)
		return PLAN_RANK_DEFER;
	return (uint8_t)(class_index + 1); /* <= PLAN_CLASSES_CAP */
}

/* The rank of the class that everyone has whom no rule above decided. */
static uint8_t
find_open_rank(const struct policy *policy)
{
	for (size_t i = 0; i < policy->rules_count; i++) {
		const struct policy_rule *rule = &policy->rules[i];
		if (rule->conditions_count == 0 && !rule->is_add &&
		    !rule->is_shadow)
			return rank_of(rule->class_index);
	}
	return 0;
}

static void
build_rules(const struct tree *tree, struct policy *policy)
{
	size_t cap = count_sections(tree, "rule");
	struct policy_rule *all = arena_take(tree->arena, cap * sizeof(*all));

	if (all == NULL)
		return;
	policy->rules = all;
	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];
		struct policy_rule *rule = &all[policy->rules_count];
		if (strcmp(s->kind->name, "rule") != 0)
			continue;
		if (policy->rules_count >= PLAN_NO_RULE) {
			tree_note(tree, REPORT_MISTAKE, s, NULL,
				  "is one rule too many, expected at most %d",
				  PLAN_NO_RULE);
			return;
		}
		rule->name = s->name;
		rule->id = (uint16_t)policy->rules_count; /* see above */
		build_act(tree, policy, s, rule);
		build_mode(tree, s, rule);
		build_conditions(tree, s, rule);
		policy->counts_matter |= reads_counts(rule);
		policy->rules_count++;
	}
}

void
rules_build(const struct tree *tree, struct policy *policy)
{
	build_classes(tree, policy);
	build_rules(tree, policy);
	policy->open_rank = find_open_rank(policy);
	rule_index_build(tree->arena, policy);
}
