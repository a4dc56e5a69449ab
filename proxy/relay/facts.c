/*
 * From a socket to evidence, and from evidence to a plan and a log line.
 *
 * The SYN also tells both addresses, which saves asking the kernel for them.
 */
#include "proxy/relay/facts.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/admin/tally.h"
#include "proxy/config/labels.h"
#include "proxy/config/names.h"
#include "proxy/daemon/log.h"
#include "proxy/evidence/asn.h"
#include "proxy/evidence/syn_map.h"
#include "proxy/relay/compare.h"
#include "proxy/relay/hello.h"
#include "proxy/relay/place_keys.h"
#include "proxy/relay/recall.h"
#include "proxy/relay/record.h"
#include "proxy/relay/worker_state.h"
#include "tarry/holdout.h"
#include "tarry/syn_witness.h"

/* <linux/tcp.h> has it, but clashes with libuv's <netinet/tcp.h>. */
#define OPTION_SAVED_SYN 28

#define DAY_MS 86400000u

/* What the kernel kept of the SYN; 0 if nothing. It tells only once. */
static size_t
kernel_syn(struct conn *c, uint8_t raw[SYN_RAW_CAP])
{
	socklen_t len = SYN_RAW_CAP;

	if (!worker_of(c)->options.rules.config->syn.kernel)
		return 0;
	if (getsockopt(c->sock.fd, IPPROTO_TCP, OPTION_SAVED_SYN, raw, &len) !=
	    0)
		return 0;
	return len;
}

/*
 * Who the client is. Not by getpeername(): that forgets as soon as the client
 * has reset the connection, and then nobody would learn that its SYN is spent.
 * SO_PEERNAME still knows; it wants the exact length.
 */
static int
ask_client(struct conn *c, struct sockaddr_storage *sa)
{
	socklen_t len = c->listener->address.family == 4
			    ? sizeof(struct sockaddr_in)
			    : sizeof(struct sockaddr_in6);

	if (getsockopt(c->sock.fd, SOL_SOCKET, SO_PEERNAME, sa, &len) != 0)
		return -errno;
	return 0;
}

static int
ask_addresses(struct conn *c)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int r = ask_client(c, &sa);

	if (r != 0)
		return r;
	sockaddr_get(&c->session.client, &sa);
	len = sizeof(sa);
	if (getsockname(c->sock.fd, (struct sockaddr *)&sa, &len) != 0)
		return -errno;
	sockaddr_get(&c->session.server, &sa);
	return 0;
}

static int
learn_addresses(struct conn *c, const uint8_t *raw, size_t len)
{
	struct syn syn;

	if (len == 0 || syn_parse(&syn, raw, len) <= 0)
		return ask_addresses(c);
	c->session.client = syn.src;
	c->session.server = syn.dst;
	return 0;
}

static enum syn_source
source_of(enum syn_witness_source source)
{
	switch (source) {
	case SYN_WITNESS_NONE:
	case SYN_WITNESS_LATER:
		return SYN_FROM_NOWHERE;
	case SYN_WITNESS_KERNEL:
		return SYN_FROM_KERNEL;
	case SYN_WITNESS_SIDECAR:
	case SYN_WITNESS_SIDECAR_CONFIRMED:
		return SYN_FROM_SIDECAR;
	}
	return SYN_FROM_NOWHERE;
}

/* What does not fit a session has a seat of its own; there is one for each. */
static void
keep_raw(struct conn *c, const uint8_t *raw, size_t len)
{
	struct facts *f = &c->facts;
	size_t packed = packed_syn_make(f->syn.packed, raw, len);

	f->len = (uint8_t)packed; /* <= PACKED_SYN_CAP */
	if (packed > 0 || len == 0)
		return;
	f->syn.whole = slab_take(&worker_of(c)->syns);
	if (f->syn.whole == NULL)
		return;
	f->is_whole = true;
	f->len = (uint8_t)len; /* <= SYN_RAW_CAP */
	memcpy(f->syn.whole, raw, len);
}

size_t
facts_raw(const struct conn *c, uint8_t raw[SYN_RAW_CAP])
{
	const struct facts *f = &c->facts;

	if (f->len == 0)
		return 0;
	if (!f->is_whole)
		return packed_syn_open(raw, f->syn.packed, f->len,
				       &c->session.client, &c->session.server);
	memcpy(raw, f->syn.whole, f->len);
	return f->len;
}

