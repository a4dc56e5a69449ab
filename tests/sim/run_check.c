/*
 * What must hold of every run. The due times are computed here once more from
 * the design's text (section 2, P4), from what the actors saw, so that a
 * mistake of the machine's arithmetic cannot agree with itself.
 */
#include <string.h>

#include "tests/sim/run.h"

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t
wanted_delay(const struct plan *plan, const struct run_reply *reply)
{
	uint64_t delay = reply->code >= 400 ? plan->error_ms : plan->reply_ms;

	if (reply->is_callback || reply->code == 421)
		return 0;
	if (reply->code >= 400 && reply->code < 500)
		delay = least(delay, 5000);
	switch ((int)reply->verb) {
	case SMTP_DATA:
		return least(delay, plan->data_reply_cap_ms);
	case SMTP_DOT:
	case SMTP_BDAT:
	case SMTP_STARTTLS:
	case SMTP_AUTH:
	case SMTP_AUTH_LINE:
	case SMTP_RSET:
	case SMTP_NOOP:
	case SMTP_QUIT:
		return 0;
	default:
		return delay;
	}
}

static uint64_t
greet_due(const struct run *r)
{
	const struct plan *plan = &r->plot.plan;

	if (plan->is_shadow)
		return r->w.s.opened_ms;
	return r->w.s.opened_ms + least(plan->greet_ms, plan->reply_cap_ms);
}

/* When the MTA said it: a greeting counts when it is whole. */
static uint64_t
said_ms(const struct run_reply *reply)
{
	return reply->verb == SMTP_GREETING ? reply->ready_ms : reply->start_ms;
}

/* When a reply is due by itself. */
static uint64_t
own_due(const struct run *r, const struct run_reply *reply)
{
	const struct plan *plan = &r->plot.plan;
	uint64_t due = reply->ready_ms;

	if (!plan->is_shadow && !r->is_reserve)
		due += wanted_delay(plan, reply);
	if (reply->verb == SMTP_GREETING)
		due = reply->code == 220 ? greet_due(r) : reply->ready_ms;
	due = least(due, reply->asked_ms + plan->reply_cap_ms);
	due = least(due, said_ms(reply) + plan->patience_ms);
	return most(due, reply->ready_ms);
}

/* With those behind it, none of which it may hold up. */
static uint64_t
true_due(const struct run *r, int i)
{
	uint64_t due = UINT64_MAX;

	for (; i < r->replies_count; i++) {
		if (r->replies[i].ready_ms > 0)
			due = least(due, own_due(r, &r->replies[i]));
	}
	return due;
}

/* No governor cap is exceeded, whatever else happened. */
static void
check_caps(const struct run *r, const struct run_reply *reply)
{
	const struct plan *plan = &r->plot.plan;
	uint64_t cap =
	    most(plan->reply_cap_ms, r->plot.plan_again.reply_cap_ms);
	uint64_t patience =
	    most(plan->patience_ms, r->plot.plan_again.patience_ms);
	uint64_t end = least(reply->asked_ms + cap, said_ms(reply) + patience);

	if (reply->last_ms > most(reply->ready_ms, end))
		world_breach("a reply was held longer than the caps allow");
}

static void
check_drip(const struct run *r, const struct run_reply *reply, uint64_t due)
{
	uint64_t own = own_due(r, reply);
	uint64_t drip = reply->code < 400 ? r->plot.plan.drip_ms : 0;

	if (r->plot.plan.is_split && reply->verb != SMTP_GREETING &&
	    reply->verb != SMTP_EHLO && reply->verb != SMTP_HELO)
		drip = 0;
	if (own == reply->ready_ms || reply->first_ms == 0 ||
	    reply->first_ms >= r->disturbed_ms)
		return;
	if (r->plot.plan.is_split && reply->pieces > 2)
		world_breach("what is split has more than two pieces");
	if (reply->first_ms < due - least(due, drip))
		world_breach("a byte left before the drip may begin");
	if (due == own && own < r->disturbed_ms && reply->has_close_pieces)
		world_breach("two pieces are nearer than the gap");
}

