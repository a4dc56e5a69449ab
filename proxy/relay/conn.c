/*
 * One connection: events in, steps, orders out.
 *
 * Events are bits, not a queue: each kind means "this is so now", so that two
 * of a kind are one, and no memory is needed. They are made known in the
 * order of events.def. The one event with a load, BYTES, has it in the
 * stream.
 */
#include "proxy/relay/conn.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/daemon/log.h"
#include "proxy/relay/record.h"
#include "proxy/relay/shortage.h"
#include "proxy/relay/worker_state.h"

/* How often a socket is looked at whose end is there, but not read. */
#define CHECK_MS 1000
/* How soon reading is tried again when no buffer was free. */
#define STARVED_MS 500
/* Reads of one socket in a turn. */
#define READS 32

static_assert(EVENT_COUNT * SIDE_COUNT <= 64, "one bit an event and side");

static uint64_t
bit(enum event_kind kind, enum side side)
{
	return (uint64_t)1 << ((unsigned)kind * SIDE_COUNT + (unsigned)side);
}

void
conn_event(struct conn *c, enum event_kind kind, enum side side)
{
	if (!c->is_ending)
		c->pending |= bit(kind, side);
}

struct sock *
conn_sock(struct conn *c, enum side side)
{
	if (side == SIDE_CLIENT)
		return &c->sock;
	if (c->leg == NULL || !c->leg->is_connected)
		return NULL;
	return &c->leg->sock;
}

void
conn_client_closed(struct sock *s)
{
	struct conn *c = container_of(s, struct conn, sock);
	struct worker *w = worker_of(c);

	facts_close(c);
	c->listener = NULL;
	slab_give(&w->conns, c);
	worker_conn_freed(w);
}

static void
count_held(struct conn *c, bool is_held)
{
	if (is_held == c->is_held)
		return;
	c->is_held = is_held;
	if (is_held)
		worker_of(c)->held++;
	else
		worker_of(c)->held--;
}

static void
set_waiting(struct conn *c, bool is_waiting)
{
	if (is_waiting == c->is_waiting)
		return;
	c->is_waiting = is_waiting;
	if (is_waiting)
		worker_of(c)->waiting++;
	else
		worker_of(c)->waiting--;
}

void
conn_granted(struct conn *c, enum places_grant grant)
{
	if (grant == PLACES_GRANT_CAPS) {
		conn_event(c, EVENT_CAPS, SIDE_CLIENT);
	} else {
		set_waiting(c, false);
		conn_event(c, EVENT_GRANTED, SIDE_CLIENT);
	}
	conn_run(c);
}

void
conn_end(struct conn *c, enum session_reason reason)
{
	struct worker *w = worker_of(c);

	if (c->is_ending)
		return;
	c->is_ending = true;
	c->pending = 0;
	w->loose = 0;
	if (c->session.reason == REASON_NONE)
		c->session.reason = (uint8_t)reason; /* a small enum */
	if (reason == REASON_BUG)
		log_say(LOG_LEVEL_ERROR,
			"session %" PRIu64 ": broken invariant in phase %s, "
			"please report it",
			c->id,
			session_phase_name((enum session_phase)c->phase));
	facts_report(c);
	count_held(c, false);
	shortage_forget(c);
	set_waiting(c, false);
	gate_exit(w->options.gate, &c->place);
	wheel_remove(&w->wheel, &c->node);
	leg_hang_up(c);
	tls_end(c, SIDE_CLIENT);
	stream_close(c, SIDE_CLIENT);
	stream_close(c, SIDE_MTA);
	poller_remove(&w->poller, &c->sock);
}

static void
hang_up(struct conn *c)
{
	leg_hang_up(c);
	c->pending &=
	    ~(bit(EVENT_BYTES, SIDE_MTA) | bit(EVENT_FIN, SIDE_MTA) |
	      bit(EVENT_ERROR, SIDE_MTA) | bit(EVENT_TLS_UP, SIDE_MTA) |
	      bit(EVENT_TLS_FAILED, SIDE_MTA) |
	      bit(EVENT_MTA_CONNECTED, SIDE_CLIENT) |
	      bit(EVENT_MTA_FAILED, SIDE_CLIENT));
	stream_forget_mta(c);
}

