/*
 * From a socket to evidence, and from evidence to a plan and a log line.
 *
 * The SYN also tells both addresses, which saves asking the kernel for them.
 */
#include "proxy/relay/facts.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/config/labels.h"
#include "proxy/daemon/log.h"
#include "proxy/evidence/syn_map.h"
#include "proxy/relay/worker_state.h"
#include "tarry/syn_witness.h"

/* <linux/tcp.h> has it, but clashes with libuv's <netinet/tcp.h>. */
#define OPTION_SAVED_SYN 28

/* What the kernel kept of the SYN; 0 if nothing. It tells only once. */
static size_t
kernel_syn(struct conn *c, uint8_t raw[SYN_RAW_CAP])
{
	socklen_t len = SYN_RAW_CAP;
	uv_os_fd_t fd;

	if (!c->worker->options.rules.config->syn.kernel)
		return 0;
	if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0)
		return 0;
	if (getsockopt(fd, IPPROTO_TCP, OPTION_SAVED_SYN, raw, &len) != 0)
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
	uv_os_fd_t fd;
	int r = uv_fileno((uv_handle_t *)&c->tcp, &fd);

	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERNAME, sa, &len) != 0)
		r = -errno;
	return r;
}

static int
ask_addresses(struct conn *c)
{
	struct sockaddr_storage sa;
	int len = sizeof(sa);
	int r = ask_client(c, &sa);

	if (r != 0)
		return r;
	sockaddr_get(&c->session.client, &sa);
	len = sizeof(sa);
	r = uv_tcp_getsockname(&c->tcp, (struct sockaddr *)&sa, &len);
	if (r != 0)
		return r;
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

static void
keep(struct conn *c, const struct syn_witness_result *r)
{
	struct facts *f = &c->facts;

	f->source = (uint8_t)source_of(r->source); /* a small enum */
	f->look_again_ms =
	    r->source == SYN_WITNESS_LATER ? r->look_again_ms : 0;
	f->retransmits = r->retransmits;
	f->raw_len = r->raw_len;
	memcpy(f->raw, r->raw, r->raw_len);
	if (r->is_conflict)
		metrics_add(c->worker->options.metrics, METRIC_SYN_CONFLICT, 1);
}

/* One look at the witnesses; kernel_len 0 at all but the first. */
static void
look(struct conn *c, const uint8_t *kernel, size_t kernel_len, uint64_t now_ns)
{
	struct worker *w = c->worker;
	struct syn_map *map = w->options.syn_map;
	struct syn_reader reader = syn_map_acquire(map, w->options.id);
	struct syn_witness_case look = {
	    .reader = &reader,
	    .client = &c->session.client,
	    .local = &c->session.server,
	    .kernel = kernel,
	    .kernel_len = kernel_len,
	    .accepted_ns = c->facts.accepted_ns,
	    .now_ns = now_ns,
	    .looks_done = c->facts.looks++,
	};
	struct syn_witness_result result;

	syn_witness_decide(&w->witness, &look, &result);
	syn_map_release(map, w->options.id);
	keep(c, &result);
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
	c->facts.accepted_ns = uv_hrtime();
	look(c, kernel, len, c->facts.accepted_ns);
	return 0;
}

uint64_t
facts_look_ms(const struct conn *c)
{
	if (c->facts.look_again_ms == 0)
		return 0;
	return c->session.opened_ms + c->facts.look_again_ms;
}

bool
facts_look(struct conn *c)
{
	if (c->facts.raw_len > 0 || c->facts.look_again_ms == 0)
		return false;
	look(c, NULL, 0, uv_hrtime());
	return c->facts.raw_len > 0;
}

static void
set(struct evidence *e, enum evidence_kind kind)
{
	e->present |= 1u << kind;
}

/* Everything that is known of the connection now. */
static void
gather(struct conn *c, struct evidence *e, enum label_quality *quality)
{
	const struct labels *labels = c->worker->options.rules.labels;
	const struct facts *f = &c->facts;

	memset(e, 0, sizeof(*e));
	*quality = LABEL_NONE;
	e->client = c->session.client;
	set(e, EVIDENCE_NETWORK);
	if (c->session.is_early || c->session.is_greeted)
		set(e, EVIDENCE_EARLY_TALKER);
	e->early_talker = c->session.is_early;
	if (f->raw_len == 0 || syn_parse(&e->syn, f->raw, f->raw_len) <= 0)
		return;
	set(e, EVIDENCE_SYN);
	set(e, EVIDENCE_STACK);
	set(e, EVIDENCE_FAMILY);
	set(e, EVIDENCE_DISTANCE);
	if (e->syn.mss != SYN_MSS_ABSENT)
		set(e, EVIDENCE_MSS);
	e->syn_retransmits = f->retransmits;
	if (labels != NULL)
		e->label = labels_find(labels, &e->syn, quality);
	if (e->label != NULL)
		set(e, EVIDENCE_LABEL);
}

struct plan
facts_plan(struct conn *c)
{
	struct evidence e;
	enum label_quality quality;

	gather(c, &e, &quality);
	return plan_make(&c->worker->options.rules.config->policy, &e, NULL);
}

void
facts_report(struct conn *c)
{
	struct worker *w = c->worker;
	const struct policy *policy = &w->options.rules.config->policy;
	const struct session *s = &c->session;
	char signature[SIGNATURE_TEXT_CAP];
	struct session_report report = {
	    .session = s,
	    .id = c->id,
	    .listener = c->listener->name,
	    .rule = policy_rule_name(policy, s->plan.rule_id),
	    .class = policy_class_name(policy, s->plan.class_id),
	    .mode = "enforce",
	    .phase = c->phase,
	    .duration_ms = uv_now(&w->loop) - s->opened_ms,
	};
	struct evidence e;

	(void)facts_look(c);
	gather(c, &e, &report.label_quality);
	report.syn_source = (enum syn_source)c->facts.source;
	report.label = e.label;
	if (evidence_has(&e, EVIDENCE_SYN)) {
		(void)signature_text(SIGNATURE_SYN, &e.syn, signature,
				     sizeof(signature));
		report.signature = signature;
	}
	log_session(&report);
	metrics_session(w->options.metrics, &report);
}
