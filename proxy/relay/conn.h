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

#include <assert.h>
#include <uv.h>

#include "proxy/relay/facts.h"
#include "proxy/relay/gate.h"
#include "proxy/relay/wheel.h"
#include "tarry/session.h"

struct buffer;
struct leg_seat;
struct listener;
struct worker;

/* What one side says, on its way to the other; see also conn.buffers. */
struct stream {
	bool is_fed : 1;    /* orders.feed */
	bool is_wanted : 1; /* orders.read */
	bool is_reading : 1;
	bool is_starved : 1; /* no buffer was free */
	bool has_ended : 1;  /* nothing more will come from the side */
	bool is_broken : 1;  /* the other side cannot be written to */
	bool wants_shut : 1; /* FIN to the other side behind the last byte */
	bool is_shut : 1;
};

/* Every byte of it is paid for by each of the many that are held. */
struct conn {
	/* These three also while the seat is free. */
	uint32_t slab_link;		    /* the slab's, then */
	uint32_t generation;		    /* how often the seat was taken */
	struct listener *listener;	    /* NULL: free */
	uint64_t id;			    /* in logs */
	struct leg_seat *leg;		    /* NULL: no MTA */
	struct buffer *buffers[SIDE_COUNT]; /* NULL: nothing is pending */
	struct wheel_node node;
	struct place place;
	uint32_t pending;  /* events, one bit each */
	uint32_t wake_ms;  /* orders.deadline_ms, since opened; 0: none */
	uint32_t check_ms; /* when to look at what is not read; 0: never */
	struct stream streams[SIDE_COUNT];
	uint16_t quota; /* orders.quota, or all that fits */
	uint8_t phase;	/* enum session_phase: the last before CLOSING */
	bool is_running : 1;
	bool is_ending : 1;
	bool is_held : 1;      /* as last counted */
	bool is_waiting : 1;   /* at the gate, as last counted */
	bool is_lingering : 1; /* as last counted */
	bool wants_flushed : 1;
	struct facts facts;
	struct session session;
	uv_tcp_t tcp;
};

static_assert(sizeof(struct conn) <= 704, "so much a session held costs");

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

/* The gate says that the connection has what it waited for. */
void conn_granted(struct conn *c, enum places_grant grant);

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