/* The core knows no leg before it is connected: a dial that failed, or that
 * it does not wait for any more, ends without an order. */
static bool
is_dial_over(const struct conn *c, const struct orders *o)
{
	return c->leg != NULL && !c->leg->is_connected &&
	       (o->dial || c->session.phase != PHASE_DIAL);
}

static void
give_places(struct conn *c, const struct orders *o)
{
	struct gate *gate = worker_of(c)->options.gate;

	if (o->give_caps) {
		gate_give_caps(gate, &c->place);
		c->pending &= ~bit(EVENT_CAPS, SIDE_CLIENT);
	}
	if (o->give_slot) {
		gate_give_slot(gate, &c->place);
		set_waiting(c, false);
		c->pending &= ~(bit(EVENT_GRANTED, SIDE_CLIENT) |
				bit(EVENT_DENIED, SIDE_CLIENT));
	}
}

static void
claim_slot(struct conn *c, enum slot_wish wish)
{
	struct gate *gate = worker_of(c)->options.gate;
	bool is_waiting = false;

	switch (gate_claim_slot(gate, &c->place, wish,
				session_slot_rank(&c->session))) {
	case PLACES_GRANTED:
		conn_event(c, EVENT_GRANTED, SIDE_CLIENT);
		break;
	case PLACES_DENIED:
		conn_event(c, EVENT_DENIED, SIDE_CLIENT);
		break;
	case PLACES_WAITS:
		is_waiting = true;
		break;
	}
	set_waiting(c, is_waiting);
}

static void
apply_places(struct conn *c, const struct orders *o)
{
	struct gate *gate = worker_of(c)->options.gate;

	give_places(c, o);
	if (o->claim_caps != CAPS_NO_WISH &&
	    gate_claim_caps(gate, &c->place, &c->session.plan, o->claim_caps) ==
		PLACES_GRANTED &&
	    o->claim_caps == CAPS_WAIT)
		conn_event(c, EVENT_CAPS, SIDE_CLIENT);
	if (o->claim_slot != SLOT_NO_WISH)
		claim_slot(c, o->claim_slot);
}

static enum session_reason
apply_streams(struct conn *c, const struct event *ev, const struct orders *o)
{
	enum side side;

	for (side = SIDE_CLIENT; side < SIDE_COUNT; side++) {
		bool is_its = ev->kind == EVENT_BYTES && ev->side == side;
		enum session_reason r =
		    stream_apply(c, side, is_its ? o->used : 0, o);

		if (r != REASON_NONE)
			return r;
	}
	for (side = SIDE_CLIENT; side < SIDE_COUNT; side++)
		if (o->shut[side])
			stream_shut(c, other_side(side));
	return REASON_NONE;
}

/* A time of the loop as ms since the session was opened; 0 stays 0. */
static uint32_t
since_opened(const struct conn *c, uint64_t ms)
{
	if (ms == 0)
		return 0;
	/* 49 days are enough; and what is due at once is not "never". */
	return ms > c->session.opened_ms ? (uint32_t)(ms - c->session.opened_ms)
					 : 1;
}

/* Many pipelined commands want more room than a leg has; TLS, than a conn. */
static void
apply_loans(struct conn *c, const struct orders *o)
{
	if (o->give_ring)
		leg_give_ring(c);
	if (o->want_ring)
		leg_take_ring(c);
	if (o->want_hello)
		hello_take(c);
}

/* The states of the orders: what is wanted from now on. */
static void
apply_states(struct conn *c, const struct orders *o)
{
	enum side side;

	for (side = SIDE_CLIENT; side < SIDE_COUNT; side++) {
		c->streams[side].is_fed = o->feed[side];
		c->streams[side].is_wanted = o->read[side];
		if (o->feed[side] && stream_has_unused(c, side))
			conn_event(c, EVENT_BYTES, side);
	}
	c->quota =
	    o->quota < BUFFER_READ_CAP ? (uint16_t)o->quota : BUFFER_READ_CAP;
	c->wake_ms = since_opened(c, o->deadline_ms);
	if (o->want_flushed)
		c->wants_flushed = true;
	if (o->want_plan)
		conn_event(c, EVENT_REPLAN, SIDE_CLIENT);
}

