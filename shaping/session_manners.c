/*
 * Manners: what the client's own bytes tell of it besides its words. Speaking
 * on where it must wait for an answer, words that are not SMTP's, lines that
 * end in LF alone. Facts for the plan; nothing is refused for them.
 *
 * Whether a client waits is told by the protocol and not by our delays: a
 * command is before its time if its first byte was here before the last byte
 * of the answer to the command in front of it was let go, and the answer to
 * EHLO offers no PIPELINING or that command ends a group. Who waits cannot be
 * caught, however long we hold an answer. A good-bye is always in time, as
 * from a client that has lost patience with the MTA. Bytes before the greeting
 * are another fact, told in session_greet.c.
 */
#include "shaping/session_step.h"

static void
tell_pipelining(struct step *st)
{
	if (st->s->is_pipelining)
		return;
	st->s->is_pipelining = true;
	st->o->want_plan = true;
}

static void
tell_non_smtp(struct step *st)
{
	if (st->s->is_non_smtp)
		return;
	st->s->is_non_smtp = true;
	st->o->want_plan = true;
}

static void
tell_bare_newline(struct step *st)
{
	if (st->s->is_bare_newline)
		return;
	st->s->is_bare_newline = true;
	st->o->want_plan = true;
}

/*
 * True if a command may follow the last one before that is answered. Exim
 * remembers what a server with PIPECONNECT has offered it before, and says
 * all at once.
 */
static bool
may_follow(const struct step *st)
{
	const struct leg *leg = st->leg;
	const enum smtp_verb last = (enum smtp_verb)st->s->last_verb;

	if (last == SMTP_GREETING)
		return true;
	if (st->site->pipeconnect && (last == SMTP_EHLO || !leg->has_hello))
		return true;
	return leg->may_pipeline && !smtp_verb_ends_group(last);
}

/* Text, or a line of AUTH, that was here before the 354 or 334 was out. */
static bool
is_text_ahead(const struct leg *leg)
{
	if (leg->client.mode != SMTP_PAYLOAD &&
	    leg->client.mode != SMTP_AUTH_TEXT)
		return false;
	return leg->ahead > 0 || leg->count > 0;
}

/* What was said ahead of an answer did not wait for it. */
static void
note_gap(struct step *st)
{
	struct session *s = st->s;
	uint32_t ms = st->now - st->leg->answered_ms;
	uint16_t gap_ms = (uint16_t)(ms < UINT16_MAX ? ms : UINT16_MAX);

	if (st->leg->is_ahead)
		return;
	if (!s->has_gaps || gap_ms < s->gap_low_ms)
		s->gap_low_ms = gap_ms;
	if (!s->has_gaps || gap_ms > s->gap_high_ms)
		s->gap_high_ms = gap_ms;
	s->has_gaps = true;
}

void
manners_begin(struct step *st)
{
	struct leg *leg = st->leg;

	if (leg->client.mode == SMTP_COMMANDS && leg->client.line_bytes == 0) {
		leg->is_ahead = leg->count > 0 || leg->ahead > 0;
		note_gap(st);
	}
	if (is_text_ahead(leg) && !leg->client.is_unsure)
		tell_pipelining(st);
}

void
manners_command(struct step *st, const struct smtp_command *cmd)
{
	if (st->leg->is_ahead && !st->leg->client.is_unsure && !cmd->is_empty &&
	    cmd->verb != SMTP_QUIT && !may_follow(st))
		tell_pipelining(st);
}

void
manners_read(struct step *st, size_t n)
{
	struct leg *leg = st->leg;
	const struct smtp_client *c = &leg->client;

	leg->ahead -= n < leg->ahead ? (uint32_t)n : leg->ahead;
	if (c->is_unsure)
		return;
	if (c->is_foreign)
		tell_non_smtp(st);
	if (c->has_bare_line)
		tell_bare_newline(st);
}

void
manners_hello(struct step *st, enum smtp_verb verb, uint16_t code)
{
	struct leg *leg = st->leg;

	if (verb != SMTP_EHLO && verb != SMTP_HELO)
		return;
	leg->has_hello = true;
	if (code == 250)
		leg->may_pipeline =
		    verb == SMTP_EHLO && leg->reply.has_pipelining;
}

void
manners_released(struct step *st)
{
	st->leg->ahead = st->s->unused;
	st->leg->answered_ms = st->now;
}

void
manners_tls(struct step *st)
{
	if (st->s->unused > 0)
		tell_pipelining(st);
}

void
manners_tls_up(struct leg *leg)
{
	leg->has_hello = false;
	leg->may_pipeline = false;
	leg->is_ahead = false;
	leg->ahead = 0;
}

void
manners_refused(struct step *st)
{
	if (st->leg->client.has_bare_text)
		tell_bare_newline(st);
}
