/*
 * OpenSSL on a BIO of our own, with no buffer in between: its reads come out
 * of what was just received, its writes go into a buffer that the worker's
 * sessions share, and from there to the socket before the call is over.
 * OpenSSL's own memory BIOs were the alternative; they copy once more, and
 * each keeps the memory of its largest moment for the rest of the session.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/relay/tls_state.h"
#include "proxy/relay/worker_state.h"

static int
its_fd(const struct tls *t)
{
	return t->side == SIDE_CLIENT ? t->conn->sock.fd
				      : t->conn->leg->sock.fd;
}

static int
bio_read(BIO *bio, char *out, size_t cap, size_t *len)
{
	struct tls *t = BIO_get_data(bio);
	size_t n = t->in_len < cap ? t->in_len : cap;

	BIO_clear_retry_flags(bio);
	*len = n;
	if (n == 0) {
		if (!t->has_ended)
			BIO_set_retry_read(bio);
		return 0;
	}
	memcpy(out, t->in, n);
	t->in += n;
	t->in_len -= n;
	return 1;
}

/* Adds to what waits; false without memory. */
static bool
append(struct tls *t, const uint8_t *bytes, size_t len)
{
	uint8_t *all = OPENSSL_realloc(t->waiting, t->waiting_len + len);

	if (all == NULL)
		return false;
	memcpy(all + t->waiting_len, bytes, len);
	t->waiting = all;
	t->waiting_len += len;
	return true;
}

/* Sends what the socket takes; the rest, or a negative errno. */
static ssize_t
send_some(const struct tls *t, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(its_fd(t), bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (ssize_t)len - n;
	return errno == EAGAIN ? (ssize_t)len : -errno;
}

void
tls_bio_forget(struct tls *t)
{
	OPENSSL_free(t->waiting);
	t->waiting = NULL;
	t->waiting_len = 0;
}

static void
broke(struct tls *t)
{
	tls_bio_forget(t);
	stream_broke(t->conn, tls_other_side(t));
}

void
tls_bio_send(struct tls *t)
{
	struct worker *w = t->worker;
	const uint8_t *end = w->tls_out + w->tls_out_len;
	ssize_t rest = (ssize_t)w->tls_out_len; /* a small buffer */

	w->tls_out_len = 0;
	if (rest == 0 || t->conn->streams[tls_other_side(t)].is_broken)
		return;
	if (t->waiting_len == 0)
		rest = send_some(t, end - rest, (size_t)rest);
	if (rest > 0 && !append(t, end - rest, (size_t)rest))
		rest = -ENOMEM;
	if (rest < 0)
		broke(t);
}

void
tls_flush(struct tls *t)
{
	ssize_t rest;

	if (t->waiting_len == 0)
		return;
	rest = send_some(t, t->waiting, t->waiting_len);
	if (rest < 0) {
		broke(t);
		return;
	}
	memmove(t->waiting, t->waiting + t->waiting_len - (size_t)rest,
		(size_t)rest);
	t->waiting_len = (size_t)rest;
	if (rest == 0)
		tls_bio_forget(t);
}

static int
bio_write(BIO *bio, const char *bytes, size_t len, size_t *done)
{
	struct tls *t = BIO_get_data(bio);
	struct worker *w = t->worker;
	size_t n;

	BIO_clear_retry_flags(bio);
	if (w->tls_out_len == sizeof(w->tls_out))
		tls_bio_send(t);
	n = sizeof(w->tls_out) - w->tls_out_len;
	if (n > len)
		n = len;
	memcpy(w->tls_out + w->tls_out_len, bytes, n);
	w->tls_out_len += n;
	*done = n;
	return 1;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return ((struct tls *)BIO_get_data(bio))->has_ended;
	return command == BIO_CTRL_FLUSH;
}

static int
bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *method;
static uv_once_t method_once = UV_ONCE_INIT;

/* Lives as long as the process; all workers share it, nobody changes it. */
static void
make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "session");

	if (m == NULL)
		return;
	(void)BIO_meth_set_read_ex(m, bio_read);
	(void)BIO_meth_set_write_ex(m, bio_write);
	(void)BIO_meth_set_ctrl(m, bio_ctrl);
	(void)BIO_meth_set_create(m, bio_create);
	method = m;
}

BIO *
tls_bio_new(struct tls *t)
{
	BIO *bio;

	(void)uv_once(&method_once, make_method);
	bio = method != NULL ? BIO_new(method) : NULL;
	if (bio != NULL)
		BIO_set_data(bio, t);
	return bio;
}
