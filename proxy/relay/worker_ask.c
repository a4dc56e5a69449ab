#include "proxy/relay/worker_ask.h"

#include <string.h>

#include "proxy/daemon/log.h"
#include "proxy/relay/worker_state.h"

/* Seats looked at in one turn. */
#define ASK_SEATS 1024u

static bool
is_asked_for(const struct worker_question *q, const struct conn *c)
{
	const struct addr *client = &c->session.client;

	if (c->listener == NULL || c->is_ending)
		return false;
	if (q->id != 0)
		return c->id == q->id;
	return addr_same_ip(client, &q->client) &&
	       (q->client.port == 0 || client->port == q->client.port);
}

/* A text that is not the session's own is copied, and the copy named. */
static const char *
keep(char *out, size_t cap, const char *text)
{
	if (text == NULL)
		return NULL;
	out[0] = '\0';
	(void)strncat(out, text, cap - 1);
	return out;
}

static void
explain(struct conn *c, struct session_known *k)
{
	const struct worker *w = worker_of(c);
	struct evidence *e = &k->evidence;

	k->id = c->id;
	k->age_ms = (uint32_t)(worker_now(w) - c->session.opened_ms);
	k->epoch = w->options.rules.epoch;
	k->stress = w->stress;
	k->session = c->session;
	facts_gather(c, e, k->dialect);
	e->label = keep(k->label, sizeof(k->label), e->label);
	e->listener = keep(k->listener, sizeof(k->listener), e->listener);
	e->ja4 = keep(k->ja4, sizeof(k->ja4), e->ja4);
	e->ja4_raw = keep(k->ja4_raw, sizeof(k->ja4_raw), e->ja4_raw);
	if (e->list_weights != NULL)
		memcpy(k->list_weights, e->list_weights,
		       sizeof(k->list_weights));
	e->list_weights = k->list_weights;
	e->list_names = NULL; /* the asker's own */
}

static void
release(struct conn *c)
{
	char client[LOG_ADDRESS_CAP];

	log_address(&c->session.client, client);
	log_say(LOG_LEVEL_INFO, "session %llu of %s was released",
		(unsigned long long)c->id, client);
	metrics_add(worker_of(c)->options.metrics, METRIC_RELEASED, 1);
	conn_event(c, EVENT_RELEASED, SIDE_CLIENT);
	conn_run(c);
}

void
worker_ask_answer(struct worker *w, struct worker_question *q)
{
	uint32_t end = w->conns.touched;

	if (q->next < end && end - q->next > ASK_SEATS)
		end = q->next + ASK_SEATS;
	for (; q->next < end; q->next++) {
		struct conn *c = slab_at(&w->conns, q->next);

		if (!is_asked_for(q, c))
			continue;
		q->found++;
		if (q->what == WORKER_ASK_RELEASE)
			release(c);
		else if (q->known.id == 0 || c->id > q->known.id)
			explain(c, &q->known);
	}
	q->is_end = q->next >= w->conns.touched;
	atomic_store(&q->is_answered, true); /* it is the asker's again */
}
