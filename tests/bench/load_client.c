/*
 * One client: a greeting and six commands, each with one reply. With the
 * message that is thirteen messages, both ways together.
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <string.h>

#define NS_PER_US 1000
#define LINE_LEN 64 /* of a body, with its CRLF; divides the chunk */
#define CHUNK_LEN 65536
#define END_LEN 3 /* the dot's line */

static const char *const lines[LOAD_DONE + 1] = {
    [LOAD_EHLO] = "EHLO client.example\r\n",
    [LOAD_MAIL] = "MAIL FROM:<a@client.example>\r\n",
    [LOAD_RCPT] = "RCPT TO:<b@sink.example>\r\n",
    [LOAD_DATA] = "DATA\r\n",
    [LOAD_QUIT] = "QUIT\r\n",
};

/* A chunk of a body, whole lines; the dot's line stands behind it. */
static const char *
body_chunk(void)
{
	static char chunk[CHUNK_LEN + END_LEN];

	if (chunk[0] != '\0')
		return chunk;
	memset(chunk, 'x', CHUNK_LEN);
	for (size_t i = LINE_LEN - 2; i < CHUNK_LEN; i += LINE_LEN)
		memcpy(chunk + i, "\r\n", 2);
	memcpy(chunk + CHUNK_LEN, ".\r\n", END_LEN);
	return chunk;
}

/* The next piece of a body of which `left` bytes, dot and all, are to go. */
static size_t
next_piece(size_t left, const char **from)
{
	const char *chunk = body_chunk();
	size_t offset;

	if (left <= CHUNK_LEN + END_LEN) {
		*from = chunk + CHUNK_LEN + END_LEN - left;
		return left;
	}
	offset = (LINE_LEN - (left - END_LEN) % LINE_LEN) % LINE_LEN;
	*from = chunk + offset;
	return CHUNK_LEN - offset;
}

/* As much of the body as the socket takes. */
static void
send_body(struct load *l, struct load_client *c)
{
	while (c->body_left > 0) {
		const char *from;
		size_t len = next_piece(c->body_left, &from);
		ssize_t n = load_send(c, from, len);

		if (n < 0 && errno != EAGAIN) {
			load_end(l, c);
			return;
		}
		if (n < 0)
			break;
		c->body_left -= (size_t)n;
		l->said_bytes += (size_t)n;
	}
	if ((c->body_left > 0) != c->is_writing)
		load_watch_writable(l, c, c->body_left > 0);
}

static void
hold(struct load *l, struct load_client *c)
{
	c->is_holding = true;
	l->holding++;
}

static void
enter(struct load *l, struct load_client *c, enum load_step step)
{
	const char *line = lines[step];

	c->step = step;
	if (step == LOAD_DONE) {
		times_add(&l->session,
			  (load_now_ns() - c->begun_ns) / NS_PER_US);
		l->complete++;
		load_end(l, c);
		return;
	}
	if (step == LOAD_BODY) {
		c->body_left = l->body_bytes / LINE_LEN * LINE_LEN + END_LEN;
		send_body(l, c);
		if (l->hold == LOAD_BODY && c->fd >= 0)
			hold(l, c);
		return;
	}
	/* A peer that is gone is told of by read. */
	(void)!load_send(c, line, strlen(line));
}

/* Up to here it counts as one that connects. */
static void
await_greeting(struct load *l, struct load_client *c)
{
	c->step = LOAD_GREETING;
	l->connecting--;
	if (l->hold == LOAD_GREETING)
		hold(l, c);
}

void
client_connected(struct load *l, struct load_client *c)
{
	if (!l->has_tls) {
		await_greeting(l, c);
		return;
	}
	c->step = LOAD_SHAKE;
	tls_begin(l, c);
	client_shakes(l, c);
}

void
client_shakes(struct load *l, struct load_client *c)
{
	switch (tls_shake(c)) {
	case LOAD_SHAKES:
		break;
	case LOAD_SHAKEN:
		await_greeting(l, c);
		break;
	case LOAD_NOT_SHAKEN:
		load_end(l, c);
		break;
	}
}

void
client_writable(struct load *l, struct load_client *c)
{
	send_body(l, c);
}

/* A whole reply is there. */
static void
on_reply(struct load *l, struct load_client *c)
{
	if (c->is_holding)
		return;
	if (c->code[0] != (c->step == LOAD_DATA ? '3' : '2')) {
		load_end(l, c);
		return;
	}
	if (c->step == LOAD_GREETING) {
		c->banner_us =
		    (uint32_t)((load_now_ns() - c->begun_ns) / NS_PER_US);
		times_add(&l->banner, c->banner_us);
	}
	if (c->step == l->hold)
		hold(l, c);
	else if (c->step == LOAD_GREETING && l->is_short)
		enter(l, c, LOAD_QUIT);
	else
		enter(l, c, (enum load_step)(c->step + 1));
}

void
client_heard(struct load *l, struct load_client *c, const char *bytes,
	     size_t len)
{
	l->heard_bytes += len;
	l->heard_reads++;
	for (size_t i = 0; i < len && c->fd >= 0; i++) {
		if (c->line_len < sizeof c->code)
			c->code[c->line_len] = bytes[i];
		c->line_len++;
		if (bytes[i] != '\n')
			continue;
		if (c->line_len > sizeof c->code && c->code[3] != '-')
			on_reply(l, c);
		c->line_len = 0;
	}
}
