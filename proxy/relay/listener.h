/*
 * A listening socket of a worker.
 *
 * It is paused by leaving one connection unaccepted: libuv then stops
 * listening by itself, and a late accept goes on. So libuv is never given
 * the chance to run into the descriptor limit, where it would close clients
 * without a word.
 */
#ifndef PROXY_RELAY_LISTENER_H
#define PROXY_RELAY_LISTENER_H

#include <stdbool.h>
#include <uv.h>

#include "tarry/addr.h"

/* So many accepts a loop turn; the sessions that run want their turn too. */
#define LISTENER_TURN_CAP 64

struct worker;

struct listener {
	struct worker *worker;
	char *name; /* a copy: the config may be replaced */
	struct addr address;
	uv_tcp_t tcp;
	bool is_open;
	bool is_waiting; /* one connection is there, not accepted */
};

/*
 * Opens the socket, binds and listens; nothing is accepted before the loop
 * runs. `saves_syn`: ask the kernel to keep SYNs. Returns 0 or a negative
 * errno, logged. After either: listener_close(), and once the loop has run
 * listener_free().
 */
__attribute__((warn_unused_result)) int
listener_open(struct listener *l, struct worker *w, const char *name,
	      const struct addr *address, bool saves_syn);

/* Goes on accepting where a connection waits, as far as there is room. */
void listener_resume(struct listener *l);

/* Takes all that waits in the kernel's queue, then closes. */
void listener_drain(struct listener *l);

/* Closes. Idempotent. */
void listener_close(struct listener *l);

/* Frees what is not the handle's. */
void listener_free(struct listener *l);

#endif
