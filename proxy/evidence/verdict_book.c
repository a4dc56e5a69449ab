/*
 * See verdict_book.h. Sessions and queue ids stand in two rings, in the order
 * in which they came; chains of equal hash lead to them. A session has three
 * links: by its own number, by the client's port, and by the port that the
 * MTA sees in the client's guise.
 */
#include "proxy/evidence/verdict_book.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/evidence/verdict_effect.h"

#define NONE UINT32_MAX

enum link { LINK_ID, LINK_CLIENT, LINK_GUISE, LINK_COUNT };

struct link_node {
	uint64_t hash;
	uint32_t next;
	bool is_in;
};

struct chains {
	uint32_t *heads;
	struct link_node *nodes;
	uint32_t mask;
};

struct seen {
	uint64_t id; /* 0: free */
	uint64_t open_ms;
	uint64_t end_ms; /* 0: it runs */
	uint64_t turn;	 /* which use of this place it is */
	struct addr client;
	uint16_t guise_port;
	uint16_t class_id;
	uint16_t rule_id;
	bool is_blind;
	bool is_told;			 /* some verdict was joined */
	struct verdict_case all;	 /* by lines without an id */
	struct reputation_tally counted; /* at its end */
	uint64_t rows[LEDGER_KINDS];
	/* By lines with an id, should it turn out to be seen, or blind. */
	struct verdict_effect mails[2];
};

struct mail {
	char id[VERDICT_ID_CAP + 1]; /* "": free */
	uint32_t seen;		     /* its session, while the turn is it */
	uint64_t turn;
	struct verdict_case told; /* recipients 0: the MTA was not seen to take
				     it */
};

struct verdict_book {
	uint32_t cap;
	uint64_t seen_next;
	uint64_t mail_next;
	struct seen *seen;
	struct mail *mails;
	struct chains seen_chains;
	struct chains mail_chains;
	uint64_t told;
	learn_fn *learn;
	void *learn_ctx;
};

static const char *const results[] = {
#define VERDICT_RESULT(id, name, help) name,
#include "tarry/verdict.def"
};

const char *
verdict_result_name(enum verdict_result result)
{
	return results[result];
}

/* Peers choose ports and queue ids, but a chain is as long as the book at
 * worst, and only who may write to the socket has it walked: FNV-1a will do.
 */
static uint64_t
hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static uint64_t
hash_client(const struct addr *a, uint16_t port)
{
	uint64_t hash = hash_bytes(UINT64_C(0xcbf29ce484222325), a->ip, 16);

	return hash_bytes(hash, &port, sizeof(port));
}

static uint64_t
hash_id(uint64_t id)
{
	return hash_bytes(UINT64_C(0x84222325cbf29ce4), &id, sizeof(id));
}

static uint64_t
hash_mail(const char *id)
{
	return hash_bytes(UINT64_C(0xcbf29ce484222325), id, strlen(id));
}

static uint32_t
mask_for(uint32_t cap)
{
	uint32_t size = 1;

	while (size < cap)
		size *= 2;
	return size - 1;
}

static bool
chains_make(struct chains *c, uint32_t nodes)
{
	c->mask = mask_for(nodes);
	c->heads = malloc((c->mask + (size_t)1) * sizeof(*c->heads));
	c->nodes = calloc(nodes, sizeof(*c->nodes));
	if (c->heads == NULL || c->nodes == NULL)
		return false;
	memset(c->heads, 0xff, (c->mask + (size_t)1) * sizeof(*c->heads));
	return true;
}

static void
chains_free(struct chains *c)
{
	free(c->heads);
	free(c->nodes);
}

static void
chains_add(struct chains *c, uint32_t node, uint64_t hash)
{
	uint32_t *head = &c->heads[hash & c->mask];

	c->nodes[node] = (struct link_node){hash, *head, true};
	*head = node;
}

static void
chains_remove(struct chains *c, uint32_t node)
{
	uint32_t *at = &c->heads[c->nodes[node].hash & c->mask];

	if (!c->nodes[node].is_in)
		return;
	while (*at != node)
		at = &c->nodes[*at].next;
	*at = c->nodes[node].next;
	c->nodes[node].is_in = false;
}

struct verdict_book *
verdict_book_new(uint32_t cap)
{
	struct verdict_book *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->cap = cap;
	b->seen = calloc(cap, sizeof(*b->seen));
	b->mails = calloc(cap, sizeof(*b->mails));
	if (!chains_make(&b->seen_chains, cap * LINK_COUNT) ||
	    !chains_make(&b->mail_chains, cap) || b->seen == NULL ||
	    b->mails == NULL) {
		verdict_book_free(b);
		return NULL;
	}
	return b;
}

void
verdict_book_free(struct verdict_book *b)
{
	if (b == NULL)
		return;
	chains_free(&b->seen_chains);
	chains_free(&b->mail_chains);
	free(b->seen);
	free(b->mails);
	free(b);
}

