/*
 * The client says a thing, or with pipelining a few, waits until it has all
 * answers, and goes on a round trip later. The MTA answers one thing after
 * the other, each so long after it could. Patience is for waits; an upload
 * that goes on, however slowly, is none.
 */
#include "proxy/simulate/guest.h"

#include <string.h>

#define BODY_LINE 72
#define BODY_PIECE (GUEST_SAYS_CAP / BODY_LINE * BODY_LINE)
#define HANDSHAKE_TRIPS 2

static const char *const lines[] = {
    [BEAT_EHLO] = "EHLO client.example.net\r\n",
    [BEAT_STARTTLS] = "STARTTLS\r\n",
    [BEAT_HANDSHAKE] = "\x16\x03\x01 hello hello hello hello",
    [BEAT_MAIL] = "MAIL FROM:<a@example.net>\r\n",
    [BEAT_RCPT] = "RCPT TO:<b@example.org>\r\n",
    [BEAT_DATA] = "DATA\r\n",
    [BEAT_DOT] = ".\r\n",
    [BEAT_RSET] = "RSET\r\n",
    [BEAT_QUIT] = "QUIT\r\n",
};

static const char greeting[] = "220 mx.example.org ESMTP\r\n";

static const char *
yes(enum beat beat)
{
	switch (beat) {
	case BEAT_EHLO:
		return "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n"
		       "250 STARTTLS\r\n";
	case BEAT_STARTTLS:
		return "220 2.0.0 Ready\r\n";
	case BEAT_HANDSHAKE:
		return "\x16\x03\x03 hello hello hello";
	case BEAT_DATA:
		return "354 go on\r\n";
	case BEAT_QUIT:
		return "221 2.0.0 Bye\r\n";
	case BEAT_GREETING:
	case BEAT_MAIL:
	case BEAT_RCPT:
	case BEAT_BODY:
	case BEAT_DOT:
	case BEAT_RSET:
	case BEAT_LEAVE:
		break;
	}
	return "250 2.0.0 Ok\r\n";
}

static const char *
words_of(const struct ask *a)
{
	switch ((enum answer)a->answer) {
	case ANSWER_UNKNOWN:
		return "550 5.1.1 no such user\r\n";
	case ANSWER_DEFERRED:
		return "450 4.2.0 greylisted\r\n";
	case ANSWER_REFUSED:
		return "554 5.7.1 refused: spam\r\n";
	case ANSWER_NO_RECIPIENT:
		return "503 5.5.1 no valid recipients\r\n";
	case ANSWER_YES:
		break;
	}
	return yes((enum beat)a->beat);
}

void
guest_draw(struct guest *g, const struct scenario *scenario,
	   const struct scenario_kind *kind, uint64_t seed, uint32_t messages)
{
	g->scenario = scenario;
	g->kind = kind;
	g->dice = seed;
	g->rtt_ms = dice_range(&g->dice, kind->rtt_ms);
	g->patience_ms = dice_range(&g->dice, kind->patience_ms);
	g->total_ms = dice_range(&g->dice, kind->total_ms);
	g->messages = dice_range(&g->dice, kind->messages);
	g->is_early = dice_percent(&g->dice, kind->early);
	g->wants_tls = dice_percent(&g->dice, kind->tls);
	g->is_deferred = dice_percent(&g->dice, kind->deferred);
	if (messages != UINT32_MAX)
		g->messages = messages;
	g->counts.wanted = g->messages;
	g->client_ms = g->leave_ms = g->mta_ms = g->tls_ms = GUEST_NEVER;
	for (int i = 0; i < SIDE_COUNT; i++) {
		struct world_stream *in = &g->w.in[i];

		in->in = i == SIDE_CLIENT ? g->says : g->replies;
		in->cap =
		    i == SIDE_CLIENT ? sizeof(g->says) : sizeof(g->replies);
	}
}

