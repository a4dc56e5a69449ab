#include "proxy/evidence/verdict_line.h"

#include <jansson.h>
#include <string.h>

static const char *const verdicts[] = {
#define VERDICT(id, name, help) name,
#include "tarry/verdict.def"
};

static const char *const sources[] = {
#define VERDICT_SOURCE(id, name, help) name,
#include "tarry/verdict.def"
};

/* 9999-12-31: what is beyond is no time, and its milliseconds fit. */
#define TIME_MAX 253402300799.0

const char *
verdict_name(enum verdict verdict)
{
	return verdicts[verdict];
}

const char *
verdict_source_name(enum verdict_source source)
{
	return sources[source];
}

/* The place of a JSON text in a list of words, or `count`. */
static size_t
word(const json_t *text, const char *const *words, size_t count)
{
	size_t i = 0;

	while (i < count && strcmp(json_string_value(text), words[i]) != 0)
		i++;
	return i;
}

static const char *
read_words(struct verdict_line *out, const json_t *line)
{
	const json_t *verdict = json_object_get(line, "verdict");
	const json_t *source = json_object_get(line, "source");
	size_t which;

	if (!json_is_string(verdict))
		return "verdict is not there, or no text";
	which = word(verdict, verdicts, VERDICT_COUNT);
	if (which == VERDICT_COUNT)
		return "verdict is none of those known";
	out->verdict = (enum verdict)which;
	out->source = VERDICT_SOURCE_OTHER;
	if (source == NULL)
		return NULL;
	if (!json_is_string(source))
		return "source is no text";
	which = word(source, sources, VERDICT_SOURCE_COUNT);
	if (which == VERDICT_SOURCE_COUNT)
		return "source is none of those known";
	out->source = (enum verdict_source)which;
	return NULL;
}

static bool
is_id(const char *text, size_t len)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz0123456789-_.";

	return len > 0 && len <= VERDICT_ID_CAP && strspn(text, good) == len;
}

static const char *
read_who(struct verdict_line *out, const json_t *line)
{
	const json_t *client = json_object_get(line, "client");
	const json_t *id = json_object_get(line, "id");

	if (client == NULL && id == NULL)
		return "there is neither client nor id";
	if (client != NULL &&
	    (!json_is_string(client) ||
	     !addr_parse(&out->client, json_string_value(client),
			 json_string_length(client)) ||
	     out->client.port == 0))
		return "client is no address with a port";
	if (id == NULL)
		return NULL;
	if (!json_is_string(id) ||
	    !is_id(json_string_value(id), json_string_length(id)))
		return "id is no queue id";
	memcpy(out->id, json_string_value(id), json_string_length(id) + 1);
	return NULL;
}

static const char *
read_time(struct verdict_line *out, const json_t *line)
{
	const json_t *time = json_object_get(line, "time");
	double s;

	if (time == NULL)
		return NULL;
	s = json_number_value(time);
	if (!json_is_number(time) || !(s > 0.0 && s < TIME_MAX))
		return "time is no number of seconds since 1970";
	out->unix_ms = (uint64_t)(s * 1000.0);
	return NULL;
}

static const char *
read_object(struct verdict_line *out, const json_t *line)
{
	const char *why;

	if (!json_is_object(line))
		return "it is no JSON object";
	why = read_words(out, line);
	if (why == NULL)
		why = read_who(out, line);
	if (why == NULL)
		why = read_time(out, line);
	return why;
}

const char *
verdict_line_read(struct verdict_line *out, const char *bytes, size_t len)
{
	char ascii[VERDICT_LINE_CAP];
	const char *why;
	json_t *line;

	memset(out, 0, sizeof(*out));
	if (len > sizeof(ascii))
		return "it is too long";
	/* Members that we pass over may be in any character set, which jansson
	 * would refuse the line for. No word that we know is concerned. */
	for (size_t i = 0; i < len; i++)
		ascii[i] = (unsigned char)bytes[i] < 0x80 ? bytes[i] : '?';
	line = json_loadb(ascii, len, JSON_REJECT_DUPLICATES, NULL);
	if (line == NULL)
		return "it is not JSON";
	why = read_object(out, line);
	json_decref(line);
	return why;
}
