#include "proxy/relay/tls_look.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tls_look {
	SSL_CTX *context;
	SSL *ssl; /* owns both BIOs */
	BIO *in;
	BIO *out;
	char name[256]; /* that was asked for; "": none */
	char why[TLS_LOOK_TEXT_CAP];
};

/* Every server is taken as it is: old ones too are looked at. */
static SSL_CTX *
new_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL)
		return NULL;
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_security_level(context, 0);
	(void)SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
	return context;
}

struct tls_look *
tls_look_new(const char *name)
{
	struct tls_look *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->context = new_context();
	l->ssl = l->context != NULL ? SSL_new(l->context) : NULL;
	l->in = BIO_new(BIO_s_mem());
	l->out = BIO_new(BIO_s_mem());
	if (l->ssl == NULL || l->in == NULL || l->out == NULL) {
		BIO_free(l->in);
		BIO_free(l->out);
		SSL_free(l->ssl);
		SSL_CTX_free(l->context);
		free(l);
		return NULL;
	}
	SSL_set_bio(l->ssl, l->in, l->out);
	SSL_set_connect_state(l->ssl);
	if (name != NULL && strlen(name) < sizeof(l->name)) {
		memcpy(l->name, name, strlen(name) + 1);
		(void)SSL_set_tlsext_host_name(l->ssl, l->name);
	}
	return l;
}

static void
keep_why(struct tls_look *l)
{
	const char *reason = ERR_reason_error_string(ERR_get_error());

	if (reason == NULL)
		reason = "the handshake broke off";
	(void)strncpy(l->why, reason, sizeof(l->why) - 1);
}

enum tls_look_state
tls_look_feed(struct tls_look *l, const void *bytes, size_t len)
{
	int rc;

	ERR_clear_error();
	if (len > 0 && BIO_write(l->in, bytes, (int)len) != (int)len)
		return TLS_LOOK_FAILED;
	rc = SSL_do_handshake(l->ssl);
	if (rc == 1)
		return TLS_LOOK_DONE;
	if (SSL_get_error(l->ssl, rc) == SSL_ERROR_WANT_READ)
		return TLS_LOOK_GOES_ON;
	keep_why(l);
	return TLS_LOOK_FAILED;
}

size_t
tls_look_take(struct tls_look *l, void *out, size_t cap)
{
	int n = BIO_read(l->out, out, (int)cap);

	return n > 0 ? (size_t)n : 0;
}

static int64_t
unix_time(const ASN1_TIME *time)
{
	struct tm tm = {0};

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* RFC 2253 escapes all that is not printable ASCII. */
static void
copy_name(const X509_NAME *name, char out[TLS_LOOK_TEXT_CAP])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio != NULL &&
	    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_read(bio, out, TLS_LOOK_TEXT_CAP - 1);
	out[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

bool
tls_look_certificate(const struct tls_look *l, struct tls_look_certificate *out)
{
	X509 *x = SSL_get1_peer_certificate(l->ssl);

	*out = (struct tls_look_certificate){0};
	if (x == NULL)
		return false;
	(void)strncpy(out->version, SSL_get_version(l->ssl),
		      sizeof(out->version) - 1);
	copy_name(X509_get_subject_name(x), out->subject);
	copy_name(X509_get_issuer_name(x), out->issuer);
	out->not_before = unix_time(X509_get0_notBefore(x));
	out->not_after = unix_time(X509_get0_notAfter(x));
	out->is_self_issued = X509_NAME_cmp(X509_get_subject_name(x),
					    X509_get_issuer_name(x)) == 0;
	out->has_name =
	    l->name[0] != '\0' && X509_check_host(x, l->name, 0, 0, NULL) == 1;
	X509_free(x);
	return true;
}

const char *
tls_look_why(const struct tls_look *l)
{
	return l->why;
}

void
tls_look_quit(struct tls_look *l)
{
	(void)SSL_write(l->ssl, "QUIT\r\n", 6);
}

void
tls_look_free(struct tls_look *l)
{
	if (l == NULL)
		return;
	SSL_free(l->ssl);
	SSL_CTX_free(l->context);
	free(l);
}
