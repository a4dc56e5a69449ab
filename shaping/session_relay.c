/*
 * The relay: commands and payload pass at once and are observed, half-closes
 * are passed on, and whatever ends first ends in order.
 *
 * A client's FIN is no abort: Exim shuts its side before the reply to the dot
 * is there (field fact), and closing on it would deliver the mail twice.
 */
#include "shaping/session_step.h"

#include <string.h>

enum session_phase
relay_lost(struct step *st)
{
	struct session *s = st->s;

	teaser_finish(st);
	if (!s->is_greeted) {
		s->is_greeted = true;
		s->counts.greet_ms = st->now;
	}
	reply_release_all(st);
	tls_let_line_go(st);
	st->leg->client.mode = SMTP_OPAQUE;
	st->leg->is_gathered = false;
	s->segments_count = 0;
	s->is_lost = true;
	return PHASE_BLIND;
}

static void
pass_client(struct step *st, size_t n)
{
	st->o->used = (uint32_t)n;
	st->o->release[SIDE_CLIENT] = (uint32_t)n;
	st->s->counts.bytes[SIDE_CLIENT] += n;
}

/* The null sender may be a callback, whose peer waits for it: from here on it
 * has done its waiting (design, P4). */
static uint8_t
command_marks(struct leg *leg, const struct smtp_command *cmd)
{
	uint8_t marks = cmd->is_last ? MARK_LAST : 0;

	if (cmd->verb == SMTP_MAIL) {
		leg->null_sender = cmd->null_sender;
	}
	leg->is_begun |= cmd->verb == SMTP_MAIL || cmd->verb == SMTP_AUTH;
	if (leg->null_sender)
		marks |= MARK_NO_DELAY;
	return marks;
}

/*
 * How much may be looked at: the oldest early segment, or all that is there,
 * and of payload what its rate allows.
 */
static size_t
bytes_to_read(const struct step *st, size_t left)
{
	const struct session *s = st->s;
	size_t room = upload_room(st);

	if (s->segments_count > 0 && s->segments[0] < left)
		left = s->segments[0];
	return room < left ? room : left;
}

static void
use_segment(struct session *s, size_t n)
{
	s->is_between_segments = false;
	if (s->segments_count == 0)
		return;
	s->segments[0] = (uint16_t)(s->segments[0] - n);
	if (s->segments[0] > 0)
		return;
	s->segments_count--;
	memmove(s->segments, s->segments + 1,
		s->segments_count * sizeof(s->segments[0]));
	s->is_between_segments = s->segments_count > 0;
}

bool
relay_is_waiting(const struct step *st)
{
	const struct leg *leg = st->leg;

	return st->s->is_between_segments && leg->count > leg->answered &&
	       leg->client.mode != SMTP_OCTETS;
}

/* It was said, ahead of an answer or behind all. */
static void
hear_command(struct step *st, enum smtp_verb verb)
{
	struct leg *leg = st->leg;

	if (dialect_command(&st->s->dialect, &leg->line, verb,
			    leg->is_ahead ? DIALECT_GROUPED : DIALECT_WAITED) &&
	    (st->site->counts_matter ||
	     (st->site->learns && verb == SMTP_RCPT && st->s->plan.rank > 0)))
		st->o->want_plan = true;
}

/* One thing of the client's stream. False: no more can be used now. */
static bool
observe(struct step *st, size_t *used, bool *is_lost)
{
	struct leg *leg = st->leg;
	size_t left = bytes_to_read(st, st->ev->len - *used);
	enum smtp_mode mode = leg->client.mode;
	enum smtp_client_event what;
	struct smtp_command cmd;
	size_t before = leg->client.line_bytes;
	size_t n;

	if (left == 0)
		return false;
	manners_begin(st);
	what = smtp_client_read(&leg->client, st->ev->bytes + *used, left, &n,
				&cmd);
	if (mode == SMTP_COMMANDS)
		dialect_read(&leg->line, st->ev->bytes + *used, n);
	switch (what) {
	case SMTP_CLIENT_COMMAND:
		manners_command(st, &cmd);
		hear_command(st, cmd.verb);
		if (cmd.verb == SMTP_STARTTLS &&
		    tls_is_ours(st, before + n, before == 0 && *used == 0))
			tls_asked(st);
		else
			queue_expect(st, cmd.verb, command_marks(leg, &cmd));
		st->s->last_verb = (uint8_t)cmd.verb;
		*is_lost = smtp_verb_arms(cmd.verb) == SMTP_BLIND;
		if (leg->client.mode == SMTP_OCTETS)
			upload_begin(st);
		break;
	case SMTP_CLIENT_DOT:
		queue_expect(st, SMTP_DOT, 0);
		st->s->last_verb = SMTP_DOT;
		break;
	case SMTP_CLIENT_MAYBE:
		leg->client.maybe_ms = st->now + SESSION_MAYBE_MS;
		break;
	case SMTP_CLIENT_AUTH:
		queue_expect(st, SMTP_AUTH_LINE, 0);
		break;
	case SMTP_CLIENT_LOST:
		*is_lost = true;
		break;
	case SMTP_CLIENT_MORE:
	case SMTP_CLIENT_CHUNK:
		break;
	}
	*used += n;
	manners_read(st, n);
	if (mode == SMTP_PAYLOAD || mode == SMTP_OCTETS)
		upload_spend(st, n);
	use_segment(st->s, n);
	return n > 0 && !*is_lost;
}

