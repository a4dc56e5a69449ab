/*
 * Why a plan is what it is: every rule in file order, as plan_make() tries
 * it, each condition by itself. For people: plan_make() itself uses an index
 * and stops at what decides.
 */
#ifndef TARRY_EXPLAIN_H
#define TARRY_EXPLAIN_H

#include "tarry/policy.h"

/* What a condition comes to. */
enum explain_says {
	EXPLAIN_FAILS,
	EXPLAIN_HOLDS,
	EXPLAIN_ABSENT /* its fact is not known, and so it does not hold */
};

/* A walk over the rules. A value; what it points to is borrowed. */
struct explain {
	const struct policy *policy;
	const struct evidence *evidence;
	struct plan_trace so_far; /* score and sources above rule `next` */
	uint32_t next;		  /* place of the rule that comes next */
};

/* Before the first rule: so_far has the points of the facts. */
void explain_start(struct explain *x, const struct policy *policy,
		   const struct evidence *e);

/* The condition of the rule that comes next. */
enum explain_says explain_condition(const struct explain *x,
				    const struct policy_condition *c);

/* True if the rule that comes next holds; then it has given its points. The
 * walk goes on behind it. x->next must be below policy->rules_count. */
bool explain_rule(struct explain *x);

/* "fails", "holds", "absent", static. */
const char *explain_says_name(enum explain_says says);

/*
 * The SYN that a pattern of level SYN names, if it names one: no wildcard, no
 * range. Its text is the pattern's, and so all that rules and labels see of
 * it is the same; addresses, ports and the like are zero, and of the windows
 * that have that text it is one. False: it is no single SYN.
 */
bool explain_syn(const struct signature_pattern *p, struct syn *out);

#endif
