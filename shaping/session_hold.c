/*
 * What is held for a delay of ours, and for how long: the sum of all, which
 * the budget bounds, and each wait by itself, for some clients leave by the
 * one and some by the other.
 */
#include "shaping/session_step.h"

uint32_t
step_held_ms(const struct step *st)
{
	const struct session *s = st->s;
	uint32_t end = st->now < s->hold_end_ms ? st->now : s->hold_end_ms;
	uint32_t held = s->counts.held_ms;

	if (s->is_holding && end > s->hold_ms)
		held += end - s->hold_ms;
	/* Behind the budget nothing of ours holds, step or no step. */
	return held < s->plan.session_cap_ms ? held : s->plan.session_cap_ms;
}

bool
step_is_holding(const struct step *st)
{
	return st->s->is_holding && st->now < st->s->hold_end_ms;
}

bool
hold_is_before_greeting(enum session_phase phase)
{
	return phase == PHASE_GREET || phase == PHASE_GATE ||
	       phase == PHASE_DIAL || phase == PHASE_BANNER;
}

/* True while a delay of ours, not the MTA, keeps the client waiting. */
static bool
is_holding(const struct step *st)
{
	const struct session *s = st->s;

	if (s->is_spent)
		return false;
	if (hold_is_before_greeting(s->phase))
		return st->now < greet_due_ms(s);
	if (st->now < upload_hold_end(st))
		return true;
	return s->phase == PHASE_RELAY && st->leg != NULL &&
	       st->leg->answered > 0;
}

/* When what is held now ends by itself. */
static uint32_t
hold_end(const struct step *st)
{
	if (hold_is_before_greeting(st->s->phase))
		return greet_due_ms(st->s);
	if (st->leg != NULL && st->leg->answered > 0)
		return UINT32_MAX;
	return upload_is_slowed(st) ? upload_hold_end(st) : UINT32_MAX;
}

/* The wait under way is so much longer. */
static void
note_wait(struct session *s, uint32_t more_ms)
{
	const uint32_t ms = s->wait_ms + more_ms;

	s->wait_ms = (uint16_t)(ms < UINT16_MAX ? ms : UINT16_MAX);
	if (s->wait_ms > s->counts.longest_ms)
		s->counts.longest_ms = s->wait_ms;
}

void
hold_account(struct step *st)
{
	struct session *s = st->s;
	bool holding = is_holding(st);

	if (s->is_holding) {
		const uint32_t held_ms = step_held_ms(st);

		/* It is less where another plan's budget is. */
		if (held_ms > s->counts.held_ms)
			note_wait(s, held_ms - s->counts.held_ms);
		s->counts.held_ms = held_ms;
		s->hold_ms = st->now;
	}
	if (!holding)
		s->wait_ms = 0;
	if (holding && !s->is_holding)
		s->hold_ms = st->now;
	s->is_holding = holding;
	s->hold_end_ms = hold_end(st);
}

uint32_t
hold_budget_end(const struct session *s)
{
	uint32_t left = s->plan.session_cap_ms > s->counts.held_ms
			    ? s->plan.session_cap_ms - s->counts.held_ms
			    : 0;

	if (!s->is_holding || s->hold_end_ms <= s->hold_ms + left)
		return UINT32_MAX;
	return s->hold_ms + left;
}
