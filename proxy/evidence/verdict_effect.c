/*
 * See verdict_effect.h. A mail is counted once: who says "delivered", "ham"
 * and "delivered" again has said one thing. Of what is in a mail the last
 * word counts; that it was delivered, if only to a folder for spam, is none.
 */
#include "proxy/evidence/verdict_effect.h"

#define BIT(verdict) (1u << VERDICT_##verdict)
#define BAD (BIT(SPAM) | BIT(VIRUS))
#define COUNT_MAX 1000000

_Static_assert(VERDICT_COUNT <= 8, "bits of `said`");

static bool
is_said(const struct verdict_case *v, unsigned bits)
{
	return (v->said & bits) != 0;
}

bool
verdict_case_say(struct verdict_case *v, enum verdict verdict)
{
	const unsigned bit = 1u << verdict;

	if (is_said(v, bit))
		return false;
	v->said = (uint8_t)(v->said | bit);
	if ((bit & (BAD | BIT(HAM))) != 0)
		v->is_bad = (bit & BAD) != 0;
	return true;
}

static int32_t
capped(uint32_t n)
{
	return n < COUNT_MAX ? (int32_t)n : COUNT_MAX;
}

struct verdict_effect
verdict_effect_seen(const struct verdict_case *v)
{
	struct verdict_effect e = {0};

	if (v->recipients == 0)
		return e;
	if (v->is_bad) {
		e.outcomes[OUTCOME_SPAM] = 1;
		e.outcomes[OUTCOME_DELIVERED] = -capped(v->recipients);
		e.messages = -capped(v->messages);
	} else if (is_said(v, BIT(BOUNCED))) { /* by one of them */
		e.outcomes[OUTCOME_DELIVERED] = -1;
		e.messages = v->recipients == 1 ? -1 : 0;
	}
	return e;
}

struct verdict_effect
verdict_effect_blind(const struct verdict_case *v)
{
	struct verdict_effect e = {0};

	e.outcomes[OUTCOME_UNKNOWN_USER] = is_said(v, BIT(UNKNOWN_USER));
	e.outcomes[OUTCOME_POLICY] = is_said(v, BIT(REJECTED));
	e.outcomes[OUTCOME_NEUTRAL] = is_said(v, BIT(DEFERRED));
	if (v->is_bad) {
		e.outcomes[OUTCOME_SPAM] = 1;
	} else if (is_said(v, BIT(HAM) | BIT(DELIVERED)) &&
		   !is_said(v, BIT(BOUNCED))) {
		e.outcomes[OUTCOME_DELIVERED] = 1;
		e.messages = 1;
	}
	return e;
}

void
verdict_effect_add(struct verdict_effect *to, const struct verdict_effect *e,
		   int by)
{
	to->messages += by * e->messages;
	for (size_t i = 0; i < OUTCOME_COUNT; i++)
		to->outcomes[i] += by * e->outcomes[i];
}

static uint32_t
changed(uint32_t count, int32_t change)
{
	const int64_t sum = (int64_t)count + change;

	return sum < 0 ? 0 : (uint32_t)sum; /* both are far below 2^31 */
}

struct reputation_tally
verdict_effect_on(const struct reputation_tally *tally,
		  const struct verdict_effect *e)
{
	struct reputation_tally t = *tally;

	t.messages = changed(t.messages, e->messages);
	for (size_t i = 0; i < OUTCOME_COUNT; i++)
		t.outcomes[i] = changed(t.outcomes[i], e->outcomes[i]);
	return t;
}
