/*
 * What is to be said about a configuration: mistakes, which refuse it, and
 * warnings, which do not. Each is one line for a person,
 * `file:line: section.key: what is wrong, what was expected`.
 */
#ifndef PROXY_CONFIG_REPORT_H
#define PROXY_CONFIG_REPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* Behind so many notes the rest is only counted. */
#define REPORT_NOTES_CAP 200

enum report_kind { REPORT_MISTAKE, REPORT_WARNING };

struct report_note {
	enum report_kind kind;
	unsigned line;	 /* 0: of the whole file */
	size_t file_len; /* text begins with the file's name */
	size_t order;	 /* as it came */
	char *text;	 /* the whole line, no newline */
};

/* Zeroed is an empty report. notes[0..count) may be read by anyone. */
struct report {
	struct report_note *notes;
	size_t count;
	size_t cap;
	size_t mistakes; /* seen, noted or not */
	size_t unnoted;	 /* found no room */
};

/*
 * Adds one note. `file` is printed in front; line 0 is not printed. Control
 * characters in the text become `?`. A note for which there is no memory is
 * counted all the same.
 */
void report_add(struct report *r, enum report_kind kind, const char *file,
		unsigned line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void report_vadd(struct report *r, enum report_kind kind, const char *file,
		 unsigned line, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

/* Orders the notes by file and line; those of one line stay as they came. */
void report_sort(struct report *r);

/* Prints all notes, one a line. */
void report_print(const struct report *r, FILE *out);

/* Frees the notes and makes the report empty again. */
void report_free(struct report *r);

#endif
