/*
 * One client: a row of steps, in each of which it says something and hears
 * one reply, and a moment at which it leaves.
 */
#include "tests/bench/storm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPAQUE_LEN 300

static const char *const end_names[END_COUNT] = {
    "complete", "left", "closed", "refused", "timeout", "unreachable"};

static const char *const step_names[STEP_COUNT] = {
    "greeting", "ehlo", "starttls", "opaque", "mail",
    "rcpt",	"data", "body",	    "quit",   "bye"};

static const char *const lines[STEP_COUNT] = {
    [STEP_EHLO] = "EHLO client.example\r\n",
    [STEP_STARTTLS] = "STARTTLS\r\n",
    [STEP_MAIL] = "MAIL FROM:<a@client.example>\r\n",
    [STEP_RCPT] = "RCPT TO:<b@sink.example>\r\n",
    [STEP_DATA] = "DATA\r\n",
    [STEP_QUIT] = "QUIT\r\n",
};

const char *
client_end_name(enum end end)
{
	return end_names[end];
}

void
client_end(struct storm *s, struct client *c, enum end end)
{
	if (s->results != NULL)
		fprintf(s->results, "%u %s %s %s %s %s %s %d\n", c->id,
			c->leave->name, mix_hows[c->how], mix_classes[c->class],
			mix_faults[c->fault].name, end_names[end],
			step_names[c->step], c->was_told);
	s->ends[end]++;
	s->told += c->was_told;
	s->running--;
	s->holding -= c->is_holding;
	free(c->out);
	c->out = NULL;
	if ((end == END_LEFT && c->how == HOW_RST) || end == END_TIMEOUT)
		mix_reset(c->fd);
	else
		close(c->fd);
	c->fd = -1;
}

void
client_leave(struct storm *s, struct client *c)
{
	if (c->how != HOW_HALF) {
		client_end(s, c, END_LEFT);
		return;
	}
	c->leave_ms = 0;
	c->has_left = true;
	(void)shutdown(c->fd, SHUT_WR);
}

static bool
leaves(const struct client *c, enum mix_when when)
{
	return !c->has_left && c->leave->step == c->step &&
	       c->leave->when == when;
}

static void
hold(struct storm *s, struct client *c)
{
	c->is_holding = true;
	s->holding++;
}

/* What there is to say in a step. Returns its length. */
static size_t
words(const struct client *c, char *out)
{
	const char *line = lines[c->step];

	if (c->step == STEP_GREETING && c->leave->early)
		line = lines[STEP_EHLO];
	if (c->step == STEP_EHLO && c->leave->early)
		line = NULL; /* was said */
	if (c->step == STEP_BODY)
		return mix_body(c->id, c->body_len, out);
	if (c->step == STEP_OPAQUE) {
		memset(out, 0x80, OPAQUE_LEN);
		memcpy(out, "\x16\x03\x01", 3);
		return OPAQUE_LEN;
	}
	if (line == NULL)
		return 0;
	memcpy(out, line, strlen(line));
	return strlen(line);
}

void
client_said(struct storm *s, struct client *c)
{
	if (leaves(c, WHEN_SENT) || leaves(c, WHEN_HALF) ||
	    (leaves(c, WHEN_ENTER) && c->leave->early)) {
		client_leave(s, c);
		return;
	}
	if (leaves(c, WHEN_LATER))
		c->leave_ms = mix_now_ms() + c->later_ms;
	if (s->hold == STEP_GREETING && c->step == STEP_GREETING)
		hold(s, c);
}

void
client_enter(struct storm *s, struct client *c, enum mix_step step)
{
	static char text[BODY_MAX + 2 * MIX_BODY_EXTRA];
	size_t len;

	c->step = step;
	c->has_heard = false;
	c->line_len = 0;
	if (step == STEP_BYE) {
		client_end(s, c, END_COMPLETE);
		return;
	}
	if (leaves(c, WHEN_ENTER) && !c->leave->early) {
		client_leave(s, c);
		return;
	}
	len = words(c, text);
	if (leaves(c, WHEN_HALF))
		len /= 2;
	if (len > 0)
		storm_send(s, c, text, len);
	else
		client_said(s, c);
}

static enum mix_step
step_after(const struct client *c)
{
	if (c->step == STEP_EHLO)
		return c->leave->tls ? STEP_STARTTLS : STEP_MAIL;
	return (enum mix_step)(c->step + 1);
}

static bool
is_welcome(const struct client *c)
{
	return c->code[0] == (c->step == STEP_DATA ? '3' : '2');
}

/* A whole reply is there. */
static void
on_reply(struct storm *s, struct client *c)
{
	if (c->step == STEP_BODY && c->code[0] == '2' && c->out == NULL)
		c->was_told = true;
	if (c->has_left || c->is_holding)
		return;
	if (!is_welcome(c))
		c->was_refused = true;
	if (leaves(c, WHEN_DONE)) {
		client_leave(s, c);
		return;
	}
	if (s->hold == c->step) {
		hold(s, c);
		return;
	}
	/* Out of turn while it still speaks: then it is no answer. */
	if (c->out != NULL)
		return;
	if (is_welcome(c) || c->step == STEP_QUIT)
		client_enter(s, c, step_after(c));
	else
		client_enter(s, c, STEP_QUIT);
}

static void
on_byte(struct storm *s, struct client *c, char byte)
{
	if (c->step == STEP_OPAQUE) {
		if (++c->opaque_len == OPAQUE_LEN && leaves(c, WHEN_DONE))
			client_leave(s, c);
		return;
	}
	if (c->line_len < sizeof c->code)
		c->code[c->line_len] = byte;
	c->line_len++;
	if (byte != '\n')
		return;
	if (c->line_len > 4 && c->code[3] == '-') {
		c->line_len = 0;
		return;
	}
	c->line_len = 0;
	on_reply(s, c);
}

void
client_heard(struct storm *s, struct client *c, const char *bytes, size_t len)
{
	if (!c->has_heard) {
		c->has_heard = true;
		if (leaves(c, WHEN_FIRST_BYTE)) {
			client_leave(s, c);
			return;
		}
	}
	for (size_t i = 0; i < len && c->fd >= 0; i++)
		on_byte(s, c, bytes[i]);
}
