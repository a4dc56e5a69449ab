/*
 * The teaser: a 220- line of ours at once, or in pieces over the greet, so
 * that a client which speaks before its time shows itself. It commits us to
 * 220: if the MTA then has another greeting, we end our own with 220.
 */
#include "shaping/session_step.h"

#include <string.h>

#include "tarry/pace.h"

#define ESMTP " ESMTP\r\n"

static uint32_t
minus(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
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

/* A moment of the session's own within `ms`: any will do, if they differ. */
static uint32_t
own_moment(const struct session *s, uint32_t ms)
{
	uint16_t part = (uint16_t)(s->client.port * 40503u); /* Knuth's 6.4 */

	return (uint32_t)((uint64_t)ms * part >> 16);
}

/*
 * With a drip the teaser is spread over the time before the greeting's own.
 * With so many held that it goes in one piece, those who came together do not
 * get theirs together.
 */
static struct pace
teaser_pace(const struct step *st)
{
	const struct session *s = st->s;
	struct pace p = {.len = s->teaser_len, .gap_ms = st->site->drip_gap_ms};

	if (s->plan.drip_ms > 0 && !s->plan.is_split)
		p.due_ms = minus(greet_due_ms(s), greet_drip_ms(s));
	if (p.due_ms / 2 < p.gap_ms)
		p.due_ms = own_moment(s, p.due_ms);
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
void
teaser_start(struct step *st)
{
	struct session *s = st->s;
	char text[SESSION_SAY_CAP];

	if (!s->plan.teaser || s->teaser_len > 0 || greet_due_ms(s) == 0)
		return;
	s->teaser_len = (uint16_t)own_greeting(st->site, '-', text);
}

void
teaser_say(struct step *st)
{
	struct session *s = st->s;
	struct pace p;

	if (s->teaser_said == s->teaser_len || s->is_greeted)
		return;
	p = teaser_pace(st);
	say_teaser_to(st, pace_bytes(&p, st->now));
}

void
teaser_finish(struct step *st)
{
	say_teaser_to(st, st->s->teaser_len);
}

uint32_t
teaser_next(const struct step *st)
{
	struct pace p;

	if (st->s->teaser_said == st->s->teaser_len || st->s->is_greeted)
		return UINT32_MAX;
	p = teaser_pace(st);
	return pace_next(&p, st->now);
}

void
teaser_end(struct step *st)
{
	char text[SESSION_SAY_CAP];

	say_teaser_to(st, st->s->teaser_len);
	step_say(st, SIDE_CLIENT, text, own_greeting(st->site, ' ', text));
	st->s->is_greeted = true;
	st->s->counts.greet_ms = st->now;
	st->s->counts.own_greeting = true;
}
