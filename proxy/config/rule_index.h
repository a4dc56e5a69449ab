/*
 * The rules of a policy, compiled for look-ups; see tarry/policy_index.h.
 */
#ifndef PROXY_CONFIG_RULE_INDEX_H
#define PROXY_CONFIG_RULE_INDEX_H

#include "proxy/config/arena.h"
#include "tarry/policy.h"

/*
 * Orders the list of one condition, so that it is searched and not walked:
 * networks and texts are sorted, and a network within another left out; many
 * patterns get an index. The lists must be the caller's to write to: `nets`
 * and `texts` are those of the condition.
 */
void rule_index_sort(struct arena *arena, struct policy_condition *condition,
		     struct net *nets, const char **texts);

/*
 * Builds policy->index from the rules, in the arena. Without memory there is
 * none, and the arena remembers why.
 */
void rule_index_build(struct arena *arena, struct policy *policy);

#endif
