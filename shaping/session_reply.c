/*
 * Replies: which command each one answers, when it is due, and letting it go.
 *
 * The governor's run-time half (design, P4): a reply leaves at
 * max(ready, min(ready + delay, asked + cap, ready + patience)); replies keep
 * their order, so one is due no later than any behind it. The queue holds
 * commands in the order in which they passed; the first `answered` of them
 * have their answer, held here until it is due.
 */
#include "shaping/session_step.h"

#include "shaping/smtp_verb.h"
#include "tarry/pace.h"

#define SERVICE_CLOSING 421 /* RFC 5321 4.2.2 */
#define PRDR_FOLLOWS 353    /* a reply for each recipient comes next */

static const struct pending *
oldest(struct leg *leg)
{
	return queue_entry(leg, 0);
}

static struct pending *
unanswered(struct leg *leg)
{
	return leg->count > leg->answered ? queue_entry(leg, leg->answered)
					  : NULL;
}

uint32_t
reply_held(struct leg *leg)
{
	uint32_t held = leg->partial;
	unsigned i;

	for (i = 0; i < leg->answered; i++)
		held += queue_entry(leg, i)->len;
	return held;
}

/* Bytes of the MTA's stream on their way to the client. */
static void
release(struct step *st, uint32_t n)
{
	st->o->release[SIDE_MTA] += n;
	st->s->counts.bytes[SIDE_MTA] += n;
}

uint32_t
session_reply_delay(const struct plan *plan, const struct session_note *reply)
{
	const uint16_t code = reply->code;
	enum smtp_delay kind = smtp_verb_delay((enum smtp_verb)reply->verb);
	uint32_t delay = code >= 400 ? plan->error_ms : plan->reply_ms;

	if (kind == SMTP_DELAY_NONE || code == SERVICE_CLOSING ||
	    (reply->marks & MARK_NO_DELAY) != 0)
		return 0;
	if (code >= 400 && code < 500)
		delay = step_earlier(delay, PLAN_ERROR_4XX_MAX_MS);
	if (kind == SMTP_DELAY_DATA)
		delay = step_earlier(delay, plan->data_reply_cap_ms);
	return delay;
}

/* The delay that the plan has for an answer, before caps. */
static uint32_t
wanted_delay(const struct step *st, const struct pending *e, uint16_t code)
{
	const struct session_note reply = {
	    .code = code, .verb = e->verb, .marks = e->marks};

	return session_reply_delay(&st->s->plan, &reply);
}

/* When an answer that is ready now is due by the plan. */
static uint32_t
plan_due_ms(const struct step *st, const struct pending *e, uint16_t code)
{
	const struct plan *plan = &st->s->plan;
	uint32_t due = st->now + wanted_delay(st, e, code);
	uint32_t said = st->leg->said_ms;

	if (e->verb == SMTP_GREETING) {
		due = code == 220
			  ? step_earlier(plan->greet_ms, plan->reply_cap_ms)
			  : st->now;
		said = st->now; /* a greeting is passed whole */
	}
	due = step_earlier(due, e->time_ms + plan->reply_cap_ms);
	/* In shadow the MTA is dialled at once and did not wait for a client
	 * that would have been held before. */
	if (e->verb != SMTP_GREETING || !plan->is_shadow)
		due = step_earlier(due, said + plan->patience_ms);
	return due > st->now ? due : st->now;
}

/* The same for what may really be delayed. */
static uint32_t
due_ms(const struct step *st, const struct pending *e, uint16_t code)
{
	const struct session *s = st->s;

	if (s->is_spent || s->plan.is_shadow || tls_is_asked(s))
		return st->now;
	if (e->verb != SMTP_GREETING && !place_may_delay(s))
		return st->now;
	return plan_due_ms(st, e, code);
}

/*
 * A plan in shadow: what it would have added. The client waits for the last
 * reply of those it asked for together, so the others add nothing.
 */
static void
note_would(struct step *st, const struct pending *e, uint16_t code)
{
	struct session *s = st->s;
	uint32_t would = s->counts.would_ms;

	if (!s->plan.is_shadow || s->is_spent)
		return;
	if (st->leg->count == st->leg->answered + 1u)
		would += plan_due_ms(st, e, code) - st->now;
	if (outcome_is_message(e))
		would += upload_would_ms(st);
	s->counts.would_ms = step_earlier(would, s->plan.session_cap_ms);
}

/* No reply may overtake another: all in front are due no later. */
void
reply_pull(struct leg *leg, uint32_t due)
{
	unsigned i;

	for (i = 0; i < leg->answered; i++) {
		struct pending *e = queue_entry(leg, i);

		e->time_ms = step_earlier(e->time_ms, due);
	}
}

