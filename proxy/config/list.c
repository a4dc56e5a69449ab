#include "proxy/config/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A larger file is surely not a list that somebody meant. */
#define FILE_BYTES_MAX (64 << 20)

/* What all steps down from list_each() need. */
struct walk {
	const struct tree *tree;
	const struct tree_section *section;
	enum list_commas commas;
	void (*take)(void *ctx, const struct list_item *item);
	void *ctx;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One item of the list, after trimming; an empty one is a mistake. */
static void
give_item(const struct walk *w, const char *text, size_t len,
	  const struct tree_entry *place)
{
	while (len > 0 && is_blank(*text)) {
		text++;
		len--;
	}
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	if (len == 0) {
		tree_note(w->tree, REPORT_MISTAKE, w->section, place,
			  "has an empty item, expected something between "
			  "and behind the commas");
		return;
	}
	struct list_item item = {.text = text, .len = len, .place = place};
	w->take(w->ctx, &item);
}

/* Gives each part of text[0..len) to `give`. */
static void
split(const struct walk *w, const char *text, size_t len,
      const struct tree_entry *place,
      void (*give)(const struct walk *w, const char *text, size_t len,
		   const struct tree_entry *place))
{
	const char *end = text + len;
	const char *comma;

	while (w->commas == LIST_COMMAS &&
	       (comma = memchr(text, ',', (size_t)(end - text))) != NULL) {
		give(w, text, (size_t)(comma - text), place);
		text = comma + 1;
	}
	give(w, text, (size_t)(end - text), place);
}

/* The length without a comment: `;` or `#` at the start or behind a blank. */
static size_t
comment_start(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((line[i] == ';' || line[i] == '#') &&
		    (i == 0 || is_blank(line[i - 1])))
			return i;
	}
	return len;
}

static bool
is_all_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_blank(text[i]))
			return false;
	}
	return true;
}

static void
read_lines(const struct walk *w, FILE *in, struct tree_entry place)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t got;

	errno = 0;
	while ((got = getline(&line, &cap, in)) >= 0) {
		size_t len = comment_start(line, (size_t)got);
		place.line++;
		if (!is_all_blank(line, len))
			split(w, line, len, &place, give_item);
	}
	if (ferror(in) || errno == ENOMEM)
		tree_note(w->tree, REPORT_MISTAKE, w->section, &place,
			  "cannot be read: %s", strerror(errno));
	free(line);
}

/* Why an opened file cannot be a list, or NULL. */
static const char *
unfit_reason(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_size > FILE_BYTES_MAX)
		return "larger than 64 MB";
	return NULL;
}

/*
 * Opens a list for reading; NULL and *reason otherwise. Without O_NONBLOCK a
 * FIFO would keep us waiting for its writer.
 */
static FILE *
open_list(const char *path, const char **reason)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	FILE *in = NULL;

	*reason = fd < 0 ? strerror(errno) : unfit_reason(fd);
	if (*reason == NULL) {
		in = fdopen(fd, "r");
		if (in == NULL)
			*reason = strerror(errno);
	}
	if (in == NULL && fd >= 0)
		close(fd);
	return in;
}

static void
read_file(const struct walk *w, const char *path,
	  const struct tree_entry *place)
{
	const char *reason;
	FILE *in = open_list(path, &reason);

	if (in == NULL) {
		tree_note(w->tree, REPORT_MISTAKE, w->section, place,
			  "cannot read \"@%.160s\": %s", path, reason);
		return;
	}
	read_lines(w, in, (struct tree_entry){.key = place->key, .file = path});
	fclose(in);
}

/* An item of the entry itself, which may be a file of items. */
static void
give_item_or_file(const struct walk *w, const char *text, size_t len,
		  const struct tree_entry *place)
{
	char *path;

	while (len > 0 && is_blank(*text)) {
		text++;
		len--;
	}
	if (len == 0 || *text != '@') {
		give_item(w, text, len, place);
		return;
	}
	while (len > 1 && is_blank(text[len - 1]))
		len--;
	path = arena_text(w->tree->arena, text + 1, len - 1);
	if (path == NULL)
		return;
	if (path[0] == '/')
		read_file(w, path, place);
	else
		tree_note(w->tree, REPORT_MISTAKE, w->section, place,
			  "\"@%.160s\" cannot be found, expected @ and an "
			  "absolute path",
			  path);
}

void
list_each(const struct tree *tree, const struct tree_section *section,
	  const struct tree_entry *entry, enum list_commas commas,
	  void (*take)(void *ctx, const struct list_item *item), void *ctx)
{
	struct walk w = {
	    .tree = tree,
	    .section = section,
	    .commas = commas,
	    .take = take,
	    .ctx = ctx,
	};

	if (*entry->value == '\0') {
		tree_note(tree, REPORT_MISTAKE, section, entry,
			  "is empty, expected at least one item");
		return;
	}
	split(&w, entry->value, strlen(entry->value), entry, give_item_or_file);
}
