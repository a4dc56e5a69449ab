/*
 * Dialling the MTA, and letting go of it.
 */
#include "proxy/relay/leg.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/relay/worker_state.h"

#define US_PER_MS 1000

static struct worker *
seat_worker(const struct leg_seat *seat)
{
	return seat->tcp.loop->data;
}

struct leg *
leg_of(struct conn *c)
{
	if (c->leg == NULL || !c->leg->is_connected)
		return NULL;
	return &c->leg->is.leg;
}

static void
on_closed(uv_handle_t *handle)
{
	struct leg_seat *seat = container_of(handle, struct leg_seat, tcp);

	slab_give(&seat_worker(seat)->legs, seat);
}

static void
count_failure(struct worker *w, int error)
{
	enum metric which = METRIC_MTA_OTHER;

	if (error == UV_ECONNREFUSED)
		which = METRIC_MTA_REFUSED;
	else if (error == UV_ETIMEDOUT)
		which = METRIC_MTA_TIMEOUT;
	else if (error == UV_EHOSTUNREACH || error == UV_ENETUNREACH)
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
	struct leg_seat *seat = c->leg;

	if (leg_of(c) == NULL || seat->ring != NULL)
		return;
	seat->ring = slab_take(&worker_of(c)->rings);
	seat->is.leg.ring = seat->ring;
}

void
leg_give_ring(struct conn *c)
{
	struct leg_seat *seat = c->leg;

	if (seat == NULL || seat->ring == NULL)
		return;
	slab_give(&worker_of(c)->rings, seat->ring);
	seat->ring = NULL;
}

void
leg_hang_up(struct conn *c)
{
	struct leg_seat *seat = c->leg;

	if (seat == NULL)
		return;
	if (!seat->is_connected && has_timed_out(c))
		count_failure(worker_of(c), UV_ETIMEDOUT);
	leg_give_ring(c);
	c->leg = NULL;
	seat->conn = NULL;
	uv_close((uv_handle_t *)&seat->tcp, on_closed);
}

static void
on_connect(uv_connect_t *request, int status)
{
	struct leg_seat *seat =
	    container_of(request, struct leg_seat, is.request);
	struct worker *w = seat_worker(seat);
	struct conn *c = seat->conn;

	if (c == NULL)
		return;
	if (status != 0) {
		count_failure(w, status);
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
	} else {
		/* libuv is done with the request before it calls back. */
		memset(&seat->is.leg, 0, sizeof(seat->is.leg));
		seat->is_connected = true;
		metrics_time(w->options.metrics, METRIC_HISTOGRAM_MTA_CONNECT,
			     (uint64_t)(conn_now(c) - seat->dialled_ms) *
				 US_PER_MS);
		conn_event(c, EVENT_MTA_CONNECTED, SIDE_CLIENT);
	}
	conn_run(c);
}

static struct leg_seat *
take_seat(struct conn *c)
{
	struct worker *w = worker_of(c);
	struct leg_seat *seat = slab_take(&w->legs);

	if (seat == NULL)
		return NULL;
	memset(seat, 0, sizeof(*seat));
	seat->conn = c;
	seat->dialled_ms = conn_now(c);
	return seat;
}

/*
 * A PROXY header goes out as soon as the handshake is over. Then the last ACK
 * of that need not go alone: without quick ACKs the kernel waits for data.
 */
static void
open_handle(struct worker *w, struct leg_seat *seat)
{
	static const int off = 0;
	uv_os_fd_t fd;

	if (w->site.client_address == CLIENT_ADDRESS_NONE ||
	    uv_tcp_init_ex(&w->loop, &seat->tcp, w->mta_address.ss_family) !=
		0) {
		/* Without a socket this only sets fields. */
		(void)uv_tcp_init(&w->loop, &seat->tcp);
	} else if (uv_fileno((uv_handle_t *)&seat->tcp, &fd) == 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off,
				 sizeof(off));
	}
	(void)uv_tcp_nodelay(&seat->tcp, 1);
}

void
leg_dial(struct conn *c)
{
	struct worker *w = worker_of(c);
	struct leg_seat *seat = NULL;
	int error;

	if (w->mta_ready && c->leg == NULL)
		seat = take_seat(c);
	if (seat == NULL) {
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
		return;
	}
	c->leg = seat;
	open_handle(w, seat);
	metrics_add(w->options.metrics, METRIC_MTA_DIALS, 1);
	error = uv_tcp_connect(&seat->is.request, &seat->tcp,
			       (const struct sockaddr *)&w->mta_address,
			       on_connect);
	if (error != 0) {
		count_failure(w, error);
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
		return;
	}
	stream_read_ahead(c);
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
