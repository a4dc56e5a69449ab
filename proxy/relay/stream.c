/*
 * Bytes on their way. Invariants: released bytes that could be written are
 * written before a step is over; a buffer is held only while something is
 * pending; a write error is not an event by itself, because what the peer
 * said before it went is still to be read. The read side reports the end.
 */
#include "proxy/relay/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/relay/worker_state.h"

/* Reading goes on when a full buffer has got this empty. */
#define RESUME_ROOM (BUFFER_READ_CAP / 2)

static struct buffer *
take_buffer(struct conn *c, enum side side)
{
	struct buffer *b = c->buffers[side];

	if (b != NULL)
		return b;
	b = slab_take(&worker_of(c)->buffers);
	if (b != NULL)
		buffer_init(b);
	c->buffers[side] = b;
	return b;
}

static void
give_buffer(struct conn *c, enum side side)
{
	slab_give(&worker_of(c)->buffers, c->buffers[side]);
	c->buffers[side] = NULL;
}

void
stream_close(struct conn *c, enum side side)
{
	if (c->buffers[side] != NULL)
		give_buffer(c, side);
}

size_t
stream_discard(struct conn *c, enum side side)
{
	struct worker *w = worker_of(c);
	struct buffer *b = c->buffers[side];
	size_t n = 0;

	if (b == NULL && w->loose > 0 && w->loose_side == side) {
		n = w->loose;
		w->loose = 0;
	}
	if (b == NULL)
		return n;
	n = b->unused;
	buffer_forget_unused(b);
	if (buffer_is_empty(b))
		give_buffer(c, side);
	return n;
}

bool
stream_has_unused(const struct conn *c, enum side side)
{
	const struct buffer *b = c->buffers[side];

	return b != NULL && b->unused > 0;
}

static bool
is_said(const struct tls *t)
{
	return t == NULL || tls_is_flushed(t);
}

bool
stream_is_flushed(const struct conn *c, enum side side)
{
	const struct buffer *b = c->buffers[side];

	if (b != NULL && b->released > 0)
		return false;
	return is_said(tls_of(c, other_side(side)));
}

static bool
is_loose(const struct conn *c, enum side side)
{
	return worker_of(c)->loose > 0 && c->buffers[side] == NULL &&
	       worker_of(c)->loose_side == side;
}

void
stream_show(struct conn *c, enum side side, struct event *ev)
{
	struct buffer *b = c->buffers[side];

	if (is_loose(c, side)) {
		ev->bytes = worker_of(c)->read_buffer;
		ev->len = worker_of(c)->loose;
		ev->fresh = ev->len;
	} else if (b != NULL) {
		ev->bytes = buffer_unused(b);
		ev->len = b->unused;
		ev->fresh = b->fresh;
		b->fresh = 0;
	}
}

/*
 * The other side cannot be written to. Reading tells that it is gone; where
 * it is not being read, nobody would: so it is looked at now.
 */
void
stream_broke(struct conn *c, enum side side)
{
	c->streams[side].is_broken = true;
	if (!c->streams[other_side(side)].is_reading)
		stream_check(c, other_side(side));
}

/*
 * Writes what the socket takes. Returns the bytes that need no more care: all
 * of them if the peer is gone. What did not go goes when the poller says that
 * the socket is writable again. The end of the MTA, when it is known to be
 * right behind its last words, goes out together with them.
 */
static size_t
write_now(struct conn *c, enum side side, const void *bytes, size_t len)
{
	struct stream *st = &c->streams[side];
	const struct sock *to = conn_sock(c, other_side(side));
	struct tls *t = tls_of(c, other_side(side));
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	ssize_t n;

	if (to == NULL)
		return 0;
	if (st->is_broken)
		return len;
	if (t != NULL)
		return tls_write(t, bytes, len);
	if (side == SIDE_MTA && worker_of(c)->end_follows)
		flags |= MSG_MORE;
	do
		n = send(to->fd, bytes, len, flags);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN)
		return 0;
	stream_broke(c, side);
	return len;
}

static void
shut_if_done(struct conn *c, enum side side)
{
	struct stream *st = &c->streams[side];
	const struct sock *to = conn_sock(c, other_side(side));
	struct tls *t = tls_of(c, other_side(side));

	if (!st->wants_shut || st->is_shut || to == NULL ||
	    !stream_is_flushed(c, side))
		return;
	if (t != NULL)
		tls_shut(t);
	if (!is_said(t))
		return;
	st->is_shut = true;
	/* It can only fail where the connection is gone: read tells. */
	(void)shutdown(to->fd, SHUT_WR);
}

