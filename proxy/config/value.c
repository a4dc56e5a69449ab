#include "proxy/config/value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MS_PER_S 1000u
#define MS_PER_M (60u * MS_PER_S)
#define MS_PER_H (60u * MS_PER_M)
#define MS_PER_D (24u * MS_PER_H)

struct unit {
	const char *name;
	uint32_t factor;
};

static const struct unit durations[] = {
    {"d", MS_PER_D}, {"h", MS_PER_H}, {"m", MS_PER_M},
    {"s", MS_PER_S}, {"ms", 1},
};

static const struct unit sizes[] = {
    {"G", 1u << 30}, {"M", 1u << 20}, {"k", 1u << 10}, {"", 1}};

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

bool
value_fails(struct value_why *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return false;
}

/*
 * The digits at the start, as a number that stops at a large value instead of
 * overflowing. Returns what stands behind, or NULL if there are no digits.
 */
static const char *
read_digits(const char *text, uint64_t *value)
{
	const char *at = text;

	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (*value < UINT32_MAX)
			*value = *value * 10 + (uint64_t)(*at - '0');
	}
	return at == text ? NULL : at;
}

static const struct unit *
find_unit(const struct unit *units, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(units[i].name, name) == 0)
			return &units[i];
	}
	return NULL;
}

static bool
duration_out_of_bounds(const char *text, uint32_t min_ms, uint32_t max_ms,
		       bool is_long, struct value_why *why)
{
	char min[VALUE_TEXT_CAP];
	char max[VALUE_TEXT_CAP];

	value_duration_text(min_ms, min);
	value_duration_text(max_ms, max);
	return value_fails(why, "\"%.60s\" is too %s, expected %s to %s", text,
			   is_long ? "long" : "short", min, max);
}

bool
value_duration(const char *text, uint32_t min_ms, uint32_t max_ms, uint32_t *ms,
	       struct value_why *why)
{
	uint64_t value;
	const char *rest = read_digits(text, &value);
	const struct unit *unit;

	if (rest == NULL)
		return value_fails(why,
				   "\"%.60s\" is no duration, expected a "
				   "number and ms, s, m, h or d, such as 5s",
				   text);
	if (*rest == '\0' && value > 0)
		return value_fails(why,
				   "\"%.60s\" has no unit, expected a "
				   "duration such as %.20ss (ms, s, m, h, d)",
				   text, text);
	unit = find_unit(durations, COUNT_OF(durations),
			 *rest == '\0' ? "s" : rest);
	if (unit == NULL)
		return value_fails(why,
				   "\"%.60s\" has no known unit, expected ms, "
				   "s, m, h or d, without a blank or a point",
				   text);
	if (value > max_ms / unit->factor)
		return duration_out_of_bounds(text, min_ms, max_ms, true, why);
	*ms = (uint32_t)value * unit->factor; /* <= max_ms */
	if (*ms < min_ms)
		return duration_out_of_bounds(text, min_ms, max_ms, false, why);
	return true;
}

bool
value_size(const char *text, uint32_t min_bytes, uint32_t max_bytes,
	   uint32_t *bytes, struct value_why *why)
{
	uint64_t value;
	const char *rest = read_digits(text, &value);
	const struct unit *unit =
	    rest == NULL ? NULL : find_unit(sizes, COUNT_OF(sizes), rest);

	if (unit == NULL)
		return value_fails(why,
				   "\"%.60s\" is no size, expected a number "
				   "of bytes, or with k, M or G, such as 64k",
				   text);
	if (value > max_bytes / unit->factor ||
	    value * unit->factor < min_bytes)
		return value_fails(why,
				   "\"%.60s\" is out of bounds, expected "
				   "%" PRIu32 " to %" PRIu32 " bytes",
				   text, min_bytes, max_bytes);
	*bytes = (uint32_t)(value * unit->factor); /* <= max_bytes */
	return true;
}

bool
value_percent(const char *text, uint32_t min, uint32_t max, uint32_t *percent,
	      struct value_why *why)
{
	uint64_t value;
	const char *rest = read_digits(text, &value);

	if (rest == NULL || strcmp(rest, "%") != 0 || value < min ||
	    value > max)
		return value_fails(why,
				   "\"%.60s\" is no percentage, expected "
				   "%" PRIu32 "%% to %" PRIu32 "%%",
				   text, min, max);
	*percent = (uint32_t)value; /* <= max */
	return true;
}

bool
value_count(const char *text, uint32_t min, uint32_t max, uint32_t *count,
	    struct value_why *why)
{
	uint64_t value;
	const char *rest = read_digits(text, &value);

