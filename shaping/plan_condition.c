/*
 * Does a rule hold? Each condition by itself; lists of any length in the time
 * of a short one, if they were sorted or indexed when they were read.
 *
 * Invariant: a fact that is not there makes a condition false, negated or
 * not; only `unknown` asks for absence.
 */
#include "plan_parts.h"

#include <string.h>

#include "tarry/wildcard.h"

int
policy_text_compare(const char *a, const char *b)
{
	while (*a != '\0' && text_lower(*a) == text_lower(*b)) {
		a++;
		b++;
	}
	return text_lower(*a) - text_lower(*b);
}

/* As net_has() sees it: an IPv4 network lies within ::ffff:0:0/96. */
int
policy_net_family(const struct net *n)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return n->bits >= 96 && memcmp(n->ip, mapped, 12) == 0 ? 4 : 6;
}

int
policy_net_compare(const struct net *a, const struct net *b)
{
	int order = policy_net_family(b) - policy_net_family(a);

	if (order == 0)
		order = memcmp(a->ip, b->ip, sizeof(a->ip));
	return order != 0 ? order : a->bits - b->bits;
}

/* Names of our own files are told apart by their case too. */
static bool
has_name(const struct policy_condition *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++) {
		if (strcmp(c->texts[i], name) == 0)
			return true;
	}
	return false;
}

static bool
has_text(const struct policy_condition *c, const char *text)
{
	size_t low = 0;
	size_t high = c->count;

	for (size_t i = 0; !c->is_sorted && i < c->count; i++) {
		if (policy_text_compare(c->texts[i], text) == 0)
			return true;
	}
	while (c->is_sorted && low < high) {
		size_t middle = low + (high - low) / 2;
		int order = policy_text_compare(text, c->texts[middle]);
		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool
has_wildcard(const struct policy_condition *c, const char *text)
{
	for (size_t i = 0; text != NULL && i < c->count; i++) {
		if (wildcard_match(c->texts[i], text))
			return true;
	}
	return false;
}

static bool
has_pattern(const struct policy_condition *c, const struct syn *syn)
{
	if (c->index != NULL)
		return pattern_index_match(c->index, c->patterns, syn);
	for (size_t i = 0; i < c->count; i++) {
		if (signature_pattern_match(&c->patterns[i], syn))
			return true;
	}
	return false;
}

/* Of sorted networks, none of which lies in another, the last that does not
 * begin behind the address is the only one that may have it. */
static bool
has_sorted_net(const struct policy_condition *c, const struct addr *client)
{
	struct net host = {.bits = 128};
	size_t low = 0;
	size_t high = c->count;

	memcpy(host.ip, client->ip, sizeof(host.ip));
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (policy_net_compare(&c->nets[middle], &host) > 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low > 0 && net_has(&c->nets[low - 1], client);
}

static bool
has_net(const struct policy_condition *c, const struct addr *client)
{
	if (c->is_sorted)
		return has_sorted_net(c, client);
	for (size_t i = 0; i < c->count; i++) {
		if (net_has(&c->nets[i], client))
			return true;
	}
	return false;
}

static bool
has_number(const struct policy_condition *c, uint32_t number)
{
	for (size_t i = 0; i < c->count; i++) {
		if (number >= c->ranges[i].low && number <= c->ranges[i].high)
			return true;
	}
	return false;
}

bool
evidence_tells(const struct evidence *e, enum evidence_kind kind)
{
	if (kind == EVIDENCE_SCORE || kind == EVIDENCE_SOURCES)
		return true;
	if (kind == EVIDENCE_LISTED)
		kind = EVIDENCE_NETWORK;
	if (!evidence_has(e, kind))
		return false;
	if (kind == EVIDENCE_LABEL)
		return e->label != NULL;
	if (kind == EVIDENCE_LISTENER)
		return e->listener != NULL;
	if (kind == EVIDENCE_JA4)
		return e->ja4 != NULL;
	if (kind == EVIDENCE_DIALECT)
		return e->dialect != NULL;
	if (kind == EVIDENCE_REPUTATION)
		return e->reputation != NULL;
	if (kind == EVIDENCE_PTR)
		return e->ptr != NULL;
	if (kind == EVIDENCE_MSS)
		return e->syn.mss != SYN_MSS_ABSENT;
	return true;
}

static uint32_t
number_of(const struct evidence *e, enum evidence_kind kind,
	  const struct plan_trace *so_far)
{
	if (kind == EVIDENCE_SCORE)
		return so_far->score < 0 ? 0 : (uint32_t)so_far->score;
	if (kind == EVIDENCE_SOURCES)
		return so_far->sources;
	return evidence_number(e, kind);
}

/* True if any of the condition's values is that of the fact, which tells. */
static bool
has_value(const struct policy_condition *c, const struct evidence *e,
	  const struct plan_trace *so_far)
{
	uint32_t number;

	if (c->kind == EVIDENCE_NETWORK || c->kind == EVIDENCE_LISTED)
		return has_net(c, &e->client);
	if (c->kind == EVIDENCE_SYN || c->kind == EVIDENCE_STACK ||
	    c->kind == EVIDENCE_FAMILY)
		return has_pattern(c, &e->syn);
	if (c->kind == EVIDENCE_LABEL)
		return has_text(c, e->label);
	if (c->kind == EVIDENCE_LISTENER)
		return has_name(c, e->listener);
	if (c->kind == EVIDENCE_REPUTATION)
		return has_text(c, e->reputation);
	if (c->kind == EVIDENCE_PTR)
		return has_name(c, e->ptr);
	if (c->kind == EVIDENCE_JA4)
		/* The hashes, or what they are made of: two texts that look
		 * different. */
		return has_wildcard(c, e->ja4) || has_wildcard(c, e->ja4_raw);
	if (c->kind == EVIDENCE_DIALECT)
		return has_wildcard(c, e->dialect);
	if (c->ranges != NULL)
		return has_number(c, evidence_number(e, c->kind));
	number = c->list > 0 ? e->list_weights[c->list - 1]
			     : number_of(e, c->kind, so_far);
	return number >= c->low && number <= c->high;
}

bool
condition_is_told(const struct policy_condition *c, const struct evidence *e)
{
	if (c->list > 0)
		return (e->lists_known >> (c->list - 1) & 1) != 0;
	return evidence_tells(e, c->kind);
}

bool
condition_holds(const struct policy_condition *c, const struct evidence *e,
		const struct plan_trace *so_far)
{
	if (!condition_is_told(c, e))
		return c->is_unknown && !c->is_not;
	return has_value(c, e, so_far) != c->is_not;
}

bool
rule_holds(const struct policy_rule *rule, const struct evidence *e,
	   const struct plan_trace *so_far)
{
	for (size_t i = 0; i < rule->conditions_count; i++) {
		if (!condition_holds(&rule->conditions[i], e, so_far))
			return false;
	}
	return true;
}

bool
candidate_holds(const struct policy_rule *rule, const struct evidence *e,
		const struct plan_trace *so_far)
{
	for (size_t i = 0; i < rule->conditions_count; i++) {
		const struct policy_condition *c = &rule->conditions[i];
		if (c->kind == EVIDENCE_NETWORK && !c->is_not)
			continue;
		if (!condition_holds(c, e, so_far))
			return false;
	}
	return true;
}
