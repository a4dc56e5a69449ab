/*
 * The session machine: which handler serves which event in which phase, and
 * what every step ends with.
 *
 * Invariant: a step leaves the record of orders complete; deadline, feed and
 * read are derived from the state each time, never carried along, so that no
 * handler can forget to switch one of them.
 */
#include "shaping/session_step.h"

#include <string.h>

static const char *const reason_names[REASON_COUNT] = {
    [REASON_NONE] = "-",
#define REASON(id, name, help) [REASON_##id] = name,
#include "tarry/reasons.def"
#undef REASON
};

static const char *const phase_names[PHASE_COUNT] = {
#define PHASE(id, name, help) [PHASE_##id] = name,
#include "tarry/phases.def"
#undef PHASE
};

const char *
session_reason_name(enum session_reason reason)
{
	return reason_names[reason];
}

const char *
session_phase_name(enum session_phase phase)
{
	return phase_names[phase];
}

void
step_reason(struct step *st, enum session_reason reason)
{
	if (st->s->reason == REASON_NONE)
		st->s->reason = (uint8_t)reason; /* few */
}

enum session_phase
step_end(struct step *st, enum session_reason reason)
{
	step_reason(st, reason);
	st->o->end = (enum session_reason)st->s->reason;
	return PHASE_ENDED;
}

void
step_say(struct step *st, enum side to, const char *text, size_t len)
{
	size_t at = st->o->say_len[to];

	if (at + len > SESSION_SAY_CAP)
		return;
	memcpy(st->o->say[to] + at, text, len);
	st->o->say_len[to] = (uint16_t)(at + len);
}

void
step_leave_mta(struct step *st)
{
	st->o->hang_up = st->leg != NULL;
	place_leave(st);
}

/* An event that means nothing in this phase. */
static enum session_phase
nothing(struct step *st)
{
	return st->s->phase;
}

static enum session_phase
client_error(struct step *st)
{
	struct session *s = st->s;

	if (s->reason == REASON_NONE && step_is_holding(st) && !s->has_quit &&
	    (st->leg == NULL || !relay_is_ending(st->leg))) {
		s->counts.gave_up_ms = step_held_ms(st);
		return step_end(st, REASON_GAVE_UP);
	}
	return step_end(st, s->has_quit ? REASON_QUIT : REASON_CLIENT_RESET);
}

static enum session_phase
cut(struct step *st)
{
	return step_end(st, REASON_DRAINED);
}

/* Bytes of a side that nobody will get any more. */
static enum session_phase
drop_bytes(struct step *st)
{
	st->o->used = (uint32_t)st->ev->len;
	st->o->drop[st->ev->side] = (uint32_t)st->ev->len;
	return st->s->phase;
}

/*
 * The table. BYTES, FIN and ERROR come by side. A hole ends the session with
 * reason BUG; every test fails on that reason.
 */
enum row {
	ROW_OPEN,
	ROW_CLIENT_BYTES,
	ROW_CLIENT_FIN,
	ROW_CLIENT_ERROR,
	ROW_MTA_BYTES,
	ROW_MTA_FIN,
	ROW_MTA_ERROR,
	ROW_MTA_CONNECTED,
	ROW_MTA_FAILED,
	ROW_TLS_UP,
	ROW_TLS_FAILED,
	ROW_CAPS,
	ROW_GRANTED,
	ROW_DENIED,
	ROW_FLUSHED,
	ROW_WAKE,
	ROW_REPLAN,
	ROW_RELEASED,
	ROW_GIVE_WAY,
	ROW_DRAIN,
	ROW_CUT,
	ROW_COUNT
};

#define ALWAYS [ROW_CLIENT_ERROR] = client_error, [ROW_CUT] = cut

#define BEFORE_GREETING                                                        \
	ALWAYS, [ROW_FLUSHED] = nothing, [ROW_CLIENT_BYTES] = greet_bytes,     \
		[ROW_CLIENT_FIN] = greet_fin, [ROW_REPLAN] = greet_replan,     \
		[ROW_RELEASED] = greet_hurry, [ROW_DRAIN] = greet_hurry,       \
		[ROW_GIVE_WAY] = refuse_way

