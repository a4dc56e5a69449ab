/*
 * What stands where a command is expected, and is none: HTTP, a message's
 * header, garbage. Rejected: words that no RFC knows. Vendors have words of
 * their own, and the MTA's answer to them is counted anyway.
 */
#include <string.h>

#include "shaping/smtp_verb.h"

/* Words of others, each as it begins. HTTP's are whole words. */
static const char *const others[] = {
    "GET",    "POST",  "PUT",	"HEAD", "OPTIONS",  "CONNECT",
    "DELETE", "PATCH", "TRACE", "PRI",	"SSH-2.0-",
};

static bool
is_letter(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_in_word(uint8_t c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool
is_end(uint8_t c)
{
	return c == '\r' || c == '\n';
}

/* A word of others; SSH's goes on behind what is known of it. */
static bool
is_others(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		const size_t want = strlen(others[i]);
		const bool is_begun = others[i][want - 1] == '-';

		if ((is_begun ? len >= want : len == want) &&
		    smtp_text_starts(word, len, others[i]))
			return true;
	}
	return false;
}

bool
smtp_line_is_foreign(const char *line, size_t len)
{
	size_t at = 0;
	size_t end;

	while (at < len && is_blank((uint8_t)line[at]))
		at++;
	if (at == len || is_end((uint8_t)line[at]))
		return false;
	for (end = at; end < len; end++) {
		if (is_blank((uint8_t)line[end]) || is_end((uint8_t)line[end]))
			break;
	}
	if (is_others(line + at, end - at) || !is_letter((uint8_t)line[at]))
		return true;
	while (at < end && is_in_word((uint8_t)line[at]))
		at++;
	return at < end;
}
