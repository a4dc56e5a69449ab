/*
 * Intervals of a difference of shares. See tarry/effect.h for the method.
 *
 * Rejected: a bootstrap. It has to keep what it draws from, draws thousands
 * of times for one line of a report, and gives an interval of no width where
 * nothing was seen.
 */
#include "tarry/effect.h"

#include <stddef.h>

/* Two-sided 5 % of Student's t by degrees of freedom, from 1 on; beyond, a
 * little above the true value. */
static const double student[] = {12.71, 4.303, 3.182, 2.776, 2.571,
				 2.447, 2.365, 2.306, 2.262};
#define NORMAL 1.96
#define STUDENT_REST 2.7

struct arm {
	double sessions;
	double share;
	double worth; /* independent sessions */
};

struct interval {
	double low;
	double high;
};

/* Heron's way; x >= 0. */
static double
square_root(double x)
{
	double root = x > 1 ? x : 1;

	if (x <= 0)
		return 0;
	for (int i = 0; i < 64; i++) {
		const double next = (root + x / root) / 2;

		if (next >= root)
			break;
		root = next;
	}
	return root;
}

static double
student_of(double freedom)
{
	const size_t whole = freedom > 1 ? (size_t)freedom : 1;

	if (whole <= sizeof(student) / sizeof(student[0]))
		return student[whole - 1];
	return NORMAL + STUDENT_REST / freedom;
}

static void
add(uint32_t *count, uint32_t more)
{
	*count = more > UINT32_MAX - *count ? UINT32_MAX : *count + more;
}

void
effect_add(struct effect *e, enum effect_arm arm, uint64_t network,
	   unsigned facts)
{
	struct effect_group *g = &e->groups[arm][network % EFFECT_GROUPS];

	add(&g->sessions, 1);
	for (unsigned i = 0; i < EFFECT_FACTS; i++)
		add(&g->counts[i], facts >> i & 1);
}

void
effect_merge(struct effect *into, const struct effect *from)
{
	for (size_t i = 0; i < (size_t)EFFECT_ARMS * EFFECT_GROUPS; i++) {
		struct effect_group *to = &into->groups[0][0] + i;
		const struct effect_group *g = &from->groups[0][0] + i;

		add(&to->sessions, g->sessions);
		for (unsigned k = 0; k < EFFECT_FACTS; k++)
			add(&to->counts[k], g->counts[k]);
	}
}

/*
 * The variance of a share of sessions, by leaving out one group after the
 * other: where some groups are much larger than others the plain sum of squares
 * is too small. *count is how many groups of even size tell it, by
 * Satterthwaite, if a group's part in it grows with the square of its size,
 * as it does where one network is most of a group.
 */
static double
scatter(const struct effect_group *groups, enum effect_fact fact,
	const struct arm *a, double *count)
{
	double filled = 0;
	double squares = 0;
	double fourths = 0;
	double sum = 0;

	for (size_t i = 0; i < EFFECT_GROUPS; i++) {
		const double size = groups[i].sessions;
		const double rest = a->sessions - size;
		const double off =
		    (double)groups[i].counts[fact] - a->share * size;

		filled += size > 0;
		squares += size * size;
		fourths += size * size * size * size;
		if (rest > 0)
			sum += off * off / (rest * rest);
	}
	*count = squares * squares / fourths;
	return filled > 1 ? sum * (filled - 1) / filled : 0;
}

/* False if there are too few. */
static bool
arm_of(const struct effect_group *groups, enum effect_fact fact, struct arm *a)
{
	double seen = 0;
	double by_chance;
	double by_groups;
	double wider;
	double count;

	for (size_t i = 0; i < EFFECT_GROUPS; i++) {
		a->sessions += groups[i].sessions;
		seen += groups[i].counts[fact];
	}
	if (a->sessions <= 0)
		return false;
	a->share = seen / a->sessions;
	by_groups = scatter(groups, fact, a, &count);
	if (count <= 1)
		return false;
	by_chance = a->share * (1 - a->share) / a->sessions;
	a->worth = a->sessions;
	if (by_groups > by_chance)
		a->worth *= by_chance / by_groups;
	wider = NORMAL / student_of(count - 1);
	a->worth *= wider * wider;
	return true;
}

/* Wilson's interval of one share. */
static struct interval
wilson(const struct arm *a)
{
	const double z2 = NORMAL * NORMAL;
	const double n = a->worth;
	const double middle = (a->share + z2 / (2 * n)) / (1 + z2 / n);
	const double half =
	    NORMAL / (1 + z2 / n) *
	    square_root(a->share * (1 - a->share) / n + z2 / (4 * n * n));

	return (struct interval){middle - half, middle + half};
}

static double
hypotenuse(double a, double b)
{
	return square_root(a * a + b * b);
}

bool
effect_of(const struct effect *e, enum effect_fact fact,
	  struct effect_change *out)
{
	struct arm arms[EFFECT_ARMS] = {{0}};
	struct interval in[EFFECT_ARMS];
	bool is_known = true;

	for (size_t i = 0; i < EFFECT_ARMS; i++) {
		is_known &= arm_of(e->groups[i], fact, &arms[i]);
		out->sessions[i] = (uint32_t)arms[i].sessions;
		out->shares[i] = arms[i].share;
	}
	out->change = arms[EFFECT_SHAPED].share - arms[EFFECT_HELD_OUT].share;
	out->low = -1;
	out->high = 1;
	if (!is_known)
		return false;
	in[0] = wilson(&arms[0]);
	in[1] = wilson(&arms[1]);
	out->low = out->change - hypotenuse(arms[0].share - in[0].low,
					    in[1].high - arms[1].share);
	out->high = out->change + hypotenuse(in[0].high - arms[0].share,
					     arms[1].share - in[1].low);
	return true;
}
