/*
 * See rule_lint.h. Each pair of rules is compared; so many are that this is
 * left out for files with more than RULES_MAX, and long lists are compared
 * only where they are the same one. Silence proves nothing.
 */
#include "proxy/config/rule_lint.h"

#include <string.h>

#include "proxy/config/condition_text.h"
#include "tarry/policy_index.h"
#include "tarry/wildcard.h"

#define RULES_MAX 2000u
#define PAIRS_MAX 100000u

struct lint {
	const struct tree *tree;
	const struct config *config;
	const struct tree_section **sections; /* of the rules, by place */
};

static bool
is_about_syn(enum evidence_kind kind)
{
	return kind == EVIDENCE_SYN || kind == EVIDENCE_STACK ||
	       kind == EVIDENCE_FAMILY;
}

static bool
is_about_nets(enum evidence_kind kind)
{
	return kind == EVIDENCE_NETWORK || kind == EVIDENCE_LISTED;
}

static bool
is_about_points(const struct policy_condition *c)
{
	return c->kind == EVIDENCE_SCORE || c->kind == EVIDENCE_SOURCES;
}

/* True if both ask for the same fact, or one that follows from it. */
static bool
is_same_fact(const struct policy_condition *a, const struct policy_condition *b)
{
	if (is_about_nets(a->kind) && is_about_nets(b->kind))
		return true;
	if (is_about_syn(a->kind) && is_about_syn(b->kind))
		return true;
	return a->kind == b->kind && a->list == b->list;
}

static bool
net_covers(const struct net *a, const struct net *b)
{
	struct addr first = {.family = 6};

	memcpy(first.ip, b->ip, sizeof(first.ip));
	if (policy_net_family(a) != policy_net_family(b))
		return false;
	first.family = policy_net_family(b) == 4 ? 4 : 6;
	return a->bits <= b->bits && net_has(a, &first);
}

static bool
text_covers(const struct policy_condition *a, const char *one, const char *two)
{
	const bool is_plain =
	    strchr(two, '*') == NULL && strchr(two, '?') == NULL;

	if (a->kind == EVIDENCE_LISTENER || a->kind == EVIDENCE_PTR)
		return strcmp(one, two) == 0;
	if (policy_text_compare(one, two) == 0)
		return true;
	return (a->kind == EVIDENCE_JA4 || a->kind == EVIDENCE_DIALECT) &&
	       is_plain && wildcard_match(one, two);
}

/* One value of `a` has all that value i of `b` has. */
static bool
value_covers(const struct policy_condition *a, size_t k,
	     const struct policy_condition *b, size_t i)
{
	if (is_about_nets(a->kind))
		return net_covers(&a->nets[k], &b->nets[i]);
	if (is_about_syn(a->kind))
		return signature_pattern_covers(&a->patterns[k],
						&b->patterns[i]);
	if (a->ranges != NULL)
		return b->ranges[i].low >= a->ranges[k].low &&
		       b->ranges[i].high <= a->ranges[k].high;
	return text_covers(a, a->texts[k], b->texts[i]);
}

static bool
has_list(const struct policy_condition *c)
{
	return c->nets != NULL || c->patterns != NULL || c->texts != NULL ||
	       c->ranges != NULL || c->is_unknown;
}

/* All values of `b` are among those of `a`; `unknown` is looked at apart. */
static bool
values_cover(const struct policy_condition *a, const struct policy_condition *b)
{
	if (!has_list(a) && !has_list(b))
		return b->low >= a->low && b->high <= a->high;
	if (!has_list(a) || !has_list(b) || a->count * b->count > PAIRS_MAX)
		return false;
	for (size_t i = 0; i < b->count; i++) {
		size_t k = 0;

		while (k < a->count && !value_covers(a, k, b, i))
			k++;
		if (k == a->count)
			return false;
	}
	return true;
}

static bool
is_only_unknown(const struct policy_condition *c)
{
	return c->is_unknown && c->count == 0;
}

/* It holds only where the fact is known. */
static bool
needs_fact(const struct policy_condition *c)
{
	return c->is_not || !c->is_unknown;
}