/* Moved into the share, or not: what place_move() asked for. */
#define HAS_SLOT [ROW_GRANTED] = place_moved, [ROW_DENIED] = nothing

/* A handshake that is not waited for any more may end all the same. */
#define TLS_TOO_LATE [ROW_TLS_UP] = nothing, [ROW_TLS_FAILED] = nothing

#define AFTER_ALL                                                              \
	ALWAYS,                                                                \
	    TLS_TOO_LATE, [ROW_FLUSHED] = nothing, [ROW_MTA_FIN] = nothing,    \
			  [ROW_MTA_ERROR] = nothing, [ROW_REPLAN] = nothing,   \
			  [ROW_RELEASED] = nothing, [ROW_DRAIN] = nothing,     \
			  [ROW_GIVE_WAY] = nothing

static session_handler *const table[PHASE_COUNT][ROW_COUNT] = {
    [PHASE_NEW] = {[ROW_OPEN] = greet_open},
    [PHASE_GREET] =
	{BEFORE_GREETING,
	 HAS_SLOT, [ROW_CAPS] = place_caps, [ROW_WAKE] = greet_wake},
    [PHASE_GATE] = {BEFORE_GREETING, [ROW_GRANTED] = gate_granted,
		    [ROW_DENIED] = gate_denied, [ROW_WAKE] = gate_wake},
    [PHASE_DIAL] = {BEFORE_GREETING,
		    HAS_SLOT, [ROW_MTA_CONNECTED] = dial_connected,
		    [ROW_MTA_FAILED] = dial_failed, [ROW_WAKE] = dial_wake},
    [PHASE_BANNER] =
	{BEFORE_GREETING,
	 HAS_SLOT, [ROW_MTA_BYTES] = banner_bytes, [ROW_MTA_FIN] = banner_fin,
	 [ROW_MTA_ERROR] = banner_error, [ROW_WAKE] = banner_wake},
    [PHASE_TLS] = {ALWAYS, HAS_SLOT, [ROW_FLUSHED] = tls_flushed,
		   [ROW_CLIENT_BYTES] = tls_bytes, [ROW_CLIENT_FIN] = tls_fin,
		   [ROW_MTA_BYTES] = tls_answer, [ROW_MTA_FIN] = tls_mta_end,
		   [ROW_MTA_ERROR] = tls_mta_end, [ROW_TLS_UP] = tls_up,
		   [ROW_TLS_FAILED] = tls_failed, [ROW_WAKE] = tls_wake,
		   [ROW_REPLAN] = tls_replan, [ROW_RELEASED] = tls_hurry,
		   [ROW_DRAIN] = tls_hurry, [ROW_GIVE_WAY] = nothing},
    [PHASE_RELAY] =
	{ALWAYS, HAS_SLOT, [ROW_FLUSHED] = nothing,
	 [ROW_CLIENT_BYTES] = relay_bytes, [ROW_CLIENT_FIN] = relay_fin,
	 [ROW_MTA_BYTES] = reply_bytes, [ROW_MTA_FIN] = relay_fin,
	 [ROW_MTA_ERROR] = relay_error, [ROW_WAKE] = relay_wake,
	 [ROW_REPLAN] = relay_replan, [ROW_RELEASED] = relay_hurry,
	 [ROW_DRAIN] = relay_hurry, [ROW_GIVE_WAY] = nothing},
    [PHASE_BLIND] =
	{ALWAYS, HAS_SLOT, [ROW_FLUSHED] = nothing,
	 [ROW_CLIENT_BYTES] = blind_bytes, [ROW_CLIENT_FIN] = blind_fin,
	 [ROW_MTA_BYTES] = blind_bytes, [ROW_MTA_FIN] = blind_fin,
	 [ROW_MTA_ERROR] = relay_error, [ROW_WAKE] = blind_wake,
	 [ROW_REPLAN] = blind_replan, [ROW_RELEASED] = blind_hurry,
	 [ROW_DRAIN] = blind_hurry, [ROW_GIVE_WAY] = nothing},
    [PHASE_REFUSED] =
	{AFTER_ALL,
	 [ROW_CLIENT_BYTES] = refused_bytes, [ROW_MTA_BYTES] = nothing,
	 [ROW_CLIENT_FIN] = refused_fin, [ROW_WAKE] = refused_wake},
    [PHASE_LINGER] = {AFTER_ALL, [ROW_MTA_BYTES] = drop_bytes,
		      [ROW_CLIENT_BYTES] = linger_bytes,
		      [ROW_CLIENT_FIN] = linger_fin, [ROW_WAKE] = linger_wake},
    [PHASE_CLOSING] =
	{ALWAYS, TLS_TOO_LATE, [ROW_CLIENT_BYTES] = linger_bytes,
	 [ROW_CLIENT_FIN] = linger_fin, [ROW_MTA_BYTES] = drop_bytes,
	 [ROW_MTA_FIN] = nothing, [ROW_MTA_ERROR] = nothing,
	 [ROW_FLUSHED] = closing_flushed, [ROW_WAKE] = closing_wake,
	 [ROW_REPLAN] = nothing, [ROW_RELEASED] = nothing,
	 [ROW_DRAIN] = nothing, [ROW_GIVE_WAY] = nothing},
};

