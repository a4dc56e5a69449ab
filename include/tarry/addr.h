/*
 * An Internet address as a value, and a network.
 *
 * IPv4 is kept in its IPv4-mapped form (::ffff:a.b.c.d, RFC 4291 2.5.5.2), so
 * that one prefix length and one comparison serve both families; `family`
 * tells what the peer really spoke.
 */
#ifndef TARRY_ADDR_H
#define TARRY_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any address text with brackets, port and the final NUL. */
#define ADDR_TEXT_CAP 56

struct addr {
	uint8_t ip[16]; /* network byte order, IPv4 as ::ffff:a.b.c.d */
	uint16_t port;	/* host byte order */
	uint8_t family; /* 4 or 6; 0: no address */
};

struct net {
	uint8_t ip[16]; /* bits beyond `bits` are zero */
	uint8_t bits;	/* 0..128; an IPv4 prefix is 96 + its own length */
};

/* Fills `a` with the IPv4 address of 4 bytes, in network order. */
void addr_set_v4(struct addr *a, const uint8_t ip[4], uint16_t port);

/* Fills `a` with the IPv6 address of 16 bytes. A v4-mapped one becomes IPv4. */
void addr_set_v6(struct addr *a, const uint8_t ip[16], uint16_t port);

/* True if both have the same family and address; ports are not compared. */
bool addr_same_ip(const struct addr *a, const struct addr *b);

/*
 * Writes `192.0.2.1` or `2001:db8::1` (RFC 5952) and a final NUL.
 * `cap` must be ADDR_TEXT_CAP at least. Returns the length without the NUL.
 */
size_t addr_ip_text(const struct addr *a, char *out, size_t cap);

/*
 * Writes `192.0.2.1:25` or `[2001:db8::1]:25` and a final NUL.
 * `cap` must be ADDR_TEXT_CAP at least. Returns the length without the NUL.
 */
size_t addr_text(const struct addr *a, char *out, size_t cap);

/*
 * Parses `192.0.2.1` or `2001:db8::1` (no port, no brackets); port becomes 0.
 * Returns true when all of text[0..len) was an address.
 */
bool addr_parse_ip(struct addr *a, const char *text, size_t len);

/*
 * Parses `192.0.2.1:25` or `[2001:db8::1]:25`; the port is 0..65535.
 * Returns true when all of text[0..len) was an address with a port.
 */
bool addr_parse(struct addr *a, const char *text, size_t len);

/*
 * Parses `192.0.2.0/24`, `2001:db8::/32` or a single address. Host bits must
 * be zero. Returns true when all of text[0..len) was a network.
 */
bool net_parse(struct net *n, const char *text, size_t len);

/*
 * True if the address lies in the network. An address of family 0 does not,
 * and no IPv4 address lies in an IPv6 network, not even in ::/0.
 */
bool net_has(const struct net *n, const struct addr *a);

#endif
