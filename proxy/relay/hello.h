/*
 * The ClientHello of a connection, whether its TLS passes through or ends
 * here, and what follows from it.
 *
 * Each seat of the sessions' slab has one of these at the same place in an
 * array of its own, so that it costs a plain session one bit: only what was
 * used once takes memory.
 */
#ifndef PROXY_RELAY_HELLO_H
#define PROXY_RELAY_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "tarry/client_hello.h"
#include "tarry/ja4.h"

struct conn;
struct evidence;
struct session_report;

struct hello_seat {
	char ja4[JA4_CAP]; /* "" until it is asked for and known */
	struct client_hello hello;
};

/* From here on the connection has one, if it had none. */
void hello_take(struct conn *c);

/* Where its ClientHello is read into; NULL: nowhere. */
struct client_hello *hello_of(struct conn *c);

/* Reads bytes of the client's TLS; asks for another plan once it is whole. */
void hello_read(struct conn *c, const uint8_t *bytes, size_t len);

/*
 * Adds what the ClientHello tells, if it was read whole. The texts live until
 * the worker's next call of this.
 */
void hello_gather(struct conn *c, struct evidence *e);

/* Fills in what is told of it at the end. The texts live with the seat. */
void hello_describe(struct conn *c, struct session_report *report);

#endif