static enum session_phase
relay_pump(struct step *st)
{
	enum session_phase next = reply_pump(st);

	return next == PHASE_COUNT ? st->s->phase : next;
}

enum session_phase
relay_bytes(struct step *st)
{
	struct session *s = st->s;
	bool is_lost = false;
	size_t kept = s->is_kept ? st->leg->client.line_bytes : 0;
	size_t used = 0;

	if (st->ev->fresh > 0 && s->segments_count > 0)
		greet_keep_segment(s, st->ev->fresh);
	while (used < st->ev->len && !relay_is_waiting(st) &&
	       !queue_is_full(st->leg) && !queue_has_no_notes(st)) {
		if (used > 0 && tls_may_begin(st, st->ev->bytes[used]))
			break;
		if (!observe(st, &used, &is_lost))
			break;
	}
	if (is_lost)
		used = st->ev->len;
	pass_client(st, used);
	tls_keep_line(st, used, kept);
	if (tls_is_asked(s))
		return relay_pump(st);
	return is_lost ? relay_lost(st) : s->phase;
}

static bool
is_pending(struct leg *leg, enum smtp_verb verb, uint8_t marks)
{
	unsigned i;

	for (i = 0; i < leg->count; i++) {
		const struct pending *e = queue_entry(leg, i);

		if (e->verb == verb || (e->marks & marks) != 0)
			return true;
	}
	return false;
}

/* All was said by one end or both: the client gets the rest, then its FIN. */
enum session_phase
relay_close(struct step *st, enum session_reason reason)
{
	struct session *s = st->s;

	if (s->phase == PHASE_BANNER || s->phase == PHASE_RELAY) {
		reply_hurry(st);
		(void)reply_pump(st); /* the phase is CLOSING anyway */
		reply_release_all(st);
	}
	if (s->has_quit)
		reason = REASON_QUIT;
	else if (s->client_fin && !s->is_lost && !s->is_opaque)
		reason = REASON_CLIENT_CLOSED;
	step_reason(st, reason);
	step_leave_mta(st);
	st->o->want_flushed = true;
	return PHASE_CLOSING;
}

bool
relay_is_ending(struct leg *leg)
{
	return is_pending(leg, SMTP_QUIT, 0) ||
	       is_pending(leg, SMTP_DOT, MARK_LAST);
}

static enum session_phase
client_fin(struct step *st)
{
	struct session *s = st->s;
	enum session_phase next;

	s->client_fin = true;
	(void)dialect_fin(&s->dialect);
	tls_let_line_go(st);
	if (step_is_holding(st) && !relay_is_ending(st->leg)) {
		s->counts.gave_up_ms = step_held_ms(st);
		step_reason(st, REASON_GAVE_UP);
	}
	reply_hurry(st);
	next = reply_pump(st);
	return next == PHASE_COUNT ? s->phase : next;
}

enum session_phase
relay_fin(struct step *st)
{
	if (st->ev->side == SIDE_CLIENT)
		return client_fin(st);
	st->s->mta_fin = true;
	return relay_close(st, REASON_MTA_CLOSED);
}

enum session_phase
relay_error(struct step *st)
{
	st->s->mta_fin = true;
	return relay_close(st, REASON_MTA_RESET);
}

enum session_phase
relay_wake(struct step *st)
{
	struct session *s = st->s;
	struct smtp_client *c = &st->leg->client;
	enum session_phase next = reply_pump(st);

	if (next != PHASE_COUNT)
		return next;
	if (c->mode == SMTP_MAYBE && st->now >= c->maybe_ms)
		smtp_client_was_text(c);
	if (st->now >= tls_gather_end(st))
		reply_as_is(st);
	if (s->is_done && st->now >= s->done_ms + SESSION_MTA_FIN_MS)
		return relay_close(st, REASON_CLIENT_CLOSED);
	if (st->now >= s->last_byte_ms + SESSION_IDLE_MS)
		return relay_close(st, REASON_IDLE);
	return s->phase;
}

static uint32_t
reply_delay(const struct session *s, const struct plan *p, uint8_t marks)
{
	if (p->is_shadow || !s->is_in_share || s->is_spent)
		return 0;
	return (marks & MARK_REFUSAL) != 0 ? p->error_ms : p->reply_ms;
}

/* Entry i is due that much earlier, those in front of it no later. */
static void
reply_lower(struct step *st, unsigned i, uint32_t less)
{
	struct pending *e = queue_entry(st->leg, i);
	unsigned k;

	e->time_ms = e->time_ms > st->now + less ? e->time_ms - less : st->now;
	for (k = 0; k < i; k++) {
		struct pending *f = queue_entry(st->leg, k);

		f->time_ms = step_earlier(f->time_ms, e->time_ms);
	}
}

