/*
 * What tls.c and tls_bio.c share of one side's TLS; nobody else's affair.
 */
#ifndef PROXY_RELAY_TLS_STATE_H
#define PROXY_RELAY_TLS_STATE_H

#include <openssl/ssl.h>

#include "proxy/relay/stream.h"
#include "proxy/relay/tls.h"

struct tls_context;

enum tls_state { TLS_SHAKES, TLS_UP, TLS_FAILED, TLS_OVER };

struct tls {
	uint32_t slab_link;
	uint8_t state;	/* enum tls_state */
	uint8_t side;	/* enum side: whose it is */
	bool is_kept;	/* `in` is in `kept` */
	bool has_ended; /* the socket: nothing more will come */
	bool is_shut;	/* close_notify was said, or need not be */
	struct conn *conn;
	struct worker *worker;
	struct tls_context *context;
	SSL *ssl;
	unsigned long error; /* OpenSSL's, of the handshake; 0: none */
	uint32_t begun_ms;   /* conn_now() */
	/* Ciphertext for OpenSSL, in the worker's buffer or in `kept`. */
	const uint8_t *in;
	size_t in_len;
	uint8_t *kept;
	/* Ciphertext that the socket did not take. */
	uint8_t *waiting;
	size_t waiting_len;
};

/* Says it, and is told what is said to it. */
static inline enum side
tls_side(const struct tls *t)
{
	return (enum side)t->side; /* stored small */
}

static inline enum side
tls_other_side(const struct tls *t)
{
	return other_side(tls_side(t));
}

/* A BIO of our own for it, which the caller owns; NULL: no memory. */
BIO *tls_bio_new(struct tls *t);

/* What OpenSSL has written goes to the socket, or waits for it. */
void tls_bio_send(struct tls *t);

/* What waits is thrown away. */
void tls_bio_forget(struct tls *t);

#endif