void
reply_hurry(struct step *st)
{
	reply_pull(st->leg, st->now);
}

static void
count_reply(struct step *st, const struct pending *e, uint16_t code)
{
	struct session *s = st->s;
	struct leg *leg = st->leg;
	bool ok = code < 400;

	if (!ok)
		s->counts.errors++;
	if (e->verb == SMTP_RCPT && ok) {
		s->counts.recipients++;
		leg->rcpts++;
	}
	if (e->verb == SMTP_RCPT && !ok)
		s->counts.recipients_refused++;
	if (e->verb == SMTP_MAIL)
		leg->rcpts = 0;
	if (outcome_is_message(e)) {
		s->counts.messages += ok;
		s->counts.messages_refused += !ok;
	}
	outcome_reply(st, e, code);
	if (st->site->learns && s->plan.rank > 0 && outcome_is_message(e) &&
	    ok && s->counts.messages == 1)
		st->o->want_plan = true;
	if (st->site->counts_matter && e->verb != SMTP_GREETING)
		st->o->want_plan = true;
}

/* What the answer says about how the client's stream goes on. */
static void
steer_client(struct step *st, struct pending *e, uint16_t code)
{
	struct smtp_client *c = &st->leg->client;

	if (smtp_verb_arms((enum smtp_verb)e->verb) != SMTP_WAIT)
		return;
	c->mode = SMTP_COMMANDS;
	if (e->verb == SMTP_DATA && code / 100 == 3) {
		smtp_client_payload(c);
		upload_begin(st);
	}
	if ((e->verb == SMTP_AUTH || e->verb == SMTP_AUTH_LINE) && code == 334)
		c->mode = SMTP_AUTH_TEXT;
	if (e->verb == SMTP_STARTTLS && code == 220)
		e->marks |= MARK_TLS;
}

/* The oldest open command has its answer. */
static enum session_phase
answer(struct step *st, struct pending *e, uint16_t code)
{
	struct leg *leg = st->leg;
	uint32_t due = due_ms(st, e, code);
	struct session_note note = {.at_ms = st->now,
				    .due_ms = due,
				    .code = code,
				    .verb = e->verb,
				    .marks = e->marks};

	queue_note(st, &note);
	note_would(st, e, code);
	count_reply(st, e, code);
	steer_client(st, e, code);
	manners_hello(st, (enum smtp_verb)e->verb, code);
	if (code >= 400)
		e->marks |= MARK_REFUSAL;
	e->time_ms = due;
	e->len = (uint16_t)leg->partial; /* HELD_CAP bounds it */
	leg->partial = 0;
	leg->answered++;
	reply_pull(leg, due);
	if (e->verb == SMTP_GREETING)
		return greet_greeted(st, code);
	return PHASE_COUNT;
}

/* An answer that no command asked for. */
static enum session_phase
unasked(struct step *st, uint16_t code)
{
	struct leg *leg = st->leg;

	if (code == SERVICE_CLOSING) {
		outcome_closing(st, code);
		release(st, leg->partial);
		leg->partial = 0;
		return PHASE_COUNT;
	}
	/* The MTA took an odd form of the dot for the end; so do we, unless it
	 * has got more bytes since. */
	if (!smtp_client_at_odd_dot(&leg->client) || queue_is_full(leg))
		return relay_lost(st);
	smtp_client_was_end(&leg->client);
	queue_expect(st, SMTP_DOT, 0);
	return answer(st, queue_entry(leg, leg->answered), code);
}

/* RFC draft-hall-prdr: 353, then one reply a recipient, then the last. */
static bool
is_prdr_part(struct leg *leg, const struct pending *e, uint16_t code)
{
	if (leg->prdr_left > 0) {
		leg->prdr_left--;
		return leg->prdr_left > 0;
	}
	if (!outcome_is_message(e) || code != PRDR_FOLLOWS)
		return false;
	leg->prdr_left = leg->rcpts + 1;
	return true;
}

/* A reply is whole: `partial` bytes of it are held. */
static enum session_phase
reply_done(struct step *st, uint16_t code)
{
	struct leg *leg = st->leg;
	struct pending *e = unanswered(leg);

	if (code == SERVICE_CLOSING)
		reply_hurry(st);
	if (e == NULL)
		return unasked(st, code);
	if (is_prdr_part(leg, e, code)) {
		outcome_part(st, code);
		reply_hurry(st);
		return PHASE_COUNT; /* goes with the next pump */
	}
	return answer(st, e, code);
}

