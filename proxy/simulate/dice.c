#include "proxy/simulate/dice.h"

uint64_t
dice_next(uint64_t *dice)
{
	uint64_t x = *dice += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint32_t
dice_below(uint64_t *dice, uint32_t n)
{
	return (uint32_t)((dice_next(dice) >> 32) * n >> 32);
}

bool
dice_percent(uint64_t *dice, uint32_t percent)
{
	return dice_below(dice, 100) < percent;
}

/* Doubles from low until the piece that high lies in, so that each octave is
 * as likely: near enough to a logarithmic scale. */
uint32_t
dice_range(uint64_t *dice, struct range r)
{
	uint32_t octaves = 1;
	uint32_t low = r.low > 0 ? r.low : 1;
	uint32_t high;

	if (r.high <= r.low)
		return r.low;
	while (low << octaves < r.high)
		octaves++;
	low <<= dice_below(dice, octaves);
	high = low * 2 < r.high ? low * 2 : r.high;
	return low + dice_below(dice, high - low + 1);
}

uint64_t
dice_mix(uint64_t a, uint64_t b)
{
	uint64_t dice = a * 0xd6e8feb86659fd93u ^ b;

	return dice_next(&dice);
}

#define LN2 0.6931471805599453

/* -ln of a number in (0, 1]; libm would be a library for this alone. */
static double
minus_ln(double u)
{
	double halvings = 0;
	double z;
	double zz;

	while (u < 0.5) {
		u *= 2;
		halvings++;
	}
	z = (1 - u) / (1 + u);
	zz = z * z;
	return halvings * LN2 +
	       2 * z * (1 + zz * (1. / 3 + zz * (1. / 5 + zz / 7)));
}

double
dice_wait(uint64_t *dice, double mean)
{
	/* 53 bits are what a double holds. */
	const double u = (double)((dice_next(dice) >> 11) + 1) / 0x1p53;

	return mean * minus_ln(u);
}
