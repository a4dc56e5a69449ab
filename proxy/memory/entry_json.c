#include "proxy/memory/entry_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/admin/escape.h"

#define COUNT_MAX 1e9

static json_t *
sketch_json(const struct ledger_row *row)
{
	char text[2][17];

	for (size_t i = 0; i < 2; i++)
		(void)snprintf(text[i], sizeof(text[i]), "%016" PRIx64,
			       row->sketch[i]);
	return json_pack("[ss]", text[0], text[1]);
}

json_t *
entry_json(const struct ledger_entry *entry)
{
	const struct ledger_row *row = &entry->row;
	json_t *json = json_pack(
	    "{ss so}", "kind", ledger_kind_name((enum ledger_kind)entry->kind),
	    "name", escape_json(entry->text, entry->len));
	json_t *rest;

	for (size_t i = 0; i < LEDGER_COUNTS && json != NULL; i++)
		(void)json_object_set_new(
		    json, ledger_count_name((enum ledger_count)i),
		    json_real((double)row->counts[i]));
	rest = json_pack("{sI sI si si so}", "seen", (json_int_t)row->stamp_s,
			 "delivered_at", (json_int_t)row->proof_s,
			 "proof_messages", (int)row->proof_messages,
			 "proof_sessions", (int)row->proof_sessions, "networks",
			 sketch_json(row));
	if (json == NULL || rest == NULL ||
	    json_object_update(json, rest) != 0) {
		json_decref(json);
		json = NULL;
	}
	json_decref(rest);
	return json;
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at *text, which moves on; -1: nothing that escape_text() says. */
static int
unescape(const char **text)
{
	const char *at = *text;

	if (at[0] < ' ' || at[0] > '~')
		return -1;
	*text = at + 1;
	if (at[0] != '\\')
		return at[0];
	*text = at + 2;
	if (at[1] == '\\')
		return '\\';
	if (at[1] != 'x' || digit(at[2]) < 0 || digit(at[3]) < 0)
		return -1;
	*text = at + 4;
	return digit(at[2]) << 4 | digit(at[3]);
}

static const char *
read_name(const json_t *json, struct ledger_entry *e)
{
	const char *text = json_string_value(json_object_get(json, "name"));

	if (text == NULL)
		return "there is no text \"name\"";
	while (*text != '\0') {
		int byte = unescape(&text);

		if (byte < 0)
			return "\"name\" has a byte that wants to be \\\\xNN";
		if (e->len == LEDGER_TEXT_CAP)
			return "\"name\" is longer than 94 bytes";
		e->text[e->len++] = (char)byte;
	}
	return NULL;
}

static const char *
read_kind(const json_t *json, struct ledger_entry *e)
{
	const char *text = json_string_value(json_object_get(json, "kind"));

	if (text == NULL)
		return "there is no text \"kind\"";
	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		if (strcmp(text, ledger_kind_name((enum ledger_kind)i)) == 0) {
			e->kind = (uint8_t)i;
			return NULL;
		}
	}
	return "\"kind\" is none that this tarryd knows";
}

static const char *
read_counts(const json_t *json, struct ledger_row *row)
{
	for (size_t i = 0; i < LEDGER_COUNTS; i++) {
		const json_t *count = json_object_get(
		    json, ledger_count_name((enum ledger_count)i));
		double value = json_number_value(count);

		if (count != NULL && !json_is_number(count))
			return "a count is no number";
		if (!(value >= 0 && value <= COUNT_MAX))
			return "a count is below 0, or too large";
		row->counts[i] = (float)value;
	}
	return NULL;
}

/* A whole number 0..max; 0 if it is missing; false if it is none. */
static bool
read_whole(const json_t *json, const char *name, json_int_t max,
	   json_int_t *out)
{
	const json_t *member = json_object_get(json, name);

	*out = json_integer_value(member);
	return (member == NULL || json_is_integer(member)) && *out >= 0 &&
	       *out <= max;
}

static const char *
read_times(const json_t *json, struct ledger_row *row)
{
	json_int_t seen;
	json_int_t delivered;
	json_int_t messages;
	json_int_t sessions;

	if (!read_whole(json, "seen", UINT32_MAX, &seen) ||
	    !read_whole(json, "delivered_at", UINT32_MAX, &delivered))
		return "a time is no whole number of seconds";
	if (!read_whole(json, "proof_messages", UINT8_MAX, &messages) ||
	    !read_whole(json, "proof_sessions", UINT8_MAX, &sessions))
		return "a proof is no whole number up to 255";
	row->stamp_s = (uint32_t)seen;
	row->proof_s = (uint32_t)delivered;
	row->proof_messages = (uint8_t)messages;
	row->proof_sessions = (uint8_t)sessions;
	return NULL;
}

static const char *
read_sketch(const json_t *json, struct ledger_row *row)
{
	const json_t *list = json_object_get(json, "networks");

	if (list == NULL)
		return NULL;
	for (size_t i = 0; i < 2; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text == NULL || strlen(text) != 16)
			return "\"networks\" is not two times 16 digits";
		for (size_t k = 0; k < 16; k++) {
			if (digit(text[k]) < 0)
				return "\"networks\" is not hexadecimal";
			row->sketch[i] =
			    row->sketch[i] << 4 | (uint64_t)digit(text[k]);
		}
	}
	return NULL;
}

const char *
entry_read(const json_t *json, struct ledger_entry *entry)
{
	const char *why;

	memset(entry, 0, sizeof(*entry));
	if (!json_is_object(json))
		return "that is no JSON object";
	why = read_kind(json, entry);
	if (why == NULL)
		why = read_name(json, entry);
	if (why == NULL)
		why = read_counts(json, &entry->row);
	if (why == NULL)
		why = read_times(json, &entry->row);
	return why == NULL ? read_sketch(json, &entry->row) : why;
}

static double
factor_of(const struct ledger_row *row, uint32_t half_life_s, uint32_t to_s)
{
	return to_s > row->stamp_s
		   ? ledger_decay(to_s - row->stamp_s, half_life_s)
		   : 1;
}

void
entry_merge(struct ledger_row *into, const struct ledger_row *from,
	    uint32_t half_life_s, uint32_t now_s)
{
	/* As of the later of the two, so that the same row twice is itself. */
	uint32_t to_s =
	    into->stamp_s > from->stamp_s ? into->stamp_s : from->stamp_s;
	double into_factor;
	double from_factor;

	if (to_s > now_s)
		to_s = now_s;
	into_factor = factor_of(into, half_life_s, to_s);
	from_factor = factor_of(from, half_life_s, to_s);
	for (size_t i = 0; i < LEDGER_COUNTS; i++) {
		double a = (double)into->counts[i] * into_factor;
		double b = (double)from->counts[i] * from_factor;

		into->counts[i] = (float)(a > b ? a : b);
	}
	into->stamp_s = to_s;
	if (from->proof_s > into->proof_s)
		into->proof_s = from->proof_s;
	if (from->proof_messages > into->proof_messages)
		into->proof_messages = from->proof_messages;
	if (from->proof_sessions > into->proof_sessions)
		into->proof_sessions = from->proof_sessions;
	for (size_t i = 0; i < 2; i++)
		into->sketch[i] |= from->sketch[i];
}