void
stream_flush(struct conn *c, enum side side)
{
	struct buffer *b = c->buffers[side];
	struct tls *t = tls_of(c, other_side(side));
	const uint8_t *out;
	size_t len;

	if (t != NULL)
		tls_flush(t);
	if (b != NULL) {
		out = buffer_out(b, &len);
		if (len > 0)
			buffer_written(b, write_now(c, side, out, len));
		if (buffer_is_empty(b))
			give_buffer(c, side);
	}
	shut_if_done(c, side);
}

void
stream_shut(struct conn *c, enum side side)
{
	c->streams[side].wants_shut = true;
	shut_if_done(c, side);
}

/* Puts bytes that are in no buffer yet into one: unused. */
static bool
keep(struct conn *c, enum side side, const uint8_t *bytes, size_t len)
{
	struct buffer *b = take_buffer(c, side);

	if (b == NULL)
		return false;
	memcpy(buffer_tail(b), bytes, len);
	buffer_arrived(b, len);
	return true;
}

/*
 * The fast path: bytes in the worker's read buffer, all used ones released or
 * all dropped, no words of ours.
 */
static enum session_reason
pass_loose(struct conn *c, enum side side, uint32_t used,
	   const struct orders *o)
{
	struct worker *w = worker_of(c);
	const uint8_t *bytes = w->read_buffer;
	size_t len = w->loose;
	size_t written = used;

	if (o->release[side] > 0)
		written = write_now(c, side, bytes, used);
	w->loose = 0;
	if (written == len)
		return REASON_NONE;
	if (!keep(c, side, bytes + written, len - written))
		return REASON_FULL;
	if (written < used) {
		(void)buffer_use(c->buffers[side], used - written);
		(void)buffer_release(c->buffers[side], used - written);
	}
	return REASON_NONE;
}

static bool
is_simple(enum side side, uint32_t used, const struct orders *o)
{
	uint32_t drop = o->drop[side];
	uint32_t release = o->release[side];

	if (o->say_len[other_side(side)] > 0)
		return false;
	return (drop == 0 && release == used) || (drop == used && release == 0);
}

/* Words of ours with nothing in front of or behind them. */
static enum session_reason
say_directly(struct conn *c, enum side side, const char *words, size_t len)
{
	size_t written = write_now(c, side, words, len);
	struct buffer *b;

	if (written == len)
		return REASON_NONE;
	b = take_buffer(c, side);
	if (b == NULL)
		return REASON_FULL;
	(void)buffer_say(b, words + written, len - written);
	return REASON_NONE;
}

static enum session_reason
apply_to_buffer(struct conn *c, enum side side, uint32_t used,
		const struct orders *o)
{
	struct buffer *b = c->buffers[side];
	enum side to = other_side(side);

	if (!buffer_use(b, used) || !buffer_drop(b, o->drop[side]))
		return REASON_BUG;
	if (o->say_len[to] > 0 && !buffer_say(b, o->say[to], o->say_len[to]))
		return REASON_FULL;
	if (!buffer_release(b, o->release[side]))
		return REASON_BUG;
	stream_flush(c, side);
	return REASON_NONE;
}

/* Changes what the MTA has just said, before it is used. */
static enum session_reason
edit(struct conn *c, const struct orders *o)
{
	struct worker *w = worker_of(c);
	unsigned i;

	if (is_loose(c, SIDE_MTA)) {
		if (!keep(c, SIDE_MTA, w->read_buffer, w->loose))
			return REASON_FULL;
		w->loose = 0;
	}
	if (c->buffers[SIDE_MTA] == NULL)
		return REASON_BUG;
	/* From the last on: their offsets are those of before. */
	for (i = o->edits_count; i > 0; i--) {
		const struct session_edit *e = &o->edits[i - 1];

		if (!buffer_edit(c->buffers[SIDE_MTA], e))
			return REASON_BUG;
	}
	return REASON_NONE;
}

enum session_reason
stream_apply(struct conn *c, enum side side, uint32_t used,
	     const struct orders *o)
{
	struct worker *w = worker_of(c);
	enum side to = other_side(side);
	uint32_t moves = used | o->drop[side] | o->release[side];

	if (side == SIDE_MTA && o->edits_count > 0) {
		enum session_reason r = edit(c, o);

		if (r != REASON_NONE)
			return r;
	}

	if (is_loose(c, side)) {
		if (used > w->loose)
			return REASON_BUG;
		if (is_simple(side, used, o))
			return pass_loose(c, side, used, o);
		if (!keep(c, side, w->read_buffer, w->loose))
			return REASON_FULL;
		w->loose = 0;
	}
	if (moves == 0 && o->say_len[to] == 0)
		return REASON_NONE;
	if (c->buffers[side] != NULL)
		return apply_to_buffer(c, side, used, o);
	if (moves != 0)
		return REASON_BUG;
	return say_directly(c, side, o->say[to], o->say_len[to]);
}

