/*
 * A connection: the client's socket and its session, in one slab seat.
 *
 * Whatever is told of a connection is noted by conn_event(); only conn_run()
 * steps the session, one event after the other, and carries out its orders.
 * There is one way out, conn_end(). The seat is free a turn later; the MTA's
 * socket has a seat of its own (leg.h), which may be free long before.
 */
#ifndef PROXY_RELAY_CONN_H
#define PROXY_RELAY_CONN_H

#include <assert.h>
#include <sys/socket.h>

#include "proxy/relay/facts.h"
#include "proxy/relay/gate.h"
#include "proxy/relay/poller.h"
#include "proxy/relay/seat_sizes.h"
#include "proxy/relay/wheel.h"
#include "tarry/session.h"

struct buffer;
struct leg_seat;
struct listener;
struct tls;
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
	struct tls *tls; /* NULL: what the client says is no TLS of ours */
	struct wheel_node node;
	struct place place;
	struct sock sock;  /* the client's */
	uint64_t pending;  /* events, one bit each */
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
	bool has_hello : 1; /* its ClientHello has a seat: hello.h */
	uint16_t mta_port;  /* that the MTA sees, in the client's guise; or 0 */
	struct facts facts;
	struct session session;
};

static_assert(sizeof(struct conn) <= SEAT_CONN_BYTES,
	      "so much a session held costs");

/* True if there is a seat for one more. */
bool conn_has_seat(const struct listener *from);

/*
 * Opens the session of an accepted socket, which is taken over or closed.
 * Returns 0, or a negative errno: -ENOBUFS when all seats are used.
 */
int conn_open(struct listener *from, int fd);

/* Notes that something happened; conn_run() makes it known. */
void conn_event(struct conn *c, enum event_kind kind, enum side side);

/* Steps the session until nothing is pending. Never recurses. */
void conn_run(struct conn *c);

/* The gate says that the connection has what it waited for. */
void conn_granted(struct conn *c, enum places_grant grant);

/* The wheel says that the connection's deadline has come. */
void conn_wake(struct conn *c);

/*
 * A side's socket is ready, as the poller says: writes what waited for it and
 * reads what is wanted.
 */
void conn_ready(struct conn *c, enum side side, uint32_t events);

/* For the poller: the client's socket; and when it is closed. */
void conn_client_ready(struct sock *s, uint32_t events);
void conn_client_closed(struct sock *s);

/*
 * Ends the connection: log line, counts, slot and buffers back, sockets
 * closed. Idempotent. The seat is freed in a later turn.
 */
void conn_end(struct conn *c, enum session_reason reason);

/* The socket of a side, or NULL if there is none that is connected. */
struct sock *conn_sock(struct conn *c, enum side side);

#endif