/* Each reply leaves when the design says, to the millisecond. */
static void
check_times(const struct run *r)
{
	int i;

	for (i = 0; i < r->replies_count; i++) {
		const struct run_reply *reply = &r->replies[i];
		uint64_t due;

		if (reply->ready_ms == 0)
			continue;
		due = true_due(r, i);
		if (reply->last_ms > 0)
			check_caps(r, reply);
		if (due < r->disturbed_ms && reply->last_ms != due)
			world_breach("a reply did not leave when it was due");
		if (due >= r->disturbed_ms && reply->last_ms > 0 &&
		    reply->last_ms < r->disturbed_ms)
			world_breach("a reply left before its time");
		check_drip(r, reply, due);
	}
}

static bool
has_caps(const struct plan *plan)
{
	return !plan->is_shadow && (plan->caps[PLAN_CAP_CLIENT] > 0 ||
				    plan->caps[PLAN_CAP_NETWORK] > 0 ||
				    plan->caps[PLAN_CAP_STACK] > 0);
}

/* When the slot is asked for: at its time, and not before the caps have room
 * or the greet budget is over. */
static void
check_claim(const struct run *r)
{
	const struct plan *plan = &r->plot.plan;
	uint64_t opened = r->w.s.opened_ms;
	uint64_t due = greet_due(r);
	uint64_t drip = least(plan->drip_ms, due - opened);
	uint64_t at = most(opened, due - least(due, r->w.site.lead_ms + drip));
	uint64_t end = opened + plan->reply_cap_ms;
	uint64_t last;

	drip = least(plan->drip_ms, plan->reply_cap_ms);
	last = most(opened, end - least(end, r->w.site.lead_ms + drip));
	if (has_caps(plan) && last > opened)
		at = most(at, r->caps_granted_ms > 0
				  ? least(last, r->caps_granted_ms)
				  : last);
	if (r->w.claims > 0 && at < r->disturbed_ms && r->w.claim_ms != at)
		world_breach("the slot was not asked for at its time");
}

/* What a side was given is what the other said, and words of ours. */
static void
check_stream(const struct run *r, enum side from)
{
	enum side to = from == SIDE_CLIENT ? SIDE_MTA : SIDE_CLIENT;
	const struct world_stream *in = &r->w.in[from];
	const struct world_output *out = &r->w.out[to];
	size_t relayed = out->len - out->ours;

	if (relayed != in->gone - in->dropped)
		world_breach("bytes were lost or made up");
	if (from == SIDE_MTA && r->w.reason == REASON_MTA_REFUSED &&
	    out->ours > 0)
		return; /* our 220 stands between teaser and refusal */
	if (r->w.s.tls != SESSION_TLS_NONE || r->w.site.mta_tls)
		return; /* our 220 stands, and STARTTLS stood, in between */
	if (memcmp(out->bytes + out->ours, in->in, relayed) != 0)
		world_breach("bytes were changed or reordered");
}

static void
check_ours(const struct run *r)
{
	const struct world_output *out = &r->w.out[SIDE_CLIENT];
	char header[SESSION_SAY_CAP];
	size_t len = proxy_header(r->w.site.client_address, &r->w.s.client,
				  &r->w.s.server, header, sizeof(header));

	if (out->ours > 0 && r->w.s.teaser_len > 0 &&
	    memcmp(out->bytes, "220-", least(out->ours, 4)) != 0)
		world_breach("the teaser is no 220- line");
	if (out->ours > 0 && r->w.s.teaser_len == 0 &&
	    r->w.s.tls == SESSION_TLS_NONE &&
	    memcmp(out->bytes, "421 ", 4) != 0)
		world_breach("words of ours that are no 421");
	if (r->w.out[SIDE_MTA].len > 0 &&
	    memcmp(r->w.out[SIDE_MTA].bytes, header, len) != 0)
		world_breach("the MTA did not get the PROXY header first");
	if (r->w.out[SIDE_MTA].fin && !r->w.in[SIDE_CLIENT].fin)
		world_breach("a FIN that the client did not send");
}