/* What it waits for may be there for so long; see guest_next(). */
static void
begin_wait(struct guest *g)
{
	const uint64_t now = g->w.now_ms;
	uint64_t ends = GUEST_NEVER;

	g->is_waiting = true;
	g->since_ms = now;
	if (g->patience_ms > 0)
		ends = now + g->patience_ms;
	if (g->total_ms > 0 && g->total_ms <= g->waited_ms)
		ends = now;
	else if (g->total_ms > 0 && now + g->total_ms - g->waited_ms < ends)
		ends = now + g->total_ms - g->waited_ms;
	g->leave_ms = ends;
}

static void
say(struct guest *g, const void *bytes, size_t len)
{
	world_forget(&g->w, SIDE_CLIENT);
	g->said += len;
	world_says(&g->w, SIDE_CLIENT, bytes, len);
}

static void
expect(struct guest *g, enum beat beat, enum answer answer, size_t behind)
{
	/* The array has room for whatever one says at a time. */
	g->asks[g->asks_count++] = (struct ask){.end = g->said + behind,
						.beat = (uint8_t)beat,
						.answer = (uint8_t)answer};
}

static void
ask(struct guest *g, enum beat beat, enum answer answer)
{
	const size_t len = strlen(lines[beat]);

	g->beat = beat;
	expect(g, beat, answer, len);
	begin_wait(g);
	say(g, lines[beat], len);
}

static enum answer
draw_recipient(struct guest *g)
{
	if (g->is_deferred)
		return ANSWER_DEFERRED;
	if (dice_percent(&g->dice, g->kind->unknown))
		return ANSWER_UNKNOWN;
	g->recipients_taken++;
	return ANSWER_YES;
}

/* Behind the last recipient. */
static enum answer
answer_to_data(const struct guest *g)
{
	return g->recipients_taken > 0 ? ANSWER_YES : ANSWER_NO_RECIPIENT;
}

static void
append(char *group, size_t *len, struct guest *g, enum beat beat,
       enum answer answer)
{
	const size_t n = strlen(lines[beat]);

	memcpy(group + *len, lines[beat], n);
	*len += n;
	expect(g, beat, answer, *len);
}

/* MAIL, RCPT and DATA in one (RFC 2920). */
static void
ask_group(struct guest *g)
{
	char group[GUEST_ASKS_CAP * 32];
	size_t len = 0;

	append(group, &len, g, BEAT_MAIL, ANSWER_YES);
	for (; g->recipients > 0; g->recipients--)
		append(group, &len, g, BEAT_RCPT, draw_recipient(g));
	append(group, &len, g, BEAT_DATA, answer_to_data(g));
	g->beat = BEAT_DATA;
	begin_wait(g);
	say(g, group, len);
}

static void
begin_message(struct guest *g)
{
	g->recipients = dice_range(&g->dice, g->kind->recipients);
	g->recipients_taken = 0;
	if (g->kind->is_pipelining)
		ask_group(g);
	else
		ask(g, BEAT_MAIL, ANSWER_YES);
}

static void
say_piece(struct guest *g)
{
	static const char line[BODY_LINE + 1] =
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "x"
	    "xxx\r\n";
	char piece[BODY_PIECE];
	size_t len = 0;

	while (len < sizeof(piece) && g->upload_left > 0) {
		memcpy(piece + len, line, BODY_LINE);
		len += BODY_LINE;
		g->upload_left -=
		    g->upload_left < BODY_LINE ? g->upload_left : BODY_LINE;
	}
	say(g, piece, len);
}

/* The next piece as soon as there is room: what limits an upload is us. */
static bool
uploads(struct guest *g)
{
	const struct world_stream *in = &g->w.in[SIDE_CLIENT];

	if (g->beat != BEAT_BODY || g->is_gone || in->gone < in->len)
		return false;
	if (g->upload_left > 0)
		say_piece(g);
	else
		ask(g, BEAT_DOT,
		    dice_percent(&g->dice, g->kind->refused) ? ANSWER_REFUSED
							     : ANSWER_YES);
	return true;
}

static void
leave(struct guest *g)
{
	g->is_gone = true;
	g->is_waiting = false;
	g->client_ms = g->leave_ms = GUEST_NEVER;
	g->gone_len = g->w.out[SIDE_CLIENT].len;
	world_shuts(&g->w, SIDE_CLIENT);
}