/* True if the answer under way may have to wait once it is whole. */
static bool
is_delayable(const struct step *st)
{
	const struct plan *plan = &st->s->plan;
	const struct pending *e = unanswered(st->leg);

	if (e == NULL)
		return false;
	if (e->verb == SMTP_GREETING)
		return true; /* its code decides; see greet_greeted() */
	if (!place_may_delay(st->s) || tls_is_asked(st->s) ||
	    (e->marks & MARK_NO_DELAY) != 0)
		return false;
	return smtp_verb_delay((enum smtp_verb)e->verb) != SMTP_DELAY_NONE &&
	       (plan->reply_ms > 0 || plan->error_ms > 0);
}

static uint32_t
partial_end(const struct step *st)
{
	const struct pending *e = unanswered(st->leg);

	if (st->leg->partial == 0 || (e != NULL && e->verb == SMTP_GREETING))
		return UINT32_MAX;
	return st->leg->said_ms + st->s->plan.patience_ms;
}

/* The beginning of a reply that need not wait, or has waited enough. */
static void
pass_partial(struct step *st)
{
	struct leg *leg = st->leg;

	if (leg->partial == 0)
		return;
	if (is_delayable(st) && st->now < partial_end(st))
		return;
	release(st, leg->partial);
	leg->partial = 0;
}

/* What follows from the last byte of an answer being out. */
static enum session_phase
let_go(struct step *st, const struct pending *e)
{
	struct session *s = st->s;

	if (e->verb == SMTP_GREETING) {
		s->is_greeted = true;
		s->counts.greet_ms = st->now;
		return PHASE_RELAY;
	}
	if ((e->marks & MARK_HELD) != 0)
		s->counts.replies_held++;
	if (e->verb == SMTP_QUIT)
		s->has_quit = true;
	if ((e->marks & MARK_TLS) == 0)
		return PHASE_COUNT;
	s->is_opaque = true;
	s->segments_count = 0;
	st->o->want_hello = true;
	manners_tls(st);
	st->leg->client.mode = SMTP_OPAQUE;
	return PHASE_BLIND;
}

static struct pace
oldest_pace(const struct step *st)
{
	struct leg *leg = st->leg;
	const struct pending *e = oldest(leg);
	struct pace p = {.start_ms = leg->drip_ms,
			 .due_ms = e->time_ms,
			 .len = leg->drip_len,
			 .gap_ms = st->site->drip_gap_ms};

	if (st->s->plan.is_split && st->s->plan.drip_ms > 1)
		p.gap_ms = st->s->plan.drip_ms / 2u;
	if (p.start_ms > p.due_ms)
		p.start_ms = p.due_ms;
	return p;
}

/* The oldest answer begins its drip, the last part of its delay. */
static void
begin_drip(struct step *st)
{
	struct leg *leg = st->leg;
	const struct pending *e = oldest(leg);
	uint32_t drip = step_earlier(st->s->plan.drip_ms, e->time_ms - st->now);

	/* Real clients repeat in bounces what they read, piece by piece. */
	if ((e->marks & MARK_REFUSAL) != 0)
		drip = 0;
	if (st->s->plan.is_split && e->verb != SMTP_GREETING &&
	    e->verb != SMTP_EHLO && e->verb != SMTP_HELO)
		drip = 0;

	leg->drip_len = e->len;
	leg->drip_ms = e->time_ms - drip;
}

static void
drip(struct step *st)
{
	struct leg *leg = st->leg;
	struct pending *e = queue_entry(leg, 0);
	struct pace p;
	uint32_t out;

	if (leg->drip_len == 0)
		begin_drip(st);
	p = oldest_pace(st);
	out = leg->drip_len - e->len;
	p.len = pace_bytes(&p, st->now);
	if (p.len <= out)
		return;
	if (e->verb == SMTP_GREETING)
		teaser_finish(st);
	release(st, p.len - out);
	e->len = (uint16_t)(leg->drip_len - p.len);
}

/* What stays behind a pump is held; what went with it was not. */
static void
mark_held(struct leg *leg)
{
	unsigned i;

	for (i = 0; i < leg->answered; i++)
		queue_entry(leg, i)->marks |= MARK_HELD;
}

