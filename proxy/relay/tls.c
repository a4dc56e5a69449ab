/*
 * OpenSSL on a BIO of our own, with no buffer in between: its reads come out
 * of what was just received, its writes go into a buffer that the worker's
 * sessions share, and from there to the socket before the call is over.
 * OpenSSL's own memory BIOs were the alternative; they copy once more, and
 * each keeps the memory of its largest moment for the rest of the session.
 */
#include "proxy/relay/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/daemon/session_report.h"
#include "proxy/relay/tls_context.h"
#include "proxy/relay/worker_state.h"

/* The plaintext of one record at most (RFC 8446 5.1). */
#define RECORD_CAP 16384
/* So much ciphertext may wait for the socket; then nothing is read. */
#define WAITING_CAP 65536
#define US_PER_MS 1000

enum state { SHAKES, UP, FAILED, OVER };

struct tls {
	uint32_t slab_link;
	uint8_t state;	/* enum state */
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

size_t
tls_size(void)
{
	return sizeof(struct tls);
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
		n = send(t->conn->sock.fd, bytes, len,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (ssize_t)len - n;
	return errno == EAGAIN ? (ssize_t)len : -errno;
}

static void
forget(struct tls *t)
{
	OPENSSL_free(t->waiting);
	t->waiting = NULL;
	t->waiting_len = 0;
}

static void
broke(struct tls *t)
{
	forget(t);
	stream_broke(t->conn, SIDE_MTA);
}

/* What OpenSSL has written goes to the socket, or waits for it. */
static void
flush(struct tls *t)
{
	struct worker *w = t->worker;
	const uint8_t *end = w->tls_out + w->tls_out_len;
	ssize_t rest = (ssize_t)w->tls_out_len; /* a small buffer */

	w->tls_out_len = 0;
	if (rest == 0 || t->conn->streams[SIDE_MTA].is_broken)
		return;
	if (t->waiting_len == 0)
		rest = send_some(t, end - rest, (size_t)rest);
	if (rest > 0 && !append(t, end - rest, (size_t)rest))
		rest = -ENOMEM;
	if (rest < 0)
		broke(t);
}

void
tls_flush(struct conn *c)
{
	struct tls *t = c->tls;
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
		forget(t);
}

static int
bio_write(BIO *bio, const char *bytes, size_t len, size_t *done)
{
	struct tls *t = BIO_get_data(bio);
	struct worker *w = t->worker;
	size_t n;

	BIO_clear_retry_flags(bio);
	if (w->tls_out_len == sizeof(w->tls_out))
		flush(t);
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

void
tls_tell_room(struct worker *w)
{
	w->site.has_tls = w->options.rules.tls != NULL &&
			  w->tls.used < w->tls.cap &&
			  !w->mta_refuses_second_ehlo;
}

static void
free_seat(struct tls *t)
{
	struct worker *w = t->worker;

	SSL_free(t->ssl);
	tls_context_let_go(t->context);
	OPENSSL_free(t->kept);
	forget(t);
	slab_give(&w->tls, t);
	tls_tell_room(w);
}

static bool
open_ssl(struct tls *t)
{
	BIO *bio;

	(void)uv_once(&method_once, make_method);
	t->ssl = SSL_new(tls_context_first(t->context));
	bio = method != NULL ? BIO_new(method) : NULL;
	if (t->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		return false;
	}
	BIO_set_data(bio, t);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_accept_state(t->ssl);
	return true;
}

void
tls_start(struct conn *c)
{
	struct worker *w = worker_of(c);
	struct tls *t = NULL;

	metrics_add(w->options.metrics, METRIC_TLS_DISCARDED,
		    stream_discard(c, SIDE_CLIENT));
	if (w->options.rules.tls != NULL)
		t = slab_take(&w->tls);
	if (t == NULL) {
		conn_event(c, EVENT_TLS_FAILED, SIDE_CLIENT);
		return;
	}
	memset(t, 0, sizeof(*t));
	t->conn = c;
	t->worker = w;
	t->begun_ms = conn_now(c);
	t->context = tls_context_keep(w->options.rules.tls);
	tls_tell_room(w);
	c->tls = t;
	hello_take(c);
	if (open_ssl(t))
		return;
	t->state = FAILED;
	conn_event(c, EVENT_TLS_FAILED, SIDE_CLIENT);
}

ssize_t
tls_recv(struct conn *c)
{
	struct worker *w = worker_of(c);

	return stream_recv(&c->sock, w->tls_in, sizeof(w->tls_in));
}

void
tls_arrived(struct conn *c, ssize_t n)
{
	struct tls *t = c->tls;
	struct stream *st = &c->streams[SIDE_CLIENT];

	if (n > 0) {
		/* Nothing is read while something is unread. */
		t->in = worker_of(c)->tls_in;
		t->is_kept = false;
		t->in_len = (size_t)n;
		if (t->state == SHAKES)
			hello_read(c, t->in, t->in_len);
		if (t->state == FAILED || t->state == OVER)
			t->in_len = 0;
		return;
	}
	st->has_ended = true;
	st->is_reading = false;
	t->has_ended = true;
	if (n < 0 || c->streams[SIDE_MTA].is_broken)
		conn_event(c, EVENT_ERROR, SIDE_CLIENT);
	else if (t->state == FAILED)
		conn_event(c, EVENT_FIN, SIDE_CLIENT);
}

bool
tls_has_unread(const struct conn *c)
{
	const struct tls *t = c->tls;

	if (t->state == FAILED || t->state == OVER)
		return false;
	return t->in_len > 0 || t->has_ended || SSL_pending(t->ssl) > 0;
}

bool
tls_wants_read(const struct conn *c, bool wants)
{
	const struct tls *t = c->tls;

	if (t->waiting_len > WAITING_CAP)
		return false;
	if (tls_has_unread(c))
		return false;
	/* The rest of a record that has begun is always taken. */
	return wants || (t->state == UP && SSL_has_pending(t->ssl) == 1);
}

/* The client says nothing more, but may still be listening. */
static void
end_stream(struct conn *c, enum event_kind how)
{
	struct stream *st = &c->streams[SIDE_CLIENT];

	c->tls->state = OVER;
	st->is_reading = false;
	st->has_ended = true;
	conn_event(c, how, SIDE_CLIENT);
}

static bool
shake(struct conn *c)
{
	struct tls *t = c->tls;
	int r;

	if (t->in_len == 0 && !t->has_ended)
		return false;
	ERR_clear_error();
	r = SSL_do_handshake(t->ssl);
	flush(t);
	if (r == 1) {
		t->state = UP;
		metrics_time(worker_of(c)->options.metrics,
			     METRIC_HISTOGRAM_TLS_HANDSHAKE,
			     (uint64_t)(conn_now(c) - t->begun_ms) * US_PER_MS);
		conn_event(c, EVENT_TLS_UP, SIDE_CLIENT);
		return true;
	}
	if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ && !t->has_ended)
		return false;
	t->error = ERR_peek_error();
	t->state = FAILED;
	t->in_len = 0;
	conn_event(c, t->has_ended ? EVENT_FIN : EVENT_TLS_FAILED, SIDE_CLIENT);
	return true;
}

static bool
read_some(struct conn *c)
{
	struct tls *t = c->tls;
	uint8_t *at;
	size_t room;
	size_t n = 0;
	int r;

	if (!c->streams[SIDE_CLIENT].is_wanted || !tls_has_unread(c))
		return false;
	room = stream_room(c, SIDE_CLIENT, &at);
	if (room == 0) {
		c->streams[SIDE_CLIENT].is_starved =
		    c->buffers[SIDE_CLIENT] == NULL;
		return false;
	}
	ERR_clear_error();
	r = SSL_read_ex(t->ssl, at, room, &n);
	flush(t);
	if (r == 1) {
		stream_arrived(c, SIDE_CLIENT, n);
		conn_event(c, EVENT_BYTES, SIDE_CLIENT);
		return true;
	}
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return false;
	case SSL_ERROR_ZERO_RETURN:
		end_stream(c, EVENT_FIN);
		return true;
	default:
		t->error = ERR_peek_error();
		t->is_shut = true;
		end_stream(c, EVENT_ERROR);
		return true;
	}
}

bool
tls_pull(struct conn *c)
{
	if (c->tls->state == SHAKES)
		return shake(c);
	return c->tls->state == UP && read_some(c);
}

void
tls_settle(struct conn *c)
{
	struct tls *t = c->tls;
	uint8_t *rest;

	if (t->in_len == 0) {
		OPENSSL_free(t->kept);
		t->kept = NULL;
		return;
	}
	if (t->is_kept)
		return;
	rest = OPENSSL_malloc(t->in_len);
	if (rest == NULL) {
		t->state = OVER;
		conn_end(c, REASON_FULL);
		return;
	}
	memcpy(rest, t->in, t->in_len);
	OPENSSL_free(t->kept);
	t->kept = rest;
	t->in = rest;
	t->is_kept = true;
}

size_t
tls_write(struct conn *c, const void *bytes, size_t len)
{
	struct tls *t = c->tls;
	const uint8_t *at = bytes;
	size_t done = 0;

	/* Without a handshake there is nobody who could read it. */
	if (t->state == SHAKES || t->state == FAILED || t->is_shut)
		return len;
	while (done < len && tls_is_flushed(c)) {
		size_t n = len - done < RECORD_CAP ? len - done : RECORD_CAP;

		ERR_clear_error();
		if (SSL_write_ex(t->ssl, at + done, n, &n) != 1) {
			stream_broke(c, SIDE_MTA);
			return len;
		}
		done += n;
		flush(t);
	}
	return done;
}

bool
tls_is_flushed(const struct conn *c)
{
	return c->tls->waiting_len == 0;
}

void
tls_shut(struct conn *c)
{
	struct tls *t = c->tls;

	if (t->is_shut || (t->state != UP && t->state != OVER))
		return;
	t->is_shut = true;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl);
	flush(t);
}

void
tls_describe(const struct conn *c, struct session_report *r)
{
	const struct tls *t = c->tls;

	if (t == NULL)
		return;
	if (t->error != 0)
		r->tls_error = ERR_reason_error_string(t->error);
	if (t->ssl == NULL)
		return;
	if (!SSL_is_init_finished(t->ssl))
		return;
	r->tls_version = SSL_get_version(t->ssl);
	r->tls_cipher = SSL_get_cipher_name(t->ssl);
	r->tls_is_resumed = SSL_session_reused(t->ssl) == 1;
}

void
tls_end(struct conn *c)
{
	struct tls *t = c->tls;

	if (t == NULL)
		return;
	if (tls_is_flushed(c))
		tls_shut(c);
	c->tls = NULL;
	free_seat(t);
}
