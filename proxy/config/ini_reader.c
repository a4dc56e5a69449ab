#include "proxy/config/ini_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/report.h"

#define BOM "\xef\xbb\xbf"

__attribute__((format(printf, 2, 3))) static void
complain(const struct ini_reader *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_vadd(r->report, REPORT_MISTAKE, r->file, r->line, format, args);
	va_end(args);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' ||
	       c == '\f';
}

/* Cuts blanks off the end; returns the new length. */
static size_t
trim_end(char *text, size_t len)
{
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	text[len] = '\0';
	return len;
}

/* Cuts the comment off: all from a `;` at the start or behind a blank. */
static size_t
cut_comment(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == ';' && (i == 0 || is_blank(text[i - 1])))
			return trim_end(text, i);
	}
	return len;
}

/* A comment or nothing, indented or not. */
static bool
is_empty(const char *text)
{
	while (is_blank(*text))
		text++;
	return *text == '\0' || *text == ';' || *text == '#';
}

/* The next line of the file, without its end; -1: no more. */
static ssize_t
read_line(struct ini_reader *r)
{
	ssize_t len;

	errno = 0;
	len = getline(&r->text, &r->cap, r->in);
	if (len < 0) {
		if (ferror(r->in) || errno == ENOMEM)
			r->error = errno != 0 ? -errno : -EIO;
		return -1;
	}
	r->line++;
	if (r->line == 1 && strncmp(r->text, BOM, strlen(BOM)) == 0) {
		len -= (ssize_t)strlen(BOM); /* a BOM has 3 bytes */
		memmove(r->text, r->text + strlen(BOM), (size_t)len + 1);
	}
	return len;
}

/* `[text]`: tells of the section, or of none. */
static void
take_section(struct ini_reader *r, char *text)
{
	char *end = strchr(text, ']');
	char *start = text + 1;

	if (end == NULL) {
		complain(r, "section without ], expected [NAME]");
		start = NULL;
	} else if (end[1] != '\0') {
		complain(r, "text behind ], expected nothing or a comment");
		start = NULL;
	} else {
		while (is_blank(*start))
			start++;
		trim_end(start, (size_t)(end - start));
	}
	if (start != NULL && strlen(start) > INI_READER_NAME_MAX) {
		complain(r, "section name of %zu bytes, expected at most %d",
			 strlen(start), INI_READER_NAME_MAX);
		start = NULL;
	}
	if (r->on_section != NULL)
		r->on_section(r->ctx, start);
}

static bool
check_key(const struct ini_reader *r, char *text)
{
	char *equals = strchr(text, '=');
	char *colon = strchr(text, ':');
	size_t len;

	if (equals == NULL || equals == text ||
	    (colon != NULL && colon < equals)) {
		complain(r, "cannot be read, expected \"key = value\" or "
			    "\"[section]\"");
		return false;
	}
	len = (size_t)(equals - text);
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	if (len > INI_READER_NAME_MAX) {
		complain(r, "key of %zu bytes, expected at most %d", len,
			 INI_READER_NAME_MAX);
		return false;
	}
	return true;
}

/*
 * True if the line, without comment and line end, is a key that inih reads as
 * we do. Sections are told of; of anything else it is said what is wrong.
 */
static bool
check_line(struct ini_reader *r, char *text, size_t len)
{
	if (is_blank(text[0])) {
		complain(r, "starts with a blank, expected keys and sections "
			    "in the first column (a long list repeats its "
			    "key)");
		return false;
	}
	if (text[0] == '[') {
		take_section(r, text);
		return false;
	}
	if (len > INI_READER_LINE_MAX) {
		complain(r,
			 "line of %zu bytes, expected at most %d (a long "
			 "list repeats its key)",
			 len, INI_READER_LINE_MAX);
		return false;
	}
	return check_key(r, text);
}

char *
ini_reader_next(char *out, int cap, void *reader)
{
	struct ini_reader *r = reader;
	ssize_t got;

	while (r->error == 0 && (got = read_line(r)) >= 0) {
		size_t len = (size_t)got;
		if (memchr(r->text, '\0', len) != NULL) {
			complain(r, "holds a NUL byte, expected text");
			continue;
		}
		if (is_empty(r->text))
			continue;
		len = cut_comment(r->text, trim_end(r->text, len));
		if (!check_line(r, r->text, len))
			continue;
		if (cap < 2 || len > (size_t)cap - 2) {
			complain(r, "line of %zu bytes, too long to be read",
				 len);
			continue;
		}
		memcpy(out, r->text, len);
		memcpy(out + len, "\n", 2);
		return out;
	}
	return NULL;
}

void
ini_reader_free(struct ini_reader *reader)
{
	free(reader->text);
	reader->text = NULL;
	reader->cap = 0;
}