static enum row
event_row(const struct event *ev)
{
	static const enum row rows[EVENT_COUNT] = {
	    [EVENT_OPEN] = ROW_OPEN,
	    [EVENT_BYTES] = ROW_CLIENT_BYTES,
	    [EVENT_FIN] = ROW_CLIENT_FIN,
	    [EVENT_ERROR] = ROW_CLIENT_ERROR,
	    [EVENT_MTA_CONNECTED] = ROW_MTA_CONNECTED,
	    [EVENT_MTA_FAILED] = ROW_MTA_FAILED,
	    [EVENT_TLS_UP] = ROW_TLS_UP,
	    [EVENT_TLS_FAILED] = ROW_TLS_FAILED,
	    [EVENT_CAPS] = ROW_CAPS,
	    [EVENT_GRANTED] = ROW_GRANTED,
	    [EVENT_DENIED] = ROW_DENIED,
	    [EVENT_FLUSHED] = ROW_FLUSHED,
	    [EVENT_WAKE] = ROW_WAKE,
	    [EVENT_REPLAN] = ROW_REPLAN,
	    [EVENT_RELEASED] = ROW_RELEASED,
	    [EVENT_GIVE_WAY] = ROW_GIVE_WAY,
	    [EVENT_DRAIN] = ROW_DRAIN,
	    [EVENT_CUT] = ROW_CUT,
	};
	enum row row = rows[ev->kind];

	if (ev->side == SIDE_MTA &&
	    (ev->kind == EVENT_BYTES || ev->kind == EVENT_FIN ||
	     ev->kind == EVENT_ERROR))
		row = (enum row)(row + ROW_MTA_BYTES - ROW_CLIENT_BYTES);
	return row;
}

static uint32_t
relay_deadline(const struct step *st)
{
	const struct session *s = st->s;
	uint32_t at = s->last_byte_ms + SESSION_IDLE_MS;

	if (st->leg == NULL)
		return at;
	at = step_earlier(at, step_earlier(reply_next(st), hold_budget_end(s)));
	at = step_earlier(at, upload_next(st));
	if (st->leg->client.mode == SMTP_MAYBE)
		at = step_earlier(at, st->leg->client.maybe_ms);
	if (s->is_done)
		at = step_earlier(at, s->done_ms + SESSION_MTA_FIN_MS);
	return at;
}

