/*
 * The client's stream: command lines, the payload of DATA up to the dot, the
 * octets of BDAT, the lines of an AUTH exchange.
 *
 * Nothing is stored but the first bytes of the command line that is under
 * way. What depends on the MTA's answer is not guessed: behind DATA, AUTH and
 * STARTTLS the mode is WAITING until the session says how to go on, and behind
 * a line with a lone dot and ends that only some MTAs take, it is MAYBE.
 */
#include <string.h>

#include "shaping/smtp_verb.h"
#include "tarry/smtp.h"

/* TLS record type 22, handshake: TLS-on-connect on a plain port. */
#define TLS_HANDSHAKE 0x16

/*
 * Where the payload stands in CRLF . CRLF, and in those odd forms that an MTA
 * was seen to take for it: LF and CRLF for each other, CRCRLF at the end.
 */
enum dot {
	DOT_LINE_START,	    /* behind CRLF */
	DOT_LINE_START_ODD, /* behind LF */
	DOT_TEXT,
	DOT_CR,
	DOT_DOT,     /* CRLF . */
	DOT_DOT_ODD, /* LF . */
	DOT_DOT_CR,
	DOT_DOT_ODD_CR,
	DOT_DOT_CR_CR /* behind either */
};

/* The same for any mixture of line ends around a lone dot. */
enum odd { ODD_TEXT, ODD_LINE_END, ODD_DOT, ODD_DOT_END };

static size_t
skip_blanks(const char *text, size_t at, size_t len)
{
	while (at < len && (text[at] == ' ' || text[at] == '\t'))
		at++;
	return at;
}

static size_t
word_end(const char *text, size_t at, size_t len)
{
	while (at < len && text[at] != ' ' && text[at] != '\t' &&
	       text[at] != '\r' && text[at] != '\n')
		at++;
	return at;
}

static bool
is_null_sender(const char *args, size_t len)
{
	size_t at;

	if (!smtp_text_starts(args, len, "FROM:"))
		return false;
	at = skip_blanks(args, 5, len);
	return at + 1 < len && args[at] == '<' && args[at + 1] == '>';
}

static bool
is_empty(const char *line, size_t len)
{
	size_t at = skip_blanks(line, 0, len);

	return at < len && (line[at] == '\r' || line[at] == '\n');
}

/*
 * BDAT SP size [SP LAST]. A size that is none means that no octets follow
 * (the MTA says 501); one beyond 2^63 cannot be counted: false.
 */
static bool
read_chunk_size(struct smtp_client *c, const char *args, size_t len,
		struct smtp_command *cmd)
{
	size_t at = 0;
	uint64_t n = 0;

	while (at < len && args[at] >= '0' && args[at] <= '9') {
		if (n > (UINT64_MAX >> 1) / 10 - 1)
			return false;
		n = n * 10 + (uint64_t)(args[at] - '0');
		at++;
	}
	if (at == 0 || at != word_end(args, 0, len))
		return true;
	at = skip_blanks(args, at, len);
	cmd->is_last = smtp_text_starts(args + at, len - at, "LAST");
	c->octets_left = n;
	if (n > 0)
		c->mode = SMTP_OCTETS;
	return true;
}

static enum smtp_client_event
finish_command(struct smtp_client *c, struct smtp_command *cmd)
{
	size_t len =
	    c->line_bytes < SMTP_LINE_KEPT ? c->line_bytes : SMTP_LINE_KEPT;
	size_t end = word_end(c->line, 0, len);
	size_t args = skip_blanks(c->line, end, len);

	memset(cmd, 0, sizeof(*cmd));
	cmd->verb = smtp_verb_find(c->line, end);
	cmd->is_empty = is_empty(c->line, len) && c->line_bytes == len;
	c->line_bytes = 0;
	if (cmd->verb == SMTP_OTHER)
		c->is_foreign |= smtp_line_is_foreign(c->line, len);
	if (cmd->verb == SMTP_MAIL)
		cmd->null_sender = is_null_sender(c->line + args, len - args);
	if (cmd->verb == SMTP_BDAT &&
	    !read_chunk_size(c, c->line + args, len - args, cmd))
		return SMTP_CLIENT_LOST;
	if (smtp_verb_arms(cmd->verb) == SMTP_WAIT)
		c->mode = SMTP_WAITING;
	return SMTP_CLIENT_COMMAND;
}

