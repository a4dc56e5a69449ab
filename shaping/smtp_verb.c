/* The verb table. Rows are in tarry/verbs.def; nothing else knows a verb. */
#include "shaping/smtp_verb.h"

#include <string.h>

enum smtp_group { SMTP_ANY, SMTP_LAST };

struct verb_row {
	const char *text;
	enum smtp_arms arms;
	enum smtp_delay delay;
	enum smtp_group group;
};

static const struct verb_row verbs[SMTP_VERB_COUNT] = {
#define VERB(id, text, arms, delay, group)                                     \
	[SMTP_##id] = {text, SMTP_##arms, SMTP_DELAY_##delay, SMTP_##group},
#include "tarry/verbs.def"
#undef VERB
};

/* ASCII only: the locale must not decide what a verb is. */
static char
upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool
smtp_text_starts(const char *text, size_t len, const char *want)
{
	size_t i;

	for (i = 0; want[i] != '\0'; i++) {
		if (i >= len || upper(text[i]) != want[i])
			return false;
	}
	return true;
}

/* The rows behind TURN and ATRN name moments, not words of the wire. */
enum smtp_verb
smtp_verb_find(const char *word, size_t len)
{
	int v;

	for (v = SMTP_OTHER + 1; v < SMTP_GREETING; v++) {
		if (strlen(verbs[v].text) == len &&
		    smtp_text_starts(word, len, verbs[v].text))
			return (enum smtp_verb)v;
	}
	return SMTP_OTHER;
}

const char *
smtp_verb_name(enum smtp_verb verb)
{
	return verbs[verb].text;
}

enum smtp_arms
smtp_verb_arms(enum smtp_verb verb)
{
	return verbs[verb].arms;
}

enum smtp_delay
smtp_verb_delay(enum smtp_verb verb)
{
	return verbs[verb].delay;
}

bool
smtp_verb_ends_group(enum smtp_verb verb)
{
	return verbs[verb].group == SMTP_LAST;
}