	if (rest == NULL || *rest != '\0')
		return value_fails(why,
				   "\"%.60s\" is no number, expected %" PRIu32
				   " to %" PRIu32,
				   text, min, max);
	if (min == max && value != min)
		return value_fails(why,
				   "%.60s is not built in this version, "
				   "expected %" PRIu32,
				   text, min);
	if (value < min || value > max)
		return value_fails(why,
				   "%.60s is out of bounds, expected %" PRIu32
				   " to %" PRIu32,
				   text, min, max);
	*count = (uint32_t)value; /* <= max */
	return true;
}

bool
value_points(const char *text, uint32_t max, int32_t *points,
	     struct value_why *why)
{
	bool is_negative = *text == '-';
	uint32_t count;

	if (!value_count(text + is_negative, 0, max, &count, why))
		return value_fails(why,
				   "\"%.60s\" is no number of points, expected "
				   "-%" PRIu32 " to %" PRIu32,
				   text, max, max);
	*points = (int32_t)count; /* <= max, which is small */
	if (is_negative)
		*points = -*points;
	return true;
}

bool
value_flag(const char *text, bool *flag, struct value_why *why)
{
	*flag = strcmp(text, "yes") == 0;
	if (!*flag && strcmp(text, "no") != 0)
		return value_fails(why,
				   "\"%.60s\" is unknown, expected yes "
				   "or no",
				   text);
	return true;
}

/* One end of a range, text[0..len); nothing leaves *value as it is. */
static bool
range_end(const char *text, size_t len, uint64_t *value)
{
	uint64_t number;
	const char *rest;

	if (len == 0)
		return true;
	rest = read_digits(text, &number);
	if (rest == NULL || rest != text + len)
		return false;
	*value = number;
	return true;
}

bool
value_range(const char *text, uint32_t min, uint32_t max, uint32_t *low,
	    uint32_t *high, struct value_why *why)
{
	const char *dots = strstr(text, "..");
	size_t len = strlen(text);
	uint64_t a = min;
	uint64_t b = max;
	bool is_read;

	if (dots == NULL) {
		is_read = len > 0 && range_end(text, len, &a);
		b = a;
	} else {
		size_t a_len = (size_t)(dots - text);
		is_read = len > 2 && range_end(text, a_len, &a) &&
			  range_end(dots + 2, len - a_len - 2, &b);
	}
	if (!is_read)
		return value_fails(why,
				   "\"%.60s\" is no range, expected a "
				   "number, a..b, a.. or ..b",
				   text);
	if (a > b)
		return value_fails(why,
				   "\"%.60s\" is empty, expected the "
				   "smaller number first",
				   text);
	if (a < min || b > max)
		return value_fails(why,
				   "\"%.60s\" is out of bounds, expected "
				   "%" PRIu32 "..%" PRIu32,
				   text, min, max);
	*low = (uint32_t)a; /* both within min..max */
	*high = (uint32_t)b;
	return true;
}

/* An IPv6 address that, with its last number taken for a port, is one too. */
static bool
is_colon_port(const char *text, const char *colon)
{
	struct addr bare;

	return colon != NULL && addr_parse_ip(&bare, text, strlen(text)) &&
	       bare.family == 6 &&
	       addr_parse_ip(&bare, text, (size_t)(colon - text)) &&
	       colon[1 + strspn(colon + 1, "0123456789")] == '\0';
}

bool
value_address(const char *text, uint16_t min_port, struct addr *a,
	      struct value_why *why)
{
	const char *colon = strrchr(text, ':');
	struct addr bare;
	size_t len = strlen(text);

	if (addr_parse(a, text, len) && a->port >= min_port)
		return true;
	if (is_colon_port(text, colon))
		return value_fails(why,
				   "\"%.60s\" has no port, expected [%.*s]%s, "
				   "or [%.60s]:PORT",
				   text, (int)(colon - text), text, colon,
				   text);
	if (addr_parse_ip(&bare, text, len))
		return value_fails(why,
				   "\"%.60s\" has no port, expected %s%.60s%s"
				   ":PORT",
				   text, bare.family == 6 ? "[" : "", text,
				   bare.family == 6 ? "]" : "");
	return value_fails(why,
			   "\"%.60s\" is no address with port, expected "
			   "one such as 192.0.2.1:25 or [2001:db8::1]:25 "
			   "(names are not looked up)",
			   text);
}

/*
 * The network that was meant by an address with bits behind its prefix, as
 * text; false if that is not what is wrong.
 */
