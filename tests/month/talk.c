/*
 * Lockstep: a client that says one thing, waits for its answer, and says the
 * next. What it waits for is compared with its patience: one answer, and all
 * of them together. An upload that goes on, however slowly, is no wait.
 */
#include "tests/month/talk.h"

#include <string.h>

#define GREETING "220 mx.example.org ESMTP\r\n"
#define EHLO_REPLY "250-mx.example.org\r\n250-SIZE\r\n250 STARTTLS\r\n"
#define OK "250 2.0.0 Ok\r\n"
#define SPAM "554 5.7.1 refused: spam\r\n"
#define ENDS_MAX 64

static const struct site the_site = {
    .name = "mx.example.org",
    .name_len = 14,
    .client_address = CLIENT_ADDRESS_NONE,
    .lead_ms = 1000,
    .connect_timeout_ms = 10000,
    .drip_gap_ms = 200,
};

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The shell: whatever is asked for is granted at once. */
static bool
shell_acts(struct talk *t)
{
	struct world *w = t->w;

	if (w->wants_plan) {
		t->make_plan(t, false, &t->plan);
		world_event(w, EVENT_REPLAN, SIDE_CLIENT, &t->plan);
	} else if (w->wants_flushed) {
		world_event(w, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	} else if (w->wants_caps) {
		world_event(w, EVENT_CAPS, SIDE_CLIENT, NULL);
	} else if (w->asking != SLOT_NO_WISH) {
		world_event(w, EVENT_GRANTED, SIDE_CLIENT, NULL);
	} else if (w->is_dialling) {
		world_event(w, EVENT_MTA_CONNECTED, SIDE_MTA, NULL);
	} else {
		return false;
	}
	return true;
}

static bool
mta_acts(struct talk *t)
{
	struct world *w = t->w;
	const char *reply = t->reply;

	if (!w->is_connected)
		return false;
	if (!t->is_greeted) {
		t->is_greeted = true;
		world_says(w, SIDE_MTA, GREETING, strlen(GREETING));
		return true;
	}
	if (reply == NULL || w->out[SIDE_MTA].len < t->expected)
		return false;
	t->reply = NULL;
	world_says(w, SIDE_MTA, reply, strlen(reply));
	return true;
}

static bool
has_answer(const struct talk *t)
{
	const struct world_stream *in = &t->w->in[SIDE_MTA];

	if (!t->w->s.is_greeted)
		return false;
	return t->reply == NULL && in->gone == in->len;
}

static void
settle(struct talk *t)
{
	while (!t->w->has_ended && (shell_acts(t) || mta_acts(t)))
		;
}

/* Leaves when `at` is there. */
static bool
leave(struct talk *t, uint64_t at)
{
	t->w->now_ms = at;
	t->has_left = true;
	world_event(t->w, EVENT_ERROR, SIDE_CLIENT, NULL);
	return false;
}

static void
note_wait(struct talk *t, uint64_t since)
{
	const uint32_t wait = (uint32_t)(t->w->now_ms - since);

	if (wait > t->wait_ms || t->has_left)
		t->wait_ms = wait;
	t->sum_ms += wait;
}

/* When the client leaves, if it waits for an answer since then. */
static uint64_t
patience_ends(const struct talk *t, uint64_t since)
{
	const struct member *m = t->member;
	uint64_t ends = UINT64_MAX;

	if (m->patience_ms > 0)
		ends = since + m->patience_ms;
	if (m->total_ms > 0)
		ends = sooner(ends, m->total_ms > t->sum_ms
					? since + m->total_ms - t->sum_ms
					: since);
	return ends;
}

/* False if the session is over, or the client has left. */
static bool
await(struct talk *t, bool (*is_there)(const struct talk *t), bool is_patient)
{
	const uint64_t since = t->w->now_ms;
	uint64_t ends = is_patient ? UINT64_MAX : patience_ends(t, since);
	bool is_well = true;

	settle(t);
	while (is_well && !is_there(t) && !t->w->has_ended) {
		const uint64_t next = world_deadline(t->w);

		if (next > ends) {
			is_well = leave(t, ends);
			break;
		}
		if (next > t->w->now_ms)
			t->w->now_ms = next;
		world_wake(t->w);
		settle(t);
	}
	note_wait(t, since);
	return is_well && !t->w->has_ended;
}

static bool
has_greeting(const struct talk *t)
{
	return t->w->s.is_greeted;
}

static bool
has_all(const struct talk *t)
{
	return t->w->out[SIDE_MTA].len >= t->expected;
}

static void
say(struct talk *t, const char *text, size_t len, const char *reply)
{
	t->expected = t->w->out[SIDE_MTA].len + len;
	t->reply = reply;
	world_says(t->w, SIDE_CLIENT, text, len);
}

static bool
ask(struct talk *t, const char *text, const char *reply)
{
	say(t, text, strlen(text), reply);
	return await(t, has_answer, false);
}

static bool
upload(struct talk *t, uint32_t bytes, const char *reply)
{
	static char body[WORLD_STREAM_CAP];
	const size_t len =
	    bytes < sizeof(body) - 8192 ? bytes : sizeof(body) - 8192;

	if (body[0] == '\0') {
		memset(body, 'x', sizeof(body));
		for (size_t i = 70; i + 1 < sizeof(body); i += 72)
			memcpy(body + i, "\r\n", 2);
	}
	/* The streams have no more room than for a message. */
	world_forget(t->w, SIDE_CLIENT);
	t->w->out[SIDE_MTA].len = 0;
	say(t, body, len / 72 * 72, NULL);
	if (!await(t, has_all, true))
		return false;
	return ask(t, t->w->s.is_opaque ? "....." : ".\r\n", reply);
}

static void
note_come(struct talk *t, struct talk_message *m, uint64_t began)
{
	m->has_come = true;
	m->delay_ms = (uint32_t)(t->w->now_ms - began);
}

static bool
send_message(struct talk *t, struct talk_message *m, uint64_t began)
{
	if (!ask(t, "MAIL FROM:<a@example.net>\r\n", OK))
		return false;
	if (t->is_unknown && !ask(t, "RCPT TO:<nobody@example.org>\r\n",
				  "550 5.1.1 no such user\r\n"))
		return false;
	if (!ask(t, "RCPT TO:<b@example.org>\r\n", OK) ||
	    !ask(t, "DATA\r\n", "354 go on\r\n") ||
	    !upload(t, m->bytes, m->is_refused ? SPAM : OK))
		return false;
	note_come(t, m, began);
	return true;
}

/* Records that nobody here can read. */
static bool
send_under_tls(struct talk *t, uint64_t began)
{
	static const char hello[] = "\x16\x03\x01 hello hello hello hello";

	if (!ask(t, "STARTTLS\r\n", "220 2.0.0 Ready\r\n"))
		return false;
	for (int i = 0; i < 3; i++) {
		if (!ask(t, hello, "......................"))
			return false;
	}
	for (uint32_t i = 0; i < t->count; i++) {
		if (!upload(t, t->messages[i].bytes, "........"))
			return false;
		note_come(t, &t->messages[i], began);
	}
	return true;
}

static bool
send_all(struct talk *t, uint64_t began)
{
	if (t->is_tls)
		return send_under_tls(t, began);
	for (uint32_t i = 0; i < t->count; i++) {
		if (!send_message(t, &t->messages[i], began))
			return false;
	}
	return ask(t, "QUIT\r\n", "221 2.0.0 Bye\r\n");
}

static bool
greet(struct talk *t)
{
	static const char ehlo[] = "EHLO client.example.net\r\n";

	if (t->is_early)
		say(t, ehlo, sizeof(ehlo) - 1, EHLO_REPLY);
	if (!await(t, has_greeting, false))
		return false;
	if (!t->is_early)
		say(t, ehlo, sizeof(ehlo) - 1, EHLO_REPLY);
	/* Now it is known how it speaks. */
	t->make_plan(t, true, &t->plan);
	world_event(t->w, EVENT_REPLAN, SIDE_CLIENT, &t->plan);
	return await(t, has_answer, false);
}

void
talk_play(struct talk *t)
{
	struct world *w = t->w;
	const uint64_t began = w->now_ms;

	t->reply = NULL;
	t->expected = 0;
	t->is_greeted = t->has_left = false;
	t->wait_ms = t->sum_ms = 0;
	world_open(w, &the_site, &t->plan, began);
	w->s.client = t->member->client;
	w->has_rings = true;
	if (greet(t))
		(void)send_all(t, began);
	if (!w->has_ended)
		world_shuts(w, SIDE_CLIENT);
	settle(t);
	if (!w->has_ended && w->is_connected)
		world_shuts(w, SIDE_MTA);
	for (int i = 0; i < ENDS_MAX && !w->has_ended; i++) {
		settle(t);
		if (w->has_ended)
			break;
		w->now_ms = world_deadline(w);
		world_wake(w);
	}
	if (!w->has_ended)
		world_breach("a session of the month does not end");
}
