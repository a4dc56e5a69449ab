/*
 * Rules that do nothing, though each value of theirs is well: warnings.
 */
#ifndef PROXY_CONFIG_RULE_LINT_H
#define PROXY_CONFIG_RULE_LINT_H

#include "proxy/config/config.h"
#include "proxy/config/tree.h"

/*
 * True if `b` holds only where `a` holds. May say false where that is hard
 * to see; of score and sources it is true only while no points are given
 * between the two.
 */
bool rule_lint_covers(const struct policy_condition *a,
		      const struct policy_condition *b);

/*
 * Warns, at file and line: of rules that are never reached, for a rule above
 * decides whenever they hold; of conditions that are never true, alone or
 * together, or say nothing beside another; of lists of networks and in the DNS
 * that no rule makes use of.
 * Notes nothing if there are mistakes.
 */
void rule_lint(const struct tree *tree, const struct config *config);

#endif