bool
rule_lint_covers(const struct policy_condition *a,
		 const struct policy_condition *b)
{
	if (!is_same_fact(a, b))
		return false;
	/* `not.syn = unknown` */
	if (a->is_not && is_only_unknown(a))
		return needs_fact(b);
	if (a->is_not != b->is_not)
		return false;
	if (a->is_not)
		return values_cover(b, a) && !is_only_unknown(b);
	return (a->is_unknown || !b->is_unknown) && values_cover(a, b);
}

/* Never true together. */
static bool
excludes(const struct policy_condition *a, const struct policy_condition *b)
{
	if (!is_same_fact(a, b))
		return false;
	/* `syn = unknown` beside what needs one. */
	if (!a->is_not && is_only_unknown(a))
		return needs_fact(b);
	if (a->is_not && !b->is_not && !b->is_unknown)
		return !is_only_unknown(a) && values_cover(a, b);
	if (!is_about_nets(a->kind) || a->is_not || b->is_not ||
	    a->count * b->count > PAIRS_MAX)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		for (size_t k = 0; k < b->count; k++) {
			if (net_covers(&a->nets[i], &b->nets[k]) ||
			    net_covers(&b->nets[k], &a->nets[i]))
				return false;
		}
	}
	return true;
}

/* Every condition of `a` holds wherever `b` does. */
static bool
rule_covers(const struct policy_rule *a, const struct policy_rule *b,
	    bool has_points_between)
{
	for (size_t i = 0; i < a->conditions_count; i++) {
		const struct policy_condition *c = &a->conditions[i];
		size_t k = 0;

		while (k < b->conditions_count &&
		       !(rule_lint_covers(c, &b->conditions[k]) &&
			 !(has_points_between && is_about_points(c))))
			k++;
		if (k == b->conditions_count)
			return false;
	}
	return a->conditions_count > 0;
}

/* The same lines in another order: that is said elsewhere. */
static bool
is_same_text(const struct tree_section *a, const struct tree_section *b)
{
	size_t same = 0;
	size_t counts[2] = {0};

	for (size_t i = 0; i < a->entries_count; i++)
		counts[0] += a->entries[i].key->is_condition;
	for (size_t i = 0; i < b->entries_count; i++)
		counts[1] += b->entries[i].key->is_condition;
	for (size_t i = 0; i < a->entries_count; i++) {
		const struct tree_entry *e = &a->entries[i];

		for (size_t k = 0; e->key->is_condition && k < b->entries_count;
		     k++)
			same += strcmp(e->key->name, b->entries[k].key->name) ==
				    0 &&
				strcmp(e->value, b->entries[k].value) == 0;
	}
	return counts[0] == counts[1] && same == counts[0];
}

static void
check_reached(const struct lint *l, size_t place)
{
	const struct policy_rule *rules = l->config->policy.rules;
	const struct tree_section *s = NULL;
	bool has_points = false;

	for (size_t i = place; i-- > 0;) {
		const struct policy_rule *above = &rules[i];

		has_points = has_points || (above->is_add && !above->is_shadow);
		if (above->is_add || above->is_shadow ||
		    !rule_covers(above, &rules[place], has_points))
			continue;
		if (is_same_text(l->sections[i], l->sections[place]))
			return;
		s = l->sections[i]; /* the first of them */
	}
	if (s != NULL)
		tree_note(l->tree, REPORT_WARNING, l->sections[place], NULL,
			  "is never reached, [%s] in line %u decides whenever "
			  "it holds; put it in front",
			  s->title, s->line);
}

/* Two conditions of one rule, each pair once. */
static void
check_pair(const struct lint *l, size_t place, const struct policy_condition *a,
	   const struct policy_condition *b)
{
	const bool is_never = excludes(a, b) || excludes(b, a);
	char texts[2][CONDITION_TEXT_CAP];

	if (!is_never && rule_lint_covers(b, a)) {
		const struct policy_condition *c = a;

		a = b;
		b = c;
	}
	if (!is_never && !rule_lint_covers(a, b))
		return;
	condition_text(a, l->config->dns.names, texts[0]);
	condition_text(b, l->config->dns.names, texts[1]);
	tree_note(l->tree, REPORT_WARNING, l->sections[place], NULL,
		  is_never ? "never holds: %.120s and %.120s are not true "
			     "together"
			   : "%.120s says nothing beside %.120s; it can go",
		  texts[0], texts[1]);
}

