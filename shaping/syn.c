/*
 * The SYN parser: raw header bytes of one packet to a struct syn.
 *
 * Invariant: no byte is read before a comparison with the end has shown that
 * it is there. Every length on the wire is a lie until then. Linux answers
 * SYNs with broken options, and hands them to us as they came, so these bytes
 * arrive on established connections.
 *
 * Rejected: casting to struct iphdr and tcphdr. The kernel's copy may start
 * at any address, and host order would leak into the record.
 */
#include "tarry/syn.h"

#include <string.h>

#define IPV4_HLEN 20u
#define IPV6_HLEN 40u
#define TCP_HLEN 20u
#define PROTOCOL_TCP 6u

/* IPv6 next headers that are walked (IANA, protocol numbers). */
enum extension {
	EXTENSION_HOP_BY_HOP = 0,
	EXTENSION_ROUTING = 43,
	EXTENSION_FRAGMENT = 44,
	EXTENSION_AH = 51,
	EXTENSION_DESTINATION = 60,
	EXTENSION_MOBILITY = 135
};

enum tcp_flag {
	TCP_FIN = 0x001,
	TCP_SYN = 0x002,
	TCP_RST = 0x004,
	TCP_PSH = 0x008,
	TCP_ACK = 0x010,
	TCP_URG = 0x020,
	TCP_ECE = 0x040,
	TCP_CWR = 0x080,
	TCP_AE = 0x100,
	TCP_RESERVED = 0xe00
};

static uint16_t
get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t
get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void
set_quirk(struct syn *s, enum syn_quirk_mask quirk, bool is_there)
{
	s->quirks |= is_there ? (uint32_t)quirk : 0;
}

/* Fills the IP part. Returns the header's length, or a malformation. */
static int
ipv4_parse(struct syn *s, const uint8_t *raw, size_t len, size_t *total)
{
	if (len < IPV4_HLEN)
		return SYN_BAD_IP_TRUNCATED;
	const uint8_t hlen = (uint8_t)((raw[0] & 0x0f) * 4);
	if (hlen < IPV4_HLEN)
		return SYN_BAD_IP_LENGTH;
	if (hlen > len)
		return SYN_BAD_IP_TRUNCATED;
	const uint16_t fragment = get16(raw + 6);
	if ((fragment & 0x1fff) != 0)
		return SYN_BAD_FRAGMENT;
	if (raw[9] != PROTOCOL_TCP)
		return SYN_BAD_NOT_TCP;

	*total = get16(raw + 2);
	s->version = 4;
	s->tos = raw[1];
	s->ip_id = get16(raw + 4);
	s->ttl = raw[8];
	s->ip_hlen = hlen;
	s->ip_olen = (uint8_t)(hlen - IPV4_HLEN);
	const bool has_df = (fragment & 0x4000) != 0;
	set_quirk(s, SYN_QUIRK_DF, has_df);
	set_quirk(s, SYN_QUIRK_ID_PLUS, has_df && s->ip_id != 0);
	set_quirk(s, SYN_QUIRK_ID_MINUS, !has_df && s->ip_id == 0);
	set_quirk(s, SYN_QUIRK_ZERO_PLUS, (fragment & 0x8000) != 0);
	addr_set_v4(&s->src, raw + 12, 0);
	addr_set_v4(&s->dst, raw + 16, 0);
	return hlen;
}

/* Bytes of one extension header; 0 if the kind is not one that is walked. */
static size_t
extension_len(uint8_t kind, const uint8_t *at)
{
	switch (kind) {
	case EXTENSION_HOP_BY_HOP:
	case EXTENSION_ROUTING:
	case EXTENSION_DESTINATION:
	case EXTENSION_MOBILITY:
		return (at[1] + 1u) * 8u;
	case EXTENSION_FRAGMENT:
		return 8;
	case EXTENSION_AH:
		return (at[1] + 2u) * 4u;
	default:
		return 0;
	}
}

static bool
is_extension(uint8_t kind)
{
	static const uint8_t any[2] = {0, 0};

	return extension_len(kind, any) != 0;
}

/* Walks to the TCP header. Returns its offset, or a malformation. */
static int
extensions_walk(const uint8_t *raw, size_t len)
{
	uint8_t kind = raw[6];
	size_t at = IPV6_HLEN;

	for (unsigned count = 0; kind != PROTOCOL_TCP; count++) {
		if (!is_extension(kind))
			return SYN_BAD_NOT_TCP;
		if (count == SYN_EXTENSIONS_MAX || len - at < 2)
			return SYN_BAD_EXTENSIONS;
		const size_t step = extension_len(kind, raw + at);
		if (step > len - at || at + step > SYN_IP_HLEN_MAX)
			return SYN_BAD_EXTENSIONS;
		if (kind == EXTENSION_FRAGMENT &&
		    (get16(raw + at + 2) & 0xfff8) != 0)
			return SYN_BAD_FRAGMENT;
		kind = raw[at];
		at += step;
	}
	return (int)at;
}

