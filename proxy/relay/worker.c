/*
 * A worker's thread: its loop, its clock, its mailbox.
 *
 * The mailbox holds states, not a queue: "drain" said twice is once, the last
 * MTA name wins. So it is never full.
 */
#include "proxy/relay/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/daemon/log.h"
#include "proxy/relay/drip.h"
#include "proxy/relay/shortage.h"
#include "proxy/relay/worker_ask.h"
#include "proxy/relay/worker_memory.h"
#include "proxy/relay/worker_state.h"
#include "proxy/relay/worker_view.h"

#define WANT_MTA 1u
#define WANT_RULES 2u
#define WANT_DRAIN 4u
#define WANT_CUT 8u
#define WANT_STOP 16u
#define WANT_VIEW 32u
#define WANT_ANSWER 64u

/* Seats planned again in one turn. */
#define REPLAN_BATCH 256

static void
set_gauge(_Atomic uint32_t *gauge, uint32_t value)
{
	atomic_store_explicit(gauge, value, memory_order_relaxed);
}

/* All that is only worth telling once a turn. */
static void
show_gauges(struct worker *w)
{
	set_gauge(&w->gauges.sessions, w->conns.used);
	set_gauge(&w->gauges.held, w->held);
	set_gauge(&w->gauges.legs, w->legs.used - w->rested_count);
	set_gauge(&w->gauges.buffers_used, w->buffers.used);
	set_gauge(&w->gauges.waiting, w->waiting);
	atomic_store_explicit(&w->gauges.is_stressed, w->stress.sessions,
			      memory_order_relaxed);
}

static void
tell(struct worker *w, enum worker_notice what)
{
	if (w->options.notice != NULL)
		w->options.notice(w->options.notice_ctx, w->options.id, what);
}

static void
tell_if_drained(struct worker *w)
{
	if (!w->is_draining || w->is_stopping || w->conns.used > 0)
		return;
	show_gauges(w);
	tell(w, WORKER_DRAINED);
}

void
worker_want_turn(struct worker *w)
{
	poller_want_turn(&w->poller);
}

void
worker_paused(struct worker *w)
{
	atomic_store_explicit(&w->gauges.is_paused, true, memory_order_relaxed);
}

void
worker_conn_freed(struct worker *w)
{
	if (atomic_load_explicit(&w->gauges.is_paused, memory_order_relaxed)) {
		atomic_store_explicit(&w->gauges.is_paused, false,
				      memory_order_relaxed);
		worker_want_turn(w);
	}
	tell_if_drained(w);
}

void
worker_set_lead(struct worker *w, uint32_t lead_ms)
{
	w->site.lead_ms = lead_ms;
	set_gauge(&w->gauges.lead_ms, lead_ms);
}

/* The next seat that is in use, from index *at on; or NULL. */
static struct conn *
next_conn(struct worker *w, uint32_t *at)
{
	while (*at < w->conns.touched) {
		struct conn *c = slab_at(&w->conns, (*at)++);

		if (c->listener != NULL && !c->is_ending)
			return c;
	}
	return NULL;
}

void
worker_tell_all(struct worker *w, enum event_kind kind)
{
	struct conn *c;
	uint32_t at = 0;

	while ((c = next_conn(w, &at)) != NULL) {
		conn_event(c, kind, SIDE_CLIENT);
		conn_run(c);
	}
}

void
worker_plan_again(struct worker *w)
{
	w->is_replanning = true;
	w->replan_next = 0;
	worker_want_turn(w);
}

static void
replan_some(struct worker *w)
{
	struct conn *c;
	unsigned i;

	for (i = 0; i < REPLAN_BATCH; i++) {
		c = next_conn(w, &w->replan_next);
		if (c == NULL) {
			w->is_replanning = false;
			return;
		}
		conn_event(c, EVENT_REPLAN, SIDE_CLIENT);
		conn_run(c);
	}
	worker_want_turn(w);
}

