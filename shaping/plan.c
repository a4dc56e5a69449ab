/*
 * Which plan a session gets: points, the rules in file order, stress, then
 * the governor.
 *
 * The governor looks at figures only, so that no rule, class or later idea
 * can delay a client beyond the budget. Two limits are left to the session,
 * which alone knows the reply: 5 s for the reply to DATA and for a 4xx.
 */
#include "plan_parts.h"

#include <string.h>

void
plan_add_points(struct plan_trace *trace, int32_t points)
{
	trace->score += points; /* see POLICY_POINTS_MAX */
	if (points > 0)
		trace->sources++;
}

static int32_t
weight(uint32_t number)
{
	return number < POLICY_POINTS_MAX ? (int32_t)number : POLICY_POINTS_MAX;
}

/* The points of the facts, from [score]. */
static void
add_facts(struct plan_trace *trace, const struct policy_score *score,
	  const struct evidence *e)
{
	const struct {
		enum evidence_kind kind;
		int32_t points;
	} flags[] = {
	    {EVIDENCE_EARLY_TALKER, score->early_talker},
	    {EVIDENCE_PIPELINING, score->pipelining},
	    {EVIDENCE_NON_SMTP, score->non_smtp},
	    {EVIDENCE_BARE_NEWLINE, score->bare_newline},
	    {EVIDENCE_DNSBL, score->dnsbl},
	    {EVIDENCE_DNSWL, score->dnswl},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		uint32_t number = 0;

		if (evidence_tells(e, flags[i].kind))
			number = evidence_number(e, flags[i].kind);
		if (number > 0)
			plan_add_points(trace,
					flags[i].points == POLICY_POINTS_WEIGHT
					    ? weight(number)
					    : flags[i].points);
	}
}

/* Of two standings, of which one holds at a time. */
static void
add_reputation(struct plan_trace *trace, const struct policy_score *score,
	       const struct evidence *e)
{
	if (!evidence_tells(e, EVIDENCE_REPUTATION))
		return;
	if (strcmp(e->reputation, "bad") == 0)
		plan_add_points(trace, score->bad);
	if (strcmp(e->reputation, "suspect") == 0)
		plan_add_points(trace, score->suspect);
}

void
plan_add_facts(struct plan_trace *trace, const struct policy_score *score,
	       const struct evidence *e)
{
	add_facts(trace, score, e);
	if (evidence_tells(e, EVIDENCE_PTR) &&
	    strcmp(e->ptr, evidence_ptr_name(EVIDENCE_PTR_CONFIRMED)) != 0)
		plan_add_points(trace, score->ptr);
	add_reputation(trace, score, e);
}

static void
note_held(struct plan_trace *trace, uint32_t place)
{
	if (trace->held_count < PLAN_TRACE_CAP)
		trace->held[trace->held_count] = (uint16_t)place;
	trace->held_count++;
}

/* The rule that decides, or PLAN_NO_RULE; the first that would, in *shadow. */
static uint16_t
find_rule(const struct policy *policy, const struct evidence *e,
	  struct plan_trace *trace, uint16_t *shadow)
{
	struct candidates c;

	candidates_start(&c, policy, e);
	trace->rules_tried = (uint32_t)policy->rules_count;
	for (;;) {
		const uint32_t i = candidates_next(&c);
		if (i >= policy->rules_count)
			return PLAN_NO_RULE;
		const struct policy_rule *rule = &policy->rules[i];
		if (policy->index != NULL ? !candidate_holds(rule, e, trace)
					  : !rule_holds(rule, e, trace))
			continue;
		note_held(trace, i);
		if (rule->is_add && !rule->is_shadow)
			plan_add_points(trace, rule->points);
		if (rule->is_add)
			continue;
		/* Fewer rules than PLAN_NO_RULE: proxy/config sees to it. */
		if (!rule->is_shadow) {
			trace->rules_tried = i + 1;
			return (uint16_t)i;
		}
		if (*shadow == PLAN_NO_RULE)
			*shadow = (uint16_t)i;
	}
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

/* What class and caps say, before the governor. */
static void
set_shape(struct plan *plan, const struct policy_class *class)
{
	plan->class_id = class->id;
	plan->teaser = class->teaser;
	plan->data_rate = class->data_rate;
	for (size_t i = 0; i < PLAN_CAPS; i++)
		plan->caps[i] = (uint16_t)least(class->caps[i], UINT16_MAX);
}

/*
 * The governor. A reply can be held for the MTA's patience at most, so that
 * is a limit of its delays too; the greeting is held before the MTA is asked.
 */
static void
govern(struct plan *plan, const struct policy_class *class,
       struct plan_trace *trace)
{
	uint32_t greet_cap = least(plan->reply_cap_ms, plan->session_cap_ms);
	uint32_t reply_cap = least(plan->reply_cap_ms, plan->patience_ms);
	uint32_t greet = least(class->greet_ms, greet_cap);
	uint32_t reply = least(class->reply_ms, reply_cap);
	uint32_t error = least(class->error_ms, reply_cap);