/* If nobody left early and the MTA was there, all of it arrived. */
static void
check_complete(const struct run *r)
{
	const struct run_plot *p = &r->plot;
	const struct plan *plan = &p->plan;
	const struct plan *again = &p->plan_again;

	if (r->w.reason == REASON_DEFERRED) {
		if (r->w.s.plan.class_id != PLAN_CLASS_DEFER)
			world_breach("deferred by no rule");
		return;
	}
	if (r->w.reason == REASON_TLS_FAILED && !p->tls_fails)
		world_breach("a handshake took too long");
	if (r->w.reason == REASON_MTA_TLS_FAILED && !p->mta_tls_fails)
		world_breach("the MTA's handshake took too long");
	if (r->w.reason == REASON_MTA_TLS_FAILED ||
	    r->w.reason == REASON_TLS_FAILED || r->w.reason == REASON_FULL ||
	    r->w.reason == REASON_MTA_REFUSED ||
	    ((r->w.reason == REASON_MTA_UNREACHABLE ||
	      r->w.reason == REASON_NO_SLOT) &&
	     r->w.dials > 0) ||
	    r->w.dials > 1 || p->leaves_ms > 0 || p->closes_at >= 0 ||
	    memcmp(p->greeting, "220", 3) != 0)
		return;
	if (r->w.reason == REASON_NO_SLOT ||
	    r->w.reason == REASON_MTA_UNREACHABLE) {
		if (r->site == NULL &&
		    r->w.claim_ms + p->lag_ms <
			r->w.s.opened_ms +
			    least(plan->reply_cap_ms, again->reply_cap_ms))
			world_breach("refused, but the MTA was there");
		return;
	}
	if (r->w.out[SIDE_MTA].len - r->w.out[SIDE_MTA].ours !=
		r->wire[SIDE_CLIENT].len - r->w.in[SIDE_CLIENT].dropped &&
	    r->w.claims > 0)
		world_breach("the MTA did not get all that the client said");
	if (r->w.out[SIDE_CLIENT].len - r->w.out[SIDE_CLIENT].ours !=
	    (size_t)((long)r->wire[SIDE_MTA].len + r->edited))
		world_breach("the client did not get all that the MTA said");
	if (r->w.reason == REASON_GAVE_UP && p->dialogue->end != CLIENT_SHUTS)
		world_breach("gave_up, but the client waited for everything");
}

/* True if nothing kept the client from saying all, and us from hearing it. */
static bool
is_plain(const struct run *r)
{
	const struct run_plot *p = &r->plot;

	return p->leaves_ms == 0 && p->closes_at < 0 && !r->w.s.is_lost &&
	       p->greeting[3] == ' ' && memcmp(p->greeting, "220", 3) == 0 &&
	       (r->w.reason == REASON_QUIT ||
		r->w.reason == REASON_CLIENT_CLOSED ||
		r->w.reason == REASON_MTA_CLOSED);
}

static void
check_manner(const struct run *r, char manner, bool is_told, bool is_sure)
{
	const char *manners = r->plot.dialogue->manners;
	bool want = manners != NULL && strchr(manners, manner) != NULL;

	/* These clients go on as if nothing had happened when EHLO or DATA is
	 * refused; then they do pipeline, or say text as commands. */
	if (is_told && !want && (r->plot.closes_at < 0 || !r->plot.says_421))
		world_breach("manners were told of a client that has others");
	if (!is_told && want && is_sure)
		world_breach("the client's manners were not told");
}

/* The same of a client whatever the cuts and delays; who speaks on is told
 * apart from one whose words are slow to come. */
static void
check_manners(const struct run *r)
{
	const struct session *s = &r->w.s;
	bool is_sure = is_plain(r) && !r->plot.dialogue->is_loose;
	bool is_fast = r->plot.lag_ms == 0 && !r->w.site.pipeconnect;

	check_manner(r, 'p', s->is_pipelining, is_sure && is_fast);
	check_manner(r, 'n', s->is_non_smtp, is_sure);
	check_manner(r, 'b', s->is_bare_newline, is_sure);
}

void
run_check(const struct run *r)
{
	const struct plan *plan = &r->plot.plan;

	if (!r->w.has_ended || r->w.reason == REASON_NONE)
		world_breach("ended without a reason");
	if (r->w.reason == REASON_BUG)
		world_breach("a hole in the state table");
	if (r->w.claims != r->w.returns)
		world_breach("a slot leaked");
	if (r->w.s.counts.held_ms >
	    most(plan->session_cap_ms, r->plot.plan_again.session_cap_ms))
		world_breach("held beyond the session's budget");
	check_stream(r, SIDE_CLIENT);
	check_stream(r, SIDE_MTA);
	check_ours(r);
	check_claim(r);
	check_complete(r);
	check_manners(r);
	if (r->w.s.is_lost && !r->plot.dialogue->is_loose &&
	    strcmp(r->plot.greeting, "220*********\r\n") != 0)
		world_breach("track was lost of a plain dialogue");
	if (!r->plot.dialogue->is_loose && !r->w.s.is_lost &&
	    r->w.reason != REASON_MTA_REFUSED)
		check_times(r);
}
