/*
 * The TLS of a client that ends here: between its socket and its stream.
 *
 * While a connection has one, what its socket brings is ciphertext, and what
 * stream.c reads and writes goes through here. Nothing is kept that could be
 * asked for again: ciphertext goes from the worker's buffers into OpenSSL and
 * from OpenSSL to the socket; only what the socket does not take at once, and
 * what the session does not want yet, has memory of its own.
 */
#ifndef PROXY_RELAY_TLS_H
#define PROXY_RELAY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conn;
struct session_report;
struct tls;
struct worker;

/* One of them, for print_pool(); less OpenSSL's own memory. */
size_t tls_size(void);

/* Whether STARTTLS is offered: the rules have changed. */
void tls_tell_room(struct worker *w);

/*
 * Carries out the order start_tls. Queues TLS_FAILED if there is no memory or
 * no seat for one more.
 */
void tls_start(struct conn *c);

/*
 * Goes on with what was read: the handshake, or one read of plaintext into the
 * stream. True if that queued an event; call it until it is false.
 */
bool tls_pull(struct conn *c);

/* The turn is over: what was read and not yet pulled is kept. */
void tls_settle(struct conn *c);

/* Receives ciphertext: the bytes, 0 for the end, or a negative errno. */
ssize_t tls_recv(struct conn *c);

/* What that brought, but for EAGAIN. */
void tls_arrived(struct conn *c, ssize_t n);

/* True if more ciphertext is wanted now; `wants` is the stream's wish. */
bool tls_wants_read(const struct conn *c, bool wants);

/* True if something was read that the session has not got yet. */
bool tls_has_unread(const struct conn *c);

/*
 * Sends plaintext to the client. Returns how much of it needs no more care; 0
 * while the socket is full.
 */
size_t tls_write(struct conn *c, const void *bytes, size_t len);

/* The socket may take more of what waits. */
void tls_flush(struct conn *c);

/* True if nothing is left to be written to the socket. */
bool tls_is_flushed(const struct conn *c);

/* Says close_notify, once. */
void tls_shut(struct conn *c);

/* Fills in what is told of it. The texts are static, or live till tls_end. */
void tls_describe(const struct conn *c, struct session_report *r);

/* The connection ends: says close_notify if it can, and is freed. */
void tls_end(struct conn *c);

#endif
