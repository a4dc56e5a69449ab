/*
 * From an accepted socket to a session.
 */
#include "proxy/relay/conn.h"

#include <string.h>
#include <unistd.h>

#include "proxy/relay/shortage.h"
#include "proxy/relay/worker_state.h"

bool
conn_has_seat(const struct listener *from)
{
	const struct slab *s = &from->worker->conns;

	return s->used < s->cap;
}

static struct conn *
take_seat(struct listener *from)
{
	struct worker *w = from->worker;
	struct conn *c = slab_take(&w->conns);
	uint32_t generation;

	if (c == NULL)
		return NULL;
	generation = c->generation + 1;
	memset(c, 0, sizeof(*c));
	c->generation = generation;
	c->listener = from;
	c->id = w->next_id++;
	c->session.opened_ms = worker_now(w);
	c->session.is_implicit_tls = from->is_implicit_tls;
	sock_init(&c->sock, SOCK_CLIENT);
	return c;
}

/* The socket is in the seat: opens the session, or closes at once. */
static int
start(struct conn *c, int error)
{
	if (error == 0)
		error = facts_open(c);
	if (error != 0) {
		c->is_ending = true;
		poller_remove(&worker_of(c)->poller, &c->sock);
		return error;
	}
	metrics_add(worker_of(c)->options.metrics,
		    c->session.client.family == 4 ? METRIC_ACCEPTED_IPV4
						  : METRIC_ACCEPTED_IPV6,
		    1);
	conn_event(c, EVENT_OPEN, SIDE_CLIENT);
	if (worker_of(c)->is_draining)
		conn_event(c, EVENT_DRAIN, SIDE_CLIENT);
	conn_run(c);
	shortage_came(worker_of(c));
	return 0;
}

int
conn_open(struct listener *from, int fd)
{
	struct conn *c = take_seat(from);
	int error;

	if (c == NULL) {
		(void)close(fd);
		return -ENOBUFS;
	}
	error = poller_add(&from->worker->poller, &c->sock, fd);
	if (error != 0)
		(void)close(fd);
	return start(c, error);
}