/* Before each wait. */
static void
on_turn(struct poller *p)
{
	struct worker *w = container_of(p, struct worker, poller);
	size_t i;

	w->accepts = 0;
	/* Where nothing goes on, nothing is kept. */
	if (w->conns.used == 0)
		leg_close_rested(w);
	for (i = 0; i < w->listeners_count; i++)
		listener_resume(&w->listeners[i]);
	if (w->is_replanning)
		replan_some(w);
	w->site.drip_gap_ms = drip_gap_ms(w->held);
	shortage_look(w);
	show_gauges(w);
}

static const struct poller_calls poller_calls = {
    .ready = {[SOCK_CLIENT] = conn_client_ready,
	      [SOCK_MTA] = leg_ready,
	      [SOCK_LISTENER] = listener_ready},
    .closed = {[SOCK_CLIENT] = conn_client_closed,
	       [SOCK_MTA] = leg_closed,
	       [SOCK_LISTENER] = listener_closed},
    .turn = on_turn,
};

static void
take_mta(struct worker *w, const struct worker_mailbox *m)
{
	w->mta_ready = m->mta_ready;
	w->site.pipeconnect = m->mta_pipeconnect;
	w->mta_refuses_second_ehlo = m->mta_refuses_second_ehlo;
	tls_tell_room(w);
	if (m->mta_name_len > 0) {
		memcpy(w->name, m->mta_name, m->mta_name_len);
		w->site.name_len = m->mta_name_len;
		w->knows_mta_name = true;
	}
	atomic_store(&w->gauges.knows_mta, true);
}

static void
drain(struct worker *w)
{
	size_t i;

	if (w->is_draining)
		return;
	w->is_draining = true;
	worker_tell_all(w, EVENT_DRAIN);
	for (i = 0; i < w->listeners_count; i++)
		listener_drain(&w->listeners[i]);
	tell_if_drained(w);
}

static void
stop(struct worker *w)
{
	struct conn *c;
	uint32_t at = 0;
	size_t i;

	w->is_stopping = true;
	for (i = 0; i < w->listeners_count; i++)
		listener_close(&w->listeners[i]);
	while ((c = next_conn(w, &at)) != NULL)
		conn_end(c, REASON_DRAINED);
	leg_close_rested(w);
	gate_join(w->options.gate, w->options.id, NULL, NULL);
	uv_close((uv_handle_t *)&w->timer, NULL);
	uv_close((uv_handle_t *)&w->async, NULL);
}

/* Our own name, until the MTA's is known. */
static void
set_name(struct worker *w)
{
	const struct config *config = w->options.rules.config;

	memset(w->name, 0, sizeof(w->name));
	if (config->name[0] != '\0')
		(void)strncpy(w->name, config->name, sizeof(w->name) - 1);
	else if (gethostname(w->name, sizeof(w->name) - 1) != 0)
		(void)strcpy(w->name, "localhost");
	w->site.name_len = strlen(w->name);
}

/* What a worker has a copy of, of all that may change while it runs. */
static void
copy_config(struct worker *w)
{
	const struct config *config = w->options.rules.config;

	w->site.client_address = config->mta.client_address;
	w->site.connect_timeout_ms = config->mta.connect_timeout_ms;
	w->site.counts_matter = config->policy.counts_matter;
	w->site.learns = w->options.memory != NULL;
	tls_tell_room(w);
	w->mta_address = config->mta.address;
	if (config_is_original(config))
		w->knows_mta_name = false; /* it is not one alone */
	if (!w->knows_mta_name)
		set_name(w);
}

/*
 * The MTA is another one, or is told the client's address in another way: who
 * still dials begins anew, because what is said to an MTA that answers must
 * be what this one expects.
 */
static void
redial(struct worker *w)
{
	struct conn *c;
	uint32_t at = 0;

	while ((c = next_conn(w, &at)) != NULL) {
		if (c->leg == NULL || c->leg->is_connected)
			continue;
		conn_event(c, EVENT_MTA_FAILED, SIDE_CLIENT);
		conn_run(c);
	}
}