uint64_t
verdict_book_bytes(uint32_t cap)
{
	uint64_t heads =
	    mask_for(cap * LINK_COUNT) + (uint64_t)mask_for(cap) + 2;
	uint64_t each = sizeof(struct seen) + sizeof(struct mail) +
			(LINK_COUNT + 1) * sizeof(struct link_node);

	return sizeof(struct verdict_book) + cap * each +
	       heads * sizeof(uint32_t);
}

static void
note_open(struct verdict_book *b, const struct session_item *item,
	  uint64_t unix_ms)
{
	uint64_t turn = b->seen_next++;
	uint32_t at = (uint32_t)(turn % b->cap);

	for (uint32_t l = 0; l < LINK_COUNT; l++)
		chains_remove(&b->seen_chains, at * LINK_COUNT + l);
	b->seen[at] = (struct seen){.id = item->id,
				    .open_ms = unix_ms,
				    .turn = turn,
				    .client = item->client};
	chains_add(&b->seen_chains, at * LINK_COUNT + LINK_ID,
		   hash_id(item->id));
	chains_add(&b->seen_chains, at * LINK_COUNT + LINK_CLIENT,
		   hash_client(&item->client, item->client.port));
}

static uint32_t
find_id(const struct verdict_book *b, uint64_t id)
{
	const struct chains *c = &b->seen_chains;
	uint64_t hash = hash_id(id);
	uint32_t node = c->heads[hash & c->mask];

	while (node != NONE && (node % LINK_COUNT != LINK_ID ||
				b->seen[node / LINK_COUNT].id != id))
		node = c->nodes[node].next;
	return node == NONE ? NONE : node / LINK_COUNT;
}

/* True if the session, by that link of it, may be the one that is meant. */
static bool
is_meant(const struct seen *s, enum link link, const struct verdict_line *line)
{
	uint16_t port = link == LINK_GUISE ? s->guise_port : s->client.port;

	return link != LINK_ID && port == line->client.port &&
	       addr_same_ip(&s->client, &line->client) &&
	       (line->unix_ms == 0 ||
		line->unix_ms + VERDICT_SLACK_MS >= s->open_ms);
}

/* The newest session of that client's address and port; ports are used again,
 * so none that began after the verdict. */
static uint32_t
find_client(const struct verdict_book *b, const struct verdict_line *line)
{
	const struct chains *c = &b->seen_chains;
	uint64_t hash = hash_client(&line->client, line->client.port);
	uint32_t best = NONE;

	for (uint32_t node = c->heads[hash & c->mask]; node != NONE;
	     node = c->nodes[node].next) {
		uint32_t at = node / LINK_COUNT;

		if (is_meant(&b->seen[at], (enum link)(node % LINK_COUNT),
			     line) &&
		    (best == NONE || b->seen[at].turn > b->seen[best].turn))
			best = at;
	}
	return best;
}

static struct mail *
find_mail(struct verdict_book *b, const char *id)
{
	uint64_t hash = hash_mail(id);
	uint32_t node = b->mail_chains.heads[hash & b->mail_chains.mask];

	while (node != NONE && strcmp(b->mails[node].id, id) != 0)
		node = b->mail_chains.nodes[node].next;
	return node == NONE ? NULL : &b->mails[node];
}

static struct mail *
learn_mail(struct verdict_book *b, const char *id, uint32_t seen)
{
	uint32_t at = (uint32_t)(b->mail_next++ % b->cap);
	struct mail *m = &b->mails[at];

	chains_remove(&b->mail_chains, at);
	*m = (struct mail){.seen = seen, .turn = b->seen[seen].turn};
	memcpy(m->id, id, strlen(id) + 1);
	chains_add(&b->mail_chains, at, hash_mail(id));
	return m;
}

/* Of which session a mail was, if that is still known. */
static uint32_t
mail_session(const struct verdict_book *b, const struct mail *m)
{
	return m != NULL && b->seen[m->seen].turn == m->turn ? m->seen : NONE;
}

static void
note_guise(struct verdict_book *b, uint32_t at, const struct addr *client)
{
	chains_remove(&b->seen_chains, at * LINK_COUNT + LINK_GUISE);
	b->seen[at].guise_port = client->port;
	chains_add(&b->seen_chains, at * LINK_COUNT + LINK_GUISE,
		   hash_client(client, client->port));
}

/* What is known of one of its mails changes. */
static void
change_mail(struct seen *s, struct mail *m, const struct verdict_case *now)
{
	const struct verdict_effect effects[2][2] = {
	    {verdict_effect_seen(&m->told), verdict_effect_seen(now)},
	    {verdict_effect_blind(&m->told), verdict_effect_blind(now)}};

	for (unsigned i = 0; i < 2; i++) {
		verdict_effect_add(&s->mails[i], &effects[i][0], -1);
		verdict_effect_add(&s->mails[i], &effects[i][1], 1);
	}
	m->told = *now;
}

static void
note_mail(struct verdict_book *b, uint32_t at, const struct session_item *item)
{
	struct mail *m = find_mail(b, item->queue_id);
	struct verdict_case now;

	/* Somebody may have been faster to tell of it. */
	if (m == NULL || mail_session(b, m) != at)
		m = learn_mail(b, item->queue_id, at);
	now = m->told;
	now.messages = 1;
	now.recipients = item->recipients;
	change_mail(&b->seen[at], m, &now);
}

