/*
 * The MTA's side of a connection, in a slab seat of its own.
 *
 * Taken at the order `dial`, closed by `hang_up` or with the connection. From
 * then on it belongs to nobody; it is free a turn later. After an orderly end
 * its socket rests instead, unconnected, and serves the next dial, as long as
 * there is any session.
 */
#ifndef PROXY_RELAY_LEG_H
#define PROXY_RELAY_LEG_H

#include <assert.h>

#include "proxy/relay/poller.h"
#include "proxy/relay/seat_sizes.h"
#include "tarry/session.h"

struct conn;
struct tls;
struct worker;

struct leg_seat {
	uint32_t slab_link;
	uint32_t dialled_ms; /* since the session was opened */
	struct worker *worker;
	struct conn *conn; /* NULL: left alone, closing */
	struct sock sock;
	uint8_t family; /* of its socket; 0: bound to a client's address */
	bool is_connected;
	bool is_greeted; /* its time was taken */
	struct tls *tls; /* NULL: it is spoken to in the clear */
	struct leg leg;
};

static_assert(sizeof(struct leg_seat) <= SEAT_LEG_BYTES,
	      "a session relayed, on top");

/* The core's part: NULL until it is connected. */
struct leg *leg_of(struct conn *c);

/*
 * Begins to connect to the MTA: sets c->leg, or queues MTA_FAILED. Never
 * calls back before it returns.
 */
void leg_dial(struct conn *c);

/* Closes c->leg and sets it to NULL. Nothing of it comes any more. */
void leg_hang_up(struct conn *c);

/*
 * Closes the sockets that rest: they are another MTA's, or nobody is there.
 */
void leg_close_rested(struct worker *w);

/* Lends the leg a ring for many replies, if one is free; takes it back. */
void leg_take_ring(struct conn *c);
void leg_give_ring(struct conn *c);

/* For the poller: the MTA's socket; and when it is closed. */
void leg_ready(struct sock *s, uint32_t events);
void leg_closed(struct sock *s);

/* The MTA's greeting is complete: takes the time. */
void leg_greeted(struct conn *c);

#endif
