/*
 * Dialling the MTA, and letting go of it.
 */
#include "proxy/relay/leg.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/daemon/log.h"
#include "proxy/relay/guise.h"
#include "proxy/relay/record.h"
#include "proxy/relay/worker_state.h"

#define US_PER_MS 1000

struct leg *
leg_of(struct conn *c)
{
	if (c->leg == NULL || !c->leg->is_connected)
		return NULL;
	return &c->leg->leg;
}

void
leg_closed(struct sock *s)
{
	struct leg_seat *seat = container_of(s, struct leg_seat, sock);

	slab_give(&seat->worker->legs, seat);
}

static void
count_failure(struct worker *w, int error)
{
	enum metric which = METRIC_MTA_OTHER;

	if (error == -ECONNREFUSED)
		which = METRIC_MTA_REFUSED;
	else if (error == -ETIMEDOUT)
		which = METRIC_MTA_TIMEOUT;
	else if (error == -EHOSTUNREACH || error == -ENETUNREACH)
		which = METRIC_MTA_UNREACHABLE;
	metrics_add(w->options.metrics, which, 1);
	atomic_fetch_add(&w->gauges.dials_failed, 1);
}

/* The session lets go of a dial when this long nobody answered. */
static bool
has_timed_out(const struct conn *c)
{
	return conn_now(c) - c->leg->dialled_ms >=
	       worker_of(c)->site.connect_timeout_ms;
}

void
leg_take_ring(struct conn *c)
{
	struct leg *leg = leg_of(c);

	if (leg != NULL && leg->ring == NULL)
		leg->ring = slab_take(&worker_of(c)->rings);
}

void
leg_give_ring(struct conn *c)
{
	struct leg *leg = leg_of(c);

	if (leg == NULL || leg->ring == NULL)
		return;
	slab_give(&worker_of(c)->rings, leg->ring);
	leg->ring = NULL;
}

/*
 * The MTA has said 221 and closed, and has all that it was sent: nobody is
 * there who would mind a reset. It takes two packets less than a FIN, and the
 * MTA's kernel need not remember the connection for a minute.
 */
static bool
may_reset(const struct conn *c)
{
	return c->session.has_quit && c->streams[SIDE_MTA].has_ended &&
	       stream_is_flushed(c, SIDE_CLIENT);
}

/* What serves a client as the MTA's address is now serves any other one. */
static bool
may_rest(const struct leg_seat *seat)
{
	const struct worker *w = seat->worker;

	return seat->family != 0 && seat->family == w->mta_address.family &&
	       w->site.client_address != CLIENT_ADDRESS_TRANSPARENT &&
	       w->rested_count < WORKER_RESTED_CAP;
}

/*
 * Resets the connection and keeps the socket for the next dial, in its place
 * in the poller's set: to make and close one costs more than to connect it.
 * Connecting to nobody is how Linux undoes a connection; what was received or
 * not sent yet is thrown away with it. False if it was not done.
 */
static bool
rest(struct leg_seat *seat)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct worker *w = seat->worker;

	if (!may_rest(seat) ||
	    connect(seat->sock.fd, &nobody, sizeof(nobody)) != 0)
		return false;
	w->rested[w->rested_count++] = seat;
	return true;
}

void
leg_hang_up(struct conn *c)
{
	struct leg_seat *seat = c->leg;
	bool is_reset;

	if (seat == NULL)
		return;
	if (!seat->is_connected && has_timed_out(c))
		count_failure(worker_of(c), -ETIMEDOUT);
	is_reset = may_reset(c);
	leg_give_ring(c);
	tls_end(c, SIDE_MTA);
	c->leg = NULL;
	seat->conn = NULL;
	if (!is_reset || !rest(seat))
		poller_remove(&seat->worker->poller, &seat->sock);
}

void
leg_close_rested(struct worker *w)
{
	while (w->rested_count > 0)
		poller_remove(&w->poller, &w->rested[--w->rested_count]->sock);
}

static void
was_dialled(struct leg_seat *seat, uint32_t events)
{
	struct worker *w = seat->worker;
	struct conn *c = seat->conn;
	socklen_t len = sizeof(int);
	int error = 0;

	if ((events & (EPOLLERR | EPOLLHUP)) != 0)
		(void)getsockopt(seat->sock.fd, SOL_SOCKET, SO_ERROR, &error,
				 &len);
	if (error != 0) {
		count_failure(w, -error);
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
		return;
	}
	seat->is_connected = true;
	metrics_time(w->options.metrics, METRIC_HISTOGRAM_MTA_CONNECT,
		     (uint64_t)(conn_now(c) - seat->dialled_ms) * US_PER_MS);
	conn_event(c, EVENT_MTA_CONNECTED, SIDE_CLIENT);
}

void
leg_ready(struct sock *s, uint32_t events)
{
	struct leg_seat *seat = container_of(s, struct leg_seat, sock);
	struct conn *c = seat->conn;

	if (c == NULL)
		return;
	if (!seat->is_connected) {
		if (events == 0)
			return;
		was_dialled(seat, events);
		conn_run(c);
		/* It may have hung up. */
		if (c->leg != seat)
			return;
	}
	conn_ready(c, SIDE_MTA, events);
}

