/*
 * [dnsbl NAME] and [dnswl NAME]: the lists in the DNS, and what of their
 * answers counts.
 */
#ifndef PROXY_CONFIG_LISTS_H
#define PROXY_CONFIG_LISTS_H

#include "proxy/config/config.h"
#include "proxy/config/tree.h"
#include "proxy/config/value.h"

/*
 * Reads `DOMAIN[=ANSWERS][*WEIGHT]`, as in Postfix's postscreen_dnsbl_sites:
 * ANSWERS are four numbers with dots between, each of which may be a set
 * `[1;4..7]`. Without ANSWERS all of 127.0.0.0/8 counts; WEIGHT is 1 without.
 * Copies the domain's first domain_cap - 1 bytes. Returns true and fills
 * *list's filter and weight, or false and says why.
 */
bool lists_zone(const char *text, struct config_list *list, char *domain,
		size_t domain_cap, struct value_why *why);

/* All of them, in file order. Mistakes are reported. */
void lists_build(const struct tree *tree, struct config_dns *dns);

/* The place among all lists of the one of that kind and name, from 1; 0: there
 * is none. */
uint8_t lists_place(const struct tree *tree, const char *kind,
		    const char *name);

/* True if an answer with these bytes counts. */
bool lists_filter_has(const struct config_filter *filter, const uint8_t ip[4]);

#endif
