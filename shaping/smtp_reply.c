/*
 * The MTA's stream: replies of one or more lines (RFC 5321 4.2.1). Three
 * digits, then `-` for more or a blank; a bare code and a bare LF are taken,
 * because real MTAs send them. Anything else means that we do not know what
 * the peer is saying.
 */
#include <string.h>

#include "tarry/smtp.h"

/* RFC 2920 2 */
static const char keyword[] = "PIPELINING";
#define KEYWORD_LEN (sizeof(keyword) - 1)
#define NO_KEYWORD 0xff

enum column {
	COLUMN_CODE = 0,
	COLUMN_MARK = 3,
	COLUMN_TEXT = 4,
	COLUMN_REST = 8 /* behind what is kept */
};

/* One byte of the first four columns. False: not a reply. */
static bool
take_head(struct smtp_reply *r, uint8_t byte)
{
	if (r->at < COLUMN_MARK) {
		uint8_t low = r->at == COLUMN_CODE ? '1' : '0';
		uint8_t high = r->at == COLUMN_CODE ? '5' : '9';

		if (byte < low || byte > high)
			return false;
		if (r->at == COLUMN_CODE)
			r->line_code = 0;
		r->line_code = (uint16_t)(r->line_code * 10 + (byte - '0'));
	} else {
		if (byte != '-' && byte != ' ' && byte != '\r' && byte != '\n')
			return false;
		r->more = byte == '-';
		memset(r->head, 0, sizeof(r->head));
		r->word = 0;
		r->code = r->line_code;
	}
	r->at++;
	return true;
}

/* The next byte of a line whose text so far is the keyword's beginning. */
static void
match_keyword(struct smtp_reply *r, uint8_t byte)
{
	if (r->word < KEYWORD_LEN && (byte == keyword[r->word] ||
				      byte == keyword[r->word] + ('a' - 'A'))) {
		r->word++;
		return;
	}
	if (r->word == KEYWORD_LEN)
		r->has_pipelining |=
		    byte == '\r' || byte == '\n' || byte == ' ';
	r->word = NO_KEYWORD;
}

/* A byte of what follows the code. */
static void
keep_text(struct smtp_reply *r, uint8_t byte)
{
	if (r->at < COLUMN_REST)
		r->head[r->at++ - COLUMN_TEXT] = (char)byte;
	if (r->word != NO_KEYWORD)
		match_keyword(r, byte);
}

/* One byte at `bytes`, or all of the text up to its LF. */
static size_t
take_some(struct smtp_reply *r, const uint8_t *bytes, size_t len, bool *is_line)
{
	const uint8_t *lf;

	*is_line = false;
	if (r->at < COLUMN_TEXT) {
		if (!take_head(r, bytes[0]))
			return 0;
		*is_line = r->at == COLUMN_TEXT && bytes[0] == '\n';
		return 1;
	}
	if (r->at < COLUMN_REST || r->word != NO_KEYWORD) {
		keep_text(r, bytes[0]);
		*is_line = bytes[0] == '\n';
		return 1;
	}
	lf = memchr(bytes, '\n', len);
	*is_line = lf != NULL;
	return lf != NULL ? (size_t)(lf - bytes) + 1 : len;
}

enum smtp_reply_event
smtp_reply_read(struct smtp_reply *r, const uint8_t *bytes, size_t len,
		size_t *used)
{
	*used = 0;
	while (*used < len) {
		bool is_line;
		size_t n = take_some(r, bytes + *used, len - *used, &is_line);

		if (n == 0)
			return SMTP_REPLY_LOST;
		*used += n;
		r->len += (uint32_t)n; /* the session lets long ones go */
		if (!is_line)
			continue;
		r->at = COLUMN_CODE;
		if (!r->more)
			return SMTP_REPLY_DONE;
	}
	return SMTP_REPLY_MORE;
}

void
smtp_reply_next(struct smtp_reply *r)
{
	memset(r, 0, sizeof(*r));
}
