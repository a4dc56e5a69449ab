/*
 * Notes are kept until the whole file has been read: several passes look at
 * it, and a person wants what they found in the order of the lines.
 */
#include "proxy/config/report.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* "file:line: " or "file: ", and "warning: "; owned by the caller. */
static char *
prefix_text(enum report_kind kind, const char *file, unsigned line)
{
	const char *word = kind == REPORT_WARNING ? "warning: " : "";
	char *text = NULL;
	int rc;

	if (line > 0)
		rc = asprintf(&text, "%s:%u: %s", file, line, word);
	else
		rc = asprintf(&text, "%s: %s", file, word);
	return rc < 0 ? NULL : text;
}

static void
mask_controls(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

/* The whole line; owned by the caller. NULL without memory. */
__attribute__((format(printf, 4, 0))) static char *
note_text(enum report_kind kind, const char *file, unsigned line,
	  const char *format, va_list args)
{
	char *prefix = prefix_text(kind, file, line);
	char *rest = NULL;
	char *text = NULL;

	if (vasprintf(&rest, format, args) < 0)
		rest = NULL;
	if (prefix != NULL && rest != NULL &&
	    asprintf(&text, "%s%s", prefix, rest) < 0)
		text = NULL;
	free(prefix);
	free(rest);
	if (text != NULL)
		mask_controls(text);
	return text;
}

static bool
has_room(struct report *r)
{
	struct report_note *moved;
	size_t cap = r->cap == 0 ? 8 : 2 * r->cap;

	if (r->count < r->cap)
		return true;
	if (r->count >= REPORT_NOTES_CAP)
		return false;
	moved = realloc(r->notes, cap * sizeof(*moved));
	if (moved == NULL)
		return false;
	r->notes = moved;
	r->cap = cap < REPORT_NOTES_CAP ? cap : REPORT_NOTES_CAP;
	return true;
}

void
report_vadd(struct report *r, enum report_kind kind, const char *file,
	    unsigned line, const char *format, va_list args)
{
	char *text = NULL;

	if (kind == REPORT_MISTAKE)
		r->mistakes++;
	if (has_room(r))
		text = note_text(kind, file, line, format, args);
	if (text == NULL) {
		r->unnoted++;
		return;
	}
	r->notes[r->count] = (struct report_note){
	    .kind = kind,
	    .line = line,
	    .file_len = strlen(file),
	    .order = r->count,
	    .text = text,
	};
	r->count++;
}

void
report_add(struct report *r, enum report_kind kind, const char *file,
	   unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_vadd(r, kind, file, line, format, args);
	va_end(args);
}

static int
compare_notes(const void *left, const void *right)
{
	const struct report_note *a = left;
	const struct report_note *b = right;
	size_t len = a->file_len < b->file_len ? a->file_len : b->file_len;
	int by_file = strncmp(a->text, b->text, len);

	if (by_file != 0)
		return by_file;
	if (a->file_len != b->file_len)
		return a->file_len < b->file_len ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

void
report_sort(struct report *r)
{
	if (r->count > 1)
		qsort(r->notes, r->count, sizeof(*r->notes), compare_notes);
}

void
report_print(const struct report *r, FILE *out)
{
	for (size_t i = 0; i < r->count; i++)
		fprintf(out, "%s\n", r->notes[i].text);
	if (r->unnoted > 0)
		fprintf(out, "and %zu more\n", r->unnoted);
}

void
report_free(struct report *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->notes[i].text);
	free(r->notes);
	*r = (struct report){0};
}
