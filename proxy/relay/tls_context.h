/*
 * The certificates of the TLS that ends here, ready for sessions.
 *
 * Made when a configuration is loaded, on the main thread, and never changed;
 * shared by all workers. A reload makes a second one; a handshake under way
 * goes on with the one that it began with.
 */
#ifndef PROXY_RELAY_TLS_CONTEXT_H
#define PROXY_RELAY_TLS_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

struct config;
struct report;
struct tls_context;

/*
 * Loads what [tls] names. *out is NULL if TLS does not end here. Returns 0
 * with *out owned by the caller (tls_context_let_go()), or -EINVAL and every
 * mistake in the report, in the words of OpenSSL.
 */
__attribute__((warn_unused_result)) int
tls_context_load(struct tls_context **out, const struct config *config,
		 struct report *report);

/* One more owner; may be called on any thread. Returns its argument. */
struct tls_context *tls_context_keep(struct tls_context *t);

/* One owner less; the last one frees it. NULL is fine. */
void tls_context_let_go(struct tls_context *t);

/* The earliest end of a certificate, Unix time; 0 for NULL. */
int64_t tls_context_ends(const struct tls_context *t);

/* For tls.c: the SSL_CTX with which a session begins, and the one towards the
 * MTA. */
void *tls_context_first(const struct tls_context *t);
void *tls_context_mta(const struct tls_context *t);

#endif
