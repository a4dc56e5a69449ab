/*
 * Reads the PROXY header that a proxy puts in front of a connection.
 */
#ifndef PROXY_SINK_PROXY_IN_H
#define PROXY_SINK_PROXY_IN_H

#include "tarry/addr.h"
#include "tarry/session.h"

/* No header that is taken is longer. */
#define PROXY_IN_CAP 552

/*
 * Reads a header of this kind at the start of bytes[0..len).
 * Returns the bytes used (> 0) with *client set, family 0 where the header
 * names none (LOCAL, UNKNOWN); 0: more is needed; -1: not such a header.
 * Source: the PROXY protocol, versions 1 and 2, sections 2.1 and 2.2.
 */
int proxy_in_parse(enum client_address kind, const uint8_t *bytes, size_t len,
		   struct addr *client);

#endif
