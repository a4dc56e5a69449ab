/*
 * What a simulation counts: how times spread, and how a level moves.
 */
#ifndef PROXY_SIMULATE_FIGURES_H
#define PROXY_SIMULATE_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

/* Bins of a 64th of an octave: percentiles are true to 1.6 %. */
#define SPREAD_PARTS 64
#define SPREAD_BINS (28 * SPREAD_PARTS)

struct spread {
	uint64_t count;
	uint64_t sum;
	uint32_t max;
	uint32_t bins[SPREAD_BINS];
};

void spread_add(struct spread *s, uint32_t value, uint32_t times);

/* The value that so many of a thousand did not exceed. */
uint32_t spread_at(const struct spread *s, uint32_t per_mille);

/* 0 of nothing. */
double spread_mean(const struct spread *s);

#define LEVEL_STEPS 60

/* A number that moves, over a span of time. */
struct level {
	uint64_t *ms_at; /* how long it was each value */
	uint32_t cap;	 /* values from 0 */
	uint32_t now;
	uint32_t max;
	uint64_t since_ms;
	uint64_t from_ms;
	uint64_t end_ms;	    /* what is later is not counted */
	uint64_t sums[LEVEL_STEPS]; /* value x ms, by part of the span */
	uint32_t maxima[LEVEL_STEPS];
};

/* Values are below `cap`; false without memory. */
bool level_open(struct level *l, uint32_t cap, uint64_t from_ms,
		uint64_t end_ms);
void level_close(struct level *l);

/* It is another value from now on. */
void level_set(struct level *l, uint32_t value, uint64_t now_ms);

double level_mean(const struct level *l);

/* The value that it did not exceed in so many of a thousand moments. */
uint32_t level_at(const struct level *l, uint32_t per_mille);

/* The mean of one of the LEVEL_STEPS parts. */
double level_step(const struct level *l, uint32_t step);

#endif
