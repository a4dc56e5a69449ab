/*
 * Which plan a session gets: the rules in file order, then the governor.
 *
 * The governor comes last and looks at figures only, so that no rule, class
 * or later idea can delay a client beyond the budget. Two limits are left to
 * the session, which alone knows the reply: 5 s for the reply to DATA and for
 * a 4xx.
 */
#include "tarry/policy.h"

#include <string.h>

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool
is_same_text(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

static bool
has_text(const struct policy_condition *c, const char *text)
{
	for (size_t i = 0; i < c->count; i++) {
		if (is_same_text(c->texts[i], text))
			return true;
	}
	return false;
}

static bool
has_pattern(const struct policy_condition *c, const struct syn *syn)
{
	for (size_t i = 0; i < c->count; i++) {
		if (signature_pattern_match(&c->patterns[i], syn))
			return true;
	}
	return false;
}

static bool
has_net(const struct policy_condition *c, const struct addr *client)
{
	for (size_t i = 0; i < c->count; i++) {
		if (net_has(&c->nets[i], client))
			return true;
	}
	return false;
}

static bool
has_number(const struct policy_condition *c, uint32_t value)
{
	return value >= c->low && value <= c->high;
}

/* A present fact whose value says "nothing" is an absent one. */
static bool
is_known(const struct evidence *e, enum evidence_kind kind)
{
	if (!evidence_has(e, kind))
		return false;
	if (kind == EVIDENCE_LABEL)
		return e->label != NULL;
	if (kind == EVIDENCE_MSS)
		return e->syn.mss != SYN_MSS_ABSENT;
	return true;
}

static bool
condition_holds(const struct policy_condition *c, const struct evidence *e)
{
	if (!is_known(e, c->kind))
		return c->is_unknown;
	switch (c->kind) {
	case EVIDENCE_NETWORK:
		return has_net(c, &e->client);
	case EVIDENCE_SYN:
	case EVIDENCE_STACK:
	case EVIDENCE_FAMILY:
		return has_pattern(c, &e->syn);
	case EVIDENCE_LABEL:
		return has_text(c, e->label);
	case EVIDENCE_MSS:
		return has_number(c, e->syn.mss);
	case EVIDENCE_DISTANCE:
		return has_number(c, signature_distance(&e->syn));
	case EVIDENCE_EARLY_TALKER:
		return has_number(c, e->early_talker ? 1 : 0);
	case EVIDENCE_COUNT:
		break;
	}
	return false;
}

static bool
rule_holds(const struct policy_rule *rule, const struct evidence *e)
{
	for (size_t i = 0; i < rule->conditions_count; i++) {
		if (!condition_holds(&rule->conditions[i], e))
			return false;
	}
	return true;
}

/* The rule that decides, or PLAN_NO_RULE. */
static uint16_t
find_rule(const struct policy *policy, const struct evidence *e,
	  struct plan_trace *trace)
{
	for (size_t i = 0; i < policy->rules_count; i++) {
		const struct policy_rule *rule = &policy->rules[i];
		trace->rules_tried++;
		if (!rule_holds(rule, e))
			continue;
		/* Fewer rules than PLAN_NO_RULE: proxy/config sees to it. */
		trace->rule_id = (uint16_t)i;
		return trace->rule_id;
	}
	return PLAN_NO_RULE;
}

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t
most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The caps, themselves never above the largest that are allowed at all. */
static void
set_caps(struct plan *plan, const struct policy *policy)
{
	plan->reply_cap_ms =
	    (uint16_t)least(policy->reply_cap_ms, PLAN_REPLY_MAX_MS);
	plan->data_reply_cap_ms =
	    (uint16_t)least(policy->data_reply_cap_ms, PLAN_DATA_REPLY_MAX_MS);
	plan->session_cap_ms =
	    least(policy->session_cap_ms, PLAN_SESSION_MAX_MS);
	plan->patience_ms =
	    (uint16_t)least(policy->patience_ms, PLAN_REPLY_MAX_MS);
}

/*
 * The governor. A reply can be held for the MTA's patience at most, so that
 * is a limit of its delays too; the greeting is held before the MTA is asked.
 */
static void
set_figures(struct plan *plan, const struct policy_class *class,
	    struct plan_trace *trace)
{
	uint32_t greet_cap = least(plan->reply_cap_ms, plan->session_cap_ms);
	uint32_t reply_cap = least(plan->reply_cap_ms, plan->patience_ms);
	uint32_t greet = least(class->greet_ms, greet_cap);
	uint32_t reply = least(class->reply_ms, reply_cap);
	uint32_t error = least(class->error_ms, reply_cap);
	uint32_t drip = least(class->drip_ms, most(greet, most(reply, error)));

	/* All of them are below PLAN_REPLY_MAX_MS now. */
	plan->greet_ms = (uint16_t)greet;
	plan->reply_ms = (uint16_t)reply;
	plan->error_ms = (uint16_t)error;
	plan->drip_ms = (uint16_t)drip;
	plan->teaser = class->teaser && greet > 0;
	trace->cut_greet_ms = class->greet_ms - greet;
	trace->cut_reply_ms = class->reply_ms - reply;
}

struct plan
plan_make(const struct policy *policy, const struct evidence *e,
	  struct plan_trace *trace)
{
	struct plan_trace unread;
	struct plan plan = {.class_id = PLAN_CLASS_PASS};

	if (trace == NULL)
		trace = &unread;
	*trace = (struct plan_trace){.rule_id = PLAN_NO_RULE};
	plan.rule_id = find_rule(policy, e, trace);
	if (plan.rule_id != PLAN_NO_RULE)
		plan.class_id = policy->rules[plan.rule_id].class_id;
	set_caps(&plan, policy);
	if (plan.class_id < policy->classes_count)
		set_figures(&plan, &policy->classes[plan.class_id], trace);
	return plan;
}

const char *
policy_class_name(const struct policy *policy, uint16_t class_id)
{
	if (class_id == PLAN_CLASS_PASS)
		return "pass";
	if (class_id >= policy->classes_count)
		return "-";
	return policy->classes[class_id].name;
}

const char *
policy_rule_name(const struct policy *policy, uint16_t rule_id)
{
	if (rule_id >= policy->rules_count)
		return "-";
	return policy->rules[rule_id].name;
}