static uint32_t
phase_deadline(const struct step *st)
{
	const struct session *s = st->s;
	uint32_t teaser = teaser_next(st);

	switch ((enum session_phase)s->phase) {
	case PHASE_NEW:
	case PHASE_ENDED:
	case PHASE_COUNT:
		return UINT32_MAX;
	case PHASE_GREET:
		return step_earlier(
		    step_earlier(s->dial_ms, hold_budget_end(s)), teaser);
	case PHASE_GATE:
		return step_earlier(
		    step_earlier(s->phase_ms, hold_budget_end(s)), teaser);
	case PHASE_DIAL:
		return step_earlier(s->phase_ms + st->site->connect_timeout_ms,
				    teaser);
	case PHASE_BANNER:
		return step_earlier(
		    step_earlier(
			step_earlier(reply_next(st), hold_budget_end(s)),
			teaser),
		    s->phase_ms + greet_patience_ms(s));
	case PHASE_TLS:
		return s->phase_ms + SESSION_TLS_MS;
	case PHASE_RELAY:
		return relay_deadline(st);
	case PHASE_BLIND:
		return step_earlier(
		    step_earlier(upload_next(st), hold_budget_end(s)),
		    s->last_byte_ms + SESSION_IDLE_MS);
	case PHASE_REFUSED:
		return s->phase_ms + SESSION_REFUSED_MS;
	case PHASE_LINGER:
		return linger_end(s);
	case PHASE_CLOSING:
		return s->phase_ms + SESSION_CLOSING_MS;
	}
	return UINT32_MAX;
}

/*
 * The client is heard unless its next bytes must wait: for the greeting, for
 * the reply that decides how to read on, for the answers to an earlier early
 * segment, or for room in the queue of replies.
 */
static bool
feeds_client(const struct step *st)
{
	const struct session *s = st->s;
	const struct leg *leg = st->leg;

	if (hold_is_before_greeting(s->phase) || s->phase == PHASE_TLS)
		return false;
	if (upload_room(st) == 0)
		return false;
	if (s->phase != PHASE_RELAY)
		return true;
	if (leg->client.mode == SMTP_WAITING || leg->client.mode == SMTP_MAYBE)
		return false;
	if (relay_is_waiting(st))
		return false;
	/* A ring may be there at the next look; once, not for ever. */
	return !queue_is_full(leg) || (st->o->want_ring && st->o->used > 0);
}

static bool
feeds_mta(const struct step *st)
{
	enum session_phase phase = (enum session_phase)st->s->phase;

	if (phase == PHASE_TLS)
		return st->s->tls == SESSION_TLS_MTA_ASKED;
	if (phase == PHASE_REFUSED)
		return false;
	return st->leg == NULL || !st->leg->is_gathered;
}

static bool
reads_client(const struct step *st)
{
	const struct session *s = st->s;

	if (s->client_fin || upload_room(st) <= s->unused)
		return false;
	/* In the clear nothing that follows STARTTLS is wanted. */
	if (s->phase == PHASE_TLS)
		return s->tls == SESSION_TLS_SHAKES;
	if (hold_is_before_greeting(s->phase))
		return s->unused < SESSION_EARLY_CAP &&
		       s->segments_count < SESSION_SEGMENTS_CAP;
	return s->segments_count < SESSION_SEGMENTS_CAP;
}

/* A slow upload is read as it is used, not into a buffer of ours. */
static uint32_t
client_quota(const struct step *st)
{
	size_t room = upload_room(st);

	if (room <= st->s->unused)
		return 0;
	return room < UINT32_MAX ? (uint32_t)room - st->s->unused : UINT32_MAX;
}

/* The client's FIN goes to the MTA behind the client's last byte. */
static void
forward_fin(struct step *st)
{
	struct session *s = st->s;

	if ((s->phase != PHASE_RELAY && s->phase != PHASE_BLIND) ||
	    !s->client_fin || s->mta_shut || s->unused > 0)
		return;
	s->mta_shut = true;
	st->o->shut[SIDE_MTA] = true;
}

/* Nothing is left to be said: the MTA has a moment to close first. */
static void
note_done(struct step *st)
{
	struct session *s = st->s;

	if (s->phase != PHASE_RELAY || s->is_done)
		return;
	s->is_done =
	    s->has_quit || (s->client_fin && s->mta_shut &&
			    st->leg->count == 0 && st->leg->partial == 0);
	if (s->is_done)
		s->done_ms = st->now;
}

