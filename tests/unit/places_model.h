/*
 * A model of places that has no table, no ring and no ticket: only sessions,
 * each with what it has, what it waits for and since when. Everything else is
 * found by looking at all of them.
 */
#ifndef TESTS_UNIT_PLACES_MODEL_H
#define TESTS_UNIT_PLACES_MODEL_H

#include "tests/unit/places_rig.h"

#define SESSIONS 12u
#define STEPS 60u
#define KEYS 3u
#define RANKS 7u
#define OWNERS 2u
#define ARRIVALS_CAP (STEPS + SESSIONS)

enum has { HAS_NONE, HAS_WAIT, HAS_GRANT, HAS_IT };

struct one {
	bool is_in;
	uint32_t owner;
	uint64_t key[PLAN_CAPS];
	enum has caps;
	uint32_t caps_rank;
	uint16_t limits[PLAN_CAPS]; /* 0 also where the key is not known */
	unsigned wait_kind;
	enum has slot;
	bool share; /* wanted or had */
	uint32_t rank;
	uint64_t since;	  /* of the wait */
	uint64_t granted; /* when, of a grant */
};

struct model {
	struct places *p;
	struct place w[SESSIONS];
	struct one s[SESSIONS];
	uint32_t slots;
	uint32_t share;
	uint16_t limits[RANKS][PLAN_CAPS];
	bool is_stress;
	uint64_t clock; /* of turns: one thing has one number */
	uint64_t now_ms;
	uint64_t woken;
	uint64_t arrivals[KEYS + 1][ARRIVALS_CAP];
	uint32_t arrivals_count[KEYS + 1];
	uint64_t random;
	uint64_t sequence;
	unsigned step;
};

#define BROKEN(m, what)                                                        \
	fail_msg("sequence %llu, step %u: " what,                              \
		 (unsigned long long)(m)->sequence, (m)->step)

static uint32_t
below(struct model *m, uint32_t n)
{
	return (uint32_t)(next_random(&m->random) >> 33) % n;
}

static void
grant(struct model *m, struct one *s, enum has *what)
{
	*what = HAS_GRANT;
	s->granted = ++m->clock;
	m->woken |= UINT64_C(1) << s->owner;
}

/* Caps. Two sessions share one if its kind, key and class are the same. */

static bool
is_cap_of(const struct one *a, const struct one *b, unsigned kind)
{
	return a->is_in && a->limits[kind] != 0 &&
	       a->key[kind] == b->key[kind] && a->caps_rank == b->caps_rank;
}

static uint32_t
cap_count(const struct model *m, const struct one *of, unsigned kind)
{
	uint32_t count = 0;
	unsigned i;

	for (i = 0; i < SESSIONS; i++)
		count += is_cap_of(&m->s[i], of, kind) &&
			 (m->s[i].caps == HAS_IT || m->s[i].caps == HAS_GRANT);
	return count;
}

static struct one *
first_waiter(struct model *m, const struct one *of, unsigned kind)
{
	struct one *first = NULL;
	unsigned i;

	for (i = 0; i < SESSIONS; i++) {
		struct one *s = &m->s[i];

		if (s->caps == HAS_WAIT && s->wait_kind == kind &&
		    is_cap_of(s, of, kind) &&
		    (first == NULL || s->since < first->since))
			first = s;
	}
	return first;
}

/* The first of its caps that keeps a session waiting, or PLAN_CAPS. */
static unsigned
obstacle(struct model *m, const struct one *s)
{
	unsigned kind;

	for (kind = 0; kind < PLAN_CAPS; kind++) {
		const struct one *first;

		if (s->limits[kind] == 0)
			continue;
		first = first_waiter(m, s, kind);
		if (cap_count(m, s, kind) >= s->limits[kind] ||
		    (first != NULL && first != s))
			break;
	}
	return kind;
}

static void
serve_cap(struct model *m, const struct one *of, unsigned kind)
{
	struct one *s;

	while (of->limits[kind] != 0 &&
	       (s = first_waiter(m, of, kind)) != NULL &&
	       cap_count(m, s, kind) < s->limits[kind]) {
		unsigned next = obstacle(m, s);

		if (next == PLAN_CAPS) {
			grant(m, s, &s->caps);
			continue;
		}
		s->wait_kind = next;
		s->since = ++m->clock;
	}
}

static void
model_give_caps(struct model *m, struct one *s)
{
	const struct one was = *s;
	unsigned kind;

	s->caps = HAS_NONE;
	for (kind = 0; kind < PLAN_CAPS; kind++) {
		if (was.caps != HAS_WAIT || was.wait_kind == kind)
			serve_cap(m, &was, kind);
	}
}

static enum places_answer
model_claim_caps(struct model *m, struct one *s, const struct plan *plan,
		 enum caps_wish wish)
{
	unsigned kind;
	unsigned full;

