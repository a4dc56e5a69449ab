/*
 * One side's stream: from its socket, through the session's orders, to the
 * other side's socket.
 *
 * The fast path keeps nothing: what was read into the worker's buffer, used
 * and released in one step is written from there at once. Anything else goes
 * through a buffer of the pool. `side` is always the side that said it.
 */
#ifndef PROXY_RELAY_STREAM_H
#define PROXY_RELAY_STREAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "tarry/session.h"

struct conn;
struct sock;

static inline enum side
other_side(enum side side)
{
	return side == SIDE_CLIENT ? SIDE_MTA : SIDE_CLIENT;
}

/* All unused bytes and how many of them are fresh; they now count as shown. */
void stream_show(struct conn *c, enum side side, struct event *ev);

/*
 * Carries out used (0 if this was not the stream's event), drop, say and
 * release, and writes what it can. Returns REASON_NONE, REASON_BUG for orders
 * that do not fit the stream, or REASON_FULL if there was no buffer.
 */
enum session_reason stream_apply(struct conn *c, enum side side, uint32_t used,
				 const struct orders *o);

/* Forgets what is unused. Returns how much that was. */
size_t stream_discard(struct conn *c, enum side side);

/* True if unused bytes are there. */
bool stream_has_unused(const struct conn *c, enum side side);

/* True if nothing is left to be written to the other side. */
bool stream_is_flushed(const struct conn *c, enum side side);

/* FIN to the other side as soon as all that was released is written. */
void stream_shut(struct conn *c, enum side side);

/* Writes what is released as far as possible. */
void stream_flush(struct conn *c, enum side side);

/*
 * The MTA is gone: forgets what it said and was not released, and what was
 * released to it.
 */
void stream_forget_mta(struct conn *c);

/* Gives the buffer back. */
void stream_close(struct conn *c, enum side side);

/*
 * Where the next bytes of a side go, and how many of them at most; 0 if there
 * is no room now.
 */
size_t stream_room(struct conn *c, enum side side, uint8_t **at);

/* Reads from a socket: recv()'s result, or a negative errno. */
ssize_t stream_recv(struct sock *from, void *at, size_t room);

/* Starts or stops reading, by what is wanted and what there is room for. */
void stream_set_reading(struct conn *c, enum side side);

/*
 * The kernel's receive buffer of the client: small, so that the sender of a
 * slow upload feels it at once, or as large as the system allows.
 */
void stream_set_window(struct conn *c, enum receive_buffer size);

/*
 * Reads once, as much as may be read. Returns the bytes, 0 at the end, or a
 * negative errno: -EAGAIN when nothing is there, -ENOBUFS when there is no
 * room for it.
 */
ssize_t stream_read(struct conn *c, enum side side);

/* n bytes were read by stream_read(). */
void stream_arrived(struct conn *c, enum side side, size_t n);

/* A write to the other side failed: it gets nothing more of this stream. */
void stream_broke(struct conn *c, enum side side);

/* Looks at a socket that is not being read: has the peer gone? */
void stream_check(struct conn *c, enum side side);

#endif