static bool
parsed_syn(const struct conn *c, struct syn *out)
{
	uint8_t raw[SYN_RAW_CAP];
	size_t len = facts_raw(c, raw);

	return len > 0 && syn_parse(out, raw, len) > 0;
}

static void
keep(struct conn *c, const struct syn_witness_result *r)
{
	struct facts *f = &c->facts;

	f->source = (uint8_t)source_of(r->source); /* a small enum */
	/* A second at most. */
	f->look_again_ms =
	    r->source == SYN_WITNESS_LATER ? (uint16_t)r->look_again_ms : 0;
	f->retransmits = r->retransmits;
	if (r->raw_len > 0)
		keep_raw(c, r->raw, r->raw_len);
	if (r->is_conflict)
		metrics_add(worker_of(c)->options.metrics, METRIC_SYN_CONFLICT,
			    1);
}

/* One look at the witnesses; kernel_len 0 at all but the first. */
static void
look(struct conn *c, const uint8_t *kernel, size_t kernel_len, uint64_t now_ns)
{
	struct worker *w = worker_of(c);
	struct syn_map *map = w->options.syn_map;
	struct syn_reader reader = syn_map_acquire(map, w->options.id);
	struct syn_witness_case look = {
	    .reader = &reader,
	    .client = &c->session.client,
	    .local = &c->session.server,
	    .kernel = kernel,
	    .kernel_len = kernel_len,
	    .accepted_ns = c->facts.syn.accepted_ns,
	    .now_ns = now_ns,
	    .looks_done = c->facts.looks++,
	};
	struct syn_witness_result result;

	syn_witness_decide(&w->witness, &look, &result);
	syn_map_release(map, w->options.id);
	keep(c, &result);
}

static const struct look *
how_it_looks(struct conn *c, const struct syn *syn)
{
	struct worker *w = worker_of(c);

	return looks_of(&w->looks, syn, w->options.rules.labels);
}

/* From now on the session counts as one of its client, network and stack. */
static void
enter_gate(struct conn *c)
{
	struct worker *w = worker_of(c);
	struct place_counts counts;
	struct place_keys keys;
	struct syn syn;
	bool is_known = parsed_syn(c, &syn);

	place_keys_make(&keys, &c->session.client,
			is_known ? &how_it_looks(c, &syn)->texts : NULL);
	gate_enter(w->options.gate, &c->place, w->options.id, &keys,
		   uv_now(&w->loop), &counts);
}

int
facts_open(struct conn *c)
{
	uint8_t kernel[SYN_RAW_CAP];
	size_t len = kernel_syn(c, kernel);
	int error = learn_addresses(c, kernel, len);

	if (error != 0)
		return error;
	/* The witnesses want the time behind the accept, not the loop's. */
	c->facts.syn.accepted_ns = uv_hrtime();
	look(c, kernel, len, c->facts.syn.accepted_ns);
	enter_gate(c);
	return 0;
}

void
facts_close(struct conn *c)
{
	if (c->facts.is_whole)
		slab_give(&worker_of(c)->syns, c->facts.syn.whole);
	c->facts.is_whole = false;
}

bool
facts_look(struct conn *c)
{
	struct syn syn;

	if (c->facts.len > 0 || c->facts.look_again_ms == 0)
		return false;
	look(c, NULL, 0, uv_hrtime());
	if (!parsed_syn(c, &syn))
		return false;
	gate_learn(worker_of(c)->options.gate, &c->place, PLAN_CAP_STACK,
		   place_keys_stack(&how_it_looks(c, &syn)->texts));
	record_syn(c);
	return true;
}

static void
set(struct evidence *e, enum evidence_kind kind)
{
	e->present |= evidence_bit(kind);
}

static void
set_if(struct evidence *e, enum evidence_kind kind, bool is_there)
{
	if (is_there)
		set(e, kind);
}

