/*
 * The MTA's side of a connection, in a slab seat of its own.
 *
 * Taken at the order `dial`, closed by `hang_up` or with the connection. From
 * then on it belongs to nobody and frees itself when its handle is closed.
 */
#ifndef PROXY_RELAY_LEG_H
#define PROXY_RELAY_LEG_H

#include <uv.h>

#include "tarry/session.h"

struct conn;

struct leg_seat {
	uint64_t slab_link;
	struct worker *worker;
	struct conn *conn; /* NULL: left alone, closing */
	uint64_t dialled_ms;
	bool is_connected;
	bool is_greeted; /* its time was taken */
	uv_connect_t request;
	uv_tcp_t tcp;
	struct leg leg;
};

/*
 * Begins to connect to the MTA: sets c->leg, or queues MTA_FAILED. Never
 * calls back before it returns.
 */
void leg_dial(struct conn *c);

/* Closes c->leg and sets it to NULL. Nothing of it comes any more. */
void leg_hang_up(struct conn *c);

/* The MTA's greeting is complete: takes the time. */
void leg_greeted(struct conn *c);

#endif
