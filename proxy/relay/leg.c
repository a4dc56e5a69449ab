/*
 * Dialling the MTA, and letting go of it.
 */
#include "proxy/relay/leg.h"

#include <string.h>

#include "proxy/relay/worker_state.h"

#define US_PER_MS 1000

static void
on_closed(uv_handle_t *handle)
{
	struct leg_seat *seat = container_of(handle, struct leg_seat, tcp);

	slab_give(&seat->worker->legs, seat);
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
has_timed_out(const struct leg_seat *seat)
{
	const struct worker *w = seat->worker;

	return uv_now(&w->loop) - seat->dialled_ms >=
	       w->site.connect_timeout_ms;
}

void
leg_hang_up(struct conn *c)
{
	struct leg_seat *seat = c->leg;

	if (seat == NULL)
		return;
	if (!seat->is_connected && has_timed_out(seat))
		count_failure(seat->worker, UV_ETIMEDOUT);
	c->leg = NULL;
	seat->conn = NULL;
	uv_close((uv_handle_t *)&seat->tcp, on_closed);
}

static void
on_connect(uv_connect_t *request, int status)
{
	struct leg_seat *seat = container_of(request, struct leg_seat, request);
	struct worker *w = seat->worker;
	struct conn *c = seat->conn;

	if (c == NULL)
		return;
	if (status != 0) {
		count_failure(w, status);
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
	} else {
		seat->is_connected = true;
		metrics_time(w->options.metrics, METRIC_HISTOGRAM_MTA_CONNECT,
			     (uv_now(&w->loop) - seat->dialled_ms) * US_PER_MS);
		conn_event(c, EVENT_MTA_CONNECTED, SIDE_CLIENT);
	}
	conn_run(c);
}

static struct leg_seat *
take_seat(struct conn *c)
{
	struct worker *w = c->worker;
	struct leg_seat *seat = slab_take(&w->legs);

	if (seat == NULL)
		return NULL;
	memset(seat, 0, sizeof(*seat));
	seat->worker = w;
	seat->conn = c;
	seat->dialled_ms = uv_now(&w->loop);
	return seat;
}

void
leg_dial(struct conn *c)
{
	struct worker *w = c->worker;
	struct leg_seat *seat = NULL;
	int error;

	if (w->mta_ready && c->leg == NULL)
		seat = take_seat(c);
	if (seat == NULL) {
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
		return;
	}
	c->leg = seat;
	/* Without a socket both only set fields. */
	(void)uv_tcp_init(&w->loop, &seat->tcp);
	(void)uv_tcp_nodelay(&seat->tcp, 1);
	metrics_add(w->options.metrics, METRIC_MTA_DIALS, 1);
	error = uv_tcp_connect(&seat->request, &seat->tcp,
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
	struct worker *w = c->worker;
	struct leg_seat *seat = c->leg;
	uint32_t patience_ms;
	uint64_t ms;

	if (seat->is_greeted)
		return;
	seat->is_greeted = true;
	atomic_store(&w->gauges.dials_failed, 0);
	ms = uv_now(&w->loop) - seat->dialled_ms;
	metrics_time(w->options.metrics, METRIC_HISTOGRAM_MTA_GREETING,
		     ms * US_PER_MS);
	patience_ms = w->options.rules.config->mta.patience_ms;
	if (ms > patience_ms)
		ms = patience_ms;
	worker_set_lead(w, lead_add(&w->lead, (uint32_t)ms)); /* <= patience */
}
