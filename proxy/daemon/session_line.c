/*
 * The line of a session that is over (see log_line.h), and its `why`: every
 * delay has its reason in words (design, P7).
 */
#include "proxy/config/labels.h"
#include "proxy/daemon/log_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An MTA this much slower than the plan is worth a word. */
#define NOTABLE_MS 1000u

struct words {
	char *out;
	size_t cap;
	size_t len;
};

static void say(struct words *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
say(struct words *w, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(w->out + w->len, w->cap - w->len, format, args);
	va_end(args);
	if (n > 0)
		w->len += (size_t)n;
	if (w->len >= w->cap)
		w->len = w->cap - 1;
}

/* Milliseconds as seconds with one digit. */
static double
seconds(uint64_t ms)
{
	return (double)ms / 1000.0;
}

static void
say_decision(struct words *w, const struct session_report *r)
{
	const struct plan *plan = &r->session->plan;

	if (plan->rule_id == PLAN_NO_RULE)
		say(w, "no rule decided");
	else
		say(w, "rule %s %s class %s", r->rule,
		    plan->is_shadow ? "would give" : "gave", r->class);
	if (plan->is_held_out)
		say(w, " (held out: its network is not slowed today)");
	if (plan->shadow_rule_id != PLAN_NO_RULE)
		say(w, " (rule %s, in shadow, would have decided before)",
		    r->shadow_rule);
}

/* In shadow mode the figures of the plan are wishes. */
static void
say_would_be(struct words *w, const struct session *s)
{
	if (s->plan.is_shadow)
		say(w, ", would have been held for %.1fs",
		    seconds(s->counts.would_ms));
}

static uint32_t
less(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

/* The greeting's delay; of a plan in shadow none. */
static uint32_t
planned_greet_ms(const struct session *s)
{
	return s->plan.is_shadow ? 0 : s->plan.greet_ms;
}

/* What the MTA, or the want of a place at it, added to the greeting. */
static void
say_waiting(struct words *w, const struct session *s)
{
	uint32_t gate_ms = s->counts.gate_ms;
	uint32_t greet_ms = planned_greet_ms(s);
	uint32_t mta_ms = less(s->counts.greet_ms, greet_ms + gate_ms);

	if (s->is_greeted && greet_ms > 0 && mta_ms >= NOTABLE_MS)
		say(w, " (%.1fs of it waiting for the MTA)", seconds(mta_ms));
	if (gate_ms >= NOTABLE_MS)
		say(w, ", %.1fs waiting for a free MTA connection",
		    seconds(gate_ms));
	if (s->counts.caps_ms >= NOTABLE_MS)
		say(w, ", %.1fs waiting for a place in its class",
		    seconds(s->counts.caps_ms));
}

static void
say_greeting(struct words *w, const struct session *s)
{
	uint32_t greet_ms = s->counts.greet_ms;
	uint32_t plan_ms = planned_greet_ms(s);

	if (!s->is_greeted && plan_ms > 0)
		say(w, "greeting due after %.1fs", seconds(plan_ms));
	else if (!s->is_greeted)
		say(w, "not greeted");
	else if (plan_ms > 0)
		say(w, "greeting after %.1fs", seconds(greet_ms));
	else if (less(greet_ms, s->counts.gate_ms) >= NOTABLE_MS)
		say(w, "the MTA took %.1fs to greet",
		    seconds(less(greet_ms, s->counts.gate_ms)));
	else
		say(w, "greeting not delayed");
	say_waiting(w, s);
}

static void
say_replies(struct words *w, const struct session *s)
{
	const struct session_counts *c = &s->counts;
	uint32_t greet_ms = planned_greet_ms(s);

	if (c->replies_held == 0)
		return;
	if (c->greet_ms < greet_ms)
		greet_ms = c->greet_ms;
	say(w, ", %u %s held for %.1fs", (unsigned)c->replies_held,
	    c->replies_held == 1 ? "reply" : "replies",
	    seconds(less(c->held_ms, greet_ms)));
}

/*
 * What the end adds to the story, and whether somebody may ask why: then the
 * line is owed, whatever the rate. Most ends add nothing.
 */
static const struct {
	const char *words;
	bool is_owed;
} ends[REASON_COUNT] = {
    [REASON_GAVE_UP] = {"; the client left", true},
    [REASON_MTA_REFUSED] = {"; the MTA did not greet with 220", true},
    [REASON_MTA_UNREACHABLE] = {"; the MTA could not be reached: 421", true},
    [REASON_NO_SLOT] = {"; all MTA connections were in use: 421", true},
    [REASON_DEFERRED] = {"; told to come back later: 421", true},
    [REASON_FULL] = {"; sessions were used up and this one gave way: 421",
		     true},
    [REASON_DRAINED] = {"; cut at the end of a drain", true},
    [REASON_TLS_FAILED] = {"; the TLS handshake failed", false},
    [REASON_MTA_TLS_FAILED] = {"; the TLS handshake with the MTA failed", true},
    [REASON_BUG] = {"; an error in Tarry ended it, please report this line",
		    true},
};

static void
say_end(struct words *w, const struct session *s)
{
	if (ends[s->reason].words != NULL)
		say(w, "%s", ends[s->reason].words);
	if (s->reason == REASON_GAVE_UP)
		say(w, " after %.1fs of it", seconds(s->counts.gave_up_ms));
}

bool
log_line_is_owed(const struct session *s)
{
	return ends[s->reason].is_owed || s->counts.held_ms > 0 ||
	       s->counts.replies_held > 0;
}

void
log_line_why(const struct session_report *r, char *out, size_t cap)
{
	struct words w = {.out = out, .cap = cap};

	say_decision(&w, r);
	say(&w, ": ");
	say_greeting(&w, r->session);
	say_replies(&w, r->session);
	say_would_be(&w, r->session);
	say_end(&w, r->session);
}

const char *
log_line_syn_source(enum syn_source source)
{
	switch (source) {
	case SYN_FROM_SIDECAR:
		return "sidecar";
	case SYN_FROM_KERNEL:
		return "kernel";
	case SYN_FROM_NOWHERE:
		break;
	}
	return "none";
}

static const char *
quality_name(enum label_quality quality)
{
	switch (quality) {
	case LABEL_EXACT:
		return "exact";
	case LABEL_SOFT:
		return "soft";
	case LABEL_FAMILY:
		return "family";
	case LABEL_NONE:
		break;
	}
	return NULL;
}

static void
put_signature(struct log_line *l, const struct session_report *r)
{
	log_line_text(l, "syn", r->signature != NULL ? r->signature : "unknown",
		      SIGNATURE_TEXT_CAP);
	log_line_text(l, "syn_source", log_line_syn_source(r->syn_source),
		      LOG_PEER_CAP);
	if (r->label == NULL)
		return;
	log_line_text(l, "label", r->label, LOG_PEER_CAP);
	log_line_text(l, "label_quality", quality_name(r->label_quality),
		      LOG_PEER_CAP);
}

void
log_line_counts(struct log_line *l, const struct session_counts *c)
{
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
	    {"greet_ms", c->greet_ms},
	    {"gate_ms", c->gate_ms},
	    {"caps_ms", c->caps_ms},
	    {"held_ms", c->held_ms},
	    {"would_ms", c->would_ms},
	    {"gave_up_ms", c->gave_up_ms},
	    {"replies_held", c->replies_held},
	    {"bytes_in", c->bytes[SIDE_CLIENT]},
	    {"bytes_out", c->bytes[SIDE_MTA]},
	    {"messages", c->messages},
	    {"messages_refused", c->messages_refused},
	    {"recipients", c->recipients},
	    {"recipients_refused", c->recipients_refused},
	    {"errors", c->errors},
	    {"dials", c->dials},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		log_line_number(l, rows[i].key, rows[i].value);
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		log_line_number(l, outcome_name((enum outcome)i),
				c->outcomes[i]);
}

void
log_line_manners(struct log_line *l, const struct session *s)
{
	log_line_flag(l, "early_talker", s->is_early);
	log_line_flag(l, "pipelining", s->is_pipelining);
	log_line_flag(l, "non_smtp", s->is_non_smtp);
	log_line_flag(l, "bare_newline", s->is_bare_newline);
}

void
log_line_dialect(struct log_line *l, const struct session_report *r)
{
	const struct session *s = r->session;
	char text[DIALECT_TEXT_CAP];

	if (dialect_text(&s->dialect, text) > 0) {
		log_line_text(l, "dialect", text, sizeof text);
		if (r->labels != NULL)
			log_line_text(l, "dialect_label",
				      labels_dialect(r->labels, text),
				      LOG_PEER_CAP);
	}
	if (!s->has_gaps)
		return;
	log_line_number(l, "gap_low_ms", s->gap_low_ms);
	log_line_number(l, "gap_high_ms", s->gap_high_ms);
}

/* Only what was asked for and is known. */
static void
put_names(struct log_line *l, const struct session_report *r)
{
	if (r->asn != 0)
		log_line_number(l, "asn", r->asn);
	if (r->has_dnsbl)
		log_line_number(l, "dnsbl", r->dnsbl);
	if (r->has_dnswl)
		log_line_number(l, "dnswl", r->dnswl);
	if (r->lists != NULL)
		log_line_text(l, "lists", r->lists, EVIDENCE_LISTS_TEXT_CAP);
	if (r->ptr != NULL)
		log_line_text(l, "ptr", r->ptr, LOG_PEER_CAP);
}

/* How the client's first TLS message went wrong; NULL if it did not. */
static const char *
hello_text(const struct client_hello *h)
{
	if (h == NULL || h->state == CLIENT_HELLO_DONE)
		return NULL;
	return client_hello_state_name((enum client_hello_state)h->state);
}

/* The server name that it asks for, or NULL. */
static const char *
name_text(const struct client_hello *h, char name[CLIENT_HELLO_NAME_CAP + 1])
{
	if (h == NULL || h->name_len == 0)
		return NULL;
	memcpy(name, h->name, h->name_len);
	name[h->name_len] = '\0';
	return name;
}

static void
put_tls(struct log_line *l, const struct session_report *r)
{
	const struct session *s = r->session;
	char name[CLIENT_HELLO_NAME_CAP + 1];
	const char *const rows[][2] = {
	    {"ja4", r->ja4},
	    {"tls_hello", hello_text(r->hello)},
	    {"tls_version", r->tls_version},
	    {"tls_cipher", r->tls_cipher},
	    {"tls_sni", name_text(r->hello, name)},
	    {"tls_error", r->tls_error},
	};

	log_line_flag(l, "tls",
		      (s->is_opaque && !s->is_lost) ||
			  s->tls == SESSION_TLS_UP);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rows[i][1] != NULL)
			log_line_text(l, rows[i][0], rows[i][1], LOG_PEER_CAP);
	}
	if (r->tls_version != NULL)
		log_line_flag(l, "tls_resumed", r->tls_is_resumed);
	if (s->tls == SESSION_TLS_UP)
		log_line_flag(l, "mta_tls", s->is_mta_tls);
}

