/*
 * MTA slots.
 *
 * Between two calls no slot is free that somebody waits for and may have. A
 * slot is of the share, or not, by who holds it; that leaves as much of the
 * reserve free as there are free slots that the share cannot have.
 */
#include "shaping/places_parts.h"

#define STRESS_ON_PERCENT 90u
#define STRESS_OFF_PERCENT 70u
/* Eighths of the share that are left to better ranks. */
#define LEFT_MOST 4u
#define LEFT_BY_LAST 6u

static void
note_stress(struct places_slots *s)
{
	uint64_t used = (uint64_t)s->used * 100;

	if (used >= (uint64_t)s->total * STRESS_ON_PERCENT)
		s->is_stress = true;
	else if (used <= (uint64_t)s->total * STRESS_OFF_PERCENT)
		s->is_stress = false;
}

/*
 * A worse class never has all of the share: each rank behind the best leaves
 * an eighth of it to those before, up to a half; the last rank, of those who
 * are beyond a full cap, leaves more. So a flood in one class does not shut
 * out the better ones.
 */
static uint32_t
eighths_left(uint32_t rank)
{
	if (rank == PLAN_RANKS - 1)
		return LEFT_BY_LAST;
	if (rank <= 1)
		return 0;
	return rank - 1 < LEFT_MOST ? rank - 1 : LEFT_MOST;
}

static bool
share_has_room(const struct places_slots *s, uint32_t rank)
{
	uint64_t left = (uint64_t)s->share * eighths_left(rank) / 8;

	return s->shared + left < s->share;
}

static bool
is_free(const struct places_slots *s, bool in_share, uint32_t rank)
{
	return s->used < s->total && (!in_share || share_has_room(s, rank));
}

/*
 * Half of the reserve is left to those who are not throttled; who is beyond a
 * full cap leaves another quarter to the throttled who are not.
 */
static bool
reserve_has_room(const struct places_slots *s, uint32_t rank)
{
	uint64_t quarters_left = rank == PLAN_RANKS - 1 ? 3 : 2;
	uint32_t reserve = s->total - s->share;
	uint32_t unused = s->total - s->used;
	uint64_t left = unused < reserve ? unused : reserve;

	return left * 4 > reserve * quarters_left;
}

static void
take(struct places_slots *s, struct place *w, bool in_share)
{
	s->used++;
	s->shared += in_share;
	w->in_share = in_share;
}

static void
put_back(struct places_slots *s, struct place *w)
{
	s->used--;
	s->shared -= w->in_share;
	w->in_share = false;
	w->slot_state = STATE_NONE;
}

static void
queue_up(struct places_slots *s, struct place *w, bool in_share, uint32_t rank)
{
	unsigned queue = in_share ? QUEUE_SHARE : QUEUE_ANY;

	w->slot_state = STATE_WAITING;
	w->wants_share = in_share;
	w->rank = rank & 63u;
	w->ticket = s->ticket++;
	s->waiting++;
	s->ranks[queue] |= UINT64_C(1) << w->rank;
	places_ring_push(&s->queues[queue][w->rank], w);
}

static void
leave_queue(struct places_slots *s, struct place *w)
{
	unsigned queue = w->wants_share ? QUEUE_SHARE : QUEUE_ANY;
	struct place **first = &s->queues[queue][w->rank];

	places_ring_remove(first, w);
	if (*first == NULL)
		s->ranks[queue] &= ~(UINT64_C(1) << w->rank);
	s->waiting--;
	w->slot_state = STATE_NONE;
}

static bool
is_older(const struct place *a, const struct place *b)
{
	/* Tickets wrap; no two that wait are 2^31 apart. */
	return a->ticket - b->ticket > UINT32_MAX / 2;
}

/* Who is next: the best rank, in it the oldest, of those who may. */
static struct place *
next_waiter(const struct places_slots *s)
{
	uint64_t share = s->ranks[QUEUE_SHARE];
	struct place *shared;
	struct place *any;
	uint64_t ranks;
	int rank;

	/* If the best of them may not have one, nobody may. */
	if (share != 0 && !share_has_room(s, (uint32_t)__builtin_ctzll(share)))
		share = 0;
	ranks = s->ranks[QUEUE_ANY] | share;
	if (ranks == 0)
		return NULL;
	rank = __builtin_ctzll(ranks);
	any = s->queues[QUEUE_ANY][rank];
	shared = share >> rank & 1 ? s->queues[QUEUE_SHARE][rank] : NULL;
	if (any == NULL || (shared != NULL && is_older(shared, any)))
		return shared;
	return any;
}