/* What is known of the client and its SYN now. */
static void
gather(struct conn *c, struct evidence *e, enum label_quality *quality)
{
	const struct look *look;

	memset(e, 0, sizeof(*e));
	*quality = LABEL_NONE;
	e->client = c->session.client;
	set(e, EVIDENCE_NETWORK);
	e->listener = c->listener->name;
	set(e, EVIDENCE_LISTENER);
	e->asn = asn_find(worker_of(c)->options.rules.asn, &e->client);
	set_if(e, EVIDENCE_ASN, e->asn != 0);
	if (!parsed_syn(c, &e->syn))
		return;
	set(e, EVIDENCE_SYN);
	set(e, EVIDENCE_STACK);
	set(e, EVIDENCE_FAMILY);
	set(e, EVIDENCE_DISTANCE);
	if (e->syn.mss != SYN_MSS_ABSENT)
		set(e, EVIDENCE_MSS);
	/* The kernel keeps one SYN and does not count. */
	if (c->facts.source == SYN_FROM_SIDECAR) {
		set(e, EVIDENCE_SYN_RETRANSMITS);
		e->syn_retransmits = c->facts.retransmits;
	}
	look = how_it_looks(c, &e->syn);
	e->texts = &look->texts;
	e->label = look->label;
	*quality = look->quality;
	set_if(e, EVIDENCE_LABEL, e->label != NULL);
}

/* By the day on which the session began: midnight changes no arm. */
static void
hold_out(const struct conn *c, struct plan *plan)
{
	const struct worker *w = worker_of(c);
	const struct config_learn *learn = &w->options.rules.config->learn;
	const uint64_t began_ms = c->session.phase == PHASE_NEW
				      ? uv_now(&w->loop)
				      : c->session.opened_ms;

	holdout_apply(w->options.holdout_salt, &c->session.client,
		      (uint32_t)((w->options.wall_ms + began_ms) / DAY_MS),
		      learn->holdout_percent * (HOLDOUT_ALL / 100), plan);
}

void
facts_gather(struct conn *c, struct evidence *e, char *dialect)
{
	struct place_counts counts;
	enum label_quality quality;

	gather(c, e, &quality);
	session_facts(&c->session, e);
	if (dialect_text(&c->session.dialect, dialect) > 0) {
		set(e, EVIDENCE_DIALECT);
		e->dialect = dialect;
	}
	gate_look(worker_of(c)->options.gate, &c->place,
		  uv_now(&worker_of(c)->loop), &counts);
	places_facts(&counts, e);
	hello_gather(c, e);
	recall_gather(c, e);
	lookup_gather(c, e);
}

struct plan
facts_plan(struct conn *c)
{
	struct worker *w = worker_of(c);
	struct evidence e;
	struct plan plan;
	char dialect[DIALECT_TEXT_CAP];

	facts_gather(c, &e, dialect);
	plan =
	    plan_make(&w->options.rules.config->policy, &e, &w->stress, NULL);
	hold_out(c, &plan);
	record_plan(c, &e, &plan);
	lookup_start(c, &e, &plan);
	return plan;
}

void
facts_report(struct conn *c)
{
	struct worker *w = worker_of(c);
	const struct session *s = &c->session;
	char lists[EVIDENCE_LISTS_TEXT_CAP];
	struct session_report report = {
	    .session = s,
	    .id = c->id,
	    .listener = c->listener->name,
	    .mta_port = c->mta_port,
	    .rule = names_rule(w->options.names, s->plan.rule_id),
	    .shadow_rule = names_rule(w->options.names, s->plan.shadow_rule_id),
	    .class = names_class(w->options.names, s->plan.class_id),
	    .mode = plan_mode_name(&s->plan),
	    .phase = (enum session_phase)c->phase,
	    .duration_ms = worker_now(w) - s->opened_ms,
	};
	struct evidence e;

	(void)facts_look(c);
	gather(c, &e, &report.label_quality);
	report.syn_source = (enum syn_source)c->facts.source;
	report.label = e.label;
	report.labels = w->options.rules.labels;
	lookup_gather(c, &e);
	report.has_dnsbl = evidence_has(&e, EVIDENCE_DNSBL);
	report.has_dnswl = evidence_has(&e, EVIDENCE_DNSWL);
	report.dnsbl = e.dnsbl;
	report.dnswl = e.dnswl;
	report.ptr = e.ptr;
	report.pool = lookup_pool(c);
	report.asn = e.asn;
	report.lists = evidence_lists_text(&e, lists) > 0 ? lists : NULL;
	hello_describe(c, &report);
	if (e.texts != NULL)
		report.signature = e.texts->text[SIGNATURE_SYN];
	tls_describe(c, &report);
	recall_learn(c, &e, &report);
	compare_learn(c, &e, &report);
	log_session(&report);
	record_end(c, &report);
	/* In this order: who reads the sums first, and then the signatures,
	 * finds each session of the sums among these. */
	tally_session(w->options.tally, e.texts, &report);
	metrics_session(w->options.metrics, &report);
}