enum session_phase
reply_pump(struct step *st)
{
	struct leg *leg = st->leg;
	enum session_phase next = PHASE_COUNT;

	while (leg->answered > 0 && oldest(leg)->time_ms <= st->now) {
		struct pending e = *oldest(leg);
		enum session_phase after;

		if (e.verb == SMTP_GREETING)
			teaser_finish(st);
		release(st, e.len);
		leg->drip_len = 0;
		queue_pop(leg);
		manners_released(st);
		after = let_go(st, &e);
		if (after != PHASE_COUNT)
			next = after;
	}
	mark_held(leg);
	if (leg->answered > 0)
		drip(st);
	else
		pass_partial(st);
	return next;
}

uint32_t
reply_next(const struct step *st)
{
	struct leg *leg = st->leg;
	struct pace p;

	if (leg->answered == 0)
		return step_earlier(partial_end(st), tls_gather_end(st));
	p = oldest_pace(st);
	if (pace_bytes(&p, st->now) > leg->drip_len - oldest(leg)->len)
		return st->now; /* this step had other things to do */
	return pace_next(&p, st->now);
}

void
reply_as_is(struct step *st)
{
	struct pending *e = unanswered(st->leg);

	st->leg->is_gathered = false;
	if (e != NULL)
		e->marks |= MARK_AS_IS;
}

void
reply_release_all(struct step *st)
{
	struct leg *leg = st->leg;

	release(st, reply_held(leg));
	leg->partial = 0;
	leg->answered = 0;
	leg->count = 0;
}

/* No greeting, or none that we can hold: it must not follow a teaser. */
static enum session_phase
lose_track(struct step *st)
{
	if (!st->leg->greeting_done && st->s->teaser_len > 0)
		return refuse_garbled(st);
	return relay_lost(st);
}

/* Too much is held: everything goes, the reply under way too. */
static enum session_phase
relieve(struct step *st)
{
	struct leg *leg = st->leg;
	struct pending *e = unanswered(leg);
	enum session_phase next;

	if (reply_held(leg) <= SESSION_HELD_CAP)
		return PHASE_COUNT;
	reply_hurry(st);
	next = reply_pump(st);
	if (e != NULL)
		e->marks |= MARK_NO_DELAY;
	/* A long greeting goes on behind our teaser as well as behind its own
	 * first line. */
	if (e != NULL && e->verb == SMTP_GREETING)
		return leg->reply.code == 220 ? relay_lost(st) : lose_track(st);
	release(st, leg->partial);
	leg->partial = 0;
	return next;
}

/* One reply, or as much of it as there is. Sets the bytes that it used. */
static enum session_phase
take_reply(struct step *st, size_t *used)
{
	struct leg *leg = st->leg;
	const uint8_t *bytes = st->ev->bytes + *used;
	enum session_phase next;
	enum smtp_reply_event what;
	struct pending *e = unanswered(leg);
	size_t n;

	/* Not where its beginning was seen, and left unused, before. */
	if (leg->reply.len == 0 && !leg->is_gathered &&
	    (e == NULL || (e->marks & MARK_AS_IS) == 0))
		leg->said_ms = st->now;
	leg->is_gathered = tls_read_ehlo(st, e, *used) == TLS_EHLO_WAIT;
	if (leg->is_gathered)
		return PHASE_COUNT;
	what = smtp_reply_read(&leg->reply, bytes, st->ev->len - *used, &n);
	st->reply = bytes;
	st->reply_len = n;
	leg->partial += (uint32_t)n + tls_growth(st->o);
	*used += n;
	if (what == SMTP_REPLY_LOST)
		return lose_track(st);
	next = relieve(st);
	if (what == SMTP_REPLY_DONE && next == PHASE_COUNT) {
		next = reply_done(st, leg->reply.code);
		smtp_reply_next(&leg->reply);
	}
	return next;
}

enum session_phase
reply_bytes(struct step *st)
{
	size_t used = 0;
	enum session_phase now = st->s->phase;
	enum session_phase next;

	while (used < st->ev->len && !queue_has_no_notes(st)) {
		next = take_reply(st, &used);
		/* What is changed, or not yet whole, ends the step. */
		if (st->leg->is_gathered || st->o->edits_count > 0)
			break;
		if (next == PHASE_COUNT || next == PHASE_BANNER ||
		    next == PHASE_RELAY) {
			continue;
		}
		/* Lost or refused: what else is there goes the same way. */
		st->o->used = (uint32_t)st->ev->len;
		if (st->o->hang_up)
			return next;
		st->leg->partial += (uint32_t)(st->ev->len - used);
		if (next != PHASE_REFUSED)
			reply_release_all(st);
		return next;
	}
	st->o->used = (uint32_t)used + tls_growth(st->o);
	next = reply_pump(st);
	return next == PHASE_COUNT ? now : next;
}
