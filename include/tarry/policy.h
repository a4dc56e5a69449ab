/*
 * The rules and classes as plain data, filled by proxy/config, read by
 * plan_make(). Arrays are owned by whoever filled them and outlive every
 * call; nothing here is changed while a worker may read it.
 */
#ifndef TARRY_POLICY_H
#define TARRY_POLICY_H

#include "tarry/evidence.h"
#include "tarry/plan.h"

struct policy_class {
	const char *name;
	uint32_t greet_ms;
	uint32_t reply_ms;
	uint32_t error_ms; /* instead of reply_ms, for 4xx and 5xx */
	uint32_t drip_ms;
	bool teaser;
};

/*
 * One condition: the fact must be there and, with any of the listed values,
 * hold. A condition on an absent fact is false, but `syn = unknown` (and stack,
 * family, label) asks for absence.
 */
struct policy_condition {
	enum evidence_kind kind;
	bool is_unknown; /* `unknown`: holds too where the fact is absent */
	const struct signature_pattern *patterns; /* PATTERN */
	const struct net *nets;			  /* NETS */
	const char *const *texts;		  /* TEXT, whole, any case */
	size_t count;				  /* of the list in use */
	uint32_t low;				  /* NUMBER, FLAG: low..high */
	uint32_t high;
};

struct policy_rule {
	const char *name;
	uint16_t class_id; /* or PLAN_CLASS_PASS */
	const struct policy_condition *conditions;
	size_t conditions_count; /* 0: everyone */
};

struct policy {
	const struct policy_class *classes;
	size_t classes_count;
	const struct policy_rule *rules;
	size_t rules_count;
	uint32_t reply_cap_ms;
	uint32_t data_reply_cap_ms;
	uint32_t session_cap_ms;
	uint32_t patience_ms;
};

/* What plan_make() looked at, for logs and for `explain`. */
struct plan_trace {
	uint32_t rules_tried;
	uint16_t rule_id;      /* that decided, or PLAN_NO_RULE */
	uint32_t cut_greet_ms; /* what the governor took off */
	uint32_t cut_reply_ms;
};

/*
 * The plan for a session with this evidence: the first rule whose conditions
 * all hold decides; none: pass. The governor comes last: whatever the class
 * says, no figure of the plan exceeds the caps. `trace` may be NULL.
 * Never allocates.
 */
struct plan plan_make(const struct policy *policy, const struct evidence *e,
		      struct plan_trace *trace);

/* The class's or rule's name for a plan's ids: "pass", "-" where none. */
const char *policy_class_name(const struct policy *policy, uint16_t class_id);
const char *policy_rule_name(const struct policy *policy, uint16_t rule_id);

#endif
