/*
 * The clients' TLS: begun as soon as they are connected, nothing resumed, no
 * certificate checked.
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void
tls_init(struct load *l)
{
	l->tls = SSL_CTX_new(TLS_client_method());
	if (l->tls == NULL) {
		fprintf(stderr, "load: no TLS\n");
		exit(1);
	}
	SSL_CTX_set_mode(l->tls, SSL_MODE_RELEASE_BUFFERS |
				     SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
}

void
tls_begin(const struct load *l, struct load_client *c)
{
	c->ssl = SSL_new(l->tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
		fprintf(stderr, "load: no memory for TLS\n");
		exit(1);
	}
	SSL_set_connect_state(c->ssl);
}

enum load_shake
tls_shake(struct load_client *c)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(c->ssl);
	if (r == 1)
		return LOAD_SHAKEN;
	return SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ
		   ? LOAD_SHAKES
		   : LOAD_NOT_SHAKEN;
}

void
tls_end(struct load_client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
}

/* As read() and send() say it. */
static ssize_t
result(const struct load_client *c, int r, size_t n)
{
	int error;

	if (r == 1)
		return (ssize_t)n;
	error = SSL_get_error(c->ssl, r);
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
		    ? EAGAIN
		    : ECONNRESET;
	return -1;
}

ssize_t
load_recv(struct load_client *c, void *bytes, size_t cap)
{
	size_t n = 0;
	int r;

	if (c->ssl == NULL)
		return read(c->fd, bytes, cap);
	ERR_clear_error();
	r = SSL_read_ex(c->ssl, bytes, cap, &n);
	return result(c, r, n);
}

ssize_t
load_send(struct load_client *c, const void *bytes, size_t len)
{
	size_t n = 0;
	int r;

	if (c->ssl == NULL)
		return send(c->fd, bytes, len, MSG_NOSIGNAL);
	ERR_clear_error();
	r = SSL_write_ex(c->ssl, bytes, len, &n);
	return result(c, r, n);
}
