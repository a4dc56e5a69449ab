/*
 * What can only be seen with the whole configuration at hand.
 */
#ifndef PROXY_CONFIG_CHECKS_H
#define PROXY_CONFIG_CHECKS_H

struct config;
struct tree;

/*
 * Mistakes: a drip longer than its delay, a client address kept from the MTA
 * without the check for an open relay. Warnings: delays that the budget will
 * cut, rules that are never reached. A section with mistakes is left alone.
 */
void checks_run(const struct tree *tree, const struct config *config);

#endif
