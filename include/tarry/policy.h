/*
 * The rules and classes as plain data, filled by proxy/config, read by
 * plan_make(). Arrays are owned by whoever filled them and outlive every
 * call; nothing here is changed while a worker may read it.
 */
#ifndef TARRY_POLICY_H
#define TARRY_POLICY_H

#include "tarry/evidence.h"
#include "tarry/plan.h"

struct pattern_index;
struct policy_index;

struct policy_class {
	const char *name;
	uint16_t id; /* of the name; see names.h */
	bool teaser;
	uint32_t greet_ms;
	uint32_t reply_ms;
	uint32_t error_ms; /* instead of reply_ms, for 4xx and 5xx */
	uint32_t drip_ms;
	uint32_t split_ms;	  /* beside no drip */
	uint32_t data_rate;	  /* bytes a second; 0: not slowed */
	uint32_t caps[PLAN_CAPS]; /* sessions by enum plan_cap; 0: no cap */
};

struct policy_range {
	uint32_t low;
	uint32_t high;
};

/*
 * One condition: the fact must be there and, with any of the listed values,
 * hold; negated, with none of them. A condition on an absent fact is false,
 * also when negated, but `syn = unknown` (and stack, family, label) asks for
 * absence, and `not.syn = unknown` for presence.
 */
struct policy_condition {
	enum evidence_kind kind;
	uint8_t list; /* of DNSBL, DNSWL: one list, its place + 1; 0: all */
	bool is_not;
	bool is_unknown; /* `unknown`: holds too where the fact is absent */
	bool is_sorted;	 /* nets, texts: see policy_index.h */
	const struct signature_pattern *patterns; /* PATTERN */
	const struct net *nets;			  /* NETS */
	const char *const *texts;		  /* TEXT, whole, any case */
	const struct policy_range *ranges;	  /* NUMBER, a list of them */
	size_t count;				  /* of the list in use */
	uint32_t low;				  /* NUMBER, FLAG: low..high */
	uint32_t high;
	const struct pattern_index *index; /* of the patterns, or NULL */
};

/* Points of one rule or fact are within -POLICY_POINTS_MAX..POLICY_POINTS_MAX,
 * so that the sum of all rules there can be is an int32_t. */
#define POLICY_POINTS_MAX 1000
#define POLICY_POINTS_WEIGHT INT32_MAX

struct policy_rule {
	const char *name;
	uint16_t id;	      /* of the name; see names.h */
	uint16_t class_index; /* or PLAN_CLASS_PASS, PLAN_CLASS_DEFER */
	const struct policy_condition *conditions;
	size_t conditions_count; /* 0: everyone */
	int32_t points;		 /* that it adds */
	bool is_add;		 /* gives points and goes on; has no class */
	bool is_shadow;		 /* noted where it holds, and skipped */
};

/* Points for facts, before any rule is tried. */
struct policy_score {
	int32_t early_talker;
	int32_t pipelining;
	int32_t non_smtp;
	int32_t bare_newline;
	int32_t ptr;	 /* known, and not confirmed */
	int32_t suspect; /* reputation.suspect */
	int32_t bad;
	int32_t dnsbl; /* POLICY_POINTS_WEIGHT: as many as it weighs */
	int32_t dnswl;
};

struct policy {
	const struct policy_class *classes; /* PLAN_CLASSES_CAP at most */
	size_t classes_count;
	const struct policy_rule *rules;
	size_t rules_count;
	const struct policy_index *index; /* of the rules; NULL: try each */
	struct policy_score score;
	uint32_t reply_cap_ms;
	uint32_t data_reply_cap_ms;
	uint32_t session_cap_ms;
	uint32_t patience_ms;
	uint8_t open_rank;  /* of the class of the rule for everyone; or 0 */
	bool is_shadow;	    /* plans are only noted */
	bool counts_matter; /* a rule tests session.* */
};

/* What is scarce, each with a hysteresis of its owner (design 7). */
struct stress {
	bool sessions; /* greets up to open_rank shrink */
	bool slots;    /* no delay behind the greeting */
};

/* What is left of those greets. */
#define PLAN_STRESS_GREET_MS 2000

/* What plan_make() looked at, for logs and for `explain`. Rules by their
 * places in the policy. */
#define PLAN_TRACE_CAP 16
struct plan_trace {
	uint32_t rules_tried; /* up to the one that decided, in file order */
	uint32_t held_count;  /* of them, those that held */
	uint16_t held[PLAN_TRACE_CAP]; /* the first of those */
	uint16_t rule;		       /* that decided, or PLAN_NO_RULE */
	int32_t score;		       /* at the end */
	uint32_t sources;
	uint32_t cut_greet_ms; /* what the governor took off */
	uint32_t cut_reply_ms;
};

/*
 * The plan for a session with this evidence. Rules are tried in order: one
 * whose conditions all hold adds its points and goes on, or decides; none
 * decides: pass. A rule in shadow changes nothing; the first of them that
 * would have decided is plan.shadow_rule_id. A score below 0 is compared as
 * 0. The governor comes last: whatever the class says, no figure of the plan
 * exceeds the caps. `stress` and `trace` may be NULL.
 * Never allocates.
 */
struct plan plan_make(const struct policy *policy, const struct evidence *e,
		      const struct stress *stress, struct plan_trace *trace);

/*
 * The class's or rule's name for a plan's ids, as long as the plan is one of
 * this policy: "pass", "defer", "-" where none.
 */
const char *policy_class_name(const struct policy *policy, uint16_t class_id);
const char *policy_rule_name(const struct policy *policy, uint16_t rule_id);

#endif
