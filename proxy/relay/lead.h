/*
 * How long the MTA takes from the dial to its 220: the 99th percentile of the
 * last times, so that a slot is asked for neither late nor long before.
 */
#ifndef PROXY_RELAY_LEAD_H
#define PROXY_RELAY_LEAD_H

#include <stdint.h>

#define LEAD_SAMPLES 128
#define LEAD_FIRST_MS 1000

/* Zeroed is the beginning. */
struct lead {
	uint32_t samples_ms[LEAD_SAMPLES];
	uint32_t count; /* all that ever were */
};

/* Adds a time and returns the lead now: LEAD_FIRST_MS until there are enough.
 */
uint32_t lead_add(struct lead *l, uint32_t ms);

#endif
