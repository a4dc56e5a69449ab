/*
 * Two crowds share one link a seat: those who wait for the MTA, by rank, and
 * those who were told 421 and have not hung up yet, which may take ten
 * minutes. The latter count as served no more; where they are all that stands
 * in a newcomer's way, the oldest is closed.
 */
#include "proxy/relay/shortage.h"

#include "proxy/relay/worker_state.h"

/* One seat more for every so many. */
#define SEATS_A_SPARE 20
/* Of those who linger nobody is better than another. */
#define RANK_LINGERING 1

uint32_t
shortage_seats(uint32_t sessions)
{
	return sessions + sessions / SEATS_A_SPARE + 1;
}

static uint32_t
seat_of(const struct conn *c)
{
	return slab_index(&worker_of(c)->conns, c);
}

static void
stop_lingering(struct conn *c)
{
	struct worker *w = worker_of(c);

	if (!c->is_lingering)
		return;
	c->is_lingering = false;
	w->lingering_count--;
	crowd_leave(&w->lingering, seat_of(c));
}

static void
linger(struct conn *c)
{
	struct worker *w = worker_of(c);

	if (c->is_lingering)
		return;
	c->is_lingering = true;
	w->lingering_count++;
	crowd_leave(&w->crowd, seat_of(c));
	crowd_join(&w->lingering, seat_of(c), RANK_LINGERING);
}

/* Who has no delay left that could end ranks with those who never had one. */
static uint8_t
rank_of(const struct session *s)
{
	return s->is_spent || s->plan.is_shadow ? 0 : s->plan.rank;
}

void
shortage_note(struct conn *c)
{
	struct worker *w = worker_of(c);
	const struct session *s = &c->session;

	if (s->phase == PHASE_LINGER) {
		linger(c);
		return;
	}
	stop_lingering(c);
	if (s->phase == PHASE_GREET || s->phase == PHASE_GATE)
		crowd_join(&w->crowd, seat_of(c), rank_of(s));
	else
		crowd_leave(&w->crowd, seat_of(c));
}

void
shortage_forget(struct conn *c)
{
	stop_lingering(c);
	crowd_leave(&worker_of(c)->crowd, seat_of(c));
}

static void
tell(struct worker *w, uint32_t seat, enum event_kind kind)
{
	struct conn *c = slab_at(&w->conns, seat);

	conn_event(c, kind, SIDE_CLIENT);
	conn_run(c);
}

static void
give_way(struct worker *w)
{
	uint32_t seat = crowd_gives_way(&w->crowd);

	if (seat == CROWD_NONE)
		return;
	metrics_add(w->options.metrics, METRIC_REFUSED_FULL, 1);
	tell(w, seat, EVENT_GIVE_WAY);
}

static void
let_go(struct worker *w)
{
	uint32_t seat = crowd_is_let_go(&w->crowd);

	if (seat != CROWD_NONE)
		tell(w, seat, EVENT_RELEASED);
}

/* What was said to it is out; it only has not hung up. */
static void
close_lingering(struct worker *w)
{
	uint32_t seat = crowd_is_let_go(&w->lingering);
	struct conn *c;

	if (seat == CROWD_NONE)
		return;
	c = slab_at(&w->conns, seat);
	if (stream_is_flushed(c, SIDE_MTA)) {
		tell(w, seat, EVENT_CUT);
		return;
	}
	/* Not this one, and another one next time. */
	crowd_leave(&w->lingering, seat);
	crowd_join(&w->lingering, seat, RANK_LINGERING);
}

static uint32_t
served(const struct worker *w)
{
	return w->conns.used - w->lingering_count;
}

void
shortage_look(struct worker *w)
{
	bool slots = gate_is_slot_stress(w->options.gate);
	bool has_changed = crowd_note(&w->crowd, served(w));

	if (!has_changed && slots == w->stress.slots)
		return;
	w->stress.sessions = w->crowd.is_stressed;
	w->stress.slots = slots;
	worker_plan_again(w);
}

void
shortage_came(struct worker *w)
{
	shortage_look(w);
	if (crowd_is_full(&w->crowd, served(w)))
		give_way(w);
	else if (w->stress.sessions)
		let_go(w);
	if (w->conns.used == w->conns.cap)
		close_lingering(w);
}
