/*
 * One SSL_CTX a certificate. A handshake begins with the first; the name that
 * the client asks for (SNI, RFC 6066 3) may choose another one.
 *
 * No session cache: it would be a lock that all workers share. Tickets do the
 * same without memory of ours; their keys live as long as the configuration.
 * Renegotiation is refused: a handshake within a session could be made to
 * last for ever, and nobody needs one.
 */
#include "proxy/relay/tls_context.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/config/config.h"

/* TLS 1.3: one ticket a handshake is enough, OpenSSL would send two. */
#define TICKETS 1

struct tls_context {
	_Atomic unsigned owners;
	size_t count;
	int64_t ends;
	SSL_CTX *mta;
	SSL_CTX *all[];
};

/* Why OpenSSL failed, in its own words. */
static const char *
why(char *out, size_t cap)
{
	unsigned long first = ERR_get_error();
	unsigned long error = first;

	/* The last one says most: which file, and what of it. */
	for (unsigned long next = first; next != 0; next = ERR_get_error())
		if (ERR_GET_LIB(next) != ERR_LIB_SSL)
			error = next;
	if (ERR_SYSTEM_ERROR(first))
		(void)snprintf(out, cap, "%s", strerror(ERR_GET_REASON(first)));
	else if (error == 0 || ERR_reason_error_string(error) == NULL)
		(void)snprintf(out, cap, "OpenSSL refuses it");
	else
		(void)snprintf(out, cap, "%s", ERR_reason_error_string(error));
	return out;
}

static void
complain(struct report *report, const char *key, const struct config_path *p,
	 const char *expected)
{
	char text[200];

	report_add(report, REPORT_MISTAKE, p->file, p->line,
		   "tls.%s: %s: %s, expected %s", key, p->path,
		   why(text, sizeof(text)), expected);
}

/* Else OpenSSL would ask on the terminal, and wait for somebody to type. */
static int
know_no_phrase(char *out, int cap, int writing, void *arg)
{
	(void)out;
	(void)cap;
	(void)writing;
	(void)arg;
	return -1;
}

static int
choose_by_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < t->count; i++) {
		X509 *x = SSL_CTX_get0_certificate(t->all[i]);

		if (X509_check_host(x, name, 0, 0, NULL) != 1)
			continue;
		if (SSL_get_SSL_CTX(ssl) != t->all[i])
			(void)SSL_set_SSL_CTX(ssl, t->all[i]);
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK; /* the first one, and let it judge */
}

static void
note_end(struct tls_context *t, const X509 *x)
{
	struct tm tm;
	int64_t end;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return;
	end = (int64_t)timegm(&tm);
	if (t->ends == 0 || end < t->ends)
		t->ends = end;
}

/* It is used all the same: most senders do not look. */
static void
warn_if_expired(const X509 *x, const struct config_path *p,
		struct report *report)
{
	if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
		report_add(report, REPORT_WARNING, p->file, p->line,
			   "tls.certificate: %s: has expired; senders that "
			   "look at it keep their mail",
			   p->path);
}

/* What both ends of ours have in common. */
static SSL_CTX *
new_ctx(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL)
		return NULL;
	/* A peer that closes without close_notify is no error in SMTP: the end
	 * of a message is said by the protocol itself. */
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
					   SSL_OP_NO_COMPRESSION |
					   SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static SSL_CTX *
new_server(struct tls_context *t)
{
	SSL_CTX *ctx = new_ctx(TLS_server_method());

	if (ctx == NULL)
		return NULL;
	(void)SSL_CTX_set_num_tickets(ctx, TICKETS);
	(void)SSL_CTX_set_dh_auto(ctx, 1);
	SSL_CTX_set_default_passwd_cb(ctx, know_no_phrase);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, choose_by_name);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, t);
	return ctx;
}

static void
load_one(struct tls_context *t, size_t i, const struct config_certificate *c,
	 struct report *report)
{
	SSL_CTX *ctx = new_server(t);

	t->all[i] = ctx;
	ERR_clear_error();
	if (ctx == NULL ||
	    SSL_CTX_use_certificate_chain_file(ctx, c->certificate.path) != 1) {
		complain(report, "certificate", &c->certificate,
			 "a file in PEM form");
		return;
	}
	ERR_clear_error();
	if (SSL_CTX_use_PrivateKey_file(ctx, c->key.path, SSL_FILETYPE_PEM) !=
		1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		complain(report, "key", &c->key,
			 "the certificate's key, in PEM form and without a "
			 "pass phrase");
		return;
	}
	note_end(t, SSL_CTX_get0_certificate(ctx));
	warn_if_expired(SSL_CTX_get0_certificate(ctx), &c->certificate, report);
}

int
tls_context_load(struct tls_context **out, const struct config *config,
		 struct report *report)
{
	size_t count = config->tls.certificates_count;
	size_t mistakes = report->mistakes;
	struct tls_context *t;

	*out = NULL;
	if (config->tls.mode != CONFIG_TLS_TERMINATE)
		return 0;
	t = calloc(1, sizeof(*t) + count * sizeof(t->all[0]));
	if (t == NULL)
		return -ENOMEM;
	t->owners = 1;
	t->count = count;
	for (size_t i = 0; i < count; i++)
		load_one(t, i, &config->tls.certificates[i], report);
	if (report->mistakes > mistakes) {
		tls_context_let_go(t);
		return -EINVAL;
	}
	/* Whoever answers there is taken for the MTA, as in the clear: it is
	 * known by its address. */
	t->mta = new_ctx(TLS_client_method());
	*out = t;
	return 0;
}

struct tls_context *
tls_context_keep(struct tls_context *t)
{
	(void)atomic_fetch_add(&t->owners, 1);
	return t;
}

void
tls_context_let_go(struct tls_context *t)
{
	if (t == NULL || atomic_fetch_sub(&t->owners, 1) > 1)
		return;
	for (size_t i = 0; i < t->count; i++)
		SSL_CTX_free(t->all[i]);
	SSL_CTX_free(t->mta);
	free(t);
}

int64_t
tls_context_ends(const struct tls_context *t)
{
	return t != NULL ? t->ends : 0;
}

void *
tls_context_mta(const struct tls_context *t)
{
	return t->mta;
}

void *
tls_context_first(const struct tls_context *t)
{
	return t->all[0];
}