/* As ipv4_parse(). */
static int
ipv6_parse(struct syn *s, const uint8_t *raw, size_t len, size_t *total)
{
	if (len < IPV6_HLEN)
		return SYN_BAD_IP_TRUNCATED;
	const int hlen = extensions_walk(raw, len);
	if (hlen < 0)
		return hlen;

	*total = IPV6_HLEN + (size_t)get16(raw + 4);
	s->version = 6;
	s->tos = (uint8_t)(raw[0] << 4 | raw[1] >> 4);
	s->ttl = raw[7];
	s->ip_hlen = (uint8_t)hlen;
	s->ip_olen = (uint8_t)((size_t)hlen - IPV6_HLEN);
	set_quirk(s, SYN_QUIRK_FLOW, (get32(raw) & 0xfffff) != 0);
	addr_set_v6(&s->src, raw + 8, 0);
	addr_set_v6(&s->dst, raw + 24, 0);
	return hlen;
}

/* EOL ends the list; what stands behind it should be zero. */
static void
take_eol(struct syn *s, const uint8_t *at, size_t left)
{
	uint8_t any = 0;

	for (size_t i = 0; i < left; i++)
		any |= at[i];
	s->eol_pad = (uint8_t)left;
	set_quirk(s, SYN_QUIRK_OPT_PLUS, any != 0);
}

static void
take_mss(struct syn *s, const uint8_t *option)
{
	if (syn_has_option(s, SYN_OPTION_MSS)) {
		set_quirk(s, SYN_QUIRK_DUP, true);
		return;
	}
	s->mss = get16(option + 2);
}

static void
take_ws(struct syn *s, const uint8_t *option)
{
	if (syn_has_option(s, SYN_OPTION_WS)) {
		set_quirk(s, SYN_QUIRK_DUP, true);
		return;
	}
	s->wscale = option[2];
	set_quirk(s, SYN_QUIRK_EXWS, s->wscale > 14);
}

static void
take_ts(struct syn *s, const uint8_t *option)
{
	s->tsval = get32(option + 2);
	s->tsecr = get32(option + 6);
	set_quirk(s, SYN_QUIRK_TS1_MINUS, s->tsval == 0);
	set_quirk(s, SYN_QUIRK_TS2_PLUS, s->tsecr != 0);
}

/* The one length an option may have; 0 if it may have several. */
static uint8_t
option_fixed_len(uint8_t kind)
{
	switch (kind) {
	case SYN_OPTION_MSS:
		return 4;
	case SYN_OPTION_WS:
		return 3;
	case SYN_OPTION_SOK:
		return 2;
	case SYN_OPTION_TS:
		return 10;
	default:
		return 0;
	}
}

static void
take_value(struct syn *s, const uint8_t *option)
{
	switch (option[0]) {
	case SYN_OPTION_MSS:
		take_mss(s, option);
		break;
	case SYN_OPTION_WS:
		take_ws(s, option);
		break;
	case SYN_OPTION_TS:
		take_ts(s, option);
		break;
	default:
		break;
	}
}

/*
 * Reads one option of two or more bytes at option[0..left), left >= 1.
 * Returns the bytes to step over, or 0 if the walk ends here.
 */
static size_t
take_option(struct syn *s, const uint8_t *option, size_t left)
{
	const uint8_t fixed = option_fixed_len(option[0]);

	if (fixed > left || left < 2)
		return 0;
	if (fixed != 0) {
		set_quirk(s, SYN_QUIRK_BAD, option[1] != fixed);
		take_value(s, option);
		return fixed;
	}
	const uint8_t len = option[1];
	if (len < 2 || len > left)
		return 0;
	/* RFC 2018 3: one to four blocks of eight bytes. */
	if (option[0] == SYN_OPTION_SACK && (len < 10 || len > 34))
		return 0;
	return len;
}

/*
 * options[0..len), at most 40: each step lists one kind, so kinds never
 * overflows. A kind is listed after its value is read, which is how a second
 * MSS or WS is known.
 */