/* What is known of its mail by now. */
static struct reputation_tally
tally_of(const struct seen *s)
{
	struct verdict_effect e = s->is_blind ? verdict_effect_blind(&s->all)
					      : verdict_effect_seen(&s->all);

	verdict_effect_add(&e, &s->mails[s->is_blind], 1);
	return verdict_effect_on(&s->counted, &e);
}

/* Tells who learns, if that is something else than what was told before. */
static void
teach(const struct verdict_book *b, const struct seen *s,
      const struct reputation_tally *before)
{
	const struct learn l = {
	    .session = s->id,
	    .rows = s->rows,
	    .before = *before,
	    .after = tally_of(s),
	};

	if (b->learn != NULL && memcmp(&l.before, &l.after, sizeof(l.after)))
		b->learn(b->learn_ctx, &l);
}

static void
note_end(struct verdict_book *b, uint32_t at, const struct session_item *item,
	 uint64_t unix_ms)
{
	struct seen *s = &b->seen[at];

	s->end_ms = unix_ms;
	s->class_id = item->class_id;
	s->rule_id = item->rule_id;
	s->is_blind = item->is_blind;
	s->counted = item->end.tally;
	memcpy(s->rows, item->end.rows, sizeof(s->rows));
	s->all.messages = s->counted.messages;
	s->all.recipients = s->counted.outcomes[OUTCOME_DELIVERED];
	b->told += s->is_blind && s->is_told;
	teach(b, s, &s->counted);
}

void
verdict_book_note(struct verdict_book *b, const struct session_item *item,
		  uint64_t unix_ms)
{
	uint32_t at;

	if (item->news == SESSION_NEWS_OPEN) {
		note_open(b, item, unix_ms);
		return;
	}
	at = find_id(b, item->id);
	if (at == NONE)
		return;
	if (item->news == SESSION_NEWS_GUISE)
		note_guise(b, at, &item->client);
	else if (item->news == SESSION_NEWS_MAIL)
		note_mail(b, at, item);
	else
		note_end(b, at, item, unix_ms);
}

void
verdict_book_set_learner(struct verdict_book *b, learn_fn *learn, void *ctx)
{
	b->learn = learn;
	b->learn_ctx = ctx;
}

uint64_t
verdict_book_told(const struct verdict_book *b)
{
	return b->told;
}

/* The session; NONE with *result if there is none. *mail: by its queue id. */
static uint32_t
find(struct verdict_book *b, const struct verdict_line *line,
     struct mail **mail, enum verdict_result *result)
{
	uint32_t by_client = NONE;
	uint32_t by_mail;

	*mail = line->id[0] != '\0' ? find_mail(b, line->id) : NULL;
	by_mail = mail_session(b, *mail);
	*result = VERDICT_RESULT_UNKNOWN;
	if (line->client.family != 0) {
		by_client = find_client(b, line);
		if (by_mail != NONE && by_mail != by_client) {
			*result = VERDICT_RESULT_CONTRADICTS;
			return NONE;
		}
	}
	if (by_mail == NONE)
		*mail = NULL;
	return by_mail != NONE ? by_mail : by_client;
}

static bool
is_late(const struct seen *s, uint64_t unix_ms)
{
	return s->end_ms != 0 && unix_ms > s->end_ms + VERDICT_LATE_MS;
}

/* Notes what is said of a mail, or of all of the session; false if that was
 * said before. */
static bool
take(struct verdict_book *b, struct seen *s, struct mail *mail,
     enum verdict verdict)
{
	const bool is_over = s->end_ms != 0;
	const struct reputation_tally before = tally_of(s);
	struct verdict_case now = mail != NULL ? mail->told : s->all;

	if (!verdict_case_say(&now, verdict))
		return false;
	if (mail != NULL)
		change_mail(s, mail, &now);
	else
		s->all = now;
	b->told += is_over && s->is_blind && !s->is_told;
	s->is_told = true;
	if (is_over) /* else when it is */
		teach(b, s, &before);
	return true;
}

enum verdict_result
verdict_book_join(struct verdict_book *b, const struct verdict_line *line,
		  uint64_t unix_ms, struct verdict_session *session)
{
	enum verdict_result result;
	struct mail *mail;
	struct seen *s;
	uint32_t at;

	if (line->unix_ms > unix_ms + VERDICT_SLACK_MS)
		return VERDICT_RESULT_CONTRADICTS;
	at = find(b, line, &mail, &result);
	if (at == NONE)
		return result;
	s = &b->seen[at];
	if (is_late(s, unix_ms))
		return VERDICT_RESULT_LATE;
	if (mail == NULL && line->id[0] != '\0')
		mail = learn_mail(b, line->id, at);
	if (!take(b, s, mail, line->verdict))
		return VERDICT_RESULT_DOUBLED;
	*session = (struct verdict_session){
	    .id = s->id,
	    .client = s->client,
	    .is_over = s->end_ms != 0,
	    .class_id = s->class_id,
	    .rule_id = s->rule_id,
	};
	return VERDICT_RESULT_JOINED;
}
