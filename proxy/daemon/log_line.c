/*
 * See log_line.h. Fields go into a fixed text; room for the closing quote,
 * brace and newline is kept back from the first byte on, so that no input
 * can leave a line unfinished.
 *
 * Not by a JSON library: this runs on the worker once a session, and the one
 * in Debian drops values that are not UTF-8 without a word.
 */
#include "proxy/daemon/log_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* For `"`, two `}` and the newline. */
#define TAIL 4

static size_t
room(const struct log_line *l)
{
	size_t most = LOG_LINE_CAP - TAIL;

	return l->len < most ? most - l->len : 0;
}

static void
put(struct log_line *l, const char *bytes, size_t len)
{
	if (len > room(l))
		return;
	memcpy(l->text + l->len, bytes, len);
	l->len += len;
}

static const char hex[] = "0123456789abcdef";

/* One byte as it is shown; returns the length, 6 at most. */
static size_t
escape(bool is_json, uint8_t c, char out[6])
{
	size_t n = 0;

	if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
		out[0] = (char)c;
		return 1;
	}
	if (c == '"') {
		out[0] = '\\';
		out[1] = '"';
		return 2;
	}
	out[n++] = '\\';
	if (is_json)
		out[n++] = '\\';
	if (c == '\\') {
		out[n++] = '\\';
		if (is_json)
			out[n++] = '\\';
		return n;
	}
	out[n++] = 'x';
	out[n++] = hex[c >> 4];
	out[n++] = hex[c & 15];
	return n;
}

/* A logfmt value stands bare if nothing in it could end or quote it. */
static bool
is_bare(const char *value, size_t len)
{
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)value[i];

		if (c <= 0x20 || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return true;
}

/* Puts `,"key":` or ` key=`; false if there is no room for a value too. */
static bool
put_key(struct log_line *l, const char *key)
{
	size_t len = strlen(key);

	if (room(l) < len + 4 + 32)
		return false;
	if (l->is_json) {
		bool is_first = l->text[l->len - 1] == '{';

		put(l, is_first ? "\"" : ",\"", is_first ? 1 : 2);
		put(l, key, len);
		put(l, "\":", 2);
	} else {
		put(l, " ", l->len > 0);
		put(l, key, len);
		put(l, "=", 1);
	}
	return true;
}

void
log_line_text(struct log_line *l, const char *key, const char *value,
	      size_t cap)
{
	size_t len;

	if (value == NULL || !put_key(l, key))
		return;
	len = strnlen(value, cap);
	if (!l->is_json && is_bare(value, len) && len <= room(l)) {
		put(l, value, len);
		return;
	}
	put(l, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		char shown[6];
		size_t n = escape(l->is_json, (uint8_t)value[i], shown);

		if (n > room(l))
			break;
		put(l, shown, n);
	}
	l->text[l->len++] = '"'; /* TAIL keeps this byte free */
}

void
log_line_number(struct log_line *l, const char *key, uint64_t value)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%" PRIu64, value);

	if (put_key(l, key))
		put(l, digits, (size_t)n);
}

void
log_line_flag(struct log_line *l, const char *key, bool is_set)
{
	if (!is_set || !put_key(l, key))
		return;
	if (l->is_json)
		put(l, "true", 4);
	else
		put(l, "yes", 3);
}

bool
log_line_raw(struct log_line *l, const char *key, const char *json, size_t len)
{
	size_t was = l->len;

	if (!put_key(l, key))
		return false;
	if (len > room(l)) {
		l->len = was;
		return false;
	}
	put(l, json, len);
	return true;
}

void
log_line_object(struct log_line *l, const char *key)
{
	l->is_inside = put_key(l, key);
	if (l->is_inside)
		put(l, "{", 1);
}

void
log_line_object_end(struct log_line *l)
{
	if (l->is_inside)
		l->text[l->len++] = '}'; /* TAIL keeps this byte free */
	l->is_inside = false;
}

void
log_line_hex(struct log_line *l, const char *key, const uint8_t *bytes,
	     size_t len)
{
	if (bytes == NULL || len == 0 || !put_key(l, key))
		return;
	if (l->is_json)
		put(l, "\"", 1);
	for (size_t i = 0; i < len && room(l) > 2; i++) {
		put(l, &hex[bytes[i] >> 4], 1);
		put(l, &hex[bytes[i] & 15], 1);
	}
	if (l->is_json)
		l->text[l->len++] = '"'; /* TAIL keeps this byte free */
}

void
log_line_begin(struct log_line *l, enum config_log_format format,
	       uint64_t unix_ms, const char *level)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm tm;
	char stamp[40];
	size_t n;

	l->len = 0;
	l->is_inside = false;
	l->is_json = format == CONFIG_LOG_JSON;
	if (l->is_json)
		put(l, "{", 1);
	gmtime_r(&seconds, &tm);
	n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + n, sizeof stamp - n, ".%03uZ",
		 (unsigned)(unix_ms % 1000));
	log_line_text(l, "ts", stamp, sizeof stamp);
	log_line_text(l, "level", level, LOG_PEER_CAP);
}

void
log_line_end(struct log_line *l)
{
	if (l->is_json)
		l->text[l->len++] = '}';
	l->text[l->len++] = '\n';
}

void
log_line_address(enum config_log_addresses how, const struct addr *a, char *out,
		 size_t cap)
{
	struct addr net = *a;
	size_t keep = a->family == 4 ? 15 : 6; /* bytes of ip[]: /24, /48 */
	size_t n;

	if (cap < ADDR_TEXT_CAP + 4) {
		if (cap > 0)
			out[0] = '\0';
		return;
	}
	if (how == CONFIG_LOG_NONE || a->family == 0) {
		memcpy(out, "-", 2);
		return;
	}
	if (how == CONFIG_LOG_FULL) {
		addr_ip_text(a, out, cap);
		return;
	}
	memset(net.ip + keep, 0, sizeof net.ip - keep);
	n = addr_ip_text(&net, out, cap);
	memcpy(out + n, a->family == 4 ? "/24" : "/48", 4);
}