/* The line ends here, or goes on: whether CR stands before its LF. */
static void
note_line_end(struct smtp_client *c, const uint8_t *bytes, size_t n,
	      bool is_whole)
{
	const size_t last = is_whole ? n - 1 : n;
	const bool is_cr = last > 0 ? bytes[last - 1] == '\r' : c->was_cr;

	c->has_bare_line |= is_whole && !is_cr;
	c->was_cr = !is_whole && is_cr;
}

/* Takes bytes up to and with the next LF; true once the LF is there. */
static bool
take_line(struct smtp_client *c, const uint8_t *bytes, size_t len, size_t *used)
{
	const uint8_t *lf = memchr(bytes, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - bytes) + 1 : len;
	size_t room =
	    c->line_bytes < SMTP_LINE_KEPT ? SMTP_LINE_KEPT - c->line_bytes : 0;

	if (room > 0)
		memcpy(c->line + c->line_bytes, bytes, n < room ? n : room);
	c->line_bytes += (uint32_t)(n > SMTP_LINE_MAX ? SMTP_LINE_MAX + 1 : n);
	note_line_end(c, bytes, n, lf != NULL);
	*used = n;
	return lf != NULL;
}

/* It cannot be followed because it is no SMTP. */
static enum smtp_client_event
is_none_of_ours(struct smtp_client *c)
{
	c->is_foreign = true;
	return SMTP_CLIENT_LOST;
}

static enum smtp_client_event
read_command(struct smtp_client *c, const uint8_t *bytes, size_t len,
	     size_t *used, struct smtp_command *cmd)
{
	bool whole;

	if (!c->any_byte && bytes[0] == TLS_HANDSHAKE)
		return is_none_of_ours(c);
	c->any_byte = true;
	whole = take_line(c, bytes, len, used);
	if (c->line_bytes > SMTP_LINE_MAX)
		return is_none_of_ours(c);
	return whole ? finish_command(c, cmd) : SMTP_CLIENT_MORE;
}

static enum smtp_client_event
read_auth_text(struct smtp_client *c, const uint8_t *bytes, size_t len,
	       size_t *used)
{
	bool whole = take_line(c, bytes, len, used);

	if (c->line_bytes > SMTP_LINE_MAX)
		return SMTP_CLIENT_LOST;
	if (!whole)
		return SMTP_CLIENT_MORE;
	c->line_bytes = 0;
	c->mode = SMTP_WAITING;
	return SMTP_CLIENT_AUTH;
}

static enum dot
dot_step(enum dot dot, uint8_t byte)
{
	if (byte == '\n')
		return dot == DOT_CR || dot == DOT_DOT_ODD_CR ||
			       dot == DOT_DOT_CR_CR
			   ? DOT_LINE_START
			   : DOT_LINE_START_ODD;
	if (byte == '.' && dot == DOT_LINE_START)
		return DOT_DOT;
	if (byte == '.' && dot == DOT_LINE_START_ODD)
		return DOT_DOT_ODD;
	if (byte != '\r')
		return DOT_TEXT;
	if (dot == DOT_DOT)
		return DOT_DOT_CR;
	if (dot == DOT_DOT_ODD)
		return DOT_DOT_ODD_CR;
	return dot == DOT_DOT_CR || dot == DOT_DOT_ODD_CR ? DOT_DOT_CR_CR
							  : DOT_CR;
}

static enum odd
odd_step(enum odd odd, uint8_t byte)
{
	if (byte == '\r' || byte == '\n')
		return odd == ODD_DOT || odd == ODD_DOT_END ? ODD_DOT_END
							    : ODD_LINE_END;
	if (byte == '.' && (odd == ODD_LINE_END || odd == ODD_DOT_END))
		return ODD_DOT;
	return ODD_TEXT;
}

/* Only what stands behind the last byte of text matters. */
static void
follow_odd_dots(struct smtp_client *c, const uint8_t *bytes, size_t len)
{
	enum odd odd = ODD_TEXT;
	size_t at = len;

	while (at > 0 && (bytes[at - 1] == '\r' || bytes[at - 1] == '\n' ||
			  bytes[at - 1] == '.'))
		at--;
	if (at == 0)
		odd = (enum odd)c->odd_dot; /* stored small */
	for (; at < len; at++)
		odd = odd_step(odd, bytes[at]);
	c->odd_dot = (uint8_t)odd;
}

static bool
is_behind_cr(enum dot dot)
{
	return dot == DOT_CR || dot == DOT_DOT_CR || dot == DOT_DOT_ODD_CR ||
	       dot == DOT_DOT_CR_CR;
}

