/*
 * What the journal says: one function a kind of line. See journal.h.
 */
#include "proxy/daemon/journal_feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proxy/config/names.h"
#include "proxy/daemon/log_line.h"
#include "tarry/policy.h"
#include "tarry/signature.h"

/* Room for one note as JSON: five numbers, a verb, and brackets. */
#define NOTE_CAP 48
/* A line has room for so much of a JA4's raw text beside all else. */
#define JA4_RAW_SHOWN 1200

static enum config_log_addresses
addresses_of(const struct journal_feed *f)
{
	return (enum config_log_addresses)atomic_load_explicit(
	    &f->addresses, memory_order_relaxed);
}

static uint64_t
unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void
begin(struct log_line *l, struct journal_feed *f, const char *what)
{
	l->len = 0;
	l->is_json = true;
	l->is_inside = false;
	l->text[l->len++] = '{';
	log_line_number(l, "t", unix_ms());
	log_line_number(l, "w", f->worker);
	log_line_number(l, "n", f->lines++);
	log_line_text(l, "ev", what, LOG_PEER_CAP);
}

static void
begin_about(struct log_line *l, struct journal_feed *f, const char *what,
	    const struct journal_about *about)
{
	begin(l, f, what);
	log_line_number(l, "id", about->id);
	/* The first plan is made before the session is opened. */
	log_line_number(l, "at",
			about->session->phase == PHASE_NEW
			    ? 0
			    : about->now_ms - about->session->opened_ms);
}

static void
end(struct log_line *l, struct journal_feed *f)
{
	log_line_end(l);
	journal_feed_put(f, l->text, l->len);
}

static void
put_address(struct log_line *l, const char *key, const struct journal_feed *f,
	    const struct addr *a)
{
	char text[ADDR_TEXT_CAP + 4];

	log_line_address(addresses_of(f), a, text, sizeof text);
	log_line_text(l, key, text, sizeof text);
}

/*
 * Hides an address in a SYN as far as log.addresses says, and the checksums
 * with it: from those and the rest an address can be told.
 */
static void
mask(uint8_t *raw, size_t len, enum config_log_addresses how)
{
	bool is_v4 = len >= 20 && raw[0] >> 4 == 4;
	size_t ip_len = is_v4 ? (raw[0] & 15u) * 4u : 40;
	size_t at = is_v4 ? 12 : 8;
	size_t size = is_v4 ? 4 : 16;
	size_t keep = how == CONFIG_LOG_NETWORK ? (is_v4 ? 3 : 6) : 0;

	if (how == CONFIG_LOG_FULL || len < at + size)
		return;
	memset(raw + at + keep, 0, size - keep);
	if (is_v4)
		memset(raw + 10, 0, 2);
	if (len >= ip_len + 18)
		memset(raw + ip_len + 16, 0, 2);
}

static void
put_syn(struct log_line *l, const struct journal_feed *f,
	const struct journal_syn *syn)
{
	uint8_t raw[SYN_RAW_CAP];
	size_t len = syn->raw_len < sizeof raw ? syn->raw_len : sizeof raw;

	log_line_text(l, "syn_source", log_line_syn_source(syn->source),
		      LOG_PEER_CAP);
	if (len == 0)
		return;
	memcpy(raw, syn->raw, len);
	mask(raw, len, addresses_of(f));
	log_line_hex(l, "syn", raw, len);
	log_line_number(l, "retransmits", syn->retransmits);
}

void
journal_open_session(struct journal_feed *f, const struct journal_about *about,
		     const char *listener, const struct journal_syn *syn)
{
	const struct session *s = about->session;
	struct log_line l;

	if (!journal_is_on(f))
		return;
	begin(&l, f, "open");
	log_line_number(&l, "id", about->id);
	log_line_text(&l, "listener", listener, LOG_PEER_CAP);
	put_address(&l, "client", f, &s->client);
	log_line_number(&l, "port", s->client.port);
	put_address(&l, "server", f, &s->server);
	log_line_number(&l, "server_port", s->server.port);
	put_syn(&l, f, syn);
	end(&l, f);
}

void
journal_syn(struct journal_feed *f, const struct journal_about *about,
	    const struct journal_syn *syn)
{
	struct log_line l;

	if (!journal_is_on(f))
		return;
	begin_about(&l, f, "syn", about);
	put_syn(&l, f, syn);
	end(&l, f);
}

