#include "proxy/sink/proxy_in.h"

#include <string.h>

#define V1_CAP 107 /* with CRLF */
#define V2_HEAD 16

static const uint8_t v2_magic[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
				     0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* One word of a line; moves *at behind it and its blank. */
static size_t
next_word(const char *line, size_t len, size_t *at, const char **word)
{
	size_t start = *at;
	size_t end = start;

	while (end < len && line[end] != ' ')
		end++;
	*word = line + start;
	*at = end < len ? end + 1 : end;
	return end - start;
}

static bool
parse_port(const char *word, size_t len, uint16_t *port)
{
	uint32_t value = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (word[i] < '0' || word[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(word[i] - '0');
	}
	*port = (uint16_t)value;
	return value <= UINT16_MAX;
}

/* `PROXY TCP4 source destination port port`, less CRLF. */
static bool
parse_v1_line(const char *line, size_t len, struct addr *client)
{
	const char *word;
	size_t at = 0;
	size_t n = next_word(line, len, &at, &word);
	uint16_t port;

	if (n != 5 || memcmp(word, "PROXY", 5) != 0)
		return false;
	n = next_word(line, len, &at, &word);
	if (n == 7 && memcmp(word, "UNKNOWN", 7) == 0)
		return true;
	if (n != 4 || memcmp(word, "TCP", 3) != 0 ||
	    (word[3] != '4' && word[3] != '6'))
		return false;
	n = next_word(line, len, &at, &word);
	if (!addr_parse_ip(client, word, n))
		return false;
	next_word(line, len, &at, &word); /* where it came to */
	n = next_word(line, len, &at, &word);
	if (!parse_port(word, n, &port))
		return false;
	client->port = port;
	return true;
}

static int
parse_v1(const uint8_t *bytes, size_t len, struct addr *client)
{
	const uint8_t *end = memchr(bytes, '\n', len < V1_CAP ? len : V1_CAP);
	size_t used;

	if (end == NULL)
		return len < V1_CAP ? 0 : -1;
	used = (size_t)(end - bytes) + 1;
	if (used < 2 || bytes[used - 2] != '\r')
		return -1;
	if (!parse_v1_line((const char *)bytes, used - 2, client))
		return -1;
	return (int)used;
}

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static int
parse_v2(const uint8_t *bytes, size_t len, struct addr *client)
{
	size_t body;

	if (memcmp(bytes, v2_magic, len < 12 ? len : 12) != 0)
		return -1;
	if (len < V2_HEAD)
		return 0;
	body = get16(bytes + 14);
	if (bytes[12] >> 4 != 2 || body > PROXY_IN_CAP - V2_HEAD)
		return -1;
	if (len < V2_HEAD + body)
		return 0;
	if ((bytes[12] & 15) == 0) /* LOCAL: the proxy itself */
		return (int)(V2_HEAD + body);
	if ((bytes[12] & 15) != 1)
		return -1;
	if (bytes[13] == 0x11 && body >= 12)
		addr_set_v4(client, bytes + V2_HEAD, get16(bytes + 24));
	else if (bytes[13] == 0x21 && body >= 36)
		addr_set_v6(client, bytes + V2_HEAD, get16(bytes + 48));
	else
		return -1;
	return (int)(V2_HEAD + body);
}

int
proxy_in_parse(enum client_address kind, const uint8_t *bytes, size_t len,
	       struct addr *client)
{
	*client = (struct addr){0};
	if (len == 0)
		return 0;
	return kind == CLIENT_ADDRESS_V1 ? parse_v1(bytes, len, client)
					 : parse_v2(bytes, len, client);
}
