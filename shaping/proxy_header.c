/*
 * The PROXY header, versions 1 and 2. No TLVs: what an MTA does not expect it
 * must not have to skip.
 */
#include <string.h>

#include "tarry/session.h"

#define V2_IP4_BYTES 12
#define V2_IP6_BYTES 36

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
					 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* IPv4 only if both ends are: one header has one family. */
static bool
is_v4(const struct addr *client, const struct addr *server)
{
	return client->family == 4 && server->family == 4;
}

static size_t
put(char *out, size_t at, const void *bytes, size_t len)
{
	memcpy(out + at, bytes, len);
	return at + len;
}

static size_t
put_u16(char *out, size_t at, uint16_t value)
{
	uint8_t b[2] = {(uint8_t)(value >> 8), (uint8_t)(value & 0xff)};

	return put(out, at, b, sizeof(b));
}

static size_t
header_v2(const struct addr *client, const struct addr *server, char *out)
{
	bool v4 = is_v4(client, server);
	size_t skip = v4 ? 12 : 0;
	uint8_t head[2] = {0x21, v4 ? 0x11 : 0x21};
	size_t at = put(out, 0, v2_signature, sizeof(v2_signature));

	at = put(out, at, head, sizeof(head));
	at = put_u16(out, at, v4 ? V2_IP4_BYTES : V2_IP6_BYTES);
	at = put(out, at, client->ip + skip, 16 - skip);
	at = put(out, at, server->ip + skip, 16 - skip);
	at = put_u16(out, at, client->port);
	return put_u16(out, at, server->port);
}

static size_t
put_number(char *out, size_t at, uint16_t value)
{
	char digits[5];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value = (uint16_t)(value / 10);
	} while (value > 0);
	while (n > 0)
		out[at++] = digits[--n];
	return at;
}

/* An IPv4 end in an IPv6 header is written in its mapped form. */
static size_t
put_ip(char *out, size_t at, const struct addr *a, bool v4)
{
	char text[ADDR_TEXT_CAP];
	size_t len = addr_ip_text(a, text, sizeof(text));

	if (a->family == 4 && !v4)
		at = put(out, at, "::ffff:", 7);
	return put(out, at, text, len);
}

static size_t
header_v1(const struct addr *client, const struct addr *server, char *out)
{
	bool v4 = is_v4(client, server);
	size_t at = put(out, 0, v4 ? "PROXY TCP4 " : "PROXY TCP6 ", 11);

	at = put_ip(out, at, client, v4);
	out[at++] = ' ';
	at = put_ip(out, at, server, v4);
	out[at++] = ' ';
	at = put_number(out, at, client->port);
	out[at++] = ' ';
	at = put_number(out, at, server->port);
	return put(out, at, "\r\n", 2);
}

size_t
proxy_header(enum client_address kind, const struct addr *client,
	     const struct addr *server, char *out, size_t cap)
{
	if (cap < SESSION_SAY_CAP)
		return 0;
	switch (kind) {
	case CLIENT_ADDRESS_NONE:
	case CLIENT_ADDRESS_TRANSPARENT:
		return 0;
	case CLIENT_ADDRESS_V1:
		return header_v1(client, server, out);
	case CLIENT_ADDRESS_V2:
		return header_v2(client, server, out);
	}
	return 0;
}
