/*
 * Conditions of rules, and the facts that they are about, as texts for
 * people. No uv.h here: tarryctl reads it too.
 */
#ifndef PROXY_CONFIG_CONDITION_TEXT_H
#define PROXY_CONFIG_CONDITION_TEXT_H

#include "tarry/policy.h"

/* Room for any of them; what is longer is cut. */
#define CONDITION_TEXT_CAP 600

/* Of a list so many values are shown, and how many more there are. */
#define CONDITION_VALUES_SHOWN 3

/* `not.ptr = confirmed`, `score = 5..`, and a NUL; `lists` has the names of
 * the lists in the DNS. */
void condition_text(const struct policy_condition *c, const char *const *lists,
		    char out[CONDITION_TEXT_CAP]);

/*
 * What is known of a condition's fact, and a NUL; "" if it is not known.
 * Texts stand as they are: they may be a peer's.
 */
void condition_fact_text(const struct evidence *e,
			 const struct policy_condition *c,
			 const struct plan_trace *so_far,
			 char out[CONDITION_TEXT_CAP]);

/* The fact's name, as rules call it. Static. */
const char *condition_fact_name(enum evidence_kind kind);

#endif
