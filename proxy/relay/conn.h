/*
 * A connection: the client's handle and its session, in one slab seat.
 *
 * Every libuv callback of a connection fills in what happened and calls
 * conn_event(); only conn_run() steps the session, one event after the other,
 * and carries out its orders. There is one way out, conn_end(). A seat holds
 * exactly one handle, so it is freed when that handle is closed; the MTA's
 * handle has a seat of its own (leg.h), which may close long before or a
 * little after.
 */
#ifndef PROXY_RELAY_CONN_H
#define PROXY_RELAY_CONN_H

#include <uv.h>

#include "proxy/relay/facts.h"
#include "proxy/relay/gate.h"
#include "proxy/relay/wheel.h"
#include "tarry/session.h"

struct buffer;
struct leg_seat;
struct listener;
struct worker;

/* What one side says, on its way to the other. */
struct stream {
	struct buffer *buffer; /* NULL: nothing is pending */
	uint32_t fresh;	       /* of the unused bytes, not yet shown */
	bool is_fed;	       /* orders.feed */
	bool is_wanted;	       /* orders.read */
	bool is_reading;
	bool is_starved; /* no buffer was free */
	bool has_ended;	 /* nothing more will come from the side */
	bool is_broken;	 /* the other side cannot be written to */
	bool wants_shut; /* FIN to the other side behind the last byte */
	bool is_shut;
};

struct conn {
	uint64_t slab_link;  /* the slab's while the seat is free */
	uint32_t generation; /* how often the seat was taken */
	bool is_used;	     /* these three also while it is free */
	struct worker *worker;
	uint64_t id;	   /* in logs */
	uint32_t pending;  /* events, one bit each */
	uint64_t wake_ms;  /* orders.deadline_ms */
	uint64_t check_ms; /* when to look at what is not read; 0: never */
	struct wheel_node node;
	struct gate_waiter waiter;
	struct leg_seat *leg; /* NULL: no MTA */
	struct listener *listener;
	struct stream streams[SIDE_COUNT];
	struct facts facts;
	enum session_phase phase; /* the last before CLOSING or LINGER */
	bool is_running;
	bool is_ending;
	bool is_held;	 /* as last counted */
	bool is_waiting; /* at the gate, as last counted */
	bool wants_flushed;
	struct session session;
	uv_tcp_t tcp;
};

/*
 * Takes a seat for the connection that waits at the listener, and opens the
 * session. Returns 0, or a negative errno: -ENOBUFS when all seats are used
 * (the connection still waits), another one if it was closed.
 */
__attribute__((warn_unused_result)) int conn_accept(struct listener *from);

/* The same for a descriptor that was accepted already; taken over or closed. */
__attribute__((warn_unused_result)) int conn_adopt(struct listener *from,
						   int fd);

/* Notes that something happened; conn_run() makes it known. */
void conn_event(struct conn *c, enum event_kind kind, enum side side);

/* Steps the session until nothing is pending. Never recurses. */
void conn_run(struct conn *c);

/* The gate says that the connection has its slot. */
void conn_granted(struct conn *c);

/* The wheel says that the connection's deadline has come. */
void conn_wake(struct conn *c);

/* For stream.c: a side was read, with libuv's result. */
void conn_read(struct conn *c, enum side side, ssize_t nread);

/* For stream.c: the callback of the write in a struct buffer. */
void conn_written(uv_write_t *req, int status);

/*
 * Ends the connection: log line, counts, slot and buffers back, handles
 * closed. Idempotent. The seat is freed in a later loop turn.
 */
void conn_end(struct conn *c, enum session_reason reason);

/* The handle of a side, or NULL if there is none that is connected. */
uv_stream_t *conn_handle(struct conn *c, enum side side);

#endif
