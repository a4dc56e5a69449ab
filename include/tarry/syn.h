/*
 * One TCP SYN: raw IP and TCP header bytes in, a parsed record out.
 *
 * The same parser serves both witnesses, the sidecar's copy and the kernel's
 * (TCP_SAVED_SYN). Every byte is the sender's choice: nothing here trusts a
 * length, and a malformed packet is a named value, never a read past the end.
 */
#ifndef TARRY_SYN_H
#define TARRY_SYN_H

#include "tarry/addr.h"

/* IPv4 60 + TCP 60, and room for IPv6 extension headers. */
#define SYN_RAW_CAP 128
#define SYN_OPTIONS_CAP 40

#define SYN_MSS_ABSENT 0xffff
#define SYN_WSCALE_ABSENT 0xff
#define SYN_EOL_ABSENT 0xff

/* Quirks: p0f's (README 3.09b, "quirks"), then our own. One bit each. */
enum syn_quirk {
#define QUIRK(id, text, help) SYN_QUIRK_BIT_##id,
#include "tarry/quirks.def"
#undef QUIRK
	SYN_QUIRK_COUNT
};

enum syn_quirk_mask {
#define QUIRK(id, text, help) SYN_QUIRK_##id = 1 << SYN_QUIRK_BIT_##id,
#include "tarry/quirks.def"
#undef QUIRK
};

/* Why bytes were not a SYN we can use. Negative, so that > 0 can be a length. */
enum syn_malformed {
#define MALFORMED(id, value, help) SYN_BAD_##id = value,
#include "tarry/malformed.def"
#undef MALFORMED
};

struct syn {
	struct addr src;
	struct addr dst;
	uint32_t isn;
	uint32_t ack;
	uint32_t tsval; /* own timestamp; valid if the layout has `ts` */
	uint32_t tsecr;
	uint32_t quirks; /* SYN_QUIRK_* bits */
	uint16_t ip_id;	 /* IPv4 only */
	uint16_t window;
	uint16_t mss; /* SYN_MSS_ABSENT if there is no MSS option */
	uint16_t payload_bytes;
	uint16_t flags;	   /* 12 bits: AE, CWR .. FIN and 3 reserved */
	uint8_t version;   /* 4 or 6 */
	uint8_t ttl;	   /* as observed; hop limit for IPv6 */
	uint8_t tos;	   /* IPv4 TOS or IPv6 traffic class, all 8 bits */
	uint8_t ip_olen;   /* bytes of IPv4 options or IPv6 extension headers */
	uint8_t ip_hlen;   /* IP header with options or extensions */
	uint8_t wscale;	   /* SYN_WSCALE_ABSENT if there is no WS option */
	uint8_t eol_pad;   /* bytes behind EOL; SYN_EOL_ABSENT without EOL */
	uint8_t kinds_count;
	uint8_t kinds[SYN_OPTIONS_CAP]; /* option kinds as they stood, EOL last */
};

/*
 * Parses the IP and TCP headers of one packet.
 * raw[0..len) starts at the IP header; payload need not be there, its length
 * is taken from the IP header. Nothing is kept of `raw`.
 * Returns the number of header bytes used (> 0), or a negative syn_malformed;
 * `out` is then unspecified. Odd TCP options are no reason to fail: they set
 * the quirk `bad` and the walk ends or goes on as p0f's does.
 * Sources: RFC 791 3.1, RFC 8200 4, RFC 9293 3.1 and 3.2, RFC 7323.
 */
int syn_parse(struct syn *out, const uint8_t *raw, size_t len);

/* The name of a malformation, such as "tcp_truncated". Never NULL. */
const char *syn_malformed_name(int malformed);

/*
 * True if the kernel's copy is one made up by a SYNPROXY in between: ack+,
 * IP ID 0, and ts2+ or no timestamps (design, "Two witnesses").
 */
bool syn_is_made_up(const struct syn *s);

#endif