	/* All of them are below PLAN_REPLY_MAX_MS now. */
	plan->greet_ms = (uint16_t)greet;
	plan->reply_ms = (uint16_t)reply;
	plan->error_ms = (uint16_t)error;
	if (plan->data_rate > 0)
		plan->data_rate = most(plan->data_rate, PLAN_DATA_RATE_MIN);
	trace->cut_greet_ms = class->greet_ms - greet;
	trace->cut_reply_ms = class->reply_ms - reply;
}

/* Stress takes away only. */
static void
ease(struct plan *plan, const struct policy *policy,
     const struct stress *stress)
{
	if (stress->sessions && plan->rank <= policy->open_rank)
		plan->greet_ms =
		    (uint16_t)least(plan->greet_ms, PLAN_STRESS_GREET_MS);
	if (!stress->slots)
		return;
	plan->reply_ms = 0;
	plan->error_ms = 0;
	plan->data_rate = 0;
}

/*
 * The drip is the last part of a delay: none is shorter than what is left. A
 * split is a drip of two halves, the first in its middle.
 */
static void
set_drip(struct plan *plan, const struct policy_class *class)
{
	uint32_t longest =
	    most(plan->greet_ms, most(plan->reply_ms, plan->error_ms));
	uint32_t drip_ms = class->drip_ms;

	plan->is_split = drip_ms == 0 && class->split_ms > 0;
	if (plan->is_split)
		drip_ms = 2 * least(class->split_ms, PLAN_REPLY_MAX_MS);
	plan->drip_ms = (uint16_t)least(drip_ms, longest);
	plan->teaser = plan->teaser && plan->greet_ms > 0;
}

static void
set_class(struct plan *plan, const struct policy *policy, uint16_t index,
	  const struct stress *stress, struct plan_trace *trace)
{
	if (index == PLAN_CLASS_DEFER) {
		plan->class_id = PLAN_CLASS_DEFER;
		plan->rank = PLAN_RANK_DEFER;
	}
	if (index >= policy->classes_count)
		return;
	const struct policy_class *class = &policy->classes[index];
	plan->rank = (uint8_t)(index + 1); /* < PLAN_RANK_DEFER */
	set_shape(plan, class);
	govern(plan, class, trace);
	if (stress != NULL)
		ease(plan, policy, stress);
	set_drip(plan, class);
}

const char *
plan_mode_name(const struct plan *p)
{
	if (p->is_held_out)
		return "holdout";
	return p->is_shadow ? "shadow" : "enforce";
}

struct plan
plan_make(const struct policy *policy, const struct evidence *e,
	  const struct stress *stress, struct plan_trace *trace)
{
	struct plan_trace unread;
	struct plan plan = {.class_id = PLAN_CLASS_PASS,
			    .rule_id = PLAN_NO_RULE,
			    .shadow_rule_id = PLAN_NO_RULE,
			    .is_shadow = policy->is_shadow};
	uint16_t shadow = PLAN_NO_RULE;

	if (trace == NULL)
		trace = &unread;
	*trace = (struct plan_trace){.rule = PLAN_NO_RULE};
	plan_add_facts(trace, &policy->score, e);
	trace->rule = find_rule(policy, e, trace, &shadow);
	if (shadow != PLAN_NO_RULE)
		plan.shadow_rule_id = policy->rules[shadow].id;
	set_caps(&plan, policy);
	if (trace->rule == PLAN_NO_RULE)
		return plan;
	const struct policy_rule *rule = &policy->rules[trace->rule];
	plan.rule_id = rule->id;
	set_class(&plan, policy, rule->class_index, stress, trace);
	return plan;
}

const char *
policy_class_name(const struct policy *policy, uint16_t class_id)
{
	if (class_id == PLAN_CLASS_PASS)
		return "pass";
	if (class_id == PLAN_CLASS_DEFER)
		return "defer";
	for (size_t i = 0; i < policy->classes_count; i++) {
		if (policy->classes[i].id == class_id)
			return policy->classes[i].name;
	}
	return "-";
}

/* Ids are places where nobody has given others; that is tried first. */
const char *
policy_rule_name(const struct policy *policy, uint16_t rule_id)
{
	if (rule_id < policy->rules_count &&
	    policy->rules[rule_id].id == rule_id)
		return policy->rules[rule_id].name;
	for (size_t i = 0; i < policy->rules_count; i++) {
		if (policy->rules[i].id == rule_id)
			return policy->rules[i].name;
	}
	return "-";
}
