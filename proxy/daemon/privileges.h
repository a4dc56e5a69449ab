/*
 * What the process may do: descriptors before, and as little as possible of
 * everything else after.
 */
#ifndef PROXY_DAEMON_PRIVILEGES_H
#define PROXY_DAEMON_PRIVILEGES_H

#include <stdint.h>

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
 * log, PRIVILEGES_FALLBACK). Keeps CAP_NET_BIND_SERVICE where it was there and
 * nothing else; no program started from here can ever gain more. Not root:
 * only the latter. To be called before any thread is started: the kernel
 * keeps these things per thread.
 * Returns 0 or a negative errno; what went wrong is in the log.
 */
__attribute__((warn_unused_result)) int privileges_drop(const char *user);

#endif
