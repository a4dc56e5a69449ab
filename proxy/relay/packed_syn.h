/*
 * A SYN's raw bytes without what the session knows anyway: both addresses and
 * both ports. Every session keeps one, and with nearly all of them what is
 * left fits 48 bytes; the others are kept whole, elsewhere.
 */
#ifndef PROXY_RELAY_PACKED_SYN_H
#define PROXY_RELAY_PACKED_SYN_H

#include "tarry/syn.h"

/* IPv4 without options and 20 bytes of TCP options, which is Linux and
 * Windows, or IPv6 and 24 bytes. */
#define PACKED_SYN_CAP 48

/*
 * Packs raw[0..len), a SYN that syn_parse() takes. Returns the packed length,
 * or 0 if it does not fit or stands behind IPv6 extension headers; `out` is
 * then unspecified.
 */
size_t packed_syn_make(uint8_t out[PACKED_SYN_CAP], const uint8_t *raw,
		       size_t len);

/*
 * The raw bytes again, with these addresses and ports. Returns their length.
 */
size_t packed_syn_open(uint8_t out[SYN_RAW_CAP], const uint8_t *packed,
		       size_t len, const struct addr *client,
		       const struct addr *server);

#endif