static void
finish(struct step *st)
{
	struct session *s = st->s;
	struct orders *o = st->o;
	uint32_t at;

	hold_account(st);
	if (o->end != REASON_NONE) {
		place_leave(st);
		place_give_caps(st);
		o->claim_caps = CAPS_NO_WISH;
		return;
	}
	teaser_say(st);
	forward_fin(st);
	note_done(st);
	upload_set_buffer(st);
	if (st->leg != NULL && !o->hang_up)
		queue_settle(st);
	o->feed[SIDE_CLIENT] = feeds_client(st);
	o->feed[SIDE_MTA] = feeds_mta(st);
	o->read[SIDE_CLIENT] = reads_client(st);
	o->read[SIDE_MTA] = !s->mta_fin;
	o->quota = client_quota(st);
	at = phase_deadline(st);
	o->deadline_ms = at == UINT32_MAX ? 0 : s->opened_ms + at;
}

static void
clear_orders(struct orders *o)
{
	/* `say` is 1.2 KB and is only read up to say_len. */
	memset(o, 0, offsetof(struct orders, say));
}

/* Bytes of the client that are there and not used, before and behind. */
static void
note_bytes(struct step *st)
{
	if (st->ev->kind != EVENT_BYTES)
		return;
	if (st->ev->fresh > 0)
		st->s->last_byte_ms = st->now;
	if (st->ev->side == SIDE_CLIENT)
		st->s->unused = (uint32_t)st->ev->len; /* a buffer is small */
}

/* By what a session was slowed first, or would have been. */
static void
note_slowed(struct session *s)
{
	const struct plan *p = &s->plan;

	if (s->slowed_by > 0 || !plan_is_slowing(p) ||
	    (p->is_shadow && !p->is_held_out))
		return;
	s->slowed_by = (uint16_t)(p->rule_id + 1);
	s->is_held_out = p->is_held_out;
}

/* The budget ends in the middle of whatever is held: full speed from here. */
static void
spend_budget(struct step *st)
{
	struct session *s = st->s;

	if (!s->is_holding || s->is_spent || st->now < hold_budget_end(s))
		return;
	/* The gate's answer is to what was asked before. */
	if (st->ev->kind == EVENT_GRANTED || st->ev->kind == EVENT_DENIED)
		return;
	hold_account(st);
	s->is_spent = true;
	if (s->phase == PHASE_GREET)
		s->dial_ms = step_earlier(s->dial_ms, st->now);
	if (s->phase == PHASE_GATE)
		place_replan(st, &s->plan);
	if (st->leg != NULL)
		reply_hurry(st);
}

void
session_step(const struct site *site, struct session *s, struct leg *leg,
	     const struct event *ev, uint64_t now_ms, struct orders *o)
{
	struct step st = {.site = site, .s = s, .leg = leg, .ev = ev, .o = o};
	session_handler *handler = table[s->phase][event_row(ev)];
	enum session_phase next;

	clear_orders(o);
	if (ev->kind == EVENT_OPEN)
		s->opened_ms = now_ms;
	st.now = (uint32_t)(now_ms - s->opened_ms); /* 49 days are enough */
	if (leg != NULL)
		queue_use_ring(leg);
	note_bytes(&st);
	spend_budget(&st);
	if (handler == NULL)
		s->reason = REASON_NONE; /* a hole is always told */
	next = handler != NULL ? handler(&st) : step_end(&st, REASON_BUG);
	if (ev->kind == EVENT_OPEN || ev->kind == EVENT_REPLAN)
		note_slowed(s);
	if (tls_is_asked(s))
		next = tls_begin(&st, next);
	if (ev->kind == EVENT_BYTES && ev->side == SIDE_CLIENT)
		s->unused -= o->used;
	if (s->phase == PHASE_GATE && next != PHASE_GATE)
		s->counts.gate_ms += st.now - s->asked_ms;
	if (next != s->phase && next != PHASE_GATE)
		s->phase_ms = st.now;
	s->phase = (uint8_t)next; /* few */
	finish(&st);
}

bool
session_is_held(const struct session *s)
{
	return s->is_holding;
}