/* What is held already gets the lower of two delays, at once. */
enum session_phase
relay_replan(struct step *st)
{
	struct session *s = st->s;
	struct plan old = s->plan;
	enum session_phase next;
	unsigned i;

	s->plan = *st->ev->plan;
	place_replan(st, &old);
	for (i = 0; i < st->leg->answered; i++) {
		const struct pending *e = queue_entry(st->leg, i);
		uint32_t before = reply_delay(s, &old, e->marks);
		uint32_t after = reply_delay(s, &s->plan, e->marks);

		if (after < before)
			reply_lower(st, i, before - after);
	}
	next = reply_pump(st);
	return next == PHASE_COUNT ? s->phase : next;
}

enum session_phase
relay_hurry(struct step *st)
{
	enum session_phase next;

	st->s->is_spent = true;
	reply_hurry(st);
	next = reply_pump(st);
	return next == PHASE_COUNT ? st->s->phase : next;
}

/* The ClientHello is read on its way through: it tells who speaks. */
static void
read_hello(struct step *st, size_t n)
{
	struct client_hello *h = st->ev->hello;

	if (h == NULL || !st->s->is_opaque || h->state != CLIENT_HELLO_MORE)
		return;
	if (client_hello_read(h, st->ev->bytes, n) == CLIENT_HELLO_DONE)
		st->o->want_plan = true;
}

/* Of TLS the bytes are counted, and nothing else is done in a handshake. */
static void
pass_blind(struct step *st)
{
	struct session *s = st->s;
	size_t room = upload_room(st);
	size_t n = st->ev->len < room ? st->ev->len : room;

	pass_client(st, n);
	read_hello(st, n);
	upload_spend(st, n);
	if (!s->is_opaque || s->tls_bytes >= SESSION_TLS_FREE)
		return;
	if (n < SESSION_TLS_FREE - s->tls_bytes) {
		s->tls_bytes = (uint16_t)(s->tls_bytes + n);
		return;
	}
	s->tls_bytes = SESSION_TLS_FREE;
	upload_begin(st);
}

enum session_phase
blind_bytes(struct step *st)
{
	size_t n = st->ev->len;

	if (st->ev->side == SIDE_CLIENT) {
		pass_blind(st);
		return PHASE_BLIND;
	}
	st->o->used = (uint32_t)n;
	st->o->release[SIDE_MTA] += (uint32_t)n;
	st->s->counts.bytes[SIDE_MTA] += n;
	return PHASE_BLIND;
}

enum session_phase
blind_fin(struct step *st)
{
	if (st->ev->side == SIDE_MTA) {
		st->s->mta_fin = true;
		return relay_close(st, st->s->client_fin ? REASON_CLIENT_CLOSED
							 : REASON_MTA_CLOSED);
	}
	st->s->client_fin = true;
	return PHASE_BLIND;
}

enum session_phase
blind_wake(struct step *st)
{
	if (st->now < st->s->last_byte_ms + SESSION_IDLE_MS)
		return PHASE_BLIND;
	return relay_close(st, REASON_IDLE);
}

enum session_phase
blind_replan(struct step *st)
{
	struct plan old = st->s->plan;

	st->s->plan = *st->ev->plan;
	place_replan(st, &old);
	return PHASE_BLIND;
}

enum session_phase
blind_hurry(struct step *st)
{
	st->s->is_spent = true;
	return PHASE_BLIND;
}

enum session_phase
linger_bytes(struct step *st)
{
	st->o->used = (uint32_t)st->ev->len;
	st->o->drop[SIDE_CLIENT] = st->o->used;
	return st->s->phase;
}

enum session_phase
linger_fin(struct step *st)
{
	st->s->client_fin = true;
	if (st->s->phase == PHASE_CLOSING)
		return PHASE_CLOSING;
	return step_end(st, REASON_CLIENT_CLOSED);
}

enum session_phase
closing_flushed(struct step *st)
{
	if (st->s->client_fin || st->s->has_quit)
		return step_end(st, REASON_CLIENT_CLOSED);
	st->o->shut[SIDE_CLIENT] = true;
	return PHASE_LINGER;
}

enum session_phase
closing_wake(struct step *st)
{
	if (st->now < st->s->phase_ms + SESSION_CLOSING_MS)
		return st->s->phase;
	return step_end(st, REASON_LINGER);
}

/* Who never spoke TLS has read nothing that it could miss. */
uint32_t
linger_end(const struct session *s)
{
	return s->phase_ms + (s->reason == REASON_TLS_FAILED
				  ? SESSION_CLOSING_MS
				  : SESSION_LINGER_MS);
}

enum session_phase
linger_wake(struct step *st)
{
	if (st->now < linger_end(st->s))
		return st->s->phase;
	return step_end(st, REASON_LINGER);
}
