#include "proxy/simulate/figures.h"

#include <stdlib.h>

#define PARTS_BITS 6

static uint32_t
bin_of(uint32_t value)
{
	uint32_t octave;

	if (value < SPREAD_PARTS)
		return value;
	octave = 31 - (uint32_t)__builtin_clz(value) - PARTS_BITS;
	return octave * SPREAD_PARTS + (value >> octave);
}

/* The middle of a bin. */
static uint32_t
value_of(uint32_t bin)
{
	uint32_t octave;

	if (bin < 2 * SPREAD_PARTS)
		return bin;
	octave = bin / SPREAD_PARTS - 1;
	return ((bin % SPREAD_PARTS + SPREAD_PARTS) << octave) +
	       (1u << octave >> 1);
}

void
spread_add(struct spread *s, uint32_t value, uint32_t times)
{
	const uint32_t bin = bin_of(value);

	s->bins[bin < SPREAD_BINS ? bin : SPREAD_BINS - 1] += times;
	s->count += times;
	s->sum += (uint64_t)value * times;
	if (times > 0 && value > s->max)
		s->max = value;
}

uint32_t
spread_at(const struct spread *s, uint32_t per_mille)
{
	uint64_t below = 0;

	if (s->count == 0)
		return 0;
	for (uint32_t i = 0; i < SPREAD_BINS; i++) {
		below += s->bins[i];
		if (below * 1000 >= s->count * per_mille)
			return value_of(i) < s->max ? value_of(i) : s->max;
	}
	return s->max;
}

double
spread_mean(const struct spread *s)
{
	return s->count > 0 ? (double)s->sum / (double)s->count : 0;
}

bool
level_open(struct level *l, uint32_t cap, uint64_t from_ms, uint64_t end_ms)
{
	*l = (struct level){.cap = cap,
			    .from_ms = from_ms,
			    .since_ms = from_ms,
			    .end_ms = end_ms};
	l->ms_at = calloc(cap, sizeof(*l->ms_at));
	return l->ms_at != NULL;
}

void
level_close(struct level *l)
{
	free(l->ms_at);
	l->ms_at = NULL;
}

/* When part number i begins. */
static uint64_t
step_ms(const struct level *l, uint64_t i)
{
	return l->from_ms + (l->end_ms - l->from_ms) * i / LEVEL_STEPS;
}

/* The parts that the present value lasted through, up to now. */
static void
add_steps(struct level *l, uint64_t now_ms)
{
	uint64_t at = l->since_ms;
	uint64_t i = (at - l->from_ms) * LEVEL_STEPS / (l->end_ms - l->from_ms);

	for (; i < LEVEL_STEPS && at < now_ms; i++) {
		const uint64_t end = step_ms(l, i + 1);
		const uint64_t until = end < now_ms ? end : now_ms;

		if (until <= at)
			continue;
		l->sums[i] += l->now * (until - at);
		if (l->now > l->maxima[i])
			l->maxima[i] = l->now;
		at = until;
	}
}

void
level_set(struct level *l, uint32_t value, uint64_t now_ms)
{
	if (now_ms > l->end_ms)
		now_ms = l->end_ms;
	if (now_ms > l->since_ms) {
		l->ms_at[l->now < l->cap ? l->now : l->cap - 1] +=
		    now_ms - l->since_ms;
		add_steps(l, now_ms);
		if (l->now > l->max)
			l->max = l->now;
		l->since_ms = now_ms;
	}
	l->now = value;
}

double
level_mean(const struct level *l)
{
	const uint64_t span = l->since_ms - l->from_ms;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < LEVEL_STEPS; i++)
		sum += l->sums[i];
	return span > 0 ? (double)sum / (double)span : 0;
}

uint32_t
level_at(const struct level *l, uint32_t per_mille)
{
	const uint64_t span = l->since_ms - l->from_ms;
	uint64_t below = 0;

	for (uint32_t i = 0; i < l->cap; i++) {
		below += l->ms_at[i];
		if (below * 1000 >= span * per_mille)
			return i;
	}
	return l->max;
}

double
level_step(const struct level *l, uint32_t step)
{
	const uint64_t ms = step_ms(l, step + 1) - step_ms(l, step);

	return ms > 0 ? (double)l->sums[step] / (double)ms : 0;
}