static void
put_plan(struct log_line *l, const struct journal_feed *f, const struct plan *p)
{
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
	    {"rank", p->rank},
	    {"greet_ms", p->greet_ms},
	    {"reply_ms", p->reply_ms},
	    {"error_ms", p->error_ms},
	    {"drip_ms", p->drip_ms},
	    {"data_rate", p->data_rate},
	    {"reply_cap_ms", p->reply_cap_ms},
	    {"data_reply_cap_ms", p->data_reply_cap_ms},
	    {"session_cap_ms", p->session_cap_ms},
	    {"patience_ms", p->patience_ms},
	    {"client_sessions", p->caps[PLAN_CAP_CLIENT]},
	    {"network_sessions", p->caps[PLAN_CAP_NETWORK]},
	    {"stack_sessions", p->caps[PLAN_CAP_STACK]},
	};

	log_line_text(l, "rule", names_rule(f->names, p->rule_id),
		      LOG_PEER_CAP);
	log_line_text(l, "class", names_class(f->names, p->class_id),
		      LOG_PEER_CAP);
	if (p->shadow_rule_id != PLAN_NO_RULE)
		log_line_text(l, "shadow_rule",
			      names_rule(f->names, p->shadow_rule_id),
			      LOG_PEER_CAP);
	log_line_text(l, "mode", plan_mode_name(p), LOG_PEER_CAP);
	log_line_flag(l, "teaser", p->teaser);
	log_line_flag(l, "split", p->is_split);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		log_line_number(l, rows[i].key, rows[i].value);
}

enum fact_type { NETS, PATTERN, TEXT, NUMBER, FLAG };

static const struct {
	const char *name;
	enum fact_type type;
} facts[EVIDENCE_COUNT] = {
#define EVIDENCE(id, name, type, help) {name, type},
#include "tarry/evidence.def"
#undef EVIDENCE
};

static enum signature_level
level_of(enum evidence_kind kind)
{
	if (kind == EVIDENCE_SYN)
		return SIGNATURE_SYN;
	return kind == EVIDENCE_STACK ? SIGNATURE_STACK : SIGNATURE_FAMILY;
}

static const char *
text_of(const struct evidence *e, enum evidence_kind kind)
{
	if (kind == EVIDENCE_JA4)
		return e->ja4;
	if (kind == EVIDENCE_DIALECT)
		return e->dialect;
	if (kind == EVIDENCE_REPUTATION)
		return e->reputation;
	if (kind == EVIDENCE_PTR)
		return e->ptr;
	return kind == EVIDENCE_LABEL ? e->label : e->listener;
}

static void
put_fact(struct log_line *l, const struct journal_feed *f,
	 const struct evidence *e, enum evidence_kind kind)
{
	const char *name = facts[kind].name;
	char text[SIGNATURE_TEXT_CAP];

	switch (facts[kind].type) {
	case NETS:
		put_address(l, name, f, &e->client);
		break;
	case PATTERN:
		signature_text(level_of(kind), &e->syn, text, sizeof text);
		log_line_text(l, name, text, sizeof text);
		break;
	case TEXT:
		log_line_text(l, name, text_of(e, kind), DIALECT_TEXT_CAP);
		break;
	case NUMBER:
	case FLAG:
		log_line_number(l, name, evidence_number(e, kind));
		break;
	}
}

/* What rules may ask of them one by one. */
static void
put_lists(struct log_line *l, const struct evidence *e)
{
	char text[EVIDENCE_LISTS_TEXT_CAP];

	if (evidence_lists_text(e, text) > 0)
		log_line_text(l, "lists", text, sizeof text);
}

/* What rules were tried on; JA4 is only the hash of it. True if it is longer
 * than there is room for: then its beginning. */
static bool
put_ja4_raw(struct log_line *l, const struct evidence *e)
{
	const char *raw = evidence_has(e, EVIDENCE_JA4) && e->ja4_raw != NULL
			      ? e->ja4_raw
			      : "";

	if (raw[0] != '\0')
		log_line_text(l, "ja4_r", raw, JA4_RAW_SHOWN);
	return strlen(raw) > JA4_RAW_SHOWN;
}

static void
put_stress(struct log_line *l, const struct stress *stress)
{
	if (stress == NULL)
		return;
	log_line_flag(l, "stress_sessions", stress->sessions);
	log_line_flag(l, "stress_slots", stress->slots);
}

