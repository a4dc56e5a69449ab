/*
 * SYNs written as rows: a struct packet says what is special about one, the
 * rest is an ordinary IPv4 SYN of 192.0.2.1:40000 to 192.0.2.2:25.
 */
#ifndef TESTS_UNIT_SYN_PACKETS_H
#define TESTS_UNIT_SYN_PACKETS_H

#include "tarry/syn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PACKET_CAP 2200

/* Options in hex, to be written one after the other. */
#define MSS_1460 "020405b4"
#define MSS_1440 "020405a0"
#define NOP "01"
#define WS(two_digits) "0303" two_digits
#define SOK "0402"
#define TS "080a0001e24000000000"
#define LINUX(ws) MSS_1460 SOK TS NOP WS(ws)
#define LINUX_V6(ws) MSS_1440 SOK TS NOP WS(ws)
#define WINDOWS(ws)                                                            \
	MSS_1460 NOP WS(ws)                                                    \
	NOP NOP SOK
#define APPLE(ws)                                                              \
	MSS_1460 NOP WS(ws)                                                    \
	NOP NOP TS SOK "0000"

enum { EVIL = 0x8000, DF = 0x4000, MF = 0x2000 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };
enum { ECE = 64, CWR = 128, AE = 256 };

struct packet {
	const char *label;
	uint8_t ttl;
	uint16_t fragment; /* EVIL, DF, MF and the offset */
	uint16_t id;
	uint16_t window;
	const char *options; /* hex; NULL: none */
	uint8_t version;     /* 0: 4 */
	uint8_t tos;
	uint32_t flow;
	uint16_t flags; /* 0: SYN */
	uint32_t isn;	/* 0: one that is not zero */
	bool isn_is_zero;
	uint32_t ack;
	uint16_t urgent;
	uint16_t payload;
	const char *ip_options; /* hex; IPv6: the chain of extensions */
	uint8_t first_header;	/* IPv6: the kind of the first extension */
};

static inline size_t
hex_bytes(const char *hex, uint8_t *out)
{
	size_t len = 0;

	for (; hex != NULL && *hex != '\0'; hex += 2) {
		const char two[3] = {hex[0], hex[1], '\0'};
		out[len++] = (uint8_t)strtoul(two, NULL, 16);
	}
	return len;
}

static inline void
put16(uint8_t *at, uint32_t n)
{
	at[0] = (uint8_t)(n >> 8);
	at[1] = (uint8_t)n;
}

static inline void
put32(uint8_t *at, uint32_t n)
{
	put16(at, n >> 16);
	put16(at + 2, n);
}

static inline size_t
packet_tcp(const struct packet *p, uint8_t *out)
{
	const uint32_t flags = p->flags == 0 ? SYN : p->flags;
	const size_t len = 20 + hex_bytes(p->options, out + 20);

	put16(out, 40000);
	put16(out + 2, 25);
	put32(out + 4, p->isn_is_zero || p->isn != 0 ? p->isn : 0x01020304);
	put32(out + 8, p->ack);
	put16(out + 12, (uint32_t)len / 4 << 12 | flags);
	put16(out + 14, p->window);
	put16(out + 18, p->urgent);
	return len;
}

static inline size_t
packet_ipv4(const struct packet *p, uint8_t *out)
{
	const size_t hlen = 20 + hex_bytes(p->ip_options, out + 20);
	const size_t len = hlen + packet_tcp(p, out + hlen);

	out[0] = (uint8_t)(0x40 + hlen / 4);
	out[1] = p->tos;
	put16(out + 2, (uint32_t)len + p->payload);
	put16(out + 4, p->id);
	put16(out + 6, p->fragment);
	out[8] = p->ttl;
	out[9] = 6;
	put32(out + 12, 0xc0000201);
	put32(out + 16, 0xc0000202);
	return len;
}

static inline size_t
packet_ipv6(const struct packet *p, uint8_t *out)
{
	const size_t hlen = 40 + hex_bytes(p->ip_options, out + 40);
	const size_t len = hlen + packet_tcp(p, out + hlen);

	put32(out, 6u << 28 | (uint32_t)p->tos << 20 | p->flow);
	put16(out + 4, (uint32_t)len - 40 + p->payload);
	out[6] = p->ip_options == NULL ? 6 : p->first_header;
	out[7] = p->ttl;
	put32(out + 8, 0x20010db8);
	out[23] = 1;
	put32(out + 24, 0x20010db8);
	out[39] = 2;
	return len;
}

/* Writes the headers, no payload. Returns their length. */
static inline size_t
packet_build(const struct packet *p, uint8_t out[PACKET_CAP])
{
	memset(out, 0, PACKET_CAP);
	return p->version == 6 ? packet_ipv6(p, out) : packet_ipv4(p, out);
}

/* The last byte in front of a page that cannot be read, plus one. */
static inline uint8_t *
guarded_end(void)
{
	static uint8_t *end;
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (end != NULL)
		return end;
	uint8_t *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (two == MAP_FAILED || mprotect(two + page, page, PROT_NONE) != 0)
		abort();
	end = two + page;
	return end;
}

/* syn_parse() of bytes that end against the guard. */
static inline int
guarded_parse(struct syn *s, const uint8_t *raw, size_t len)
{
	uint8_t *at = guarded_end() - len;

	memcpy(at, raw, len);
	return syn_parse(s, at, len);
}

/* Parses a row whole; aborts unless it is good. */
static inline struct syn
packet_syn(const struct packet *p)
{
	uint8_t raw[PACKET_CAP];
	struct syn s;
	const size_t len = packet_build(p, raw);

	if (guarded_parse(&s, raw, len) != (int)len)
		abort();
	return s;
}

#endif
