/*
 * See state_file.h: the table `notes`. Their numbers stand there as a list in
 * JSON, which SQLite can take apart for whoever asks.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/memory/state_file_parts.h"

/* The digits of a number, and a comma. */
#define NUMBER_CAP 11

const char state_file_put_note_sql[] =
    "INSERT OR REPLACE INTO notes VALUES(?, ?, ?, ?, ?)";

/* "[1,2]"; NULL without memory. */
static char *
print_numbers(const struct state_note *note)
{
	char *text = malloc(note->count * NUMBER_CAP + 3);
	char *at = text;

	if (text == NULL)
		return NULL;
	*at++ = '[';
	for (size_t i = 0; i < note->count; i++)
		at += sprintf(at, "%s%" PRIu32, i > 0 ? "," : "",
			      note->numbers[i]);
	memcpy(at, "]", 2);
	return text;
}

/* How many; STATE_NOTE_NUMBERS + 1: it is no such list. */
static size_t
read_numbers(const char *text, uint32_t numbers[STATE_NOTE_NUMBERS])
{
	const size_t wrong = STATE_NOTE_NUMBERS + 1;
	size_t count = 0;

	if (strcmp(text, "[]") == 0)
		return 0;
	for (char c = '['; c != ']'; count++) {
		unsigned long long n;
		char *end;

		if (count == STATE_NOTE_NUMBERS || text[0] != c ||
		    text[1] < '0' || text[1] > '9')
			return wrong;
		errno = 0;
		n = strtoull(text + 1, &end, 10);
		if (errno != 0 || n > UINT32_MAX)
			return wrong;
		numbers[count] = (uint32_t)n;
		text = end;
		c = text[0] == ']' ? ']' : ',';
	}
	return text[1] == '\0' ? count : wrong;
}

int
state_file_put_note(struct state_file *f, const struct state_note *note)
{
	sqlite3_stmt *s = f->put_note;
	char *text = print_numbers(note);
	int rc = SQLITE_NOMEM;

	if (text != NULL) {
		sqlite3_bind_text(s, 1, note->kind, -1, SQLITE_STATIC);
		sqlite3_bind_int64(s, 2, note->at);
		sqlite3_bind_int64(s, 3, note->slot);
		sqlite3_bind_text(s, 4, note->name, -1, SQLITE_STATIC);
		sqlite3_bind_text(s, 5, text, -1, SQLITE_STATIC);
		rc = sqlite3_step(s);
	}
	rc = rc == SQLITE_DONE ? 0 : state_file_fail(f, rc);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	free(text);
	if (rc != 0)
		state_file_roll_back(f);
	return rc;
}

int
state_file_drop_notes(struct state_file *f, const char *kind, int64_t before)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(
	    f->db, "DELETE FROM notes WHERE kind = ? AND at < ?", -1, &s, NULL);

	if (rc == SQLITE_OK) {
		sqlite3_bind_text(s, 1, kind, -1, SQLITE_STATIC);
		sqlite3_bind_int64(s, 2, before);
		rc = sqlite3_step(s);
	}
	rc = rc == SQLITE_DONE ? 0 : state_file_fail(f, rc);
	sqlite3_finalize(s);
	if (rc != 0)
		state_file_roll_back(f);
	return rc;
}

static void
read_note(sqlite3_stmt *s, struct state_note *note, uint32_t *numbers,
	  state_file_note_fn *take, void *ctx)
{
	const unsigned char *name = sqlite3_column_text(s, 2);
	const unsigned char *value = sqlite3_column_text(s, 3);
	int64_t slot = sqlite3_column_int64(s, 1);

	if (name == NULL || value == NULL || slot < 0 || slot > UINT32_MAX)
		return;
	note->at = sqlite3_column_int64(s, 0);
	note->slot = (uint32_t)slot;
	note->name = (const char *)name;
	note->numbers = numbers;
	note->count = read_numbers((const char *)value, numbers);
	if (note->count <= STATE_NOTE_NUMBERS)
		take(ctx, note);
}

int
state_file_load_notes(struct state_file *f, const char *kind,
		      state_file_note_fn *take, void *ctx)
{
	struct state_note note = {.kind = kind};
	uint32_t *numbers = malloc(STATE_NOTE_NUMBERS * sizeof(*numbers));
	sqlite3_stmt *s = NULL;
	int rc = SQLITE_NOMEM;

	f->deadline_ms = state_file_clock_ms() + STATE_FILE_LOAD_MS;
	if (numbers != NULL)
		rc = sqlite3_prepare_v2(f->db,
					"SELECT at, slot, name, value FROM "
					"notes WHERE kind = ? "
					"ORDER BY at, slot",
					-1, &s, NULL);
	if (rc == SQLITE_OK)
		sqlite3_bind_text(s, 1, kind, -1, SQLITE_STATIC);
	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		read_note(s, &note, numbers, take, ctx);
		rc = SQLITE_OK;
	}
	f->deadline_ms = 0;
	rc = rc == SQLITE_DONE ? 0 : state_file_fail(f, rc);
	sqlite3_finalize(s);
	free(numbers);
	return rc;
}
