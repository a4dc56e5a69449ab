#include "proxy/relay/hello.h"

#include <string.h>

#include "proxy/relay/tls_ja4.h"
#include "proxy/relay/worker_state.h"
#include "tarry/evidence.h"

static struct hello_seat *
seat_of(struct conn *c)
{
	struct worker *w = worker_of(c);
	uint32_t index = slab_index(&w->conns, c);

	return (void *)(w->hellos.base + w->hellos.seat_bytes * index);
}

void
hello_take(struct conn *c)
{
	if (!c->has_hello)
		memset(seat_of(c), 0, sizeof(struct hello_seat));
	c->has_hello = true;
}

struct client_hello *
hello_of(struct conn *c)
{
	return c->has_hello ? &seat_of(c)->hello : NULL;
}

void
hello_read(struct conn *c, const uint8_t *bytes, size_t len)
{
	struct client_hello *h = hello_of(c);

	if (h != NULL && h->state == CLIENT_HELLO_MORE &&
	    client_hello_read(h, bytes, len) == CLIENT_HELLO_DONE)
		conn_event(c, EVENT_REPLAN, SIDE_CLIENT);
}

/* JA4's raw text in the worker's room for it, and JA4 in the seat; false if
 * there is no whole hello. */
static bool
make_ja4(struct conn *c)
{
	struct client_hello *h = hello_of(c);
	char *raw = worker_of(c)->ja4_raw;

	if (h == NULL || h->state != CLIENT_HELLO_DONE)
		return false;
	(void)ja4_raw(h, raw);
	if (seat_of(c)->ja4[0] == '\0')
		tls_ja4(raw, seat_of(c)->ja4);
	return true;
}

void
hello_gather(struct conn *c, struct evidence *e)
{
	if (!make_ja4(c))
		return;
	e->present |= evidence_bit(EVIDENCE_JA4);
	e->ja4 = seat_of(c)->ja4;
	e->ja4_raw = worker_of(c)->ja4_raw;
}

void
hello_describe(struct conn *c, struct session_report *r)
{
	r->hello = hello_of(c);
	if (make_ja4(c))
		r->ja4 = seat_of(c)->ja4;
}