static void
take_rules(struct worker *w, const struct worker_rules *rules)
{
	const struct addr mta_was = w->mta_address;
	const enum client_address said_was = w->site.client_address;

	/* Sessions hold their plans by value: nobody reads the old rules. */
	w->options.rules = *rules;
	looks_forget(&w->looks);
	copy_config(w);
	tell(w, WORKER_RULES_TAKEN);
	if (said_was != w->site.client_address ||
	    mta_was.port != w->mta_address.port ||
	    !addr_same_ip(&mta_was, &w->mta_address)) {
		leg_close_rested(w);
		redial(w);
	}
	worker_plan_again(w);
}

static void
open_mail(struct worker *w)
{
	struct worker_mailbox m;

	uv_mutex_lock(&w->mailbox_lock);
	m = w->mailbox;
	w->mailbox.wants = 0;
	memset(w->mailbox.questions, 0, sizeof(w->mailbox.questions));
	uv_mutex_unlock(&w->mailbox_lock);
	if ((m.wants & WANT_STOP) != 0) {
		stop(w);
		return;
	}
	if ((m.wants & WANT_MTA) != 0)
		take_mta(w, &m);
	if ((m.wants & WANT_RULES) != 0)
		take_rules(w, &m.rules);
	if ((m.wants & WANT_ANSWER) != 0) {
		for (size_t i = 0; i < WORKER_ASKERS; i++)
			if (m.questions[i] != NULL)
				worker_ask_answer(w, m.questions[i]);
		tell(w, WORKER_ANSWERED);
	}
	if ((m.wants & WANT_VIEW) != 0) {
		worker_view_fill(w, m.view);
		tell(w, WORKER_LOOKED);
	}
	if ((m.wants & WANT_DRAIN) != 0)
		drain(w);
	if ((m.wants & WANT_CUT) != 0)
		worker_tell_all(w, EVENT_CUT);
}

static void
on_async(uv_async_t *async)
{
	struct worker *w = container_of(async, struct worker, async);
	enum places_grant grant;
	struct place *place;

	while ((place = gate_next_granted(w->options.gate, w->options.id,
					  &grant)) != NULL)
		conn_granted(container_of(place, struct conn, place), grant);
	lookup_take(w);
	open_mail(w);
}

static void
on_gate(void *ctx)
{
	struct worker *w = ctx;

	(void)uv_async_send(&w->async);
}

static void
run(void *arg)
{
	struct worker *w = arg;

	poller_run(&w->poller);
}

static int
open_handles(struct worker *w)
{
	int error = uv_async_init(&w->loop, &w->async, on_async);

	if (error != 0)
		return error;
	(void)uv_timer_init(&w->loop, &w->timer); /* cannot fail */
	w->has_handles = true;
	error = poller_open(&w->poller, &w->loop, &poller_calls);
	if (error != 0)
		return error;
	worker_arm(w, worker_now(w) + WHEEL_REST_MS);
	gate_join(w->options.gate, w->options.id, on_gate, w);
	return 0;
}

static unsigned
listener_does(const struct worker *w, const struct config_listener *l)
{
	return (w->options.rules.config->syn.kernel ? LISTENER_SAVES_SYN : 0) |
	       (l->is_transparent ? LISTENER_TRANSPARENT : 0) |
	       (w->options.id == 0 ? LISTENER_FIRST : 0);
}

static int
open_listeners(struct worker *w)
{
	const struct config *config = w->options.rules.config;
	size_t i;
	size_t k;

	for (i = 0; i < config->listeners_count; i++) {
		const struct config_listener *l = &config->listeners[i];

		for (k = 0; k < l->addresses_count; k++) {
			int error = listener_open(
			    &w->listeners[w->listeners_count++], w, l->name,
			    &l->addresses[k], listener_does(w, l));

			w->listeners[w->listeners_count - 1].is_implicit_tls =
			    l->tls == CONFIG_LISTEN_IMPLICIT;
			if (error != 0)
				return error;
		}
	}
	return 0;
}

