#include "proxy/relay/lookup.h"

#include <string.h>

#include "proxy/evidence/dns.h"
#include "proxy/relay/worker_state.h"

static struct lookup_seat *
seat_of(const struct conn *c)
{
	struct worker *w = worker_of(c);
	uint32_t index = slab_index(&w->conns, c);

	return (void *)(w->lookups.base + w->lookups.seat_bytes * index);
}

static const struct config_dns *
dns_of(const struct worker *w)
{
	return &w->options.rules.config->dns;
}

static bool
is_on(const struct worker *w)
{
	return w->options.dns != NULL &&
	       (dns_of(w)->lists_count > 0 || dns_of(w)->has_ptr);
}

/* True if the seat is about this session and these lists. */
static bool
is_asked(const struct conn *c)
{
	const struct lookup_seat *s = seat_of(c);

	return s->generation == c->generation &&
	       s->epoch == worker_of(c)->options.rules.epoch;
}

void
lookup_start(struct conn *c, const struct evidence *e, const struct plan *plan)
{
	struct worker *w = worker_of(c);
	struct name_ask ask;

	if (!is_on(w) || e->is_proven || is_asked(c))
		return;
	if (plan->class_id == PLAN_CLASS_PASS && plan->rule_id != PLAN_NO_RULE)
		return;
	ask = (struct name_ask){
	    .who = {.seat = slab_index(&w->conns, c),
		    .generation = c->generation,
		    .epoch = w->options.rules.epoch},
	    .client = c->session.client,
	};
	if (!name_feed_ask(w->options.name_feed, &ask))
		return;
	*seat_of(c) = (struct lookup_seat){.generation = ask.who.generation,
					   .epoch = ask.who.epoch};
	dns_wake(w->options.dns);
}

static void
add(struct evidence *e, enum evidence_kind kind, uint32_t *sum, uint8_t weight)
{
	e->present |= evidence_bit(kind);
	*sum += weight;
}

void
lookup_gather(struct conn *c, struct evidence *e)
{
	const struct lookup_seat *s = seat_of(c);
	const struct config_dns *dns = dns_of(worker_of(c));

	if (!is_on(worker_of(c)) || !is_asked(c))
		return;
	for (size_t i = 0; i < dns->lists_count; i++) {
		if ((s->answered >> i & 1) == 0)
			continue;
		if (dns->lists[i].is_allow)
			add(e, EVIDENCE_DNSWL, &e->dnswl, s->weights[i]);
		else
			add(e, EVIDENCE_DNSBL, &e->dnsbl, s->weights[i]);
	}
	e->lists_known = s->answered;
	e->list_weights = s->weights;
	e->list_names = dns->names;
	e->ptr = evidence_ptr_name((enum evidence_ptr)s->ptr);
	if (e->ptr != NULL)
		e->present |= evidence_bit(EVIDENCE_PTR);
}

const char *
lookup_pool(const struct conn *c)
{
	const struct lookup_seat *s = seat_of(c);

	if (!is_on(worker_of(c)) || !is_asked(c) || s->pool[0] == '\0')
		return NULL;
	return s->pool;
}

/* The session that asked; NULL if it is over, or asked under other rules. */
static struct conn *
asker(struct worker *w, const struct name_asker *who)
{
	struct conn *c;

	if (who->seat >= w->conns.touched ||
	    who->epoch != w->options.rules.epoch)
		return NULL;
	c = slab_at(&w->conns, who->seat);
	if (c->listener == NULL || c->is_ending ||
	    c->generation != who->generation)
		return NULL;
	return c;
}

void
lookup_take(struct worker *w)
{
	struct name_answer a;

	while (w->options.name_feed != NULL &&
	       name_feed_take_answer(w->options.name_feed, &a)) {
		struct conn *c = asker(w, &a.who);

		if (c == NULL)
			continue;
		if (a.list == NAME_PTR) {
			seat_of(c)->ptr = a.value;
			memcpy(seat_of(c)->pool, a.pool, sizeof(a.pool));
		} else {
			seat_of(c)->answered |= (uint16_t)(1u << a.list);
			seat_of(c)->weights[a.list] = a.value;
		}
		conn_event(c, EVENT_REPLAN, SIDE_CLIENT);
		conn_run(c);
	}
}
