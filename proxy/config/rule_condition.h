/*
 * One condition of a rule, from all that its section says under one key.
 */
#ifndef PROXY_CONFIG_RULE_CONDITION_H
#define PROXY_CONFIG_RULE_CONDITION_H

#include "proxy/config/networks.h"
#include "proxy/config/tree.h"
#include "tarry/policy.h"

/* What conditions may name. */
struct rule_sources {
	const struct tree *tree;
	struct networks_all lists;
};

/*
 * Fills *condition, which is zeroed, from the section's entries of that key,
 * of which there is one at least. Mistakes are reported.
 */
void rule_condition_build(const struct rule_sources *sources,
			  const struct tree_section *section,
			  const struct key *key,
			  struct policy_condition *condition);

#endif
