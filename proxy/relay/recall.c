#include "proxy/relay/recall.h"

#include "proxy/daemon/session_report.h"
#include "proxy/memory/memory.h"
#include "proxy/memory/pins.h"
#include "proxy/relay/lookup.h"
#include "proxy/relay/worker_state.h"

/* Of the dialect, what is known once a recipient was named: what comes later
 * would be another row, and nobody could ask for it in time. */
#define ENVELOPE_FIELDS 6
#define RCPT_FIELD 3

/* The text in `out` up to there; NULL: it is not known yet. */
static const char *
envelope_of(const struct session *s, char out[DIALECT_TEXT_CAP])
{
	size_t fields = 0;

	if (dialect_text(&s->dialect, out) == 0)
		return NULL;
	for (char *p = out; *p != '\0'; p++) {
		if (*p != ':')
			continue;
		fields++;
		if (fields == RCPT_FIELD && p[1] == '-')
			return NULL;
		if (fields == ENVELOPE_FIELDS) {
			*p = '\0';
			return out;
		}
	}
	return NULL;
}

static struct history_names
names_of(const struct conn *c, const struct evidence *e, const char *ja4,
	 char dialect[DIALECT_TEXT_CAP])
{
	return (struct history_names){
	    .client = &e->client,
	    .signature = e->texts,
	    .dialect = envelope_of(&c->session, dialect),
	    .ja4 = ja4,
	    .pool = lookup_pool(c),
	};
}

/* With what was seen of the session itself. */
static struct reputation
judge(const struct session *s, struct history *h)
{
	h->delivered = s->counts.messages;
	h->is_behaving_badly =
	    s->is_early || s->is_pipelining || s->is_non_smtp;
	return reputation_of(h);
}

static void
recall(const struct conn *c, const struct history_keys *keys, struct history *h)
{
	const struct worker *w = worker_of(c);

	memory_recall(w->options.memory, keys, uv_now(&w->loop), h);
	h->delivered = 0;
	h->is_behaving_badly = false;
}

/* What the operator says holds; true if that is anything. */
static bool
pinned(const struct conn *c, const struct evidence *e, struct reputation *r)
{
	const struct worker *w = worker_of(c);
	enum reputation_standing standing;

	if (!pins_find(w->options.pins, &e->client,
		       evidence_has(e, EVIDENCE_SYN) ? &e->syn : NULL,
		       uv_now(&w->loop), &standing))
		return false;
	pin_apply(r, standing);
	return true;
}

void
recall_gather(const struct conn *c, struct evidence *e)
{
	char dialect[DIALECT_TEXT_CAP];
	struct memory *m = worker_of(c)->options.memory;
	struct history_names names;
	struct history_keys keys;
	struct history h;
	struct reputation r;

	if (pinned(c, e, &r)) {
		reputation_tell(&r, e);
		return;
	}
	if (m == NULL)
		return;
	names = names_of(c, e, evidence_has(e, EVIDENCE_JA4) ? e->ja4 : NULL,
			 dialect);
	memory_keys(m, &names, &keys);
	recall(c, &keys, &h);
	r = judge(&c->session, &h);
	reputation_tell(&r, e);
}

void
recall_learn(const struct conn *c, const struct evidence *e,
	     struct session_report *report)
{
	const struct worker *w = worker_of(c);
	char dialect[DIALECT_TEXT_CAP];
	struct history_names names;
	struct history_keys keys;
	struct history h;
	struct ledger_delta delta;

	report->has_reputation = pinned(c, e, &report->reputation);
	if (w->options.memory == NULL)
		return;
	names = names_of(c, e, report->ja4, dialect);
	memory_keys(w->options.memory, &names, &keys);
	recall(c, &keys, &h);
	/* Only compare_learn() asks. */
	if (c->session.slowed_by > 0)
		report->standing_before =
		    (enum reputation_standing)reputation_of(&h).standing;
	if (!report->has_reputation)
		report->reputation = judge(&c->session, &h);
	report->has_reputation = true;
	reputation_session(&c->session, &delta);
	memory_learn(w->options.memory, &keys, &delta, uv_now(&w->loop),
		     report->rows);
}
