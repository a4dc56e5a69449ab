/*
 * [class NAME] and [rule NAME] as the policy that plan_make() reads.
 */
#ifndef PROXY_CONFIG_RULES_H
#define PROXY_CONFIG_RULES_H

#include "proxy/config/tree.h"
#include "tarry/policy.h"

/*
 * Fills classes and rules of the policy from the tree, in file order; its
 * memory is the tree's arena. Mistakes are reported; the policy is then not
 * fit for use, but fit for looking for more mistakes.
 */
void rules_build(const struct tree *tree, struct policy *policy);

#endif
