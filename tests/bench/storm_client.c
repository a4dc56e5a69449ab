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
    "greeting", "ehlo", "help", "starttls", "opaque", "mail",
    "rcpt",	"data", "body", "quit",	    "bye"};

static const char *const said_names[] = {"exact", "421", "other"};

static const char *const lines[STEP_COUNT] = {
    [STEP_EHLO] = "EHLO client.example\r\n",
    [STEP_HELP] = "HELP\r\n",
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

/* Is `text`, or its beginning if the reply is not yet whole, what was heard? */
static bool
is_text(const struct client *c, size_t from, const char *text, bool is_whole)
{
	size_t len = strlen(text);
	size_t heard = c->heard_len - from;

	return (is_whole ? heard == len : heard <= len) &&
	       memcmp(c->heard + from, text, heard) == 0;
}

/* Where a greeting begins behind the lines of a teaser. */
static size_t
behind_teaser(const struct client *c)
{
	size_t at = 0;

	for (;;) {
		const char *end =
		    memchr(c->heard + at, '\n', c->heard_len - at);

		if (end == NULL || strncmp(c->heard + at, "220-", 4) != 0)
			return at;
		at = (size_t)(end - c->heard) + 1;
	}
}

static bool
is_the_mtas(const struct client *c, bool is_whole)
{
	const struct mix_fault *f = &mix_faults[c->fault];
	char unknown[64];

	mix_unknown(c->garbage, unknown);
	/* A refusal of the MTA may come behind a greeting that was ours. */
	if (f->text != NULL &&
	    (f->step == c->step ||
	     (f->step == STEP_GREETING && c->step == STEP_EHLO)) &&
	    is_text(c, 0, f->text, is_whole))
		return true;
	if (c->step == STEP_EHLO && c->leave->manner == MANNER_GARBAGE)
		return is_text(c, 0, unknown, is_whole);
	return is_text(c, c->step == STEP_GREETING ? behind_teaser(c) : 0,
		       mix_reply(c->step), is_whole);
}

/* The first part of a teaser is all that was heard. */
static bool
is_in_teaser(const struct client *c)
{
	size_t at = behind_teaser(c);
	size_t len = c->heard_len - at;

	return c->step == STEP_GREETING &&
	       strncmp(c->heard + at, "220-", len < 4 ? len : 4) == 0;
}

/* Compares the reply, whole or as far as it is there, with the MTA's words. */
static void
judge(struct client *c, bool is_whole)
{
	bool was_421 = c->said == SAID_421;

	if (is_the_mtas(c, is_whole) || (!is_whole && is_in_teaser(c)))
		return;
	c->said = SAID_OTHER;
	if (c->heard_len > 4 && strncmp(c->heard, "421 ", 4) == 0 && !was_421)
		c->said = SAID_421;
}

void
client_end(struct storm *s, struct client *c, enum end end)
{
	if (c->heard_len > 0)
		judge(c, false);
	if (s->results != NULL)
		fprintf(s->results, "%u %s %s %s %s %s %s %d %s %u\n", c->id,
			c->leave->name, mix_hows[c->how], mix_classes[c->class],
			mix_faults[c->fault].name, end_names[end],
			step_names[c->step], c->was_told, said_names[c->said],
			(unsigned)(mix_now_ms() - c->start_ms));
	s->ends[end]++;
	s->others += c->said == SAID_OTHER;
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

static size_t
repeat(const char *line, unsigned times, char *out)
{
	size_t len = strlen(line);

	for (unsigned i = 0; i < times; i++)
		memcpy(out + i * len, line, len);
	return times * len;
}

/* MAIL, RCPT as often as it is, DATA. */
static size_t
pipeline(char *out)
{
	size_t len = repeat(lines[STEP_MAIL], 1, out);

	len += repeat(lines[STEP_RCPT], MIX_RCPTS, out + len);
	return len + repeat(lines[STEP_DATA], 1, out + len);
}

static bool
was_said(const struct client *c)
{
	if (c->leave->manner == MANNER_EARLY)
		return c->step == STEP_EHLO;
	return c->leave->manner == MANNER_PIPELINE &&
	       (c->step == STEP_RCPT || c->step == STEP_DATA);
}

/* How many replies a step has. */
static unsigned
replies_of(const struct client *c)
{
	if (c->step == STEP_HELP)
		return MIX_HELPS;
	return c->step == STEP_RCPT && c->leave->manner == MANNER_PIPELINE
		   ? MIX_RCPTS
		   : 1;
}

/* What there is to say in a step. Returns its length. */
static size_t
words(struct client *c, char *out)
{
	const char *line = lines[c->step];

	if (c->step == STEP_GREETING && c->leave->manner == MANNER_EARLY)
		line = lines[STEP_EHLO];
	if (was_said(c))
		line = NULL;
	if (c->step == STEP_HELP)
		return repeat(line, MIX_HELPS, out);
	if (c->step == STEP_MAIL && c->leave->manner == MANNER_PIPELINE)
		return pipeline(out);
	if (c->step == STEP_BODY)
		return mix_body(c->id, c->body_len, out);
	if (c->step == STEP_EHLO && c->leave->manner == MANNER_GARBAGE) {
		size_t len = mix_garbage(c->id, out);

		c->garbage = mix_hash(MIX_HASH_FIRST, out, len);
		return len;
	}
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
	    (leaves(c, WHEN_ENTER) && c->leave->manner == MANNER_EARLY)) {
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
	c->heard_len = 0;
	c->replies = 0;
	if (step == STEP_BYE) {
		client_end(s, c, END_COMPLETE);
		return;
	}
	if (leaves(c, WHEN_ENTER) && c->leave->manner != MANNER_EARLY) {
		client_leave(s, c);
		return;
	}
	len = words(c, text);
	if (leaves(c, WHEN_HALF))
		len /= 2;
	if (step == STEP_HELP)
		storm_go_deaf(s, c);
	if (len > 0)
		storm_send(s, c, text, len);
	else
		client_said(s, c);
}

static enum mix_step
step_after(const struct client *c)
{
	if (c->step == STEP_EHLO && c->leave->manner == MANNER_DEAF)
		return STEP_HELP;
	if (c->step == STEP_EHLO && c->leave->manner == MANNER_TLS)
		return STEP_STARTTLS;
	if (c->step == STEP_EHLO || c->step == STEP_HELP)
		return STEP_MAIL;
	return (enum mix_step)(c->step + 1);
}

/* It has spoken on already, whatever it is told. */
static bool
is_pipelined(const struct client *c)
{
	if (c->leave->manner == MANNER_EARLY)
		return c->step == STEP_GREETING;
	return c->leave->manner == MANNER_PIPELINE &&
	       (c->step == STEP_MAIL || c->step == STEP_RCPT);
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
	/* Who shuts its side stays in the step: what else comes is not its. */
	if (c->replies < replies_of(c))
		judge(c, true);
	c->heard_len = 0;
	if (++c->replies < replies_of(c))
		return;
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
	if (c->out != NULL && !is_pipelined(c))
		return;
	if (is_welcome(c) || c->step == STEP_QUIT || is_pipelined(c))
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
	if (c->heard_len < HEARD_CAP)
		c->heard[c->heard_len++] = byte;
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
		if (leaves(c, WHEN_FIRST_BYTE))
			client_leave(s, c);
	}
	for (size_t i = 0; i < len && c->fd >= 0; i++)
		on_byte(s, c, bytes[i]);
}
