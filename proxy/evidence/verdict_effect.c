/*
 * See verdict_effect.h. A mail is counted once: who says "delivered", "ham"
 * and "delivered" again has said one thing, and who says "spam" after that
 * takes it back.
 */
#include "proxy/evidence/verdict_effect.h"

#define BIT(verdict) (1u << VERDICT_##verdict)
#define GOOD (BIT(HAM) | BIT(DELIVERED))
#define BAD (BIT(SPAM) | BIT(VIRUS))

static void
add(int16_t *changes, enum outcome what, int32_t n)
{
	int32_t sum = changes[what] + n;

	if (sum > INT16_MAX)
		sum = INT16_MAX;
	if (sum < INT16_MIN)
		sum = INT16_MIN;
	changes[what] = (int16_t)sum; /* in its range by now */
}

static int32_t
capped(uint32_t n)
{
	return n < INT16_MAX ? (int32_t)n : INT16_MAX;
}

void
verdict_effect_seen(const struct verdict_case *v, int16_t *changes)
{
	switch (v->verdict) {
	case VERDICT_SPAM:
	case VERDICT_VIRUS:
		if (v->recipients == 0 || (v->before & BAD) != 0)
			return;
		add(changes, OUTCOME_SPAM, 1);
		add(changes, OUTCOME_DELIVERED, -capped(v->recipients));
		return;
	case VERDICT_BOUNCED:
		if (v->recipients > 0 && (v->before & BAD) == 0)
			add(changes, OUTCOME_DELIVERED, -1);
		return;
	case VERDICT_HAM:
	case VERDICT_DELIVERED:
	case VERDICT_UNKNOWN_USER:
	case VERDICT_REJECTED:
	case VERDICT_DEFERRED:
	case VERDICT_COUNT:
		return;
	}
}

void
verdict_effect_blind(const struct verdict_case *v, int16_t *changes)
{
	switch (v->verdict) {
	case VERDICT_HAM:
	case VERDICT_DELIVERED:
		if ((v->before & (GOOD | BAD)) == 0)
			add(changes, OUTCOME_DELIVERED, 1);
		return;
	case VERDICT_SPAM:
	case VERDICT_VIRUS:
		if ((v->before & BAD) != 0)
			return;
		add(changes, OUTCOME_SPAM, 1);
		if ((v->before & GOOD) != 0)
			add(changes, OUTCOME_DELIVERED, -1);
		return;
	case VERDICT_BOUNCED:
		if ((v->before & GOOD) != 0 && (v->before & BAD) == 0)
			add(changes, OUTCOME_DELIVERED, -1);
		return;
	case VERDICT_UNKNOWN_USER:
		add(changes, OUTCOME_UNKNOWN_USER, 1);
		return;
	case VERDICT_REJECTED:
		add(changes, OUTCOME_POLICY, 1);
		return;
	case VERDICT_DEFERRED:
		add(changes, OUTCOME_NEUTRAL, 1);
		return;
	case VERDICT_COUNT:
		return;
	}
}