static void
check_pairs(const struct lint *l, size_t place)
{
	const struct policy_rule *rule = &l->config->policy.rules[place];

	for (size_t i = 0; i < rule->conditions_count; i++) {
		for (size_t k = i + 1; k < rule->conditions_count; k++)
			check_pair(l, place, &rule->conditions[i],
				   &rule->conditions[k]);
	}
}

static int64_t
gain(int32_t points)
{
	return points > 0 ? points : 0;
}

/* What the facts can give at most, and how many of them may give points. */
static void
most_of_facts(const struct config *config, int64_t *points, uint32_t *sources)
{
	const struct policy_score *s = &config->policy.score;
	int64_t weights = 0;
	bool has_block = false;
	bool has_allow = false;
	const int64_t worst =
	    s->bad > s->suspect ? gain(s->bad) : gain(s->suspect);

	for (size_t i = 0; i < config->dns.lists_count; i++) {
		const struct config_list *list = &config->dns.lists[i];

		weights += list->is_allow ? 0 : list->weight;
		has_block = has_block || !list->is_allow;
		has_allow = has_allow || list->is_allow;
	}
	const int64_t rows[] = {
	    gain(s->early_talker),
	    gain(s->pipelining),
	    gain(s->non_smtp),
	    gain(s->bare_newline),
	    worst,
	    !has_block			       ? 0
	    : s->dnsbl == POLICY_POINTS_WEIGHT ? weights
					       : gain(s->dnsbl),
	    has_allow && s->dnswl != POLICY_POINTS_WEIGHT ? gain(s->dnswl) : 0,
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		*points += rows[i];
		*sources += rows[i] > 0;
	}
}

/* Rules that ask for more points than there can be. */
static void
check_points(const struct lint *l)
{
	const struct policy *p = &l->config->policy;
	uint32_t sources = 0;
	int64_t points = 0;

	most_of_facts(l->config, &points, &sources);
	for (size_t i = 0; i < p->rules_count; i++) {
		const struct policy_rule *rule = &p->rules[i];

		for (size_t k = 0; k < rule->conditions_count; k++) {
			const struct policy_condition *c = &rule->conditions[k];
			const bool is_score = c->kind == EVIDENCE_SCORE;
			const int64_t most = is_score ? points : sources;

			if (!is_about_points(c) || (int64_t)c->low <= most)
				continue;
			tree_note(l->tree, REPORT_WARNING, l->sections[i],
				  tree_entry(l->sections[i],
					     is_score ? "score" : "sources"),
				  "is never reached: [score] and the rules "
				  "above give %lld %s at most",
				  (long long)most,
				  is_score ? "points" : "sources");
		}
		if (rule->is_add && !rule->is_shadow && rule->points > 0) {
			points += rule->points;
			sources++;
		}
	}
}

/* Facts that nobody is asked for. */
static void
check_asked(const struct lint *l, size_t place)
{
	const struct config *config = l->config;
	const struct policy_rule *rule = &config->policy.rules[place];
	bool has_lists[2] = {false, false};

	for (size_t i = 0; i < config->dns.lists_count; i++)
		has_lists[config->dns.lists[i].is_allow] = true;
	for (size_t i = 0; i < rule->conditions_count; i++) {
		const struct policy_condition *c = &rule->conditions[i];
		const char *why = NULL;

		if (c->kind == EVIDENCE_PTR && !config->dns.has_ptr)
			why = "dns.ptr is no: no name is asked for";
		else if (c->kind == EVIDENCE_ASN &&
			 config->asn.database[0] == '\0')
			why = "asn.database is empty";
		else if (c->kind == EVIDENCE_DNSBL && !has_lists[0])
			why = "there is no [dnsbl NAME]";
		else if (c->kind == EVIDENCE_DNSWL && !has_lists[1])
			why = "there is no [dnswl NAME]";
		if (why != NULL && needs_fact(c))
			tree_note(l->tree, REPORT_WARNING, l->sections[place],
				  NULL, "never holds: %s", why);
	}
}

