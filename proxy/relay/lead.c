/*
 * Of 128 samples the second largest is the 99th percentile; no sorting. The
 * largest alone would let one stall rule for the next 127 sessions.
 */
#include "proxy/relay/lead.h"

#define ENOUGH 16
/* A local MTA answers within the tick of the wheel. */
#define LEAD_LEAST_MS 50

uint32_t
lead_add(struct lead *l, uint32_t ms)
{
	uint32_t n;
	uint32_t first = 0;
	uint32_t second = 0;
	uint32_t i;

	l->samples_ms[l->count++ % LEAD_SAMPLES] = ms;
	if (l->count < ENOUGH)
		return LEAD_FIRST_MS;
	n = l->count < LEAD_SAMPLES ? l->count : LEAD_SAMPLES;
	for (i = 0; i < n; i++) {
		uint32_t v = l->samples_ms[i];

		if (v > first) {
			second = first;
			first = v;
		} else if (v > second) {
			second = v;
		}
	}
	return second > LEAD_LEAST_MS ? second : LEAD_LEAST_MS;
}