/* A LF: whether it ends the message, or may. */
static enum smtp_client_event
at_line_end(struct smtp_client *c, enum dot dot)
{
	uint8_t form;

	c->has_bare_text |= !is_behind_cr(dot);
	if (dot < DOT_DOT)
		return SMTP_CLIENT_MORE;
	if (dot == DOT_DOT_CR) {
		c->mode = SMTP_COMMANDS;
		return SMTP_CLIENT_DOT;
	}
	form = (uint8_t)(1u << (dot - DOT_DOT));
	if ((c->no_ends & form) != 0)
		return SMTP_CLIENT_MORE;
	c->no_ends |= form;
	c->mode = SMTP_MAYBE;
	return SMTP_CLIENT_MAYBE;
}

/* From within a line to its LF, or to the end. */
static size_t
skip_text(const uint8_t *bytes, size_t at, size_t len, enum dot *dot)
{
	const uint8_t *lf = memchr(bytes + at, '\n', len - at);
	size_t end = lf != NULL ? (size_t)(lf - bytes) : len;

	if (end > at)
		*dot = bytes[end - 1] == '\r' ? DOT_CR : DOT_TEXT;
	return end;
}

static enum smtp_client_event
read_payload(struct smtp_client *c, const uint8_t *bytes, size_t len,
	     size_t *used)
{
	enum smtp_client_event what = SMTP_CLIENT_MORE;
	enum dot dot = (enum dot)c->dot; /* stored small */
	size_t at = 0;

	while (at < len && what == SMTP_CLIENT_MORE) {
		if (dot == DOT_TEXT)
			at = skip_text(bytes, at, len, &dot);
		if (at == len)
			break;
		if (bytes[at] == '\n')
			what = at_line_end(c, dot);
		dot = dot_step(dot, bytes[at]);
		at++;
	}
	*used = at;
	c->dot = (uint8_t)dot;
	if (what != SMTP_CLIENT_DOT)
		follow_odd_dots(c, bytes, at);
	return what;
}

static enum smtp_client_event
read_octets(struct smtp_client *c, size_t len, size_t *used)
{
	size_t n = len < c->octets_left ? len : (size_t)c->octets_left;

	c->octets_left -= n;
	*used = n;
	if (c->octets_left > 0)
		return SMTP_CLIENT_MORE;
	c->mode = SMTP_COMMANDS;
	return SMTP_CLIENT_CHUNK;
}

void
smtp_client_payload(struct smtp_client *c)
{
	c->mode = SMTP_PAYLOAD;
	c->has_bare_text = false;
	c->dot = DOT_LINE_START;
	c->odd_dot = ODD_LINE_END;
}

void
smtp_client_was_text(struct smtp_client *c)
{
	c->mode = SMTP_PAYLOAD;
}

void
smtp_client_was_end(struct smtp_client *c)
{
	c->mode = SMTP_COMMANDS;
	c->no_ends = 0;
	c->is_unsure = true;
}

bool
smtp_client_at_odd_dot(const struct smtp_client *c)
{
	return (c->mode == SMTP_PAYLOAD || c->mode == SMTP_MAYBE) &&
	       c->odd_dot == ODD_DOT_END;
}

bool
smtp_client_is_starttls(const struct smtp_client *c, size_t len)
{
	static const char word[] = "STARTTLS";
	const size_t word_len = sizeof(word) - 1;
	size_t at;

	if (len == 0 || len > sizeof(c->line))
		return false;
	for (at = 0; at < len && at < word_len; at++) {
		char byte = c->line[at];

		if (byte != word[at] && byte != word[at] + ('a' - 'A'))
			return false;
	}
	at = skip_blanks(c->line, at, len);
	at += at < len && c->line[at] == '\r';
	at += at < len && c->line[at] == '\n';
	return at == len;
}

enum smtp_client_event
smtp_client_read(struct smtp_client *c, const uint8_t *bytes, size_t len,
		 size_t *used, struct smtp_command *cmd)
{
	*used = 0;
	if (len == 0)
		return SMTP_CLIENT_MORE;
	switch (c->mode) {
	case SMTP_COMMANDS:
		return read_command(c, bytes, len, used, cmd);
	case SMTP_PAYLOAD:
		return read_payload(c, bytes, len, used);
	case SMTP_OCTETS:
		return read_octets(c, len, used);
	case SMTP_AUTH_TEXT:
		return read_auth_text(c, bytes, len, used);
	case SMTP_WAITING:
	case SMTP_MAYBE:
		return SMTP_CLIENT_MORE;
	case SMTP_OPAQUE:
		*used = len;
		return SMTP_CLIENT_MORE;
	}
	return SMTP_CLIENT_LOST;
}
