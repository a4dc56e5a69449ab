/*
 * A worker's sockets: one edge-triggered epoll set, asked once a turn.
 *
 * libuv stays for what is rare, timers and waking from other threads: its loop
 * is one more descriptor in the set and runs when it has something to do. A
 * relayed byte then costs no call but its own read and write, a socket is
 * added once and never changed, its seat has 16 bytes for it instead of 248,
 * and a peer that goes is noticed even while nobody reads it.
 *
 * Edge-triggered means that an event is told once. What is left to be read is
 * kept in may_read; who does not read all that is there comes back to it with
 * poller_again(). One thread.
 */
#ifndef PROXY_RELAY_POLLER_H
#define PROXY_RELAY_POLLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

/* Whose socket it is: which functions are called. */
enum sock_kind { SOCK_CLIENT, SOCK_MTA, SOCK_LISTENER, SOCK_KINDS };

/* Embedded by the owner; begins with sock_init(). */
struct sock {
	struct sock *next; /* the poller's */
	int fd;		   /* -1: none */
	uint8_t kind;	   /* enum sock_kind */
	bool may_read : 1; /* to be set false by who reads it empty */
	bool is_over : 1;  /* the peer's end is there, behind the bytes */
	bool is_listed : 1;
};

static inline void
sock_init(struct sock *s, enum sock_kind kind)
{
	*s = (struct sock){.fd = -1, .kind = (uint8_t)kind};
}

#define POLLER_EVENTS 256

struct poller;

/* What the owners do; ctx is the poller's. */
struct poller_calls {
	/* Something happened (events: EPOLL*), or poller_again() (0). */
	void (*ready[SOCK_KINDS])(struct sock *s, uint32_t events);
	/* Closed a turn ago, nobody knows it any more: the seat is free. */
	void (*closed[SOCK_KINDS])(struct sock *s);
	/* Before each wait. */
	void (*turn)(struct poller *p);
};

struct poller {
	int fd; /* -1: not open */
	uv_loop_t *loop;
	const struct poller_calls *calls;
	bool wants_turn;
	struct sock *first; /* those to come back to */
	struct sock *last;
	int at; /* in events */
	int count;
	struct epoll_event events[POLLER_EVENTS];
};

/*
 * Opens an empty set around a loop. Returns 0 or a negative errno; after
 * either, poller_close() is right.
 */
__attribute__((warn_unused_result)) int
poller_open(struct poller *p, uv_loop_t *loop,
	    const struct poller_calls *calls);

void poller_close(struct poller *p);

/*
 * Watches fd from now on, which then is the sock's: poller_remove() closes it.
 * A socket that is connecting is ready for writing, or broken, when that is
 * over. Returns 0, or a negative errno and the caller keeps fd.
 */
__attribute__((warn_unused_result)) int poller_add(struct poller *p,
						   struct sock *s, int fd);

/* Closes; `closed` follows in a later turn. Idempotent. Also for fd -1. */
void poller_remove(struct poller *p, struct sock *s);

/* The socket is used for something new: what was heard of it is void. */
void poller_renew(struct poller *p, struct sock *s);

/* `ready` is called before the next wait. */
void poller_again(struct poller *p, struct sock *s);

/* There is more to do: `turn` is called again without a wait in between. */
static inline void
poller_want_turn(struct poller *p)
{
	p->wants_turn = true;
}

/* Turns until the loop has no handles, and every sock is closed. */
void poller_run(struct poller *p);

#endif