static void
next_message(struct guest *g)
{
	if (g->messages > 0)
		begin_message(g);
	else
		ask(g, BEAT_QUIT, ANSWER_YES);
}

/* Nobody was taken: for good, or for now. */
static void
give_message_up(struct guest *g)
{
	if (!g->is_deferred)
		g->counts.refused++;
	ask(g, BEAT_RSET, ANSWER_YES);
}

static void
behind_recipient(struct guest *g)
{
	if (g->recipients > 0) {
		g->recipients--;
		ask(g, BEAT_RCPT, draw_recipient(g));
	} else if (g->recipients_taken > 0) {
		ask(g, BEAT_DATA, ANSWER_YES);
	} else {
		give_message_up(g);
	}
}

static void
behind_data(struct guest *g)
{
	if (g->recipients_taken == 0) {
		give_message_up(g);
		return;
	}
	g->beat = BEAT_BODY;
	g->upload_left = dice_range(&g->dice, g->kind->size_bytes);
}

/* It has all answers to what it said last, and says the next thing. */
static void
goes_on(struct guest *g)
{
	switch (g->beat) {
	case BEAT_GREETING:
	case BEAT_HANDSHAKE:
		ask(g, BEAT_EHLO, ANSWER_YES);
		break;
	case BEAT_EHLO:
		if (g->wants_tls)
			ask(g, BEAT_STARTTLS, ANSWER_YES);
		else
			next_message(g);
		g->wants_tls = false;
		break;
	case BEAT_STARTTLS:
		ask(g, BEAT_HANDSHAKE, ANSWER_YES);
		break;
	case BEAT_MAIL:
	case BEAT_RCPT:
		behind_recipient(g);
		break;
	case BEAT_DATA:
		behind_data(g);
		break;
	case BEAT_BODY:
		break; /* see uploads() */
	case BEAT_DOT:
	case BEAT_RSET:
		g->messages--;
		next_message(g);
		break;
	case BEAT_QUIT:
	case BEAT_LEAVE:
		leave(g);
		break;
	}
}

/* By the MTA; or by us, who will answer the first command with 421. */
static bool
has_greeting(const struct guest *g)
{
	const struct session *s = &g->w.s;

	return (s->is_greeted && g->is_greeted) || s->counts.own_greeting;
}

/* All that was asked is answered, and the answers are let go. */
static bool
has_answers(const struct guest *g)
{
	const struct world_stream *in = &g->w.in[SIDE_MTA];

	return has_greeting(g) && g->asks_count == 0 && in->gone == in->len &&
	       !g->w.is_shaking;
}

static bool
client_hears(struct guest *g)
{
	const uint64_t now = g->w.now_ms;

	if (g->is_gone)
		return false;
	if (g->w.s.counts.own_421 && !g->has_heard_no) {
		g->has_heard_no = true;
		g->is_waiting = false;
		g->beat = BEAT_LEAVE;
		g->leave_ms = GUEST_NEVER;
		g->client_ms = now + g->rtt_ms;
		return true;
	}
	if (!g->is_waiting || !has_answers(g))
		return false;
	g->is_waiting = false;
	g->waited_ms += now - g->since_ms;
	g->leave_ms = GUEST_NEVER;
	g->client_ms =
	    now + g->rtt_ms + dice_range(&g->dice, g->kind->pause_ms);
	return true;
}

/* How long the MTA takes for what it was asked. */
static uint32_t
takes(struct guest *g, const struct ask *a)
{
	return dice_range(&g->dice, a->beat == BEAT_DOT
					? g->scenario->dot_ms
					: g->scenario->reply_ms);
}

static bool
mta_hears(struct guest *g)
{
	const struct world_output *out = &g->w.out[SIDE_MTA];

	if (!g->w.is_connected || g->mta_ms != GUEST_NEVER)
		return false;
	if (!g->is_greeted) {
		g->mta_ms = g->w.now_ms +
			    dice_range(&g->dice, g->scenario->greeting_ms);
		return true;
	}
	if (g->asks_count > 0 && out->len - out->ours >= g->asks[0].end) {
		g->mta_ms = g->w.now_ms + takes(g, &g->asks[0]);
		return true;
	}
	if (!out->fin || g->w.in[SIDE_MTA].fin)
		return false;
	world_shuts(&g->w, SIDE_MTA);
	return true;
}

