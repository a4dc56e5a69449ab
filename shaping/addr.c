/*
 * Addresses and networks as text, both ways.
 *
 * The C library's inet_pton() and inet_ntop() are not used: they belong to
 * the socket world, and inet_ntop() does not print what RFC 5952 asks for.
 * Parsing is strict: no leading zeros in IPv4 (which some read as octal), no
 * zones, no short forms. What cannot be read in one way only is refused.
 */
#include "tarry/addr.h"

#include <assert.h>
#include <string.h>

#define V4_OFFSET 12 /* bytes in front of an IPv4 address */
#define V4_BITS 96
#define GROUPS 8

static const uint8_t v4_prefix[V4_OFFSET] = {0, 0, 0, 0, 0,    0,
					     0, 0, 0, 0, 0xff, 0xff};

static bool
is_v4(const uint8_t ip[16])
{
	return memcmp(ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

void
addr_set_v4(struct addr *a, const uint8_t ip[4], uint16_t port)
{
	memcpy(a->ip, v4_prefix, sizeof(v4_prefix));
	memcpy(a->ip + V4_OFFSET, ip, 4);
	a->port = port;
	a->family = 4;
}

void
addr_set_v6(struct addr *a, const uint8_t ip[16], uint16_t port)
{
	memmove(a->ip, ip, 16);
	a->port = port;
	a->family = is_v4(a->ip) ? 4 : 6;
}

bool
addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* Text under construction; the callers' `cap` is known to suffice. */
struct writer {
	char *out;
	size_t len;
};

static void
write_char(struct writer *w, char c)
{
	w->out[w->len++] = c;
}

static void
write_decimal(struct writer *w, unsigned value)
{
	char digits[10];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	while (n > 0)
		write_char(w, digits[--n]);
}

static void
write_hex(struct writer *w, unsigned group)
{
	static const char digits[] = "0123456789abcdef";
	int shift = 12;

	while (shift > 0 && group >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		write_char(w, digits[group >> shift & 15]);
}

static void
write_v4(struct writer *w, const uint8_t ip[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			write_char(w, '.');
		write_decimal(w, ip[i]);
	}
}

static unsigned
group_at(const uint8_t ip[16], int i)
{
	return (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
}

/*
 * The groups that `::` stands for: the first longest run of zeros, of two at
 * least (RFC 5952 4.2). *len is 0 if there is none.
 */
static int
zero_run(const uint8_t ip[16], int *len)
{
	int best = 0;

	*len = 0;
	for (int i = 0; i < GROUPS; i++) {
		int n = 0;
		while (i + n < GROUPS && group_at(ip, i + n) == 0)
			n++;
		if (n >= 2 && n > *len) {
			best = i;
			*len = n;
		}
		i += n;
	}
	return best;
}

static void
write_v6(struct writer *w, const uint8_t ip[16])
{
	int run_len;
	int run = zero_run(ip, &run_len);

	for (int i = 0; i < GROUPS; i++) {
		if (run_len > 0 && i == run) {
			write_char(w, ':');
			write_char(w, ':');
			i += run_len - 1;
			continue;
		}
		if (i > 0 && (run_len == 0 || i != run + run_len))
			write_char(w, ':');
		write_hex(w, group_at(ip, i));
	}
}

static void
write_ip(struct writer *w, const struct addr *a)
{
	if (a->family == 4)
		write_v4(w, a->ip + V4_OFFSET);
	else if (a->family == 6)
		write_v6(w, a->ip);
	else
		write_char(w, '-');
}

size_t
addr_ip_text(const struct addr *a, char *out, size_t cap)
{
	struct writer w = {out, 0};

	assert(cap >= ADDR_TEXT_CAP);
	write_ip(&w, a);
	out[w.len] = '\0';
	return w.len;
}

size_t
addr_text(const struct addr *a, char *out, size_t cap)
{
	struct writer w = {out, 0};

	assert(cap >= ADDR_TEXT_CAP);
	if (a->family == 6)
		write_char(&w, '[');
	write_ip(&w, a);
	if (a->family == 6)
		write_char(&w, ']');
	write_char(&w, ':');
	write_decimal(&w, a->port);
	out[w.len] = '\0';
	return w.len;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * A decimal number of text[*at..len), at most `max`, without leading zeros.
 * Moves *at behind it.
 */
static bool
read_decimal(const char *text, size_t len, size_t *at, unsigned max,
	     unsigned *value)
{
	size_t start = *at;
	unsigned n = 0;

	while (*at < len && text[*at] >= '0' && text[*at] <= '9') {
		n = n * 10 + (unsigned)(text[*at] - '0');
		if (n > max || *at - start >= 5)
			return false;
		(*at)++;
	}
	*value = n;
	return *at > start && (text[start] != '0' || *at == start + 1);
}

/* All of text[0..len) as a dotted quad. */
static bool
read_v4(uint8_t ip[4], const char *text, size_t len)
{
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		unsigned byte;
		if (i > 0 && (at >= len || text[at++] != '.'))
			return false;
		if (!read_decimal(text, len, &at, 255, &byte))
			return false;
		ip[i] = (uint8_t)byte; /* <= 255 */
	}
	return at == len;
}

/* IPv6 groups read so far. */
struct groups {
	uint8_t ip[16];
	int count;
	int gap; /* index of the group that `::` stands in front of, or -1 */
};

/* One group of up to four hexadecimal digits; moves *at behind it. */
static bool
read_group(struct groups *g, const char *text, size_t len, size_t *at)
{
	size_t start = *at;
	unsigned value = 0;
	int digit;

	while (*at < len && (digit = hex_digit(text[*at])) >= 0) {
		if (*at - start >= 4)
			return false;
		value = value << 4 | (unsigned)digit;
		(*at)++;
	}
	if (*at == start || g->count >= GROUPS)
		return false;
	g->ip[2 * g->count] = (uint8_t)(value >> 8); /* value is 16 bits */
	g->ip[2 * g->count + 1] = (uint8_t)value;
	g->count++;
	return true;
}

/* A dotted quad as the last two groups. */
static bool
read_tail_v4(struct groups *g, const char *text, size_t len)
{
	if (g->count > GROUPS - 2 || !read_v4(g->ip + 2 * g->count, text, len))
		return false;
	g->count += 2;
	return true;
}

static bool
read_colons(struct groups *g, const char *text, size_t len, size_t *at)
{
	if (text[*at] != ':')
		return false;
	(*at)++;
	if (*at < len && text[*at] == ':') {
		(*at)++;
		if (g->gap >= 0)
			return false;
		g->gap = g->count;
		return true;
	}
	return g->count > 0 && *at < len;
}

static bool
read_groups(struct groups *g, const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (at > 0 || text[0] == ':') {
			if (!read_colons(g, text, len, &at))
				return false;
			if (at == len)
				break;
		}
		size_t n = at;
		while (n < len && text[n] != ':' && text[n] != '.')
			n++;
		if (n < len && text[n] == '.')
			return read_tail_v4(g, text + at, len - at);
		if (!read_group(g, text, len, &at))
			return false;
	}
	return true;
}

/* All of text[0..len) as IPv6 (RFC 4291 2.2). */
static bool
read_v6(uint8_t ip[16], const char *text, size_t len)
{
	struct groups g = {.gap = -1};

	if (!read_groups(&g, text, len))
		return false;
	if (g.gap < 0 ? g.count != GROUPS : g.count >= GROUPS)
		return false;
	size_t head = g.gap < 0 ? 16 : 2 * (size_t)g.gap;
	size_t tail = 2 * (size_t)g.count - (g.gap < 0 ? 16 : head);
	memset(ip, 0, 16);
	memcpy(ip, g.ip, head);
	memcpy(ip + 16 - tail, g.ip + head, tail);
	return true;
}

bool
addr_parse_ip(struct addr *a, const char *text, size_t len)
{
	uint8_t ip[16];

	if (read_v4(ip, text, len)) {
		addr_set_v4(a, ip, 0);
		return true;
	}
	if (read_v6(ip, text, len)) {
		addr_set_v6(a, ip, 0);
		return true;
	}
	return false;
}

/* The address in front of `:port`, brackets taken off. */
static bool
parse_host(struct addr *a, const char *text, size_t len)
{
	uint8_t ip[16];

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		if (!read_v6(ip, text + 1, len - 2))
			return false;
		addr_set_v6(a, ip, 0);
		return true;
	}
	if (!read_v4(ip, text, len))
		return false;
	addr_set_v4(a, ip, 0);
	return true;
}

bool
addr_parse(struct addr *a, const char *text, size_t len)
{
	size_t colon = len;
	unsigned port;

	while (colon > 0 && text[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return false;
	size_t at = colon;
	if (!read_decimal(text, len, &at, 65535, &port) || at != len ||
	    !parse_host(a, text, colon - 1))
		return false;
	a->port = (uint16_t)port; /* <= 65535 */
	return true;
}

/* True if no bit behind the first `bits` is set. */
static bool
has_no_host_bits(const uint8_t ip[16], unsigned bits)
{
	for (unsigned i = bits; i < 128; i++) {
		if (ip[i / 8] >> (7 - i % 8) & 1)
			return false;
	}
	return true;
}

bool
net_parse(struct net *n, const char *text, size_t len)
{
	struct addr a;
	const char *slash = memchr(text, '/', len);
	size_t ip_len = slash == NULL ? len : (size_t)(slash - text);
	size_t at = ip_len + 1;
	unsigned bits = 0;

	if (!addr_parse_ip(&a, text, ip_len))
		return false;
	/* ::ffff:192.0.2.0/120 counts its bits as IPv6, 192.0.2.0/24 not. */
	bool is_dotted = memchr(text, ':', ip_len) == NULL;
	unsigned max = is_dotted ? 32 : 128;
	if (slash == NULL)
		bits = max;
	else if (!read_decimal(text, len, &at, max, &bits) || at != len)
		return false;
	if (is_dotted)
		bits += V4_BITS;
	if (!has_no_host_bits(a.ip, bits))
		return false;
	memcpy(n->ip, a.ip, sizeof(n->ip));
	n->bits = (uint8_t)bits; /* <= 128 */
	return true;
}

bool
net_has(const struct net *n, const struct addr *a)
{
	bool is_net_v4 = n->bits >= V4_BITS && is_v4(n->ip);
	unsigned whole = n->bits / 8;
	unsigned rest = n->bits % 8;

	if (a->family != (is_net_v4 ? 4 : 6))
		return false;
	if (memcmp(n->ip, a->ip, whole) != 0)
		return false;
	return rest == 0 || (n->ip[whole] ^ a->ip[whole]) >> (8 - rest) == 0;
}