static void
start_tls(struct conn *c, enum side side)
{
	if (c->is_ending)
		return;
	c->pending &= ~bit(EVENT_BYTES, side);
	tls_start(c, side);
}

static void
apply(struct conn *c, const struct event *ev, const struct orders *o)
{
	enum session_reason r = apply_streams(c, ev, o);

	if (r != REASON_NONE) {
		conn_end(c, r);
		return;
	}
	if (o->hang_up || is_dial_over(c, o))
		hang_up(c);
	if (o->start_tls)
		start_tls(c, SIDE_CLIENT);
	if (o->start_mta_tls)
		start_tls(c, SIDE_MTA);
	apply_places(c, o);
	if (o->receive_buffer != RECEIVE_KEEP)
		stream_set_window(c, o->receive_buffer);
	if (o->dial && !c->is_ending)
		leg_dial(c);
	apply_loans(c, o);
	apply_states(c, o);
	if (o->end != REASON_NONE)
		conn_end(c, o->end);
}

/* A step with feed on uses something: else it would go on for ever. */
static bool
is_stuck(const struct event *ev, const struct orders *o)
{
	return ev->kind == EVENT_BYTES && ev->len > 0 && o->used == 0 &&
	       o->feed[ev->side] && o->end == REASON_NONE;
}

static void
note_progress(struct conn *c)
{
	struct session *s = &c->session;
	const struct leg *leg = leg_of(c);

	if (s->phase != PHASE_CLOSING && s->phase != PHASE_LINGER &&
	    s->phase != PHASE_ENDED)
		c->phase = (uint8_t)s->phase; /* a small enum */
	if (leg != NULL && leg->greeting_done)
		leg_greeted(c);
	shortage_note(c);
	count_held(c, session_is_held(s));
}

static void
step(struct conn *c, struct event *ev)
{
	struct worker *w = worker_of(c);
	struct orders *o = &w->orders;

	if (ev->kind == EVENT_OPEN || ev->kind == EVENT_REPLAN) {
		w->plan = facts_plan(c);
		ev->plan = &w->plan;
	}
	if (ev->kind == EVENT_BYTES) {
		stream_show(c, ev->side, ev);
		ev->hello = hello_of(c);
	}
	session_step(&w->site, &c->session, leg_of(c), ev, worker_now(w), o);
	record_step(c, o);
	note_progress(c);
	if (is_stuck(ev, o)) {
		conn_end(c, REASON_BUG);
		return;
	}
	apply(c, ev, o);
}

static void
tell_flushed(struct conn *c)
{
	if (!c->wants_flushed || !stream_is_flushed(c, SIDE_MTA))
		return;
	c->wants_flushed = false;
	conn_event(c, EVENT_FLUSHED, SIDE_CLIENT);
}