static void
count_answer(struct guest *g, const struct ask *a)
{
	if (a->beat != BEAT_DOT)
		return;
	if (a->answer == ANSWER_REFUSED) {
		g->counts.refused++;
		return;
	}
	g->counts.taken++;
	g->taken(g);
}

static void
mta_speaks(struct guest *g)
{
	const char *words = greeting;
	bool has_quit = false;
	struct ask a;

	g->mta_ms = GUEST_NEVER;
	if (!g->w.is_connected)
		return; /* the client left meanwhile */
	world_forget(&g->w, SIDE_MTA);
	if (g->is_greeted) {
		a = g->asks[0];
		g->asks_count--;
		memmove(g->asks, g->asks + 1,
			g->asks_count * sizeof(g->asks[0]));
		count_answer(g, &a);
		words = words_of(&a);
		has_quit = a.beat == BEAT_QUIT;
	}
	if (!g->is_greeted)
		g->greeted_ms = g->w.now_ms;
	g->is_greeted = true;
	world_says(&g->w, SIDE_MTA, words, strlen(words));
	if (has_quit)
		world_shuts(&g->w, SIDE_MTA);
}

/* TLS ends here: STARTTLS is answered by us, and the MTA never hears it. */
static bool
shakes(struct guest *g)
{
	if (!g->w.is_shaking || g->tls_ms != GUEST_NEVER)
		return false;
	g->tls_ms = g->w.now_ms + (uint64_t)g->rtt_ms * HANDSHAKE_TRIPS + 1;
	g->said -= strlen(lines[BEAT_STARTTLS]);
	g->asks_count = 0;
	g->beat = BEAT_HANDSHAKE; /* not by us: EHLO comes next */
	return true;
}

static bool
shell_acts(struct guest *g)
{
	struct world *w = &g->w;
	struct plan plan;

	if (w->wants_plan) {
		g->make_plan(g, &plan);
		world_event(w, EVENT_REPLAN, SIDE_CLIENT, &plan);
	} else if (w->wants_flushed) {
		world_event(w, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	} else if (w->is_dialling) {
		g->dialled_ms = w->now_ms;
		world_event(w, EVENT_MTA_CONNECTED, SIDE_MTA, NULL);
	} else if (g->is_gone && w->out[SIDE_CLIENT].len > g->gone_len) {
		/* Its kernel resets what comes behind its close. */
		world_event(w, EVENT_ERROR, SIDE_CLIENT, NULL);
	} else {
		return false;
	}
	return true;
}

void
guest_acts(struct guest *g)
{
	while (!g->w.has_ended && (shell_acts(g) || shakes(g) || mta_hears(g) ||
				   client_hears(g) || uploads(g)))
		;
}

void
guest_open(struct guest *g, const struct site *site, const struct plan *plan,
	   const struct addr *client, uint64_t now_ms)
{
	g->opened_ms = now_ms;
	g->w.has_rings = true;
	world_open(&g->w, site, plan, now_ms);
	g->w.s.client = *client;
	begin_wait(g);
	if (g->is_early)
		ask(g, BEAT_EHLO, ANSWER_YES);
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t
guest_next(const struct guest *g)
{
	const uint64_t own = sooner(g->client_ms, g->leave_ms);

	return sooner(sooner(own, world_deadline(&g->w)),
		      sooner(g->mta_ms, g->tls_ms));
}

void
guest_moment(struct guest *g)
{
	const uint64_t now = g->w.now_ms;

	if (g->mta_ms <= now) {
		mta_speaks(g);
	} else if (g->tls_ms <= now) {
		g->tls_ms = GUEST_NEVER;
		world_event(&g->w, EVENT_TLS_UP, SIDE_CLIENT, NULL);
	} else if (world_deadline(&g->w) <= now) {
		world_wake(&g->w);
	} else if (g->client_ms <= now) {
		g->client_ms = GUEST_NEVER;
		goes_on(g);
	} else if (g->leave_ms <= now) {
		g->has_given_up = true;
		leave(g);
	}
}
