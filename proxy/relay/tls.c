/*
 * TLS of a side: OpenSSL between ciphertext and stream. What it reads and
 * writes passes tls_bio.c.
 */
#include "proxy/relay/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "proxy/daemon/log.h"
#include "proxy/daemon/session_report.h"
#include "proxy/relay/tls_context.h"
#include "proxy/relay/tls_state.h"
#include "proxy/relay/worker_state.h"

/* The plaintext of one record at most (RFC 8446 5.1). */
#define RECORD_CAP 16384
/* So much ciphertext may wait for the socket; then nothing is read. */
#define WAITING_CAP 65536
#define US_PER_MS 1000

size_t
tls_size(void)
{
	return sizeof(struct tls);
}

struct tls *
tls_of(const struct conn *c, enum side side)
{
	if (side == SIDE_CLIENT)
		return c->tls;
	return c->leg != NULL ? c->leg->tls : NULL;
}

void
tls_tell_room(struct worker *w)
{
	w->site.mta_tls =
	    w->options.rules.config->mta.tls == CONFIG_MTA_STARTTLS;
	w->site.has_tls = w->options.rules.tls != NULL &&
			  w->tls.used < w->tls.cap &&
			  (w->site.mta_tls || !w->mta_refuses_second_ehlo);
}

static struct slab *
seats_of(struct worker *w, enum side side)
{
	return side == SIDE_CLIENT ? &w->tls : &w->mta_tls;
}

static void
free_seat(struct tls *t)
{
	struct worker *w = t->worker;

	SSL_free(t->ssl);
	tls_context_let_go(t->context);
	OPENSSL_free(t->kept);
	tls_bio_forget(t);
	slab_give(seats_of(w, tls_side(t)), t);
	tls_tell_room(w);
}

static bool
open_ssl(struct tls *t)
{
	BIO *bio = tls_bio_new(t);

	t->ssl = SSL_new(t->side == SIDE_CLIENT ? tls_context_first(t->context)
						: tls_context_mta(t->context));
	if (t->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		return false;
	}
	SSL_set_bio(t->ssl, bio, bio);
	if (t->side == SIDE_CLIENT)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	return true;
}

ssize_t
tls_recv(struct tls *t)
{
	struct worker *w = t->worker;

	return stream_recv(conn_sock(t->conn, tls_side(t)), w->tls_in,
			   sizeof(w->tls_in));
}

void
tls_arrived(struct tls *t, ssize_t n)
{
	struct conn *c = t->conn;
	struct stream *st = &c->streams[t->side];

	if (n > 0) {
		/* Nothing is read while something is unread. */
		t->in = t->worker->tls_in;
		t->is_kept = false;
		t->in_len = (size_t)n;
		if (t->state == TLS_SHAKES && t->side == SIDE_CLIENT)
			hello_read(c, t->in, t->in_len);
		if (t->state == TLS_FAILED || t->state == TLS_OVER)
			t->in_len = 0;
		return;
	}
	st->has_ended = true;
	st->is_reading = false;
	t->has_ended = true;
	if (n < 0 || c->streams[tls_other_side(t)].is_broken)
		conn_event(c, EVENT_ERROR, tls_side(t));
	else if (t->state == TLS_FAILED)
		conn_event(c, EVENT_FIN, tls_side(t));
}

bool
tls_has_unread(const struct tls *t)
{
	if (t->state == TLS_FAILED || t->state == TLS_OVER)
		return false;
	return t->in_len > 0 || t->has_ended || SSL_pending(t->ssl) > 0;
}

bool
tls_wants_read(const struct tls *t, bool wants)
{
	if (t->waiting_len > WAITING_CAP)
		return false;
	if (tls_has_unread(t))
		return false;
	/* The rest of a record that has begun is always taken. */
	return wants || (t->state == TLS_UP && SSL_has_pending(t->ssl) == 1);
}

/* The side says nothing more, but may still be listening. */
static void
end_stream(struct tls *t, enum event_kind how)
{
	struct stream *st = &t->conn->streams[t->side];

	t->state = TLS_OVER;
	st->is_reading = false;
	st->has_ended = true;
	conn_event(t->conn, how, tls_side(t));
}

static void
count_time(const struct tls *t)
{
	metrics_time(t->worker->options.metrics,
		     t->side == SIDE_CLIENT
			 ? METRIC_HISTOGRAM_TLS_HANDSHAKE
			 : METRIC_HISTOGRAM_MTA_TLS_HANDSHAKE,
		     (uint64_t)(conn_now(t->conn) - t->begun_ms) * US_PER_MS);
}

/* Each session would say the same: it is said when it has become another one,
 * and when there was none in between. */
static void
tell_failure(struct tls *t)
{
	const char *why = ERR_reason_error_string(t->error);

	if (t->error == 0)
		why = "it closed the connection";
	if (t->error + 1 == t->worker->mta_tls_error_told)
		return;
	t->worker->mta_tls_error_told = t->error + 1;
	log_say(LOG_LEVEL_ERROR,
		"the MTA answers STARTTLS, but the TLS handshake with it "
		"fails: %s; its clients that ask for TLS are closed. Mend its "
		"TLS, or set tls = none in [mta]",
		why != NULL ? why : "no reason is known");
}