static void
serve(struct places *p)
{
	struct places_slots *s = &p->slots;
	struct place *w;

	while (s->used < s->total && (w = next_waiter(s)) != NULL) {
		leave_queue(s, w);
		take(s, w, w->wants_share);
		w->slot_state = STATE_GRANTED;
		places_grant(p, w);
	}
	/* Only now: a slot that is passed on was never free. */
	note_stress(s);
}

void
places_give_slot(struct places *p, struct place *w)
{
	if (w->slot_state == STATE_WAITING)
		leave_queue(&p->slots, w);
	if (w->slot_state == STATE_NONE)
		return;
	if (w->slot_state == STATE_GRANTED)
		places_ungrant(p, w);
	put_back(&p->slots, w);
	serve(p);
}

static enum places_answer
move_into_share(struct places_slots *s, struct place *w, uint32_t rank)
{
	if (w->in_share)
		return PLACES_GRANTED;
	if (!share_has_room(s, rank))
		return PLACES_DENIED;
	s->shared++;
	w->in_share = true;
	return PLACES_GRANTED;
}

static void
move_out_of_share(struct places *p, struct place *w)
{
	if (!w->in_share)
		return;
	p->slots.shared--;
	w->in_share = false;
	serve(p);
}

/* One that has a slot claims again, though not SLOT_INTO_SHARE. */
static enum places_answer
claim_more(struct places *p, struct place *w, enum slot_wish wish,
	   uint32_t rank)
{
	bool is_named = w->slot_state == STATE_HELD;

	if (!is_named) {
		places_ungrant(p, w);
		w->slot_state = STATE_HELD;
	}
	if (wish != SLOT_SHARE) {
		move_out_of_share(p, w);
		return PLACES_GRANTED;
	}
	if (move_into_share(&p->slots, w, rank) == PLACES_GRANTED)
		return PLACES_GRANTED;
	if (is_named)
		return PLACES_DENIED;
	put_back(&p->slots, w);
	queue_up(&p->slots, w, true, rank);
	serve(p);
	return PLACES_WAITS;
}

/* One that has none and waits for none. */
static enum places_answer
claim_first(struct places *p, struct place *w, enum slot_wish wish,
	    uint32_t rank)
{
	struct places_slots *s = &p->slots;
	bool in_share = wish == SLOT_SHARE;

	if (wish == SLOT_RESERVE ? reserve_has_room(s, rank)
				 : is_free(s, in_share, rank)) {
		take(s, w, in_share);
		note_stress(s);
		w->slot_state = STATE_HELD;
		return PLACES_GRANTED;
	}
	if (wish == SLOT_RESERVE)
		return PLACES_DENIED;
	queue_up(s, w, in_share, rank);
	return PLACES_WAITS;
}

/* A place waits for one thing at a time. */
static void
end_caps_wait(struct places *p, struct place *w)
{
	if (w->caps_state == STATE_WAITING)
		places_give_caps(p, w);
	if (w->caps_state == STATE_GRANTED) {
		places_ungrant(p, w);
		w->caps_state = STATE_HELD;
	}
}

enum places_answer
places_claim_slot(struct places *p, struct place *w, enum slot_wish wish,
		  uint32_t rank)
{
	if (wish == SLOT_NO_WISH)
		return PLACES_DENIED;
	if (wish == SLOT_INTO_SHARE)
		return w->slot_state == STATE_HELD
			   ? move_into_share(&p->slots, w, rank)
			   : PLACES_DENIED;
	if (wish != SLOT_RESERVE)
		end_caps_wait(p, w);
	if (w->slot_state == STATE_WAITING)
		leave_queue(&p->slots, w);
	if (w->slot_state != STATE_NONE)
		return claim_more(p, w, wish, rank);
	return claim_first(p, w, wish, rank);
}
