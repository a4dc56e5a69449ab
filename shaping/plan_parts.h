/*
 * What the files plan*.c share and nobody else needs.
 */
#ifndef SHAPING_PLAN_PARTS_H
#define SHAPING_PLAN_PARTS_H

#include "tarry/policy_index.h"

static inline unsigned char
text_lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* True if the fact is there, and says something. */
bool evidence_tells(const struct evidence *e, enum evidence_kind kind);

/* Points, those above 0 with a source; and those of the facts. */
void plan_add_points(struct plan_trace *trace, int32_t points);
void plan_add_facts(struct plan_trace *trace, const struct policy_score *score,
		    const struct evidence *e);

/* True if what the condition asks for is there. */
bool condition_is_told(const struct policy_condition *c,
		       const struct evidence *e);

/* True if the condition holds; `so_far` has the score of the rules above. */
bool condition_holds(const struct policy_condition *c, const struct evidence *e,
		     const struct plan_trace *so_far);

/*
 * True if all conditions of the rule hold; `so_far` has the score of the
 * rules above. A rule that was found by its network is known to hold as to
 * that: the second one asks for the others only.
 */
bool rule_holds(const struct policy_rule *rule, const struct evidence *e,
		const struct plan_trace *so_far);
bool candidate_holds(const struct policy_rule *rule, const struct evidence *e,
		     const struct plan_trace *so_far);

/* True if any of the patterns matches the SYN. */
bool pattern_index_match(const struct pattern_index *index,
			 const struct signature_pattern *patterns,
			 const struct syn *syn);

/* Networks around each other, one slice for each mask, and the few others. */
#define CANDIDATES_SLICES (129 + PATTERN_MASKS + EVIDENCE_COUNT + 3)

/* The rules that may hold, in file order. */
struct candidates {
	const struct policy *policy;
	uint32_t next;	      /* no rule before this one comes again */
	uint32_t lists_count; /* of lists[] in use */
	struct index_slice lists[CANDIDATES_SLICES]; /* what is left of them */
};

void candidates_start(struct candidates *c, const struct policy *policy,
		      const struct evidence *e);

/* The place of the next rule; policy->rules_count at the end. */
uint32_t candidates_next(struct candidates *c);

#endif