static bool
has_word(const char *value, const char *word)
{
	const size_t len = strlen(word);

	while (*value != '\0') {
		size_t n;

		value += strspn(value, ", \t");
		n = strcspn(value, ", \t");
		if (n == len && memcmp(value, word, len) == 0)
			return true;
		value += n;
	}
	return false;
}

static bool
names_list(const struct tree_entry *e, const char *name)
{
	return e->key->is_condition && e->key->evidence == EVIDENCE_LISTED &&
	       has_word(e->value, name);
}

static bool
is_list_used(const struct lint *l, const char *name)
{
	for (size_t i = 0; i < l->config->policy.rules_count; i++) {
		const struct tree_section *s = l->sections[i];

		for (size_t k = 0; k < s->entries_count; k++) {
			if (names_list(&s->entries[k], name))
				return true;
		}
	}
	return false;
}

/* True if a rule tests this fact. */
static bool
is_asked_for(const struct lint *l, enum evidence_kind kind)
{
	const struct policy *p = &l->config->policy;

	for (size_t i = 0; i < p->rules_count; i++) {
		const struct policy_rule *rule = &p->rules[i];

		for (size_t k = 0; k < rule->conditions_count; k++) {
			if (rule->conditions[k].kind == kind)
				return true;
		}
	}
	return false;
}

static bool
reads_points(const struct lint *l)
{
	return is_asked_for(l, EVIDENCE_SCORE) ||
	       is_asked_for(l, EVIDENCE_SOURCES);
}

/* A list that is asked costs time of its own, and tells who comes here. */
static void
check_zone(const struct lint *l, const struct tree_section *s, bool is_allow)
{
	const struct policy_score *points = &l->config->policy.score;
	const char *name = is_allow ? "dnswl" : "dnsbl";

	if (is_asked_for(l, is_allow ? EVIDENCE_DNSWL : EVIDENCE_DNSBL) ||
	    (reads_points(l) &&
	     (is_allow ? points->dnswl : points->dnsbl) != 0))
		return;
	tree_note(l->tree, REPORT_WARNING, s, NULL,
		  "is asked for nothing, expected a rule with %s = 1.., or one "
		  "with score and points for %s in [score]",
		  name, name);
}

/* Lists that no rule makes use of. */
static void
check_lists(const struct lint *l)
{
	for (size_t i = 0; i < l->tree->sections_count; i++) {
		const struct tree_section *s = &l->tree->sections[i];
		const char *kind = s->kind->name;

		if (strcmp(kind, "dnsbl") == 0 || strcmp(kind, "dnswl") == 0)
			check_zone(l, s, strcmp(kind, "dnswl") == 0);
		else if (strcmp(kind, "list") == 0 && !is_list_used(l, s->name))
			tree_note(l->tree, REPORT_WARNING, s, NULL,
				  "is used by no rule, expected listed = %s in "
				  "one",
				  s->name);
	}
}

/* The sections of the rules, by their places in the policy. */
static bool
find_sections(struct lint *l)
{
	size_t place = 0;

	l->sections = arena_take(l->tree->arena, l->tree->sections_count *
						     sizeof(*l->sections));
	for (size_t i = 0; l->sections != NULL && i < l->tree->sections_count;
	     i++) {
		if (strcmp(l->tree->sections[i].kind->name, "rule") == 0)
			l->sections[place++] = &l->tree->sections[i];
	}
	return l->sections != NULL && place == l->config->policy.rules_count;
}

void
rule_lint(const struct tree *tree, const struct config *config)
{
	struct lint l = {.tree = tree, .config = config};

	if (tree->report->mistakes > 0 || tree->sections_count == 0 ||
	    !find_sections(&l))
		return;
	check_lists(&l);
	check_points(&l);
	for (size_t i = 0; i < config->policy.rules_count; i++) {
		check_pairs(&l, i);
		check_asked(&l, i);
		if (config->policy.rules_count <= RULES_MAX)
			check_reached(&l, i);
	}
}