static void
put_reputation(struct log_line *l, const struct session_report *r)
{
	const struct reputation *p = &r->reputation;

	if (!r->has_reputation)
		return;
	log_line_text(l, "reputation",
		      reputation_name((enum reputation_standing)p->standing),
		      LOG_PEER_CAP);
	log_line_number(l, "reputation_number", p->number);
	log_line_number(l, "reputation_confidence", p->confidence);
	log_line_text(l, "reputation_level",
		      p->is_pinned
			  ? "operator"
			  : ledger_kind_name((enum ledger_kind)p->level),
		      LOG_PEER_CAP);
	log_line_flag(l, "proven", p->is_proven);
}

void
log_line_session(struct log_line *l, const struct config_log *style,
		 uint64_t unix_ms, const struct session_report *r)
{
	const struct session *s = r->session;
	char text[256];

	log_line_begin(l, style->format, unix_ms, "info");
	log_line_text(l, "event", "session", LOG_PEER_CAP);
	log_line_number(l, "session", r->id);
	log_line_address(style->addresses, &s->client, text, sizeof text);
	log_line_text(l, "client", text, sizeof text);
	if (style->addresses == CONFIG_LOG_FULL)
		log_line_number(l, "port", s->client.port);
	if (style->addresses == CONFIG_LOG_FULL && r->mta_port != 0)
		log_line_number(l, "mta_port", r->mta_port);
	log_line_text(l, "listener", r->listener, LOG_PEER_CAP);
	log_line_why(r, text, sizeof text);
	log_line_text(l, "why", text, sizeof text);
	log_line_text(l, "rule", r->rule, LOG_PEER_CAP);
	log_line_text(l, "class", r->class, LOG_PEER_CAP);
	log_line_text(l, "mode", r->mode, LOG_PEER_CAP);
	if (s->plan.shadow_rule_id != PLAN_NO_RULE)
		log_line_text(l, "shadow_rule", r->shadow_rule, LOG_PEER_CAP);
	put_signature(l, r);
	put_reputation(l, r);
	log_line_counts(l, &s->counts);
	log_line_text(l, "last_verb",
		      smtp_verb_name((enum smtp_verb)s->last_verb),
		      LOG_PEER_CAP);
	log_line_manners(l, s);
	log_line_dialect(l, r);
	put_names(l, r);
	if (r->pool != NULL && style->addresses != CONFIG_LOG_NONE)
		log_line_text(l, "pool", r->pool, LOG_PEER_CAP);
	put_tls(l, r);
	log_line_flag(l, "lost", s->is_lost);
	log_line_text(l, "phase", session_phase_name(r->phase), LOG_PEER_CAP);
	log_line_text(l, "reason", session_reason_name(s->reason),
		      LOG_PEER_CAP);
	log_line_number(l, "duration_ms", r->duration_ms);
	log_line_end(l);
}
