/*
 * Positions as of RFC 791 3.1, RFC 8200 3 and RFC 9293 3.1. The ports are the
 * first four bytes of the TCP header.
 */
#include "proxy/relay/packed_syn.h"

#include <assert.h>
#include <string.h>

#define PORTS_LEN 4
#define PROTOCOL_TCP 6

/* Where the addresses stand, and where the TCP header begins. */
struct layout {
	size_t source;
	size_t address_len;
	size_t tcp;
};

/* False if the SYN is not of the plain kind. */
static bool
find_layout(const uint8_t *raw, size_t len, struct layout *out)
{
	if (len > 0 && raw[0] >> 4 == 4)
		*out = (struct layout){12, 4, (raw[0] & 0x0fu) * 4u};
	else if (len > 6 && raw[0] >> 4 == 6 && raw[6] == PROTOCOL_TCP)
		*out = (struct layout){8, 16, 40};
	else
		return false;
	return out->source + 2 * out->address_len <= out->tcp;
}

/* What is left out. */
static size_t
gap(const struct layout *l)
{
	return 2 * l->address_len + PORTS_LEN;
}

size_t
packed_syn_make(uint8_t out[PACKED_SYN_CAP], const uint8_t *raw, size_t len)
{
	struct layout l;
	size_t options;

	if (!find_layout(raw, len, &l) || len < l.tcp + PORTS_LEN ||
	    len - gap(&l) > PACKED_SYN_CAP)
		return 0;
	options = l.source + 2 * l.address_len;
	memcpy(out, raw, l.source);
	memcpy(out + l.source, raw + options, l.tcp - options);
	memcpy(out + l.tcp - 2 * l.address_len, raw + l.tcp + PORTS_LEN,
	       len - l.tcp - PORTS_LEN);
	return len - gap(&l);
}

static void
put_address(uint8_t *at, const struct addr *a, size_t len)
{
	memcpy(at, a->ip + sizeof(a->ip) - len, len);
}

static void
put_port(uint8_t *at, uint16_t port)
{
	at[0] = (uint8_t)(port >> 8);
	at[1] = (uint8_t)(port & 0xff);
}

size_t
packed_syn_open(uint8_t out[SYN_RAW_CAP], const uint8_t *packed, size_t len,
		const struct addr *client, const struct addr *server)
{
	struct layout l;
	size_t options;
	size_t behind;
	bool is_plain = find_layout(packed, len, &l);

	assert(is_plain && len >= l.tcp - 2 * l.address_len);
	options = l.source + 2 * l.address_len;
	behind = l.tcp - 2 * l.address_len;
	memcpy(out, packed, l.source);
	put_address(out + l.source, client, l.address_len);
	put_address(out + l.source + l.address_len, server, l.address_len);
	memcpy(out + options, packed + l.source, l.tcp - options);
	put_port(out + l.tcp, client->port);
	put_port(out + l.tcp + 2, server->port);
	memcpy(out + l.tcp + PORTS_LEN, packed + behind, len - behind);
	return len + gap(&l);
}
