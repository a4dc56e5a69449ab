/*
 * What the process may do: descriptors before, and as little as possible of
 * everything else after.
 */
#ifndef PROXY_DAEMON_PRIVILEGES_H
#define PROXY_DAEMON_PRIVILEGES_H

#include <stdbool.h>
#include <stdint.h>

enum privileges_needs {
	PRIVILEGES_PORTS,      /* to bind ports below 1024 */
	PRIVILEGES_TRANSPARENT /* and addresses that are not this host's */
};

/* The user that a packaged tarryd runs as, and what there is everywhere. */
#define PRIVILEGES_USER "tarry"
#define PRIVILEGES_FALLBACK "nobody"

/*
 * Raises the limit of descriptors as far as it goes, `wanted` at most.
 * Returns the limit that now holds.
 */
uint64_t privileges_raise_nofile(uint64_t wanted);

/*
 * From root: becomes `user` (NULL: PRIVILEGES_USER, else, with a note in the
 * log, PRIVILEGES_FALLBACK). Keeps the capabilities for what it needs, where
 * they were there, and nothing else: CAP_NET_BIND_SERVICE; and CAP_NET_RAW, or
 * where that was missing CAP_NET_ADMIN, either of which is enough. No program
 * started from here can ever gain more. Not root: only the latter. To be called
 * before any thread is started: the kernel keeps these things per thread.
 * From root, directories of unix sockets (paths, NULL behind the last) that are
 * missing are made for the user. Returns 0 or a negative errno; what went
 * wrong is in the log.
 */
__attribute__((warn_unused_result)) int
privileges_drop(const char *user, enum privileges_needs needs,
		const char *const *sockets);

/* True if sockets may now have addresses that are not this host's. */
bool privileges_are_transparent(void);

#endif
