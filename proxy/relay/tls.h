/*
 * TLS that ends here, of a client or of the MTA: between its socket and its
 * stream. Towards the client we are the server, towards the MTA the client.
 *
 * While a side has one, what its socket brings is ciphertext, and what
 * stream.c reads of it and writes to it goes through here. Nothing is kept
 * that could be asked for again: ciphertext goes from the worker's buffers
 * into OpenSSL and from OpenSSL to the socket; only what the socket does not
 * take at once, and what the session does not want yet, has memory of its own.
 */
#ifndef PROXY_RELAY_TLS_H
#define PROXY_RELAY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tarry/session.h"

struct conn;
struct session_report;
struct tls;
struct worker;

/* One of them, for print_pool(); less OpenSSL's own memory. */
size_t tls_size(void);

/* Whether STARTTLS is offered: the rules have changed. */
void tls_tell_room(struct worker *w);

/* The TLS of a side; NULL: its socket speaks in the clear. */
struct tls *tls_of(const struct conn *c, enum side side);

/*
 * Carries out the order start_tls, or start_mta_tls. Queues TLS_FAILED of that
 * side if there is no memory or no seat for one more.
 */
void tls_start(struct conn *c, enum side side);

/*
 * Goes on with what was read: the handshake, or one read of plaintext into the
 * stream. True if that queued an event; call it until it is false. NULL: false.
 */
bool tls_pull(struct tls *t);

/* The turn is over: what was read and not yet pulled is kept. NULL is fine. */
void tls_settle(struct tls *t);

/* Receives ciphertext: the bytes, 0 for the end, or a negative errno. */
ssize_t tls_recv(struct tls *t);

/* What that brought, but for EAGAIN. */
void tls_arrived(struct tls *t, ssize_t n);

/* True if more ciphertext is wanted now; `wants` is the stream's wish. */
bool tls_wants_read(const struct tls *t, bool wants);

/* True if something was read that the session has not got yet. */
bool tls_has_unread(const struct tls *t);

/*
 * Sends plaintext. Returns how much of it needs no more care; 0 while the
 * socket is full.
 */
size_t tls_write(struct tls *t, const void *bytes, size_t len);

/* The socket may take more of what waits. */
void tls_flush(struct tls *t);

/* True if nothing is left to be written to the socket. */
bool tls_is_flushed(const struct tls *t);

/* Says close_notify, once. */
void tls_shut(struct tls *t);

/* Fills in what is told of the client's. The texts are static, or live till
 * tls_end. */
void tls_describe(const struct conn *c, struct session_report *r);

/* The side's connection ends: says close_notify if it can, and is freed. */
void tls_end(struct conn *c, enum side side);

#endif
