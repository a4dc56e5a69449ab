/*
 * A listening socket of a worker.
 *
 * It is paused by not accepting: what comes waits in the kernel's queue until
 * there is a seat, and the descriptor limit is never reached.
 */
#ifndef PROXY_RELAY_LISTENER_H
#define PROXY_RELAY_LISTENER_H

#include <stdbool.h>

#include "proxy/relay/poller.h"
#include "tarry/addr.h"

/* So many accepts a loop turn; the sessions that run want their turn too. */
#define LISTENER_TURN_CAP 64

/* What a listener does besides; any of them. */
#define LISTENER_SAVES_SYN 1u	/* the kernel is asked to keep SYNs */
#define LISTENER_TRANSPARENT 2u /* clients were going elsewhere */
#define LISTENER_FIRST 4u	/* of the workers': nobody else may be there */

struct worker;

struct listener {
	struct worker *worker;
	char *name; /* a copy: the config may be replaced */
	struct addr address;
	struct sock sock;
	int said_error;	      /* the last that was logged */
	bool is_implicit_tls; /* TLS from the first byte */
	bool is_open;
	bool is_waiting; /* there may be some to accept */
};

/*
 * Opens the socket, binds and listens; nothing is accepted before the loop
 * runs. `does`: LISTENER_* bits. Returns 0 or a negative errno, logged. After
 * either: listener_close(), and once the loop has run listener_free().
 */
__attribute__((warn_unused_result)) int
listener_open(struct listener *l, struct worker *w, const char *name,
	      const struct addr *address, unsigned does);

/* Goes on accepting where a connection waits, as far as there is room. */
void listener_resume(struct listener *l);

/* Takes all that waits in the kernel's queue, then closes. */
void listener_drain(struct listener *l);

/* Closes. Idempotent. */
void listener_close(struct listener *l);

/* For the poller. */
void listener_ready(struct sock *s, uint32_t events);
void listener_closed(struct sock *s);

/* Frees what is not the socket's. */
void listener_free(struct listener *l);

#endif
