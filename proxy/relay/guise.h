/*
 * A connection to the MTA in the client's guise: from the client's own
 * address, which is none of this host's (IP_TRANSPARENT, by CAP_NET_RAW).
 *
 * From the client's own port too, so that the MTA's log can be laid beside
 * anybody else's. But one connection of two ends exists once on a host. Where
 * the MTA that the client went to is on this very host, our end of the
 * client's connection is what the MTA's end of ours would have to be: there
 * the port has its highest bit turned over, so that one client's connections
 * have as many ports as they had. And a port that is in use for any other
 * reason gives way to one that the kernel chooses.
 */
#ifndef PROXY_RELAY_GUISE_H
#define PROXY_RELAY_GUISE_H

#include <stdbool.h>

#include "tarry/addr.h"

/* Borrowed for the call. All three are of one family. */
struct guise_ends {
	const struct addr *client;
	const struct addr *server; /* where the client went */
	const struct addr *mta;
};

/* What it came from. */
struct guise_port {
	uint16_t port;
	bool is_other; /* the port that was wanted was in use */
};

/*
 * Begins to connect in the client's guise. Returns a socket that does not
 * block, for the caller to close, and fills *out; or a negative errno:
 * -EAFNOSUPPORT if the families differ, -EPERM without the right.
 */
__attribute__((warn_unused_result)) int
guise_connect(const struct guise_ends *ends, struct guise_port *out);

/* Sets the option on a socket that is not yet bound. 0 or a negative errno. */
__attribute__((warn_unused_result)) int guise_allow(int fd, uint8_t family);

#endif