static void
send_at_once(int fd)
{
	static const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/*
 * A PROXY header goes out as soon as the handshake is over. Then the last ACK
 * of that need not go alone: without quick ACKs the kernel waits for data.
 */
static void
leave_ack(const struct worker *w, int fd)
{
	static const int off = 0;

	if (w->site.client_address == CLIENT_ADDRESS_V1 ||
	    w->site.client_address == CLIENT_ADDRESS_V2)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off,
				 sizeof(off));
}

/* One with a socket, if one rests, else one without. NULL: none is free. */
static struct leg_seat *
take_any(struct worker *w)
{
	struct leg_seat *seat;

	if (w->rested_count > 0) {
		seat = w->rested[--w->rested_count];
		poller_renew(&w->poller, &seat->sock);
		return seat;
	}
	seat = slab_take(&w->legs);
	if (seat != NULL)
		sock_init(&seat->sock, SOCK_MTA);
	return seat;
}

static struct leg_seat *
take_seat(struct conn *c)
{
	struct worker *w = worker_of(c);
	struct leg_seat *seat = take_any(w);

	if (seat == NULL)
		return NULL;
	*seat = (struct leg_seat){
	    .worker = w,
	    .conn = c,
	    .dialled_ms = conn_now(c),
	    .sock = seat->sock,
	    .family = seat->sock.fd >= 0 ? w->mta_address.family : 0,
	};
	return seat;
}

/* Connects, or begins to. Returns 0 or a negative errno. */
static int
connect_socket(const struct worker *w, int fd, const struct addr *mta)
{
	struct sockaddr_storage to;
	socklen_t len = sockaddr_set(&to, mta);

	leave_ack(w, fd);
	/* On this host it is over when it returns; nobody minds. */
	if (connect(fd, (const struct sockaddr *)&to, len) == 0 ||
	    errno == EINPROGRESS)
		return 0;
	return -errno;
}

/* A socket that connects, or a negative errno. */
static int
connect_to(const struct worker *w, const struct addr *mta)
{
	int fd = socket(mta->family == 4 ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	send_at_once(fd);
	error = connect_socket(w, fd, mta);
	if (error == 0)
		return fd;
	(void)close(fd);
	return error;
}

/* The same, from the client's address. */
static int
connect_as_client(struct conn *c, const struct addr *mta)
{
	struct worker *w = worker_of(c);
	const struct guise_ends ends = {
	    .client = &c->session.client,
	    .server = &c->session.server,
	    .mta = mta,
	};
	struct guise_port port;
	int fd = guise_connect(&ends, &port);

	c->mta_port = port.port;
	if (port.is_other)
		record_guise(c);
	if (port.is_other)
		metrics_add(w->options.metrics, METRIC_MTA_OTHER_PORT, 1);
	if (fd >= 0)
		send_at_once(fd);
	return fd;
}

/* Begins to connect. Returns 0 or a negative errno. */
static int
dial(struct conn *c, const struct addr *mta)
{
	struct worker *w = worker_of(c);
	int error;
	int fd;

	if (c->leg->sock.fd >= 0)
		return connect_socket(w, c->leg->sock.fd, mta);
	if (w->site.client_address == CLIENT_ADDRESS_TRANSPARENT) {
		fd = connect_as_client(c, mta);
	} else {
		c->leg->family = mta->family;
		fd = connect_to(w, mta);
	}
	if (fd < 0)
		return fd;
	error = poller_add(&w->poller, &c->leg->sock, fd);
	if (error != 0)
		(void)close(fd);
	return error;
}

/*
 * Where the client was going, if it is not to ourselves: that would go round
 * until all connections are used up.
 */
static const struct addr *
find_mta(struct conn *c)
{
	struct worker *w = worker_of(c);
	char text[ADDR_TEXT_CAP];

	if (w->mta_address.family != 0)
		return &w->mta_address;
	if (c->session.server.port != c->listener->address.port)
		return &c->session.server;
	if (!w->has_told_loop) {
		w->has_told_loop = true;
		(void)addr_text(&c->session.server, text, sizeof(text));
		log_say(LOG_LEVEL_ERROR,
			"listener %s: a client came to its own port, %s, and "
			"so leads to no MTA; clients are to be redirected to a "
			"port that none of them was going to. This is said "
			"once",
			c->listener->name, text);
	}
	return NULL;
}

void
leg_dial(struct conn *c)
{
	struct worker *w = worker_of(c);
	const struct addr *mta = find_mta(c);
	struct leg_seat *seat = NULL;
	int error;

	if (w->mta_ready && c->leg == NULL && mta != NULL)
		seat = take_seat(c);
	if (seat == NULL) {
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
		return;
	}
	c->leg = seat;
	metrics_add(w->options.metrics, METRIC_MTA_DIALS, 1);
	error = dial(c, mta);
	if (error != 0) {
		count_failure(w, error);
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
	}
}

void
leg_greeted(struct conn *c)
{
	struct worker *w = worker_of(c);
	struct leg_seat *seat = c->leg;
	uint32_t patience_ms;
	uint32_t ms;

	if (seat->is_greeted)
		return;
	seat->is_greeted = true;
	atomic_store(&w->gauges.dials_failed, 0);
	ms = conn_now(c) - seat->dialled_ms;
	metrics_time(w->options.metrics, METRIC_HISTOGRAM_MTA_GREETING,
		     (uint64_t)ms * US_PER_MS);
	patience_ms = w->options.rules.config->mta.patience_ms;
	if (ms > patience_ms)
		ms = patience_ms;
	worker_set_lead(w, lead_add(&w->lead, ms));
}
