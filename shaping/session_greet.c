/*
 * From the accept to the MTA's greeting: the greet delay with and without a
 * teaser, early bytes, the late dial, and how a client is refused.
 *
 * A session asks for an MTA slot only when the greeting is nearly due, so that
 * those who leave never cost the MTA anything. A teaser commits us to 220: if
 * the MTA then has another greeting, we end our own with 220 and the first
 * command gets what the MTA said, because mixed codes in one reply bounce
 * mail.
 */
#include "shaping/session_step.h"

#include <string.h>

#include "tarry/pace.h"

#define ESMTP " ESMTP\r\n"
#define UNAVAILABLE " Service not available, try again later\r\n"

uint32_t
greet_due_ms(const struct session *s)
{
	if (s->is_spent)
		return 0;
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

static uint32_t
greet_drip_ms(const struct session *s)
{
	uint32_t due = greet_due_ms(s);

	return s->plan.drip_ms < due ? s->plan.drip_ms : due;
}

static uint32_t
dial_at(const struct step *st)
{
	const struct session *s = st->s;

	return minus(greet_due_ms(s), st->site->lead_ms + greet_drip_ms(s));
}

/* Our own greeting's lines; `mark` is '-' or ' '. Returns the length. */
static size_t
own_greeting(const struct site *site, char mark, char *out)
{
	size_t at = 4;

	memcpy(out, "220 ", at);
	out[3] = mark;
	memcpy(out + at, site->name, site->name_len);
	at += site->name_len;
	memcpy(out + at, ESMTP, sizeof(ESMTP) - 1);
	return at + sizeof(ESMTP) - 1;
}

/* With a drip the teaser is spread over the time before the greeting's own. */
static struct pace
teaser_pace(const struct step *st)
{
	const struct session *s = st->s;
	struct pace p = {.len = s->teaser_len, .gap_ms = st->site->drip_gap_ms};

	if (s->plan.drip_ms > 0)
		p.due_ms = minus(greet_due_ms(s), greet_drip_ms(s));
	return p;
}

/*
 * Says the teaser up to byte `to`. The name may have become another since the
 * first part went out: then the line is ended, whatever it says.
 */
static void
say_teaser_to(struct step *st, size_t to)
{
	struct session *s = st->s;
	char text[SESSION_SAY_CAP];
	size_t len = own_greeting(st->site, '-', text);
	size_t from = s->teaser_said;

	if (to <= from)
		return;
	s->teaser_said = (uint16_t)to;
	if (len == s->teaser_len) {
		step_say(st, SIDE_CLIENT, text + from, to - from);
	} else {
		s->teaser_said = s->teaser_len;
		step_say(st, SIDE_CLIENT, "\r\n", 2);
	}
}

/* A plan that has a teaser starts one, if the greeting is still far. */
static void
start_teaser(struct step *st)
{
	struct session *s = st->s;
	char text[SESSION_SAY_CAP];

	if (!s->plan.teaser || s->teaser_len > 0 || greet_due_ms(s) == 0)
		return;
	s->teaser_len = (uint16_t)own_greeting(st->site, '-', text);
}

void
greet_say_teaser(struct step *st)
{
	struct session *s = st->s;
	struct pace p;

	if (s->teaser_said == s->teaser_len || s->is_greeted)
		return;
	p = teaser_pace(st);
	say_teaser_to(st, pace_bytes(&p, st->now));
}

void
greet_finish_teaser(struct step *st)
{
	say_teaser_to(st, st->s->teaser_len);
}

uint32_t
greet_teaser_next(const struct step *st)
{
	struct pace p;

	if (st->s->teaser_said == st->s->teaser_len || st->s->is_greeted)
		return UINT32_MAX;
	p = teaser_pace(st);
	return pace_next(&p, st->now);
}

static enum session_phase
dial(struct step *st)
{
	st->o->dial = true;
	st->s->counts.dials++;
	return PHASE_DIAL;
}

/* Time to ask for the MTA: a slot first, unless we have one from before. */
static enum session_phase
ask(struct step *st)
{
	struct session *s = st->s;

	if (s->slot == SLOT_HELD)
		return dial(st);
	s->slot = SLOT_ASKED;
	s->asked_ms = st->now;
	st->o->claim_slot = SLOT_ANY;
	s->phase_ms = s->plan.class_id == PLAN_CLASS_PASS
			  ? st->now + SESSION_GATE_PASS_MS
			  : s->plan.reply_cap_ms;
	return PHASE_GATE;
}

void
step_leave_mta(struct step *st)
{
	st->o->hang_up = st->leg != NULL;
	st->o->give_slot = st->s->slot != SLOT_NONE;
	st->s->slot = SLOT_NONE;
}

/* The words that answer whatever the client says first. */
static enum session_phase
say_unavailable(struct step *st)
{
	char text[SESSION_SAY_CAP];
	size_t at = 4;

	memcpy(text, "421 ", at);
	memcpy(text + at, st->site->name, st->site->name_len);
	at += st->site->name_len;
	memcpy(text + at, UNAVAILABLE, sizeof(UNAVAILABLE) - 1);
	step_say(st, SIDE_CLIENT, text, at + sizeof(UNAVAILABLE) - 1);
	st->s->counts.own_421 = true;
	st->o->shut[SIDE_CLIENT] = true;
	return st->s->client_fin ? PHASE_CLOSING : PHASE_LINGER;
}

/* Ends a greeting that a teaser has begun. */
static void
end_teaser(struct step *st)
{
	char text[SESSION_SAY_CAP];

	say_teaser_to(st, st->s->teaser_len);
	step_say(st, SIDE_CLIENT, text, own_greeting(st->site, ' ', text));
	st->s->is_greeted = true;
	st->s->counts.greet_ms = st->now;
	st->s->counts.own_greeting = true;
}

/* Bytes of the client that came early are not worth keeping any more. */
static void
drop_early(struct step *st)
{
	if (st->ev->kind == EVENT_BYTES && st->ev->side == SIDE_CLIENT) {
		st->o->used = (uint32_t)st->ev->len;
		st->o->drop[SIDE_CLIENT] = st->o->used;
	}
	st->s->segments_count = 0;
}

/* No MTA for this client: 421, at once or for its first command. */
static enum session_phase
refuse(struct step *st, enum session_reason reason)
{
	struct session *s = st->s;
	enum session_phase next;

	step_reason(st, reason);
	step_leave_mta(st);
	if (s->teaser_len == 0) {
		next = say_unavailable(st);
	} else {
		end_teaser(st);
		next = PHASE_REFUSED;
		if (s->unused > 0 || s->client_fin)
			next = say_unavailable(st);
	}
	drop_early(st);
	if (next == PHASE_CLOSING)
		st->o->want_flushed = true;
	return next;
}

/* The dial failed: once more in a second while the greet budget lasts. */
static enum session_phase
dial_again(struct step *st)
{
	struct session *s = st->s;
	uint32_t at = st->now + SESSION_REDIAL_MS;

	if (s->client_fin && s->unused == 0)
		return step_end(st, REASON_CLIENT_CLOSED);
	if (at >= s->plan.reply_cap_ms)
		return refuse(st, REASON_MTA_UNREACHABLE);
	st->o->hang_up = st->leg != NULL;
	s->dial_ms = at;
	return PHASE_GREET;
}

enum session_phase
greet_open(struct step *st)
{
	struct session *s = st->s;

	s->plan = *st->ev->plan;
	s->last_verb = SMTP_GREETING;
	start_teaser(st);
	s->dial_ms = dial_at(st);
	return s->dial_ms == 0 ? ask(st) : PHASE_GREET;
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
	if (!s->is_early && !st->site->pipeconnect)
		st->o->want_plan = true;
	s->is_early = true;
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
	return st->now >= st->s->dial_ms ? ask(st) : st->s->phase;
}

/* A lower plan acts at once; a higher one while the MTA was not asked. */
enum session_phase
greet_replan(struct step *st)
{
	struct session *s = st->s;
	uint32_t old_due = greet_due_ms(s);

	s->plan = *st->ev->plan;
	if (s->phase != PHASE_GREET && greet_due_ms(s) > old_due)
		s->plan.greet_ms = (uint16_t)old_due;
	if (s->phase == PHASE_GREET) {
		start_teaser(st);
		if (s->slot != SLOT_HELD)
			s->dial_ms = dial_at(st);
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
	if (s->phase == PHASE_GREET && s->slot != SLOT_HELD) {
		s->dial_ms = st->now;
		return ask(st);
	}
	if (s->phase != PHASE_BANNER)
		return s->phase;
	reply_hurry(st);
	next = reply_pump(st);
	return next == PHASE_COUNT ? s->phase : next;
}

enum session_phase
greet_give_way(struct step *st)
{
	if (st->s->phase == PHASE_BANNER || st->s->phase == PHASE_DIAL)
		return st->s->phase;
	return refuse(st, REASON_FULL);
}

enum session_phase
gate_granted(struct step *st)
{
	st->s->slot = SLOT_HELD;
	return dial(st);
}

enum session_phase
gate_wake(struct step *st)
{
	if (st->now >= st->s->phase_ms)
		return refuse(st, REASON_NO_SLOT);
	return st->s->phase;
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
	reply_expect(st, SMTP_GREETING, 0);
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
	end_teaser(st);
	if (s->unused == 0 && !s->client_fin)
		return PHASE_REFUSED;
	reply_release_all(st);
	drop_early(st);
	step_leave_mta(st);
	st->o->shut[SIDE_CLIENT] = true;
	st->o->want_flushed = s->client_fin;
	return s->client_fin ? PHASE_CLOSING : PHASE_LINGER;
}

enum session_phase
greet_garbled(struct step *st)
{
	return refuse(st, REASON_MTA_REFUSED);
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

/* The first command, once it is whole, gets the refusal. */
enum session_phase
refused_bytes(struct step *st)
{
	st->o->used = (uint32_t)st->ev->len;
	st->o->drop[SIDE_CLIENT] = st->o->used;
	if (memchr(st->ev->bytes, '\n', st->ev->len) == NULL)
		return st->s->phase;
	if (st->leg == NULL)
		return say_unavailable(st);
	reply_release_all(st);
	step_leave_mta(st);
	st->o->shut[SIDE_CLIENT] = true;
	return PHASE_LINGER;
}

enum session_phase
refused_fin(struct step *st)
{
	return step_end(st, REASON_CLIENT_CLOSED);
}
