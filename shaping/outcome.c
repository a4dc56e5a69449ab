/*
 * The classes of replies, and the queue ids in them.
 *
 * The enhanced status decides where there is one, for codes are used freely;
 * words only where neither tells one refusal from the other: relaying is 550
 * or 554 5.7.1 with most MTAs, as is a black list. Everything that a peer
 * might not have deserved is neutral.
 */
#include "tarry/outcome.h"

#include <string.h>

/* An enhanced status, X.Y.Z; all 0: there is none. */
struct status {
	unsigned class;
	unsigned subject;
	unsigned detail;
};

const char *
outcome_name(enum outcome outcome)
{
	static const char *const names[] = {
#define OUTCOME(id, name, help) name,
#include "tarry/outcome.def"
#undef OUTCOME
	};

	return outcome < OUTCOME_COUNT ? names[outcome] : "-";
}

/* Digits at `at`, three at most; moves behind them. */
static unsigned
number(const char *text, size_t len, size_t *at)
{
	unsigned n = 0;
	size_t end = *at + 3;

	while (*at < len && *at < end && text[*at] >= '0' && text[*at] <= '9')
		n = n * 10 + (unsigned)(text[(*at)++] - '0');
	return n;
}

/* Of `5.1.` alone, where no more of it is known, the detail is 0. */
static struct status
read_status(const char *text, size_t len)
{
	static const struct status none;
	struct status s = {0};
	size_t at = 2;

	if (len < 4 || (text[0] != '2' && text[0] != '4' && text[0] != '5') ||
	    text[1] != '.')
		return none;
	s.class = (unsigned)(text[0] - '0');
	s.subject = number(text, len, &at);
	if (at == 2 || at >= len || text[at] != '.')
		return none;
	at++;
	s.detail = number(text, len, &at);
	return s;
}

static char
lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool
starts(const char *text, size_t len, const char *word)
{
	size_t i;

	for (i = 0; word[i] != '\0'; i++) {
		if (i >= len || lower(text[i]) != word[i])
			return false;
	}
	return true;
}

/* Behind the first place where the word stands, or NULL. */
static const char *
behind(const char *text, size_t len, const char *word)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (starts(text + i, len - i, word))
			return text + i + strlen(word);
	}
	return NULL;
}

static bool
speaks_of_relaying(const char *text, size_t len)
{
	static const char *const words[] = {
	    "relay", "cannot deliver mail for", /* Haraka */
	    "allowed list of rcpthosts",	/* qmail */
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (behind(text, len, words[i]) != NULL)
			return true;
	}
	return false;
}

static bool
is_protocol(uint16_t code, const struct status *s)
{
	return (code >= 500 && code <= 504 && s->subject != 1) ||
	       s->subject == 5;
}

/* Mailbox or system full, message too large, MTA in trouble, TLS or a login
 * wanted first (530). */
static bool
is_neutral(uint16_t code, const struct status *s)
{
	return s->subject == 2 || s->subject == 3 || s->subject == 4 ||
	       code == 530 || code == 552;
}

static enum outcome
of_recipient(uint16_t code, const struct status *s, const char *text,
	     size_t len)
{
	if (s->subject == 7 && s->detail == 54)
		return OUTCOME_RELAY;
	/* Exchange Online: no such user behind its edge. */
	if (s->subject == 4 && s->detail == 1 && code == 550)
		return OUTCOME_UNKNOWN_USER;
	if (speaks_of_relaying(text, len))
		return OUTCOME_RELAY;
	if (s->subject == 1) /* 5.1.7 and 5.1.8 speak of the sender */
		return s->detail == 7 || s->detail == 8 ? OUTCOME_POLICY
							: OUTCOME_UNKNOWN_USER;
	if (is_neutral(code, s))
		return OUTCOME_NEUTRAL;
	if (s->subject == 0 && (code == 550 || code == 551 || code == 553))
		return OUTCOME_UNKNOWN_USER;
	return OUTCOME_POLICY;
}

static enum outcome
of_refusal(enum outcome_stage stage, uint16_t code, const struct status *s,
	   const char *text, size_t len)
{
	if (stage == OUTCOME_AT_AUTH)
		return code == 535 ? OUTCOME_AUTH_FAILURE : OUTCOME_NEUTRAL;
	if (is_protocol(code, s))
		return OUTCOME_PROTOCOL;
	if (stage == OUTCOME_AT_RECIPIENT)
		return of_recipient(code, s, text, len);
	if (is_neutral(code, s))
		return OUTCOME_NEUTRAL;
	/* Nobody was accepted: the dot has nothing to do with its content. */
	if (stage == OUTCOME_AT_MESSAGE && s->subject == 1)
		return OUTCOME_NEUTRAL;
	return stage == OUTCOME_AT_MESSAGE ? OUTCOME_SPAM : OUTCOME_POLICY;
}

enum outcome
outcome_of(enum outcome_stage stage, uint16_t code, const char *text,
	   size_t len)
{
	struct status s = read_status(text, len);

	if (code < 300)
		return stage == OUTCOME_AT_MESSAGE ? OUTCOME_DELIVERED
						   : OUTCOME_NONE;
	if (code < 400)
		return OUTCOME_NONE;
	if (code >= 500)
		return of_refusal(stage, code, &s, text, len);
	/* Postfix says 454 to who would relay, and 421 to a bare LF. */
	if (stage == OUTCOME_AT_RECIPIENT && s.subject == 7 &&
	    speaks_of_relaying(text, len))
		return OUTCOME_RELAY;
	return s.subject == 5 ? OUTCOME_PROTOCOL : OUTCOME_NEUTRAL;
}

static bool
is_id_byte(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
	       c == '.' || c == '-' || c == '_';
}

/* What stands at `from`, as an id; 0 if it is none or too long. */
static size_t
take_id(const char *from, const char *end, char *id)
{
	size_t n = 0;

	while (from + n < end && is_id_byte(from[n])) {
		if (n == OUTCOME_QUEUE_ID_CAP)
			return 0;
		id[n] = from[n];
		n++;
	}
	id[n] = '\0';
	return n;
}

size_t
outcome_queue_id(const char *text, size_t len, char *id)
{
	static const char *const marks[] = {
	    "queued as ",	/* Postfix, and others after it */
	    "ok id=",		/* Exim */
	    "message queued (", /* Haraka */
	    " qp ",		/* qmail */
	};
	const char *end = text + len;
	const char *at;
	size_t n;

	id[0] = '\0';
	for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
		at = behind(text, len, marks[i]);
		if (at != NULL)
			return take_id(at, end, id);
	}
	/* sendmail and OpenSMTPD: 2.0.0 ID Message accepted for delivery */
	if (!starts(text, len, "2.0.0 "))
		return 0;
	n = take_id(text + 6, end, id);
	if (starts(text + 6 + n, len - 6 - n, " message accepted for delivery"))
		return n;
	id[0] = '\0';
	return 0;
}
