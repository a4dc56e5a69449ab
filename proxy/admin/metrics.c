/*
 * See metrics.h: counting. Printing is in metrics_print.c.
 */
#include "proxy/admin/metrics.h"

#include <stdbool.h>
#include <string.h>

#include "proxy/admin/metrics_rows.h"

/* As OpenMetrics wants them written; one label for both forms. */
static const struct metrics_bound delay_bounds[] = {
    {5000, "0.005"},	  {50000, "0.05"},	  {250000, "0.25"},
    {1000000, "1.0"},	  {2500000, "2.5"},	  {5000000, "5.0"},
    {10000000, "10.0"},	  {20000000, "20.0"},	  {30000000, "30.0"},
    {60000000, "60.0"},	  {120000000, "120.0"},	  {300000000, "300.0"},
    {600000000, "600.0"}, {1800000000, "1800.0"},
};

static const struct metrics_bound latency_bounds[] = {
    {500, "0.0005"},  {1000, "0.001"},	{2500, "0.0025"}, {5000, "0.005"},
    {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},
    {250000, "0.25"}, {1000000, "1.0"}, {5000000, "5.0"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
_Static_assert(COUNT(delay_bounds) < METRICS_BUCKETS_CAP, "room for +Inf");
_Static_assert(COUNT(latency_bounds) < METRICS_BUCKETS_CAP, "room for +Inf");
_Static_assert(METRICS_VECTOR_CAP >= METRICS_RULES_CAP, "room for rules");
_Static_assert(METRICS_VECTOR_CAP > METRICS_LABELS_CAP + 1, "and labels");
_Static_assert(METRICS_CLASSES_CAP >= PHASE_COUNT, "room for stages");
_Static_assert((int)REASON_COUNT >= (int)OUTCOME_COUNT, "room for outcomes");

#define BOUNDS_DELAY delay_bounds, COUNT(delay_bounds)
#define BOUNDS_LATENCY latency_bounds, COUNT(latency_bounds)

const struct metrics_bounds metrics_bounds[METRIC_HISTOGRAM_COUNT] = {
#define HISTOGRAM(id, family, dimension, buckets, help) {BOUNDS_##buckets},
#include "tarry/metrics.def"
};

static void
bump(_Atomic uint64_t *count, uint64_t n)
{
	uint64_t was = atomic_load_explicit(count, memory_order_relaxed);

	atomic_store_explicit(count, was + n, memory_order_relaxed);
}

static void
observe(struct metrics *m, enum metric_histogram which, size_t member,
	uint64_t us)
{
	struct metrics_histogram *h = &m->histograms[which][member];
	size_t i = 0;

	while (i < metrics_bounds[which].count &&
	       us > metrics_bounds[which].bounds[i].us)
		i++;
	bump(&h->buckets[i], 1);
	bump(&h->sum_us, us);
}

void
metrics_time(struct metrics *m, enum metric_histogram which, uint64_t us)
{
	observe(m, which, 0, us);
}

size_t
metrics_find_label(const struct metrics *m, const char *label)
{
	uint32_t count =
	    atomic_load_explicit(&m->labels_count, memory_order_acquire);

	for (uint32_t i = 0; i < count; i++) {
		if (strncmp(m->labels[i], label, METRICS_LABEL_TEXT_CAP - 1) ==
		    0)
			return i + 1;
	}
	return 0;
}

/* The same, with the label put into the list if there is room. */
static size_t
member_of_label(struct metrics *m, const char *label)
{
	uint32_t count =
	    atomic_load_explicit(&m->labels_count, memory_order_relaxed);
	size_t member;

	if (label == NULL)
		return MEMBER_DEFAULT;
	member = metrics_find_label(m, label);
	if (member > 0)
		return member;
	if (count >= METRICS_LABELS_CAP)
		return MEMBER_OTHER_LABEL;
	memcpy(m->labels[count], label,
	       strnlen(label, METRICS_LABEL_TEXT_CAP - 1));
	atomic_store_explicit(&m->labels_count, count + 1,
			      memory_order_release);
	return count + 1;
}

static void
count_times(struct metrics *m, const struct session_report *r, size_t class)
{
	const struct session *s = r->session;
	const struct session_counts *c = &s->counts;

	observe(m, METRIC_HISTOGRAM_DURATION, class, r->duration_ms * 1000);
	observe(m, METRIC_HISTOGRAM_ADDED_DELAY, class,
		(uint64_t)c->held_ms * 1000);
	if (s->plan.is_shadow)
		observe(m, METRIC_HISTOGRAM_WOULD_BE_DELAY, class,
			(uint64_t)c->would_ms * 1000);
	if (c->caps_ms > 0)
		observe(m, METRIC_HISTOGRAM_CAPS_WAIT, class,
			(uint64_t)c->caps_ms * 1000);
	if (s->is_greeted)
		observe(m, METRIC_HISTOGRAM_BANNER_WAIT, class,
			(uint64_t)c->greet_ms * 1000);
	if (s->reason == REASON_GAVE_UP)
		observe(m, METRIC_HISTOGRAM_GIVE_UP, r->phase,
			(uint64_t)c->gave_up_ms * 1000);
}

static enum metric
syn_metric(enum syn_source source)
{
	switch (source) {
	case SYN_FROM_SIDECAR:
		return METRIC_SYN_SIDECAR;
	case SYN_FROM_KERNEL:
		return METRIC_SYN_KERNEL;
	case SYN_FROM_NOWHERE:
		break;
	}
	return METRIC_SYN_NOWHERE;
}

static enum metric
hello_metric(const struct client_hello *h)
{
	static const enum metric metrics[CLIENT_HELLO_STATES] = {
	    [CLIENT_HELLO_MORE] = METRIC_HELLO_UNFINISHED,
	    [CLIENT_HELLO_DONE] = METRIC_HELLO_READ,
	    [CLIENT_HELLO_NOT_TLS] = METRIC_HELLO_NOT_TLS,
	    [CLIENT_HELLO_BROKEN] = METRIC_HELLO_BROKEN,
	    [CLIENT_HELLO_TOO_LONG] = METRIC_HELLO_TOO_LONG,
	};

	return metrics[h->state];
}

/* A rule decides, or only would have: by itself, or as all of them. */
static void
count_rules(struct metrics *m, const struct plan *plan)
{
	enum metric_vector decided = plan->is_shadow
					 ? METRIC_VECTOR_RULE_WOULD_MATCH
					 : METRIC_VECTOR_RULE_MATCHES;

	bump(&m->vectors[decided][metrics_rule_member(plan->rule_id)], 1);
	if (plan->shadow_rule_id != PLAN_NO_RULE)
		bump(&m->vectors[METRIC_VECTOR_RULE_WOULD_MATCH]
				[metrics_rule_member(plan->shadow_rule_id)],
		     1);
}

static void
count_tls(struct metrics *m, const struct session_report *r)
{
	bool is_up = r->session->tls == SESSION_TLS_UP;

	metrics_add(m, METRIC_TLS_UP, is_up && !r->tls_is_resumed);
	metrics_add(m, METRIC_TLS_RESUMED, is_up && r->tls_is_resumed);
	metrics_add(m, METRIC_TLS_FAILED,
		    r->session->reason == REASON_TLS_FAILED);
}

static const enum metric outcome_metrics[OUTCOME_COUNT] = {
#define OUTCOME(id, name, help) METRIC_OUTCOME_##id,
#include "tarry/outcome.def"
#undef OUTCOME
};

static void
count_reputation(struct metrics *m, const struct reputation *r)
{
	static const enum metric standings[] = {
	    [REPUTATION_GOOD] = METRIC_REPUTATION_GOOD,
	    [REPUTATION_UNKNOWN] = METRIC_REPUTATION_UNKNOWN,
	    [REPUTATION_SUSPECT] = METRIC_REPUTATION_SUSPECT,
	    [REPUTATION_BAD] = METRIC_REPUTATION_BAD,
	};

	metrics_add(m, standings[r->standing], 1);
	metrics_add(m, METRIC_PROVEN, r->is_proven);
}

void
metrics_compared(struct metrics *m, enum effect_arm arm, unsigned facts)
{
	static const enum metric firsts[EFFECT_ARMS] = {
	    [EFFECT_SHAPED] = METRIC_COMPARED_SHAPED_ANY,
	    [EFFECT_HELD_OUT] = METRIC_COMPARED_HELD_OUT_ANY,
	};

	metrics_add(m, firsts[arm], 1);
	for (unsigned i = 0; i < EFFECT_FACTS; i++)
		metrics_add(m, firsts[arm] + 1 + i, facts >> i & 1);
}

void
metrics_session(struct metrics *m, const struct session_report *r)
{
	const struct session *s = r->session;
	const struct session_counts *c = &s->counts;
	size_t class = metrics_class_member(s->plan.class_id);

	bump(&m->vectors[METRIC_VECTOR_CLOSED]
			[class * REASON_COUNT + (size_t)s->reason],
	     1);
	count_rules(m, &s->plan);
	bump(&m->vectors[METRIC_VECTOR_SIGNATURE_CONNECTIONS]
			[member_of_label(m, r->label)],
	     1);
	count_times(m, r, class);
	metrics_add(m, syn_metric(r->syn_source), 1);
	if (r->hello != NULL)
		metrics_add(m, hello_metric(r->hello), 1);
	metrics_add(m, METRIC_BYTES_TO_MTA, c->bytes[SIDE_CLIENT]);
	metrics_add(m, METRIC_BYTES_TO_CLIENT, c->bytes[SIDE_MTA]);
	metrics_add(m, METRIC_OWN_TEASERS, s->teaser_said > 0);
	metrics_add(m, METRIC_OWN_GREETINGS, c->own_greeting);
	metrics_add(m, METRIC_OWN_421, c->own_421);
	metrics_add(m, METRIC_OWN_PROXY_HEADERS, c->proxy_headers);
	metrics_add(m, METRIC_OWN_STARTTLS, c->own_starttls);
	metrics_add(m, METRIC_OWN_KEYWORD_ADDED, c->own_added);
	metrics_add(m, METRIC_OWN_KEYWORD_REMOVED, c->own_removed);
	count_tls(m, r);
	metrics_add(m, METRIC_OPAQUE, s->is_opaque && !s->is_lost);
	if (r->has_reputation)
		count_reputation(m, &r->reputation);
	metrics_add(m, METRIC_EARLY_TALKERS, s->is_early);
	metrics_add(m, METRIC_ODD_PIPELINING, s->is_pipelining);
	metrics_add(m, METRIC_ODD_NON_SMTP, s->is_non_smtp);
	metrics_add(m, METRIC_ODD_BARE_NEWLINE, s->is_bare_newline);
	metrics_add(m, METRIC_REPLIES_HELD, c->replies_held);
	metrics_add(m, METRIC_MESSAGES_ACCEPTED, c->messages);
	metrics_add(m, METRIC_MESSAGES_REFUSED, c->messages_refused);
	metrics_add(m, METRIC_RECIPIENTS_ACCEPTED, c->recipients);
	metrics_add(m, METRIC_RECIPIENTS_REFUSED, c->recipients_refused);
	for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
		metrics_add(m, outcome_metrics[i], c->outcomes[i]);
		bump(&m->vectors[METRIC_VECTOR_CLASS_OUTCOMES]
				[class * OUTCOME_COUNT + i],
		     c->outcomes[i]);
	}
	metrics_add(m, METRIC_ERROR_REPLIES, c->errors);
	metrics_add(m, METRIC_OBSERVER_LOST, s->is_lost);
}
