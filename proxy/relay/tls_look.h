/*
 * A look at the certificate that a server shows in a TLS handshake.
 *
 * The client's side of one handshake in memory: bytes in, bytes out; whose
 * socket they pass is the caller's affair. Nothing is trusted and nothing
 * verified: what is shown is told. It stands beside the TLS of sessions and
 * shares nothing with it, as its one user examines the MTA and relays no mail.
 * OpenSSL stays behind this wall.
 */
#ifndef PROXY_RELAY_TLS_LOOK_H
#define PROXY_RELAY_TLS_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_LOOK_TEXT_CAP 256

struct tls_look;

enum tls_look_state { TLS_LOOK_GOES_ON, TLS_LOOK_DONE, TLS_LOOK_FAILED };

struct tls_look_certificate {
	char version[16];		 /* "TLSv1.3" */
	char subject[TLS_LOOK_TEXT_CAP]; /* RFC 2253, printable ASCII */
	char issuer[TLS_LOOK_TEXT_CAP];
	int64_t not_before; /* Unix time */
	int64_t not_after;
	bool is_self_issued;
	bool has_name; /* it is good for the name that was asked for */
};

/* Begins; `name` is asked for by SNI, unless NULL. Returns NULL if memory is
 * out. The caller's (tls_look_free()). */
struct tls_look *tls_look_new(const char *name);

/* Hands over what the server sent; 0 bytes to begin with. */
enum tls_look_state tls_look_feed(struct tls_look *l, const void *bytes,
				  size_t len);

/* What is to be sent to it: up to cap bytes; 0 when there is nothing left. */
size_t tls_look_take(struct tls_look *l, void *out, size_t cap);

/* After DONE: fills *out; false if the server showed none. */
bool tls_look_certificate(const struct tls_look *l,
			  struct tls_look_certificate *out);

/* After FAILED: why, in OpenSSL's words. Valid until the next call. */
const char *tls_look_why(const struct tls_look *l);

/* After DONE: says QUIT within TLS; tls_look_take() has the bytes. */
void tls_look_quit(struct tls_look *l);

/* NULL is fine. */
void tls_look_free(struct tls_look *l);

#endif
