/*
 * Outcomes: what the MTA's replies say of the client and its mail.
 *
 * Counted in the session; of a message a record goes out with the step's
 * orders and is forgotten. Words are read where they arrive: a reply that
 * came in pieces is judged by its status and has no queue id.
 */
#include "shaping/session_step.h"

#include <string.h>

/* What is known of the last line behind its code. */
struct words {
	const char *text;
	size_t len;
};

static struct words
last_line(const struct step *st)
{
	const struct smtp_reply *r = &st->leg->reply;
	struct words w = {.text = r->head, .len = strnlen(r->head, 4)};
	size_t end = st->reply_len;
	size_t at;

	while (end > 0 &&
	       (st->reply[end - 1] == '\n' || st->reply[end - 1] == '\r'))
		end--;
	at = end;
	while (at > 0 && st->reply[at - 1] != '\n')
		at--;
	/* The line's own beginning, or something behind it? */
	if ((at == 0 && r->len != st->reply_len) || end < at + 4)
		return w;
	w.text = (const char *)st->reply + at + 4;
	w.len = end - at - 4;
	return w;
}

static void
count(struct session *s, enum outcome what, uint32_t n)
{
	uint32_t sum;

	if (what == OUTCOME_NONE)
		return;
	sum = s->counts.outcomes[what] + step_earlier(n, UINT16_MAX);
	s->counts.outcomes[what] = (uint16_t)step_earlier(sum, UINT16_MAX);
}

static enum outcome_stage
stage_of(const struct pending *e)
{
	if (outcome_is_message(e))
		return OUTCOME_AT_MESSAGE;
	if (e->verb == SMTP_RCPT)
		return OUTCOME_AT_RECIPIENT;
	if (e->verb == SMTP_AUTH || e->verb == SMTP_AUTH_LINE)
		return OUTCOME_AT_AUTH;
	return OUTCOME_AT_COMMAND;
}

static void
note_message(struct step *st, enum outcome what, uint16_t code,
	     const struct words *w)
{
	const struct session_counts *c = &st->s->counts;
	struct orders *o = st->o;
	struct session_message *m;

	if (o->messages_count >= SESSION_MESSAGES_CAP)
		return;
	m = &o->messages[o->messages_count++];
	m->at_ms = st->now;
	m->number = c->messages + c->messages_refused;
	m->recipients = what == OUTCOME_DELIVERED ? st->leg->rcpts : 0;
	m->code = code;
	m->outcome = (uint8_t)what;
	m->queue_id[0] = '\0';
	if (what == OUTCOME_DELIVERED)
		(void)outcome_queue_id(w->text, w->len, m->queue_id);
}

void
outcome_reply(struct step *st, const struct pending *e, uint16_t code)
{
	struct leg *leg = st->leg;
	enum outcome_stage stage = stage_of(e);
	struct words w;
	enum outcome what;

	if (code < 400 && stage != OUTCOME_AT_MESSAGE)
		return;
	/* The recipients were refused, and counted, before. */
	if ((e->verb == SMTP_DATA || e->verb == SMTP_BDAT) &&
	    stage != OUTCOME_AT_MESSAGE && leg->rcpts == 0)
		return;
	w = last_line(st);
	what = outcome_of(stage, code, w.text, w.len);
	if (stage == OUTCOME_AT_MESSAGE && what == OUTCOME_DELIVERED)
		count(st->s, what, leg->rcpts);
	else if (stage != OUTCOME_AT_MESSAGE || leg->rcpts > 0)
		count(st->s, what, 1);
	if (stage != OUTCOME_AT_MESSAGE)
		return;
	if (what == OUTCOME_PROTOCOL)
		manners_refused(st);
	note_message(st, what, code, &w);
	leg->rcpts = 0;
}

/* sendmail closes with 421 4.5.0 as soon as it reads a line of text that
 * ends in LF alone. */
void
outcome_closing(struct step *st, uint16_t code)
{
	struct words w;

	if (st->leg->client.mode != SMTP_PAYLOAD)
		return;
	w = last_line(st);
	if (outcome_of(OUTCOME_AT_MESSAGE, code, w.text, w.len) ==
	    OUTCOME_PROTOCOL)
		manners_refused(st);
}

/* Who is accepted here is delivered to if the last reply says so too. */
void
outcome_part(struct step *st, uint16_t code)
{
	struct words w;

	if (code < 400)
		return;
	w = last_line(st);
	count(st->s, outcome_of(OUTCOME_AT_MESSAGE, code, w.text, w.len), 1);
	if (st->leg->rcpts > 0)
		st->leg->rcpts--;
}
