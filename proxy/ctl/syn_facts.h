/*
 * What is known of a client of whom there is nothing but a SYN.
 */
#ifndef PROXY_CTL_SYN_FACTS_H
#define PROXY_CTL_SYN_FACTS_H

#include <stdbool.h>

#include "proxy/config/config.h"
#include "proxy/config/labels.h"

/* The names that syn.labels has; none where that cannot be read, which is
 * said. NULL without memory. */
struct labels *syn_facts_labels(const struct config *config);

/* Fills *e; without a path there is neither address nor distance. */
void syn_facts_gather(const struct labels *labels, const struct syn *s,
		      bool has_path, struct evidence *e,
		      enum label_quality *quality);

#endif