void
journal_plan(struct journal_feed *f, const struct journal_about *about,
	     const struct evidence *e, const struct stress *stress,
	     const struct plan *plan)
{
	struct log_line l;
	bool is_cut;

	if (!journal_is_on(f))
		return;
	begin_about(&l, f, "plan", about);
	log_line_text(&l, "policy", about->hash, LOG_PEER_CAP);
	put_stress(&l, stress);
	/* What is short first: a line that is full drops what is left. */
	log_line_object(&l, "plan");
	put_plan(&l, f, plan);
	log_line_object_end(&l);
	log_line_object(&l, "facts");
	for (unsigned kind = 0; kind < EVIDENCE_COUNT; kind++) {
		if (evidence_has(e, (enum evidence_kind)kind))
			put_fact(&l, f, e, (enum evidence_kind)kind);
	}
	put_lists(&l, e);
	is_cut = put_ja4_raw(&l, e);
	log_line_object_end(&l);
	log_line_flag(&l, "cut", is_cut);
	end(&l, f);
}

void
journal_notes(struct journal_feed *f, const struct journal_about *about,
	      const struct session_note *notes, size_t count)
{
	char text[NOTE_CAP * SESSION_NOTES_CAP];
	size_t len = 1;
	struct log_line l;

	if (!journal_is_on(f) || count == 0)
		return;
	if (count > SESSION_NOTES_CAP)
		count = SESSION_NOTES_CAP;
	text[0] = '[';
	for (size_t i = 0; i < count; i++) {
		const struct session_note *n = &notes[i];

		len += (size_t)snprintf(
		    text + len, sizeof text - len,
		    "%s[%" PRIu32 ",\"%s\",%u,%u,%" PRIu32 "]",
		    i > 0 ? "," : "", n->at_ms,
		    smtp_verb_name((enum smtp_verb)n->verb), (unsigned)n->marks,
		    (unsigned)n->code, n->due_ms);
	}
	text[len++] = ']';
	begin_about(&l, f, "notes", about);
	log_line_raw(&l, "notes", text, len);
	end(&l, f);
}

void
journal_end(struct journal_feed *f, const struct session_report *r)
{
	const struct session *s = r->session;
	struct log_line l;

	if (!journal_is_on(f))
		return;
	begin(&l, f, "end");
	log_line_number(&l, "id", r->id);
	log_line_number(&l, "at", r->duration_ms);
	if (r->mta_port != 0)
		log_line_number(&l, "mta_port", r->mta_port);
	log_line_text(&l, "reason", session_reason_name(s->reason),
		      LOG_PEER_CAP);
	log_line_text(&l, "phase", session_phase_name(r->phase), LOG_PEER_CAP);
	log_line_text(&l, "rule", r->rule, LOG_PEER_CAP);
	log_line_text(&l, "class", r->class, LOG_PEER_CAP);
	log_line_text(&l, "mode", r->mode, LOG_PEER_CAP);
	log_line_counts(&l, &s->counts);
	log_line_text(&l, "last_verb",
		      smtp_verb_name((enum smtp_verb)s->last_verb),
		      LOG_PEER_CAP);
	log_line_manners(&l, s);
	log_line_dialect(&l, r);
	log_line_flag(&l, "greeted", s->is_greeted);
	log_line_flag(&l, "tls", s->is_opaque && !s->is_lost);
	log_line_flag(&l, "lost", s->is_lost);
	end(&l, f);
}

void
journal_line_policy(struct journal_feed *f, const char *path, const char *hash,
		    const char *cause)
{
	struct log_line l;

	if (!journal_is_on(f))
		return;
	begin(&l, f, "policy");
	log_line_text(&l, "cause", cause, LOG_PEER_CAP);
	log_line_text(&l, "file", path, LOG_LINE_CAP / 2);
	log_line_text(&l, "hash", hash, LOG_PEER_CAP);
	end(&l, f);
}

void
journal_line_verdict(struct journal_feed *f, uint64_t session,
		     const char *verdict, const char *source)
{
	struct log_line l;

	if (!journal_is_on(f))
		return;
	begin(&l, f, "verdict");
	log_line_number(&l, "id", session);
	log_line_text(&l, "verdict", verdict, LOG_PEER_CAP);
	log_line_text(&l, "source", source, LOG_PEER_CAP);
	end(&l, f);
}
