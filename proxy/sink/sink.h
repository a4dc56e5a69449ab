/*
 * A mail server that keeps what it gets in files and hands nothing on: for
 * trying Tarry without touching an MTA, and for its tests. Not an MTA.
 */
#ifndef PROXY_SINK_SINK_H
#define PROXY_SINK_SINK_H

#include "tarry/session.h"

#define SINK_CONNECTIONS 256

struct sink_options {
	struct addr listen; /* port 0: any */
	const char *directory;
	enum client_address proxy; /* the header that is expected */
};

/*
 * Serves until SIGTERM or SIGINT. Returns 0, or a negative errno if it could
 * not begin; says on stdout where it listens and what it kept.
 */
int sink_run(const struct sink_options *options);

#endif
