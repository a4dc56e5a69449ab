/*
 * Patience curves. Rejected: keeping each time. The knee is wanted to a second,
 * and what is kept a row must not grow with the sessions.
 */
#include "tarry/patience.h"

#include <stddef.h>
#include <string.h>

/* So few bad ones say nothing. */
#define BAD_MIN 20u

void
patience_init(struct patience *p, uint32_t width_ms)
{
	memset(p, 0, sizeof(*p));
	p->width_ms = width_ms;
}

static size_t
bin_of(const struct patience *p, uint32_t ms)
{
	const size_t bin = ms / p->width_ms;

	return bin < PATIENCE_BINS ? bin : PATIENCE_BINS - 1;
}

static void
count(uint32_t *n)
{
	if (*n < UINT32_MAX)
		(*n)++;
}

void
patience_add_left(struct patience *p, uint32_t ms)
{
	count(&p->left[bin_of(p, ms)]);
}

void
patience_add_stayed(struct patience *p, uint32_t ms)
{
	count(&p->stayed[bin_of(p, ms)]);
}

static uint64_t
at_risk(const struct patience *p, size_t bin)
{
	uint64_t n = 0;

	for (size_t i = bin; i < PATIENCE_BINS; i++)
		n += (uint64_t)p->left[i] + p->stayed[i];
	return n;
}

uint32_t
patience_waited(const struct patience *p, uint32_t ms)
{
	const uint64_t n = at_risk(p, bin_of(p, ms));

	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* Of those at risk in bin after bin, the share that stayed. Within a bin who
 * left comes first: whoever stayed could have left. */
static double
gone_by(const struct patience *p, size_t last)
{
	double stay = 1;
	uint64_t n = at_risk(p, 0);

	for (size_t i = 0; i <= last && n > 0; i++) {
		stay *= 1 - (double)p->left[i] / (double)n;
		n -= (uint64_t)p->left[i] + p->stayed[i];
	}
	return 1 - stay;
}

double
patience_gone(const struct patience *p, uint32_t ms)
{
	return gone_by(p, bin_of(p, ms));
}

static enum patience_answer
ask_good(const struct patience *good, const struct patience_wish *wish,
	 uint32_t ms)
{
	if (good == NULL)
		return PATIENCE_FOUND;
	if (patience_gone(good, ms) * 1e6 >= wish->good_ppm)
		return PATIENCE_GOOD_LEAVE;
	if ((uint64_t)patience_waited(good, ms) * wish->good_ppm < 3000000)
		return PATIENCE_TOO_FEW;
	return PATIENCE_FOUND;
}

enum patience_answer
patience_delay(const struct patience *bad, const struct patience *good,
	       const struct patience_wish *wish, uint32_t *ms)
{
	const double want = wish->bad_percent / 100.0;
	double stay = 1;
	uint64_t n = at_risk(bad, 0);

	for (size_t i = 0; i < PATIENCE_BINS && n > 0; i++) {
		stay *= 1 - (double)bad->left[i] / (double)n;
		*ms = (uint32_t)(i + 1) * bad->width_ms;
		if (1 - stay >= want)
			return n < BAD_MIN ? PATIENCE_TOO_FEW
					   : ask_good(good, wish, *ms);
		n -= (uint64_t)bad->left[i] + bad->stayed[i];
	}
	return PATIENCE_STAY;
}
