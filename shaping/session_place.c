/*
 * Places of the gate: the caps of the plan's class, and the MTA slot.
 *
 * A full cap keeps the newcomer waiting until there is room, or until its
 * greet budget ends; then it goes on with its own plan (design, 7). Who will
 * be slow behind the greeting may only have a slot of the share; without one
 * of those its later delays are zero.
 */
#include "shaping/session_step.h"

#include <string.h>

/* How long the gate may take to say yes or no to what needs no waiting. */
#define ANSWER_MS 1000

bool
place_is_throttled(const struct session *s)
{
	const struct plan *p = &s->plan;

	return !s->is_spent && !p->is_shadow &&
	       (p->reply_ms > 0 || p->error_ms > 0 || p->data_rate > 0);
}

bool
place_may_delay(const struct session *s)
{
	return s->is_in_share && !s->is_spent && !s->client_fin &&
	       !s->plan.is_shadow;
}

static bool
has_caps(const struct plan *p)
{
	unsigned i;

	for (i = 0; i < PLAN_CAPS && !p->is_shadow; i++) {
		if (p->caps[i] > 0)
			return true;
	}
	return false;
}

static bool
is_same_class(const struct plan *a, const struct plan *b)
{
	return a->rank == b->rank && a->is_shadow == b->is_shadow &&
	       memcmp(a->caps, b->caps, sizeof(a->caps)) == 0;
}

void
place_give_caps(struct step *st)
{
	struct session *s = st->s;

	if (s->caps == PLACE_NONE)
		return;
	if (s->caps == PLACE_ASKED)
		s->counts.caps_ms += st->now - s->asked_ms;
	s->caps = PLACE_NONE;
	st->o->give_caps = true;
}

static void
claim_caps(struct step *st, bool may_wait)
{
	struct session *s = st->s;

	if (!has_caps(&s->plan) || s->is_spent)
		return;
	s->caps = may_wait ? PLACE_ASKED : PLACE_HELD;
	if (may_wait)
		s->asked_ms = st->now;
	st->o->claim_caps = may_wait ? CAPS_WAIT : CAPS_TRY;
}

void
place_open(struct step *st)
{
	claim_caps(st, greet_budget_ms(st) > st->now);
}

enum session_phase
place_caps(struct step *st)
{
	struct session *s = st->s;

	if (s->caps != PLACE_ASKED)
		return s->phase;
	s->caps = PLACE_HELD;
	s->counts.caps_ms += st->now - s->asked_ms;
	s->dial_ms = greet_dial_ms(st);
	return greet_wake(st);
}

uint32_t
session_slot_rank(const struct session *s)
{
	if (s->plan.is_shadow)
		return 0;
	return s->is_over_cap ? PLAN_RANKS - 1 : s->plan.rank;
}

static bool
is_passed(const struct plan *p)
{
	return p->class_id == PLAN_CLASS_PASS || p->is_shadow;
}

static enum slot_wish
wish(const struct session *s)
{
	return place_is_throttled(s) ? SLOT_SHARE : SLOT_ANY;
}

static void
claim_slot(struct step *st)
{
	struct session *s = st->s;

	s->slot = PLACE_ASKED;
	s->slot_asked = wish(s) & 7u; /* a small enum */
	st->o->claim_slot = wish(s);
	s->phase_ms = is_passed(&s->plan) ? s->asked_ms + SESSION_GATE_PASS_MS
					  : s->plan.reply_cap_ms;
}

enum session_phase
place_ask(struct step *st)
{
	struct session *s = st->s;

	if (s->caps == PLACE_ASKED) {
		place_give_caps(st);
		s->is_over_cap = !s->is_spent;
	}
	if (s->slot == PLACE_HELD)
		return greet_dial(st);
	s->asked_ms = st->now;
	claim_slot(st);
	return PHASE_GATE;
}

/* Slots are asked for by rank and kind: another plan queues anew. */
static void
ask_again(struct step *st, const struct plan *old)
{
	struct session *s = st->s;

	if (s->slot != PLACE_ASKED || s->slot_asked == SLOT_RESERVE)
		return;
	if (s->slot_asked == (uint8_t)wish(s) && old->rank == s->plan.rank &&
	    old->is_shadow == s->plan.is_shadow)
		return;
	st->o->give_slot = true;
	claim_slot(st);
}

void
place_replan(struct step *st, const struct plan *old)
{
	struct session *s = st->s;

	if (!is_same_class(old, &s->plan)) {
		place_give_caps(st);
		s->is_over_cap = false;
		claim_caps(st, s->phase == PHASE_GREET &&
				   s->counts.dials == 0 &&
				   greet_budget_ms(st) > st->now);
	}
	ask_again(st, old);
	place_move(st);
}

void
place_move(struct step *st)
{
	struct session *s = st->s;

	if (s->slot != PLACE_HELD || s->is_in_share ||
	    s->slot_asked == SLOT_RESERVE || !place_is_throttled(s))
		return;
	st->o->claim_slot = SLOT_INTO_SHARE;
}

void
place_leave(struct step *st)
{
	struct session *s = st->s;

	st->o->give_slot = s->slot != PLACE_NONE;
	st->o->claim_slot = SLOT_NO_WISH;
	s->slot = PLACE_NONE;
	s->is_in_share = false;
}

enum session_phase
gate_granted(struct step *st)
{
	struct session *s = st->s;

	s->slot = PLACE_HELD;
	s->is_in_share = s->slot_asked == SLOT_SHARE;
	return greet_dial(st);
}

/* Not even one of the reserve: see P1. */
enum session_phase
gate_denied(struct step *st)
{
	return refuse(st, REASON_NO_SLOT);
}

enum session_phase
gate_wake(struct step *st)
{
	struct session *s = st->s;

	if (st->now < s->phase_ms)
		return s->phase;
	if (s->slot_asked != SLOT_SHARE)
		return refuse(st, REASON_NO_SLOT);
	s->slot_asked = SLOT_RESERVE;
	st->o->claim_slot = SLOT_RESERVE;
	s->phase_ms = st->now + ANSWER_MS;
	return s->phase;
}

/* The slot was moved into the share: from now on replies may wait. */
enum session_phase
place_moved(struct step *st)
{
	st->s->is_in_share = true;
	return st->s->phase;
}