/* The earlier of two times, where 0 is never. */
static uint32_t
earlier(uint32_t a, uint32_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* When sockets that are not being read have to be looked at. */
static void
set_check(struct conn *c)
{
	uint32_t now_ms = conn_now(c);
	uint32_t at = 0;
	enum side side;

	for (side = SIDE_CLIENT; side < SIDE_COUNT; side++) {
		const struct stream *st = &c->streams[side];

		if (st->is_starved)
			at = now_ms + STARVED_MS;
		else if (!st->is_reading && !st->has_ended && at == 0 &&
			 conn_sock(c, side) != NULL &&
			 conn_sock(c, side)->is_over)
			at = now_ms + CHECK_MS;
	}
	if (at == 0 || c->check_ms == 0 || at < c->check_ms)
		c->check_ms = at;
}

static void
set_deadline(struct conn *c)
{
	struct worker *w = worker_of(c);
	uint32_t at = earlier(c->wake_ms, c->facts.look_again_ms);
	uint64_t deadline_ms;

	at = earlier(at, c->check_ms);
	if (at == 0) {
		wheel_remove(&w->wheel, &c->node);
		return;
	}
	deadline_ms = c->session.opened_ms + at;
	wheel_set(&w->wheel, &c->node, deadline_ms);
	worker_arm(w, deadline_ms);
}

/* TLS is read on, as far as the session wants it. */
static bool
has_more(struct conn *c)
{
	return !c->is_ending &&
	       (tls_pull(c->tls) || tls_pull(tls_of(c, SIDE_MTA)));
}

void
conn_run(struct conn *c)
{
	if (c->is_running)
		return;
	c->is_running = true;
	while (c->pending != 0 || has_more(c)) {
		unsigned at = (unsigned)__builtin_ctzll(c->pending);
		struct event ev = {.kind = (enum event_kind)(at / SIDE_COUNT),
				   .side = (enum side)(at % SIDE_COUNT)};

		c->pending &= c->pending - 1;
		step(c, &ev);
		if (!c->is_ending)
			tell_flushed(c);
	}
	c->is_running = false;
	tls_settle(c->tls);
	tls_settle(tls_of(c, SIDE_MTA));
	if (c->is_ending)
		return;
	stream_set_reading(c, SIDE_CLIENT);
	stream_set_reading(c, SIDE_MTA);
	set_check(c);
	set_deadline(c);
}

void
conn_wake(struct conn *c)
{
	uint32_t now_ms = conn_now(c);
	uint32_t look_ms = c->facts.look_again_ms;
	enum side side;

	if (look_ms != 0 && look_ms <= now_ms && facts_look(c))
		conn_event(c, EVENT_REPLAN, SIDE_CLIENT);
	for (side = SIDE_CLIENT; side < SIDE_COUNT; side++) {
		if (!c->streams[side].is_reading)
			stream_check(c, side);
	}
	c->check_ms = 0;
	if (c->wake_ms != 0 && c->wake_ms <= now_ms)
		conn_event(c, EVENT_WAKE, SIDE_CLIENT);
	conn_run(c);
}

static void
starve(struct conn *c, enum side side)
{
	c->streams[side].is_starved = true;
	conn_run(c);
}

/* What a read brought: n bytes, 0 for the end, or a negative errno. */
static void
was_read(struct conn *c, enum side side, ssize_t n)
{
	struct stream *st = &c->streams[side];
	struct tls *t = tls_of(c, side);

	if (t != NULL) {
		tls_arrived(t, n);
	} else if (n > 0) {
		stream_arrived(c, side, (size_t)n);
		conn_event(c, EVENT_BYTES, side);
	} else {
		st->has_ended = true;
		st->is_reading = false;
		/* A peer whose end came behind a failed write was reset. */
		if (n == 0 && !c->streams[other_side(side)].is_broken)
			conn_event(c, EVENT_FIN, side);
		else
			conn_event(c, EVENT_ERROR, side);
	}
	conn_run(c);
}

static bool
wants_read(struct conn *c, enum side side)
{
	const struct sock *s = conn_sock(c, side);

	return !c->is_ending && s != NULL && s->may_read &&
	       c->streams[side].is_reading;
}

static void
read_once(struct conn *c, enum side side)
{
	struct worker *w = worker_of(c);
	ssize_t n = stream_read(c, side);

	if (n == -EAGAIN)
		return;
	if (n == -ENOBUFS) {
		starve(c, side);
		return;
	}
	was_read(c, side, n);
	if (w->end_follows && wants_read(c, side))
		was_read(c, side, 0);
	w->end_follows = false;
}

/* Reads some; who has more to say comes again when others had their turn. */
static void
read_some(struct conn *c, enum side side)
{
	unsigned i;

	for (i = 0; i < READS && wants_read(c, side); i++)
		read_once(c, side);
	if (wants_read(c, side))
		poller_again(&worker_of(c)->poller, conn_sock(c, side));
}

void
conn_ready(struct conn *c, enum side side, uint32_t events)
{
	enum side from = other_side(side);

	if (c->is_ending)
		return;
	if ((events & EPOLLOUT) != 0 && !stream_is_flushed(c, from)) {
		stream_flush(c, from);
		tell_flushed(c);
		conn_run(c);
	}
	if (wants_read(c, side)) {
		read_some(c, side);
	} else if (!c->is_ending &&
		   (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
		stream_check(c, side);
		conn_run(c);
	}
}

void
conn_client_ready(struct sock *s, uint32_t events)
{
	conn_ready(container_of(s, struct conn, sock), SIDE_CLIENT, events);
}
