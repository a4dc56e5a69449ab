#include "proxy/relay/record.h"

#include <string.h>

#include "proxy/daemon/journal.h"
#include "proxy/evidence/session_feed.h"
#include "proxy/relay/worker_state.h"

static struct journal_feed *
feed_of(const struct conn *c)
{
	return worker_of(c)->options.journal;
}

static struct journal_about
about(const struct conn *c)
{
	return (struct journal_about){
	    .id = c->id,
	    .session = &c->session,
	    .now_ms = worker_now(worker_of(c)),
	    .hash = worker_of(c)->options.rules.config->journal_hash,
	};
}

static struct journal_syn
syn_of(const struct conn *c, uint8_t raw[SYN_RAW_CAP])
{
	return (struct journal_syn){
	    .source = (enum syn_source)c->facts.source,
	    .raw = raw,
	    .raw_len = facts_raw(c, raw),
	    .retransmits = c->facts.retransmits,
	};
}

/* Whom the session is of. One branch where nobody takes verdicts. */
static void
tell_client(const struct conn *c, enum session_news news)
{
	struct session_feed *feed = worker_of(c)->options.sessions;
	struct session_item item;

	if (feed == NULL)
		return;
	item = (struct session_item){
	    .id = c->id,
	    .client = c->session.client,
	    .news = (uint8_t)news,
	};
	if (news == SESSION_NEWS_GUISE)
		item.client.port = c->mta_port;
	session_feed_put(feed, &item);
}

/* The queue ids that the MTA gave: what is told later of a mail names them. */
static void
tell_mails(const struct conn *c, const struct orders *o)
{
	struct session_feed *feed = worker_of(c)->options.sessions;
	struct session_item item;

	for (unsigned i = 0; feed != NULL && i < o->messages_count; i++) {
		if (o->messages[i].queue_id[0] == '\0')
			continue;
		item = (struct session_item){
		    .id = c->id,
		    .news = SESSION_NEWS_MAIL,
		    .recipients = o->messages[i].recipients,
		};
		memcpy(item.queue_id, o->messages[i].queue_id,
		       sizeof(item.queue_id));
		session_feed_put(feed, &item);
	}
}

static void
tell_end(const struct conn *c, const struct session_report *report)
{
	struct session_feed *feed = worker_of(c)->options.sessions;
	const struct session *s = &c->session;
	struct session_item item;

	if (feed == NULL)
		return;
	item = (struct session_item){
	    .id = c->id,
	    .news = SESSION_NEWS_END,
	    .is_blind = s->is_opaque && !s->is_lost,
	    .class_id = s->plan.class_id,
	    .rule_id = s->plan.rule_id,
	};
	item.end.tally = reputation_tally(s);
	memcpy(item.end.rows, report->rows, sizeof(item.end.rows));
	session_feed_put(feed, &item);
}

void
record_syn(struct conn *c)
{
	struct journal_about who;
	uint8_t raw[SYN_RAW_CAP];
	struct journal_syn syn;

	if (!journal_is_on(feed_of(c)))
		return;
	who = about(c);
	syn = syn_of(c, raw);
	journal_syn(feed_of(c), &who, &syn);
}

void
record_plan(struct conn *c, const struct evidence *e, const struct plan *plan)
{
	struct journal_about who;
	uint8_t raw[SYN_RAW_CAP];
	struct journal_syn syn;

	if (c->session.phase == PHASE_NEW)
		tell_client(c, SESSION_NEWS_OPEN);
	if (!journal_is_on(feed_of(c)))
		return;
	who = about(c);
	if (c->session.phase == PHASE_NEW) {
		syn = syn_of(c, raw);
		journal_open_session(feed_of(c), &who, c->listener->name, &syn);
	}
	journal_plan(feed_of(c), &who, e, &worker_of(c)->stress, plan);
}

void
record_step(struct conn *c, const struct orders *o)
{
	struct journal_about who;

	if (o->messages_count > 0)
		tell_mails(c, o);
	if (o->notes_count == 0 || !journal_is_on(feed_of(c)))
		return;
	who = about(c);
	journal_notes(feed_of(c), &who, o->notes, o->notes_count);
}

void
record_guise(const struct conn *c)
{
	tell_client(c, SESSION_NEWS_GUISE);
}

void
record_end(struct conn *c, const struct session_report *report)
{
	tell_end(c, report);
	journal_end(feed_of(c), report);
}