/* Workers take no signals; they are the main thread's. */
static int
start_thread(struct worker *w)
{
	sigset_t all;
	sigset_t old;
	int error;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	error = uv_thread_create(&w->thread, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->has_thread = error == 0;
	return error;
}

static void
set_site(struct worker *w)
{
	uint32_t patience_ms = w->options.rules.config->mta.patience_ms;

	w->site.name = w->name;
	w->site.drip_gap_ms = drip_gap_ms(0);
	copy_config(w);
	worker_set_lead(w, patience_ms < LEAD_FIRST_MS ? patience_ms
						       : LEAD_FIRST_MS);
}

int
worker_start(struct worker **out, const struct worker_options *options)
{
	struct worker *w = NULL;
	int error = worker_memory_take(&w, options);

	*out = NULL;
	if (error != 0) {
		log_say(LOG_LEVEL_ERROR, "worker %u: no memory: %s",
			(unsigned)options->id, uv_strerror(error));
		return error;
	}
	set_site(w);
	wheel_init(&w->wheel, worker_now(w));
	w->timer_ms = WHEEL_NEVER;
	error = open_handles(w);
	if (error == 0)
		error = open_listeners(w);
	if (error == 0)
		error = start_thread(w);
	if (error != 0) {
		log_say(LOG_LEVEL_ERROR, "worker %u: cannot start: %s",
			(unsigned)options->id, uv_strerror(error));
		worker_free(w);
		return error;
	}
	*out = w;
	return 0;
}

static void
want(struct worker *w, uint32_t what)
{
	uv_mutex_lock(&w->mailbox_lock);
	w->mailbox.wants |= what;
	uv_mutex_unlock(&w->mailbox_lock);
	(void)uv_async_send(&w->async);
}

void
worker_wake(struct worker *w)
{
	(void)uv_async_send(&w->async);
}

void
worker_set_mta(struct worker *w, const struct worker_mta *mta)
{
	size_t len = mta->name != NULL ? strlen(mta->name) : 0;

	if (len > SESSION_NAME_CAP)
		len = SESSION_NAME_CAP;
	if (mta->is_ready)
		atomic_store(&w->gauges.dials_failed, 0);
	uv_mutex_lock(&w->mailbox_lock);
	atomic_store(&w->gauges.knows_mta, false);
	w->mailbox.mta_ready = mta->is_ready;
	w->mailbox.mta_pipeconnect = mta->pipeconnect;
	w->mailbox.mta_refuses_second_ehlo = mta->refuses_second_ehlo;
	w->mailbox.mta_name_len = len;
	if (len > 0)
		memcpy(w->mailbox.mta_name, mta->name, len);
	uv_mutex_unlock(&w->mailbox_lock);
	want(w, WANT_MTA);
}

void
worker_set_rules(struct worker *w, const struct worker_rules *rules)
{
	uv_mutex_lock(&w->mailbox_lock);
	w->mailbox.rules = *rules;
	uv_mutex_unlock(&w->mailbox_lock);
	want(w, WANT_RULES);
}

void
worker_look(struct worker *w, struct worker_view *view)
{
	uv_mutex_lock(&w->mailbox_lock);
	w->mailbox.view = view;
	uv_mutex_unlock(&w->mailbox_lock);
	want(w, WANT_VIEW);
}

void
worker_drain(struct worker *w)
{
	want(w, WANT_DRAIN);
}

void
worker_cut(struct worker *w)
{
	want(w, WANT_CUT);
}

void
worker_ask(struct worker *w, enum worker_asker who, struct worker_question *q)
{
	uv_mutex_lock(&w->mailbox_lock);
	w->mailbox.questions[who] = q;
	uv_mutex_unlock(&w->mailbox_lock);
	want(w, WANT_ANSWER);
}

void
worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	if (w->has_thread) {
		want(w, WANT_STOP);
		(void)uv_thread_join(&w->thread);
	} else {
		if (w->has_handles)
			stop(w);
		poller_run(&w->poller);
	}
	worker_memory_give(w);
}