static bool
shake(struct tls *t)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(t->ssl);
	tls_bio_send(t);
	if (r == 1) {
		t->state = TLS_UP;
		if (t->side == SIDE_MTA)
			t->worker->mta_tls_error_told = 0;
		count_time(t);
		conn_event(t->conn, EVENT_TLS_UP, tls_side(t));
		return true;
	}
	if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ && !t->has_ended)
		return false;
	t->error = ERR_peek_error();
	t->state = TLS_FAILED;
	t->in_len = 0;
	if (t->side == SIDE_MTA)
		tell_failure(t);
	conn_event(t->conn, t->has_ended ? EVENT_FIN : EVENT_TLS_FAILED,
		   tls_side(t));
	return true;
}

static struct tls *
take_seat(struct conn *c, enum side side)
{
	struct worker *w = worker_of(c);
	struct tls *t = NULL;

	if (w->options.rules.tls != NULL)
		t = slab_take(seats_of(w, side));
	if (t == NULL)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->conn = c;
	t->side = (uint8_t)side; /* two */
	t->worker = w;
	t->begun_ms = conn_now(c);
	t->context = tls_context_keep(w->options.rules.tls);
	tls_tell_room(w);
	if (side == SIDE_CLIENT)
		c->tls = t;
	else
		c->leg->tls = t;
	return t;
}

void
tls_start(struct conn *c, enum side side)
{
	struct worker *w = worker_of(c);
	struct tls *t;

	metrics_add(w->options.metrics, METRIC_TLS_DISCARDED,
		    stream_discard(c, side));
	t = take_seat(c, side);
	if (t != NULL && side == SIDE_CLIENT)
		hello_take(c);
	if (t == NULL || !open_ssl(t)) {
		if (t != NULL)
			t->state = TLS_FAILED;
		conn_event(c, EVENT_TLS_FAILED, side);
		return;
	}
	if (side == SIDE_MTA)
		(void)shake(t); /* ours is the first word */
}

static bool
read_some(struct tls *t)
{
	struct conn *c = t->conn;
	uint8_t *at;
	size_t room;
	size_t n = 0;
	int r;

	if (!c->streams[t->side].is_wanted || !tls_has_unread(t))
		return false;
	room = stream_room(c, tls_side(t), &at);
	if (room == 0) {
		c->streams[t->side].is_starved = c->buffers[t->side] == NULL;
		return false;
	}
	ERR_clear_error();
	r = SSL_read_ex(t->ssl, at, room, &n);
	tls_bio_send(t);
	if (r == 1) {
		stream_arrived(c, tls_side(t), n);
		conn_event(c, EVENT_BYTES, tls_side(t));
		return true;
	}
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return false;
	case SSL_ERROR_ZERO_RETURN:
		end_stream(t, EVENT_FIN);
		return true;
	default:
		t->error = ERR_peek_error();
		t->is_shut = true;
		end_stream(t, EVENT_ERROR);
		return true;
	}
}

bool
tls_pull(struct tls *t)
{
	if (t == NULL)
		return false;
	if (t->state == TLS_SHAKES)
		return (t->in_len > 0 || t->has_ended) && shake(t);
	return t->state == TLS_UP && read_some(t);
}

void
tls_settle(struct tls *t)
{
	uint8_t *rest;

	if (t == NULL)
		return;
	if (t->in_len == 0) {
		OPENSSL_free(t->kept);
		t->kept = NULL;
		return;
	}
	if (t->is_kept)
		return;
	rest = OPENSSL_malloc(t->in_len);
	if (rest == NULL) {
		t->state = TLS_OVER;
		conn_end(t->conn, REASON_FULL);
		return;
	}
	memcpy(rest, t->in, t->in_len);
	OPENSSL_free(t->kept);
	t->kept = rest;
	t->in = rest;
	t->is_kept = true;
}

size_t
tls_write(struct tls *t, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	size_t done = 0;

	/* Without a handshake there is nobody who could read it. */
	if (t->state == TLS_SHAKES || t->state == TLS_FAILED || t->is_shut)
		return len;
	while (done < len && tls_is_flushed(t)) {
		size_t n = len - done < RECORD_CAP ? len - done : RECORD_CAP;

		ERR_clear_error();
		if (SSL_write_ex(t->ssl, at + done, n, &n) != 1) {
			stream_broke(t->conn, tls_other_side(t));
			return len;
		}
		done += n;
		tls_bio_send(t);
	}
	return done;
}

bool
tls_is_flushed(const struct tls *t)
{
	return t->waiting_len == 0;
}

void
tls_shut(struct tls *t)
{
	if (t->is_shut || (t->state != TLS_UP && t->state != TLS_OVER))
		return;
	t->is_shut = true;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl);
	tls_bio_send(t);
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
tls_end(struct conn *c, enum side side)
{
	struct tls *t = tls_of(c, side);

	if (t == NULL)
		return;
	if (tls_is_flushed(t))
		tls_shut(t);
	if (side == SIDE_CLIENT)
		c->tls = NULL;
	else
		c->leg->tls = NULL;
	free_seat(t);
}