static void
options_parse(struct syn *s, const uint8_t *options, size_t len)
{
	size_t at = 0;

	while (at < len) {
		const uint8_t kind = options[at];
		size_t step = 1;
		if (kind == SYN_OPTION_EOL) {
			take_eol(s, options + at + 1, len - at - 1);
			step = len - at;
		} else if (kind != SYN_OPTION_NOP) {
			step = take_option(s, options + at, len - at);
		}
		s->kinds[s->kinds_count++] = kind;
		if (step == 0) {
			set_quirk(s, SYN_QUIRK_BAD, true);
			return;
		}
		at += step;
	}
}

/* The fixed part of the TCP header, tcp[0..20). */
static void
tcp_fixed_parse(struct syn *s, const uint8_t *tcp)
{
	const uint16_t flags = s->flags;

	s->src.port = get16(tcp);
	s->dst.port = get16(tcp + 2);
	s->isn = get32(tcp + 4);
	s->ack = get32(tcp + 8);
	s->window = get16(tcp + 14);
	set_quirk(s, SYN_QUIRK_SEQ_MINUS, s->isn == 0);
	set_quirk(s, SYN_QUIRK_ACK_PLUS, s->ack != 0);
	set_quirk(s, SYN_QUIRK_URGF_PLUS, (flags & TCP_URG) != 0);
	set_quirk(s, SYN_QUIRK_UPTR_PLUS,
		  (flags & TCP_URG) == 0 && get16(tcp + 18) != 0);
	set_quirk(s, SYN_QUIRK_PUSHF_PLUS, (flags & TCP_PSH) != 0);
	set_quirk(s, SYN_QUIRK_RES, (flags & TCP_RESERVED) != 0);
	set_quirk(s, SYN_QUIRK_ECN,
		  (flags & (TCP_ECE | TCP_CWR | TCP_AE)) != 0 ||
		      (s->tos & 3) != 0);
}

/* tcp[0..len) starts at the TCP header. Returns its length or malformation. */
static int
tcp_parse(struct syn *s, const uint8_t *tcp, size_t len)
{
	if (len < TCP_HLEN)
		return SYN_BAD_TCP_TRUNCATED;
	s->flags = get16(tcp + 12) & 0xfff;
	if ((s->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return SYN_BAD_NOT_SYN;
	const uint8_t hlen = (uint8_t)((tcp[12] >> 4) * 4);
	if (hlen < TCP_HLEN)
		return SYN_BAD_TCP_LENGTH;
	if (hlen > len)
		return SYN_BAD_TCP_TRUNCATED;
	s->tcp_hlen = hlen;
	tcp_fixed_parse(s, tcp);
	options_parse(s, tcp + TCP_HLEN, hlen - TCP_HLEN);
	return hlen;
}

bool
syn_has_option(const struct syn *s, uint8_t kind)
{
	return memchr(s->kinds, kind, s->kinds_count) != NULL;
}

int
syn_parse(struct syn *out, const uint8_t *raw, size_t len)
{
	size_t total = 0;
	int ip_hlen = SYN_BAD_VERSION;

	if (len == 0)
		return SYN_BAD_EMPTY;
	*out = (struct syn){.mss = SYN_MSS_ABSENT,
			    .wscale = SYN_WSCALE_ABSENT,
			    .eol_pad = SYN_EOL_ABSENT};
	if (raw[0] >> 4 == 4)
		ip_hlen = ipv4_parse(out, raw, len, &total);
	else if (raw[0] >> 4 == 6)
		ip_hlen = ipv6_parse(out, raw, len, &total);
	if (ip_hlen < 0)
		return ip_hlen;
	const int tcp_hlen =
	    tcp_parse(out, raw + ip_hlen, len - (size_t)ip_hlen);
	if (tcp_hlen < 0)
		return tcp_hlen;
	const size_t used = (size_t)(ip_hlen + tcp_hlen);
	if (total < used)
		return SYN_BAD_IP_LENGTH;
	out->payload_bytes = (uint16_t)(total - used);
	return (int)used;
}

const char *
syn_malformed_name(int malformed)
{
	switch (malformed) {
#define MALFORMED(id, value, name, help)                                       \
	case value:                                                            \
		return name;
#include "tarry/malformed.def"
#undef MALFORMED
	default:
		return "unknown";
	}
}

const char *
syn_quirk_name(enum syn_quirk bit)
{
	static const char *const names[SYN_QUIRK_COUNT] = {
#define QUIRK(id, text, help) text,
#include "tarry/quirks.def"
#undef QUIRK
	};

	return names[bit];
}

bool
syn_is_made_up(const struct syn *s)
{
	return (s->quirks & SYN_QUIRK_ACK_PLUS) != 0 && s->ip_id == 0 &&
	       ((s->quirks & SYN_QUIRK_TS2_PLUS) != 0 ||
		!syn_has_option(s, SYN_OPTION_TS));
}
