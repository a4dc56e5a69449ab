/*
 * Rules, points and classes are those of config/tarry.ini, as it is compiled
 * in: what is printed of a month is said of the file that is shipped.
 */
#include "tests/month/learner.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/config/config.h"
#include "tarry/holdout.h"

#define ROWS 200000u
#define HALF_LIFE_S (7u * 86400)

static bool
load_shipped(struct learner *l)
{
	struct report report = {0};
	int rc = config_load(&l->config, NULL, NULL, &report);

	report_free(&report);
	if (rc != 0)
		return false;
	l->policy = l->config->policy;
	l->policy.is_shadow = false;
	return true;
}

bool
learner_open(struct learner *l, bool is_on, uint32_t holdout)
{
	const size_t bytes = (ledger_bytes(ROWS) + 63) / 64 * 64;

	*l = (struct learner){.is_on = is_on, .holdout = is_on ? holdout : 0};
	if (!load_shipped(l))
		return false;
	l->memory = aligned_alloc(64, bytes);
	if (l->memory == NULL)
		return false;
	memset(l->memory, 0, bytes);
	ledger_init(&l->ledger, l->memory, ROWS, HALF_LIFE_S, LEARNER_SALT);
	return true;
}

void
learner_close(struct learner *l)
{
	free(l->memory);
	l->memory = NULL;
	config_free(l->config);
	l->config = NULL;
}

static void
make_keys(const struct learner *l, const struct member *m, bool knows_dialect,
	  struct history_keys *keys)
{
	struct signature_texts signature;
	const struct history_names names = {
	    .client = &m->client,
	    .signature = &signature,
	    .dialect = knows_dialect ? m->dialect : NULL,
	    .pool = m->pool,
	};

	signature_texts_make(&signature, &m->syn);
	history_keys_make(keys, &l->ledger, &names);
}

/* What the session did so far; before it did anything nothing is known. */
static void
tell_manners(const struct session *s, struct evidence *e)
{
	e->early_talker = s != NULL && s->is_early;
	e->pipelining = s != NULL && s->is_pipelining;
	e->non_smtp = s != NULL && s->is_non_smtp;
	e->present |= evidence_bit(EVIDENCE_EARLY_TALKER) |
		      evidence_bit(EVIDENCE_PIPELINING) |
		      evidence_bit(EVIDENCE_NON_SMTP);
}

static void
tell_reputation(const struct learner *l, const struct member *m,
		const struct session *s, const struct learner_moment *at,
		struct evidence *e)
{
	struct history_keys keys;
	struct history h = {.delivered = 0};
	struct reputation r;

	if (!l->is_on)
		return;
	if (s != NULL) {
		h.delivered = s->counts.messages;
		h.is_behaving_badly =
		    s->is_early || s->is_pipelining || s->is_non_smtp;
	}
	make_keys(l, m, at->knows_dialect, &keys);
	history_find(&h, &l->ledger, &keys, at->now_s);
	r = reputation_of(&h);
	reputation_tell(&r, e);
}

void
learner_plan(const struct learner *l, const struct member *m,
	     const struct session *s, const struct learner_moment *at,
	     struct verdict *v)
{
	struct evidence e;

	memset(&e, 0, sizeof(e));
	e.client = m->client;
	e.syn = m->syn;
	e.present = evidence_bit(EVIDENCE_NETWORK) |
		    evidence_bit(EVIDENCE_SYN) | evidence_bit(EVIDENCE_STACK) |
		    evidence_bit(EVIDENCE_FAMILY);
	tell_manners(s, &e);
	tell_reputation(l, m, s, at, &e);
	v->plan = plan_make(&l->policy, &e, NULL, NULL);
	v->is_slowed = v->plan.rank > l->policy.open_rank;
	holdout_apply(LEARNER_SALT, &m->client, at->now_s / 86400, l->holdout,
		      &v->plan);
	v->is_held_out = v->is_slowed && v->plan.is_held_out;
}

void
learner_add(struct learner *l, const struct member *m, bool knows_dialect,
	    struct ledger_delta *delta, uint32_t now_s)
{
	struct history_keys keys;

	delta->network = holdout_network(LEARNER_SALT, &m->client);
	make_keys(l, m, knows_dialect, &keys);
	history_add(&l->ledger, &keys, delta, now_s);
}
