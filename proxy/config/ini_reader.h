/*
 * Lines for inih.
 *
 * inih cuts what is longer than its buffer, glues an indented line to the key
 * above, takes `:` for `=`, and says nothing of a section without keys. This
 * reader gives it only lines `key = value` that can be read in one way, tells
 * of the sections itself, says what is wrong with all other lines, and knows
 * which line the handler is looking at.
 */
#ifndef PROXY_CONFIG_INI_READER_H
#define PROXY_CONFIG_INI_READER_H

#include <stddef.h>
#include <stdio.h>

struct report;

/* The longest line that inih takes whole, without its end. */
#define INI_READER_LINE_MAX 198
/* The longest section header or key that inih takes whole. */
#define INI_READER_NAME_MAX 49

struct ini_reader {
	FILE *in;
	const char *file; /* for mistakes */
	struct report *report;
	/*
	 * Called for each section header: the text between the brackets,
	 * trimmed; or NULL for one that could not be read, so that the keys
	 * below it are not taken for the section above. May be NULL.
	 */
	void (*on_section)(void *ctx, const char *text);
	void *ctx;
	/* Zeroed at the start. */
	unsigned line; /* number of the line given out last */
	int error;     /* negative errno, once reading has failed */
	char *text;
	size_t cap;
};

/*
 * The next key line, with its newline, into out[0..cap): the ini_reader of
 * inih, with a struct ini_reader as the stream. NULL at the end and once
 * `error` is set. Comments, inline ones too, are left out.
 */
char *ini_reader_next(char *out, int cap, void *reader);

/* Frees the line buffer. The file stays open. */
void ini_reader_free(struct ini_reader *reader);

#endif