	model_give_caps(m, s);
	s->caps_rank = plan->rank;
	for (kind = 0; kind < PLAN_CAPS; kind++)
		s->limits[kind] = s->key[kind] != 0 ? plan->caps[kind] : 0;
	full = obstacle(m, s);
	if (full == PLAN_CAPS) {
		s->caps = HAS_IT;
		return PLACES_GRANTED;
	}
	if (wish == CAPS_TRY || s->slot == HAS_WAIT || s->slot == HAS_GRANT)
		return PLACES_DENIED;
	s->caps = HAS_WAIT;
	s->wait_kind = full;
	s->since = ++m->clock;
	return PLACES_WAITS;
}

/* Slots. */

static uint32_t
slots_used(const struct model *m, bool only_shared)
{
	uint32_t used = 0;
	unsigned i;

	for (i = 0; i < SESSIONS; i++)
		used += (m->s[i].slot == HAS_IT || m->s[i].slot == HAS_GRANT) &&
			(m->s[i].share || !only_shared);
	return used;
}

/* Each rank behind the first leaves an eighth of the share to those before it,
 * but never more than half; the very last leaves three quarters. */
static bool
share_has_room(const struct model *m, uint32_t rank)
{
	uint32_t eighths = rank == 0 ? 0 : rank - 1;

	if (eighths > 4)
		eighths = rank == 63 ? 6 : 4;
	return slots_used(m, true) < m->share - eighths * m->share / 8;
}

static bool
may_have(const struct model *m, bool share, uint32_t rank)
{
	return slots_used(m, false) < m->slots &&
	       (!share || share_has_room(m, rank));
}

/* Of those who wait and may have one: best rank, then longest wait. */
static struct one *
next_for_slot(struct model *m)
{
	struct one *best = NULL;
	unsigned i;

	for (i = 0; i < SESSIONS; i++) {
		struct one *s = &m->s[i];

		if (s->slot == HAS_WAIT && may_have(m, s->share, s->rank) &&
		    (best == NULL || s->rank < best->rank ||
		     (s->rank == best->rank && s->since < best->since)))
			best = s;
	}
	return best;
}

static void
serve_slots(struct model *m)
{
	struct one *s;

	while ((s = next_for_slot(m)) != NULL)
		grant(m, s, &s->slot);
}

static void
model_give_slot(struct model *m, struct one *s)
{
	s->slot = HAS_NONE;
	serve_slots(m);
}

static enum places_answer
model_move(struct model *m, struct one *s, uint32_t rank)
{
	if (!s->share && !share_has_room(m, rank))
		return PLACES_DENIED;
	s->share = true;
	return PLACES_GRANTED;
}

static enum places_answer
model_wait(struct model *m, struct one *s, bool share, uint32_t rank)
{
	s->slot = HAS_WAIT;
	s->share = share;
	s->rank = rank;
	s->since = ++m->clock;
	return PLACES_WAITS;
}

static enum places_answer
model_claim_again(struct model *m, struct one *s, enum slot_wish wish,
		  uint32_t rank)
{
	bool was_told = s->slot == HAS_IT;

	s->slot = HAS_IT;
	if (wish != SLOT_SHARE) {
		s->share = false;
		serve_slots(m);
		return PLACES_GRANTED;
	}
	if (model_move(m, s, rank) == PLACES_GRANTED)
		return PLACES_GRANTED;
	if (was_told)
		return PLACES_DENIED;
	/* Gives it back, and queues up before that is handed on. */
	(void)model_wait(m, s, true, rank);
	serve_slots(m);
	return PLACES_WAITS;
}

static enum places_answer
model_claim_slot(struct model *m, struct one *s, enum slot_wish wish,
		 uint32_t rank)
{
	uint32_t unused;
	uint32_t reserve = m->slots - m->share;

	if (wish == SLOT_INTO_SHARE)
		return s->slot == HAS_IT ? model_move(m, s, rank)
					 : PLACES_DENIED;
	if (wish != SLOT_RESERVE && s->caps == HAS_WAIT)
		model_give_caps(m, s);
	if (wish != SLOT_RESERVE && s->caps == HAS_GRANT)
		s->caps = HAS_IT;
	if (s->slot == HAS_IT || s->slot == HAS_GRANT)
		return model_claim_again(m, s, wish, rank);
	s->slot = HAS_NONE;
	unused = m->slots - slots_used(m, false);
	if (wish != SLOT_RESERVE && !may_have(m, wish == SLOT_SHARE, rank))
		return model_wait(m, s, wish == SLOT_SHARE, rank);
	if (wish == SLOT_RESERVE &&
	    4 * (unused < reserve ? unused : reserve) <=
		(rank == PLAN_RANKS - 1 ? 3 : 2) * reserve)
		return PLACES_DENIED;
	s->slot = HAS_IT;
	s->share = wish == SLOT_SHARE;
	return PLACES_GRANTED;
}

#endif
