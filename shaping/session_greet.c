/*
 * From the accept to the MTA's greeting: the greet delay, early bytes, and
 * the late dial.
 *
 * A session asks for an MTA slot only when the greeting is nearly due, so that
 * those who leave never cost the MTA anything.
 */
#include "shaping/session_step.h"

#include <string.h>

uint32_t
greet_due_ms(const struct session *s)
{
	if (s->is_spent || s->plan.is_shadow)
		return 0;
	if (s->caps == PLACE_ASKED)
		return s->plan.reply_cap_ms;
	return s->plan.greet_ms < s->plan.reply_cap_ms ? s->plan.greet_ms
						       : s->plan.reply_cap_ms;
}

uint32_t
greet_patience_ms(const struct session *s)
{
	return s->client_fin && s->unused == 0 ? s->plan.reply_cap_ms
					       : SESSION_GREETING_MS;
}

static uint32_t
minus(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

uint32_t
greet_drip_ms(const struct session *s)
{
	uint32_t due = greet_due_ms(s);

	return s->plan.drip_ms < due ? s->plan.drip_ms : due;
}

uint32_t
greet_dial_ms(const struct step *st)
{
	const struct session *s = st->s;

	return minus(greet_due_ms(s), st->site->lead_ms + greet_drip_ms(s));
}

uint32_t
greet_budget_ms(const struct step *st)
{
	const struct plan *p = &st->s->plan;
	uint32_t cap = p->reply_cap_ms;
	uint32_t drip = p->drip_ms < cap ? p->drip_ms : cap;

	return minus(cap, st->site->lead_ms + drip);
}

enum session_phase
greet_dial(struct step *st)
{
	st->o->dial = true;
	st->s->counts.dials++;
	return PHASE_DIAL;
}

/* The dial failed: once more in a second while the greet budget lasts. */
static enum session_phase
dial_again(struct step *st)
{
	struct session *s = st->s;
	uint32_t at = st->now + SESSION_REDIAL_MS;
	uint32_t last = minus(s->plan.reply_cap_ms, SESSION_LAST_DIAL_MS);

	if (s->client_fin && s->unused == 0)
		return step_end(st, REASON_CLIENT_CLOSED);
	if (st->now >= last)
		return refuse(st, REASON_MTA_UNREACHABLE);
	st->o->hang_up = st->leg != NULL;
	s->dial_ms = step_earlier(at, last);
	return PHASE_GREET;
}

/* An operator's own rule says 421; see P1. */
static bool
is_deferred(const struct session *s)
{
	return s->plan.class_id == PLAN_CLASS_DEFER && !s->plan.is_shadow;
}

enum session_phase
greet_open(struct step *st)
{
	struct session *s = st->s;

	s->plan = *st->ev->plan;
	s->last_verb = SMTP_GREETING;
	return s->is_implicit_tls ? tls_open(st) : greet_begin(st);
}

enum session_phase
greet_begin(struct step *st)
{
	struct session *s = st->s;

	if (is_deferred(s))
		return refuse(st, REASON_DEFERRED);
	place_open(st);
	teaser_start(st);
	s->dial_ms = greet_dial_ms(st);
	return greet_wake(st);
}

/* New bytes in a segment of their own, while there is room to remember it. */
void
greet_keep_segment(struct session *s, size_t fresh)
{
	if (s->segments_count < SESSION_SEGMENTS_CAP)
		s->segments[s->segments_count++] = (uint16_t)fresh;
	else
		s->segments[SESSION_SEGMENTS_CAP - 1] =
		    (uint16_t)(s->segments[SESSION_SEGMENTS_CAP - 1] + fresh);
}

enum session_phase
greet_bytes(struct step *st)
{
	struct session *s = st->s;

	if (st->ev->fresh == 0)
		return s->phase;
	greet_keep_segment(s, st->ev->fresh);
	if (s->is_early || st->site->pipeconnect)
		return s->phase;
	s->is_early = true;
	st->o->want_plan = true;
	return s->phase;
}

/* Left in a delay of ours, before anything was said? */
static enum session_reason
fin_reason(struct step *st)
{
	if (!step_is_holding(st))
		return REASON_CLIENT_CLOSED;
	st->s->counts.gave_up_ms = step_held_ms(st);
	return REASON_GAVE_UP;
}

enum session_phase
greet_fin(struct step *st)
{
	struct session *s = st->s;

	s->client_fin = true;
	if (s->unused > 0)
		return s->phase;
	if (s->phase == PHASE_GREET || s->phase == PHASE_GATE)
		return step_end(st, fin_reason(st));
	step_reason(st, fin_reason(st));
	return greet_hurry(st);
}

enum session_phase
greet_wake(struct step *st)
{
	return st->now >= st->s->dial_ms ? place_ask(st) : PHASE_GREET;
}

/* A lower plan acts at once; a higher one while the MTA was not asked. */
enum session_phase
greet_replan(struct step *st)
{
	struct session *s = st->s;
	struct plan old = s->plan;
	uint32_t old_due = greet_due_ms(s);

	s->plan = *st->ev->plan;
	if (is_deferred(s) && s->slot != PLACE_HELD)
		return refuse(st, REASON_DEFERRED);
	if (s->phase != PHASE_GREET && greet_due_ms(s) > old_due)
		s->plan.greet_ms = (uint16_t)old_due;
	place_replan(st, &old);
	if (s->phase == PHASE_GREET) {
		teaser_start(st);
		if (s->counts.dials == 0)
			s->dial_ms = greet_dial_ms(st);
		return greet_wake(st);
	}
	if (s->phase == PHASE_BANNER && greet_due_ms(s) < old_due)
		reply_pull(st->leg, greet_due_ms(s) > st->now ? greet_due_ms(s)
							      : st->now);
	return s->phase;
}

enum session_phase
greet_hurry(struct step *st)
{
	struct session *s = st->s;
	enum session_phase next;

	s->is_spent = true;
	if (s->phase == PHASE_GREET && s->slot != PLACE_HELD) {
		s->dial_ms = st->now;
		return place_ask(st);
	}
	place_replan(st, &s->plan);
	if (s->phase != PHASE_BANNER)
		return s->phase;
	reply_hurry(st);
	next = reply_pump(st);
	return next == PHASE_COUNT ? s->phase : next;
}

enum session_phase
dial_connected(struct step *st)
{
	struct session *s = st->s;
	char text[SESSION_SAY_CAP];
	size_t len = proxy_header(st->site->client_address, &s->client,
				  &s->server, text, sizeof(text));

	step_say(st, SIDE_MTA, text, len);
	if (len > 0)
		s->counts.proxy_headers++;
	queue_expect(st, SMTP_GREETING, 0);
	return PHASE_BANNER;
}

enum session_phase
dial_failed(struct step *st)
{
	return dial_again(st);
}

enum session_phase
dial_wake(struct step *st)
{
	if (st->now < st->s->phase_ms + st->site->connect_timeout_ms)
		return st->s->phase;
	return dial_again(st);
}

/*
 * The greeting is there, whole; session_reply.c holds its bytes and asks what
 * is to become of them. PHASE_BANNER: hold it for its time. Anything else
 * than 220 passes at once, unless a teaser has promised 220.
 */
enum session_phase
greet_greeted(struct step *st, uint16_t code)
{
	struct session *s = st->s;

	st->leg->greeting_done = true;
	if (code == 220)
		return PHASE_BANNER;
	step_reason(st, REASON_MTA_REFUSED);
	if (s->teaser_len == 0)
		return PHASE_RELAY;
	teaser_end(st);
	if (s->unused == 0 && !s->client_fin)
		return PHASE_REFUSED;
	reply_release_all(st);
	refuse_early(st);
	step_leave_mta(st);
	st->o->shut[SIDE_CLIENT] = true;
	st->o->want_flushed = s->client_fin;
	return s->client_fin ? PHASE_CLOSING : PHASE_LINGER;
}

enum session_phase
banner_bytes(struct step *st)
{
	return reply_bytes(st);
}

enum session_phase
banner_fin(struct step *st)
{
	if (!st->leg->greeting_done)
		return dial_again(st);
	return relay_fin(st);
}

enum session_phase
banner_error(struct step *st)
{
	if (!st->leg->greeting_done)
		return dial_again(st);
	return relay_error(st);
}

enum session_phase
banner_wake(struct step *st)
{
	enum session_phase next = reply_pump(st);

	if (next != PHASE_COUNT)
		return next;
	if (!st->leg->greeting_done &&
	    st->now >= st->s->phase_ms + greet_patience_ms(st->s))
		return refuse(st, REASON_MTA_UNREACHABLE);
	return st->s->phase;
}