void
stream_forget_mta(struct conn *c)
{
	struct stream *to_client = &c->streams[SIDE_MTA];
	struct stream *to_mta = &c->streams[SIDE_CLIENT];

	if (c->buffers[SIDE_MTA] != NULL) {
		buffer_forget_rest(c->buffers[SIDE_MTA]);
		stream_flush(c, SIDE_MTA);
	}
	if (c->buffers[SIDE_CLIENT] != NULL) {
		buffer_forget_released(c->buffers[SIDE_CLIENT]);
		stream_flush(c, SIDE_CLIENT);
	}
	to_client->is_reading = false;
	to_client->is_starved = false;
	to_client->has_ended = false;
	to_mta->is_broken = false;
	to_mta->wants_shut = false;
	to_mta->is_shut = false;
}

static bool
has_room(const struct conn *c, enum side side)
{
	const struct stream *st = &c->streams[side];
	const struct buffer *b = c->buffers[side];

	if (b == NULL)
		return true;
	return buffer_room(b) >= (st->is_reading ? 1 : RESUME_ROOM);
}

/*
 * A read begins only if what it brings can be kept. Clients that talk early
 * share what the sessions with an MTA can do without: they could not stop
 * those, however many they are.
 */
static bool
may_take_buffer(const struct conn *c)
{
	const struct worker *w = worker_of(c);
	uint32_t kept = WORKER_BUFFERS_RESERVE;

	if (c->leg == NULL)
		kept += w->buffers_for_legs;
	return w->buffers.cap - w->buffers.used > kept;
}

void
stream_set_reading(struct conn *c, enum side side)
{
	struct stream *st = &c->streams[side];
	struct sock *from = conn_sock(c, side);
	const struct tls *t = tls_of(c, side);
	bool want;

	if (from == NULL || st->has_ended)
		return;
	st->is_starved = st->is_starved && !may_take_buffer(c);
	want = st->is_wanted && !st->is_starved && has_room(c, side);
	if (t != NULL)
		want = tls_wants_read(t, want);
	if (!want) {
		st->is_reading = false;
		return;
	}
	if (!st->is_reading && from->may_read)
		poller_again(&worker_of(c)->poller, from);
	st->is_reading = true;
}

/*
 * Of a slow upload no more than its quota. Before the greeting no more is
 * taken than is kept.
 */
static size_t
read_limit(const struct conn *c, enum side side, size_t room)
{
	uint32_t unused = c->session.unused;
	size_t left = 1;

	if (side == SIDE_MTA)
		return room;
	if (c->quota < room)
		room = c->quota;
	if (c->session.is_greeted)
		return room;
	if (unused < SESSION_EARLY_CAP)
		left = SESSION_EARLY_CAP - unused;
	return left < room ? left : room;
}

/*
 * The MTA's end is often there with its last reply. Said in one piece it costs
 * the network a packet less, and the client a waking.
 */
static bool
is_end_next(const struct sock *from)
{
	char byte;

	return recv(from->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

size_t
stream_room(struct conn *c, enum side side, uint8_t **at)
{
	struct worker *w = worker_of(c);
	struct buffer *b = c->buffers[side];
	size_t room = BUFFER_READ_CAP;

	*at = w->read_buffer;
	if (b != NULL) {
		room = buffer_room(b);
		*at = buffer_tail(b);
	} else if (!may_take_buffer(c)) {
		return 0;
	}
	return read_limit(c, side, room);
}

ssize_t
stream_read(struct conn *c, enum side side)
{
	struct worker *w = worker_of(c);
	struct sock *from = conn_sock(c, side);
	struct tls *t = tls_of(c, side);
	uint8_t *at;
	size_t room;
	ssize_t n;

	if (t != NULL)
		return tls_recv(t);
	room = stream_room(c, side, &at);
	if (room == 0)
		return -ENOBUFS;
	n = stream_recv(from, at, room);
	w->end_follows = side == SIDE_MTA && from->is_over && n > 0 &&
			 (size_t)n < room && is_end_next(from);
	return n;
}

void
stream_arrived(struct conn *c, enum side side, size_t n)
{
	struct buffer *b = c->buffers[side];

	if (b == NULL) {
		worker_of(c)->loose = n;
		worker_of(c)->loose_side = side;
		return;
	}
	buffer_arrived(b, n);
	b->fresh += (uint32_t)n; /* <= buffer */
}
