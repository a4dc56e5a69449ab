/*
 * Chance out of a seed, so that a simulation is the same each time.
 */
#ifndef PROXY_SIMULATE_DICE_H
#define PROXY_SIMULATE_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct range {
	uint32_t low;
	uint32_t high;
};

/* Even numbers from a seed that is moved on. */
uint64_t dice_next(uint64_t *dice);
uint32_t dice_below(uint64_t *dice, uint32_t n);
bool dice_percent(uint64_t *dice, uint32_t percent);
uint32_t dice_range(uint64_t *dice, struct range r);

/* How long until the next of events that come by chance, `mean` apart on
 * average. */
double dice_wait(uint64_t *dice, double mean);

/* A mix of two numbers, the same each time. */
uint64_t dice_mix(uint64_t a, uint64_t b);

#endif
