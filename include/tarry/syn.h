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
/* Longer chains of IPv6 extension headers are malformed, by count and bytes. */
#define SYN_EXTENSIONS_MAX 8
#define SYN_IP_HLEN_MAX 255
#define SYN_OPTIONS_CAP 40

/* An MSS of 0 and none at all are alike, as in p0f; the layout tells them. */
#define SYN_MSS_ABSENT 0
#define SYN_WSCALE_ABSENT 0xff
#define SYN_EOL_ABSENT 0xff

/* TCP option kinds with a name in signatures (IANA, TCP parameters). */
enum syn_option {
	SYN_OPTION_EOL = 0,
	SYN_OPTION_NOP = 1,
	SYN_OPTION_MSS = 2,
	SYN_OPTION_WS = 3,
	SYN_OPTION_SOK = 4,
	SYN_OPTION_SACK = 5,
	SYN_OPTION_TS = 8
};

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

/* Why bytes were not a SYN we can use. Negative, so that > 0 can be a length.
 */
enum syn_malformed {
#define MALFORMED(id, value, name, help) SYN_BAD_##id = value,
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
	uint16_t flags;	  /* 12 bits: AE, CWR .. FIN and 3 reserved */
	uint8_t version;  /* 4 or 6 */
	uint8_t ttl;	  /* as observed; hop limit for IPv6 */
	uint8_t tos;	  /* IPv4 TOS or IPv6 traffic class, all 8 bits */
	uint8_t ip_olen;  /* bytes of IPv4 options or IPv6 extension headers */
	uint8_t ip_hlen;  /* IP header with options or extensions */
	uint8_t tcp_hlen; /* TCP header with options, 20..60 */
	uint8_t wscale;	  /* SYN_WSCALE_ABSENT if there is no WS option */
	uint8_t eol_pad;  /* bytes behind EOL; SYN_EOL_ABSENT without EOL */
	uint8_t kinds_count;
	uint8_t
	    kinds[SYN_OPTIONS_CAP]; /* option kinds as they stood, EOL last */
};

/*
 * Parses the IP and TCP headers of one packet.
 * raw[0..len) starts at the IP header; payload need not be there, its length
 * is taken from the IP header. Nothing is kept of `raw`.
 * Returns the number of header bytes used (> 0), or a negative syn_malformed;
 * `out` is then unspecified. Odd TCP options are no reason to fail, they set
 * the quirk `bad`:
 *  - MSS, WS, SOK and TS with another length than theirs are read and stepped
 *    over as if it were right, as p0f does (kernels go by the length that
 *    stands there and ignore the value; no real stack sends such a thing);
 *  - any other length below 2 (SACK: not 10..34), or an option that runs past
 *    the header, ends the walk; its kind is still listed.
 * Of two MSS or WS options the first one counts, and the quirk is `dup`.
 * The first fragment of a packet is parsed, others are malformed. IPv6
 * extension headers 0, 43, 44, 51, 60 and 135 are walked, eight at most.
 * Never reads beyond raw[len), never allocates.
 * Sources: RFC 791 3.1, RFC 8200 4, RFC 9293 3.1 and 3.2, RFC 7323, RFC 4302
 * 2.2 (AH counts in words of four).
 */
int syn_parse(struct syn *out, const uint8_t *raw, size_t len);

/* A malformation's name, as "tcp_truncated"; "unknown" for others. Static. */
const char *syn_malformed_name(int malformed);

/* A quirk's text, as "id+"; bit is 0..SYN_QUIRK_COUNT-1. Static. */
const char *syn_quirk_name(enum syn_quirk bit);

/* True if an option of this kind (RFC 9293 3.2) stands in the layout. */
bool syn_has_option(const struct syn *s, uint8_t kind);

/*
 * True if the kernel's copy is one made up by a SYNPROXY in between: ack+,
 * IP ID 0, and ts2+ or no timestamps (design, "Two witnesses").
 */
bool syn_is_made_up(const struct syn *s);

#endif
