#include "proxy/config/rules.h"

#include <stdbool.h>
#include <string.h>

#include "proxy/config/rule_condition.h"
#include "proxy/config/rule_index.h"
#include "proxy/config/setting.h"

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
has_entry(const struct tree_section *section, const struct key *key)
{
	for (size_t i = 0; i < section->entries_count; i++) {
		if (section->entries[i].key == key)
			return true;
	}
	return false;
}

/* In the order of keys.def, then those of one DNS list each. */
static void
build_conditions(const struct rule_sources *sources,
		 const struct tree_section *section, struct policy_rule *rule)
{
	struct policy_condition *all = /* each has an entry at least */
	    arena_take(sources->tree->arena,
		       section->entries_count * sizeof(*all));

	if (all == NULL)
		return;
	rule->conditions = all;
	for (size_t i = 0; i < keys_count; i++) {
		if (keys[i].is_condition && has_entry(section, &keys[i]))
			rule_condition_build(sources, section, &keys[i],
					     &all[rule->conditions_count++]);
	}
	for (size_t i = 0; i < section->entries_count; i++) {
		const struct key *key = section->entries[i].key;

		if (key->is_condition && key->part != NULL)
			rule_condition_build(sources, section, key,
					     &all[rule->conditions_count++]);
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
build_rules(const struct rule_sources *sources, struct policy *policy)
{
	const struct tree *tree = sources->tree;
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
		build_conditions(sources, s, rule);
		policy->counts_matter |= reads_counts(rule);
		policy->rules_count++;
	}
}

void
rules_build(const struct tree *tree, struct policy *policy)
{
	struct rule_sources sources = {.tree = tree};

	networks_build(tree, &sources.lists);
	build_classes(tree, policy);
	build_rules(&sources, policy);
	policy->open_rank = find_open_rank(policy);
	rule_index_build(tree->arena, policy);
}