static bool
mend_net(const char *text, size_t len, char out[ADDR_TEXT_CAP])
{
	const char *slash = memchr(text, '/', len);
	struct addr a;
	uint64_t bits;
	unsigned first;

	if (slash == NULL || !addr_parse_ip(&a, text, (size_t)(slash - text)) ||
	    !range_end(slash + 1, len - (size_t)(slash + 1 - text), &bits) ||
	    slash + 1 == text + len)
		return false;
	first = a.family == 4 ? 96 : 0;
	if (bits + first > 128)
		return false;
	for (unsigned i = first + (unsigned)bits; i < 128; i++)
		a.ip[i / 8] &= (uint8_t) ~(0x80u >> i % 8); /* one byte */
	addr_ip_text(&a, out, ADDR_TEXT_CAP);
	return true;
}

bool
value_net(const char *text, size_t len, struct net *n, struct value_why *why)
{
	char meant[ADDR_TEXT_CAP];
	int shown = len < 60 ? (int)len : 60;

	if (net_parse(n, text, len))
		return true;
	if (mend_net(text, len, meant))
		return value_fails(why,
				   "\"%.*s\" has bits behind its prefix, "
				   "expected %s%.*s",
				   shown, text, meant,
				   shown - (int)strcspn(text, "/"),
				   text + strcspn(text, "/"));
	return value_fails(why,
			   "\"%.*s\" is no network, expected one such as "
			   "192.0.2.0/24, 2001:db8::/32 or an address",
			   shown, text);
}

/*
 * Calls the words one by one: copies the word at *words into out without its
 * `!`, moves *words behind it. False at the end.
 */
static bool
next_word(const char **words, char out[VALUE_TEXT_CAP], bool *is_built)
{
	size_t len;

	while (**words == ' ')
		(*words)++;
	*is_built = **words != '!';
	if (!*is_built)
		(*words)++;
	len = strcspn(*words, " ");
	if (len == 0 || len >= VALUE_TEXT_CAP)
		return false;
	memcpy(out, *words, len);
	out[len] = '\0';
	*words += len;
	return true;
}

bool
value_is_word(const char *text, const char *words, bool *is_built)
{
	char word[VALUE_TEXT_CAP];

	while (next_word(&words, word, is_built)) {
		if (strcmp(word, text) == 0)
			return true;
	}
	return false;
}

void
value_word(const char *words, unsigned index, char out[VALUE_TEXT_CAP])
{
	bool is_built;

	do {
		if (!next_word(&words, out, &is_built)) {
			out[0] = '\0';
			return;
		}
	} while (index-- > 0);
}

/* "a, b or c": the words that are built; the others stand behind them. */
static void
list_words(const char *words, char *out, size_t cap)
{
	char word[VALUE_TEXT_CAP];
	char next[VALUE_TEXT_CAP];
	size_t used = 0;
	bool is_built;
	bool has_word = next_word(&words, word, &is_built) && is_built;

	out[0] = '\0';
	while (has_word) {
		has_word = next_word(&words, next, &is_built) && is_built;
		const char *gap = used == 0 ? "" : has_word ? ", " : " or ";
		int n = snprintf(out + used, cap - used, "%s%s", gap, word);
		if (n < 0 || (size_t)n >= cap - used)
			return;
		used += (size_t)n;
		memcpy(word, next, sizeof(word));
	}
}

bool
value_choice(const char *text, const char *words, unsigned *index,
	     struct value_why *why)
{
	char word[VALUE_TEXT_CAP];
	char list[VALUE_WHY_CAP / 2];
	const char *at = words;
	bool is_built;

	list_words(words, list, sizeof(list));
	for (*index = 0; next_word(&at, word, &is_built); (*index)++) {
		if (strcmp(word, text) != 0)
			continue;
		if (is_built)
			return true;
		return value_fails(why,
				   "\"%.60s\" is not built in this version, "
				   "expected %s",
				   text, list);
	}
	return value_fails(why, "\"%.60s\" is unknown, expected %s", text,
			   list);
}

void
value_duration_text(uint32_t ms, char out[VALUE_TEXT_CAP])
{
	const struct unit *unit = durations;

	if (ms == 0) {
		memcpy(out, "0s", sizeof("0s"));
		return;
	}
	while (ms % unit->factor != 0)
		unit++;
	snprintf(out, VALUE_TEXT_CAP, "%" PRIu32 "%s", ms / unit->factor,
		 unit->name);
}

void
value_size_text(uint32_t bytes, char out[VALUE_TEXT_CAP])
{
	const struct unit *unit = sizes;

	while (bytes == 0 ? unit->factor > 1 : bytes % unit->factor != 0)
		unit++;
	snprintf(out, VALUE_TEXT_CAP, "%" PRIu32 "%s", bytes / unit->factor,
		 unit->name);
}
