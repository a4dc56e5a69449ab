/*
 * Rules here ask for a reputation by its name, which stands where the name of
 * the listener would; those of a site have a condition of their own for it.
 */
#include "tests/month/learner.h"

#include <stdlib.h>
#include <string.h>

#include "tarry/holdout.h"
#include "tarry/policy.h"

#define ROWS 200000u
#define HALF_LIFE_S (7u * 86400)
#define RANK_NEW 1

static const struct policy_class classes[] = {
    {.name = "new", .id = 0, .teaser = true, .greet_ms = 3000},
    {.name = "watch",
     .id = 1,
     .teaser = true,
     .greet_ms = 10000,
     .reply_ms = 2000,
     .split_ms = 300},
    {.name = "slow",
     .id = 2,
     .greet_ms = 15000,
     .reply_ms = 5000,
     .drip_ms = 2000,
     .error_ms = 9000,
     .data_rate = 16384},
    {.name = "tarpit",
     .id = 3,
     .greet_ms = 18000,
     .reply_ms = 9000,
     .drip_ms = 5000,
     .error_ms = 9000,
     .data_rate = 4096},
};

static const char *const good[] = {"good"};
static const char *const suspect[] = {"suspect"};
static const char *const bad[] = {"bad"};

static const struct policy_condition is_good[] = {
    {.kind = EVIDENCE_LISTENER, .texts = good, .count = 1}};
static const struct policy_condition is_suspect[] = {
    {.kind = EVIDENCE_LISTENER, .texts = suspect, .count = 1}};
static const struct policy_condition is_bad[] = {
    {.kind = EVIDENCE_LISTENER, .texts = bad, .count = 1}};
static const struct policy_condition is_worst[] = {
    {.kind = EVIDENCE_SCORE, .low = 5, .high = UINT32_MAX},
    {.kind = EVIDENCE_SOURCES, .low = 2, .high = UINT32_MAX}};
static const struct policy_condition has_three[] = {
    {.kind = EVIDENCE_SCORE, .low = 3, .high = UINT32_MAX}};
static const struct policy_condition has_two[] = {
    {.kind = EVIDENCE_SCORE, .low = 2, .high = UINT32_MAX}};

static const struct policy_rule rules[] = {
    {.name = "good",
     .class_index = PLAN_CLASS_PASS,
     .conditions = is_good,
     .conditions_count = 1},
    {.name = "bad",
     .conditions = is_bad,
     .conditions_count = 1,
     .is_add = true,
     .points = 5},
    {.name = "suspect",
     .conditions = is_suspect,
     .conditions_count = 1,
     .is_add = true,
     .points = 3},
    {.name = "worst",
     .class_index = 3,
     .conditions = is_worst,
     .conditions_count = 2},
    {.name = "three",
     .class_index = 2,
     .conditions = has_three,
     .conditions_count = 1},
    {.name = "two",
     .class_index = 1,
     .conditions = has_two,
     .conditions_count = 1},
    {.name = "everyone", .class_index = 0},
};

static const struct policy the_policy = {
    .classes = classes,
    .classes_count = sizeof(classes) / sizeof(classes[0]),
    .rules = rules,
    .rules_count = sizeof(rules) / sizeof(rules[0]),
    .score = {.early_talker = 2, .pipelining = 2, .non_smtp = 3},
    .reply_cap_ms = 20000,
    .data_reply_cap_ms = 5000,
    .session_cap_ms = 120000,
    .patience_ms = 9000,
    .open_rank = RANK_NEW,
};

bool
learner_open(struct learner *l, bool is_on, uint32_t holdout)
{
	const size_t bytes = (ledger_bytes(ROWS) + 63) / 64 * 64;

	*l = (struct learner){.is_on = is_on, .holdout = is_on ? holdout : 0};
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
}

static void
make_keys(const struct learner *l, const struct member *m, bool knows_dialect,
	  struct history_keys *keys)
{
	const struct history_names names = {
	    .client = &m->client,
	    .syn = &m->syn,
	    .dialect = knows_dialect ? m->dialect : NULL,
	    .pool = m->pool,
	};

	history_keys_make(keys, &l->ledger, &names);
}

static const char *
standing_of(const struct learner *l, const struct member *m,
	    const struct session *s, bool knows_dialect, uint32_t now_s)
{
	struct history_keys keys;
	struct history h = {.delivered = 0};

	if (!l->is_on)
		return "unknown";
	if (s != NULL) {
		h.delivered = s->counts.messages;
		h.is_behaving_badly = s->is_early;
	}
	make_keys(l, m, knows_dialect, &keys);
	history_find(&h, &l->ledger, &keys, now_s);
	return reputation_name(reputation_of(&h).standing);
}

void
learner_plan(const struct learner *l, const struct member *m,
	     const struct session *s, bool knows_dialect, uint32_t now_s,
	     struct verdict *v)
{
	struct evidence e;

	memset(&e, 0, sizeof(e));
	e.client = m->client;
	e.listener = standing_of(l, m, s, knows_dialect, now_s);
	e.early_talker = s != NULL && s->is_early;
	e.present = evidence_bit(EVIDENCE_LISTENER) |
		    evidence_bit(EVIDENCE_NETWORK) |
		    evidence_bit(EVIDENCE_EARLY_TALKER);
	v->plan = plan_make(&the_policy, &e, NULL, NULL);
	v->is_slowed = v->plan.rank > RANK_NEW;
	v->is_held_out = v->is_slowed && holdout_arm(LEARNER_SALT, &m->client,
						     now_s / 86400, l->holdout);
	if (!v->is_held_out)
		return;
	/* As if it were a good one. */
	e.listener = good[0];
	v->plan = plan_make(&the_policy, &e, NULL, NULL);
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
