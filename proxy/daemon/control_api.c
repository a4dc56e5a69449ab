/*
 * What the dashboard is told, as JSON: the same counts that /metrics prints,
 * and how everything is. Read only; made at most once a second whoever asks.
 */
#include "proxy/daemon/control_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/admin/metrics_rows.h"

#define RULES_SHOWN 200u

static json_t *
text_json(const char *text)
{
	return escape_json(text, strlen(text));
}

static json_t *
count_json(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *
class_json(const struct metrics_page *page, size_t member)
{
	uint32_t delays[METRICS_BUCKETS_CAP];
	json_t *outcomes = json_object();
	json_t *ends = json_object();

	for (size_t i = 0; i < METRICS_BUCKETS_CAP; i++)
		delays[i] = (uint32_t)metrics_bucket_sum(
		    page, METRIC_HISTOGRAM_ADDED_DELAY, member, i);
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		json_object_set_new(outcomes, outcome_name((enum outcome)i),
				    count_json(metrics_vector_sum(
					page, METRIC_VECTOR_CLASS_OUTCOMES,
					member * OUTCOME_COUNT + i)));
	for (unsigned i = REASON_NONE + 1; i < REASON_COUNT; i++)
		json_object_set_new(
		    ends, session_reason_name((enum session_reason)i),
		    count_json(metrics_vector_sum(page, METRIC_VECTOR_CLOSED,
						  member * REASON_COUNT + i)));
	return json_pack("{so so so sf sf}", "name",
			 text_json(metrics_class_name(page, member)), "ends",
			 ends, "outcomes", outcomes, "p50",
			 trend_quantile(delays, 0.5), "p99",
			 trend_quantile(delays, 0.99));
}

static json_t *
classes_json(const struct metrics_page *page)
{
	json_t *list = json_array();

	for (size_t i = 0; i < metrics_classes(page); i++)
		json_array_append_new(list, class_json(page, i));
	return list;
}

/* How long those that gave up had been held: all stages together. */
static json_t *
give_up_json(const struct metrics_page *page)
{
	const struct metrics_bounds *b =
	    &metrics_bounds[METRIC_HISTOGRAM_GIVE_UP];
	json_t *bounds = json_array();
	json_t *counts = json_array();

	for (size_t i = 0; i <= b->count; i++) {
		uint64_t n = 0;

		for (size_t stage = 0; stage < PHASE_COUNT; stage++)
			n += metrics_bucket_sum(page, METRIC_HISTOGRAM_GIVE_UP,
						stage, i);
		json_array_append_new(counts, count_json(n));
		if (i < b->count)
			json_array_append_new(
			    bounds, json_real((double)b->bounds[i].us / 1e6));
	}
	return json_pack("{so so}", "seconds", bounds, "counts", counts);
}

static json_t *
rule_json(const struct metrics_page *page, const struct policy *policy,
	  const struct policy_rule *rule)
{
	size_t member = metrics_rule_member(rule->id);
	const char *class = rule->is_add
				? "points"
				: policy_class_name(policy, rule->class_index);

	return json_pack("{so so sb so so}", "name", text_json(rule->name),
			 "class", text_json(class), "shadow",
			 (int)(rule->is_shadow || policy->is_shadow), "matched",
			 count_json(metrics_vector_sum(
			     page, METRIC_VECTOR_RULE_MATCHES, member)),
			 "would_match",
			 count_json(metrics_vector_sum(
			     page, METRIC_VECTOR_RULE_WOULD_MATCH, member)));
}

static json_t *
rules_json(const struct control *c, const struct metrics_page *page)
{
	const struct policy *policy = &c->settings.config->policy;
	json_t *list = json_array();

	for (size_t i = 0; i < policy->rules_count && i < RULES_SHOWN; i++)
		json_array_append_new(
		    list, rule_json(page, policy, &policy->rules[i]));
	return list;
}

static void
put_source(json_t *list, const char *name, const char *state, const char *text)
{
	json_array_append_new(list,
			      json_pack("{ss ss so}", "name", name, "state",
					state, "text", text_json(text)));
}

static uint64_t
value_of(const struct metrics_page *page, enum metric_value which)
{
	return (uint64_t)page->values[which];
}

static uint64_t
memory_rows(const struct metrics_page *page)
{
	double sum = 0;

	for (size_t i = 0; i < LEDGER_KINDS; i++)
		sum += page->values[METRIC_VALUE_MEMORY_ALL + i];
	return (uint64_t)sum;
}

static void
put_syn_sources(const struct control *c, const struct metrics_page *page,
		json_t *list)
{
	uint64_t sidecar = metrics_scalar_sum(page, METRIC_SYN_SIDECAR);
	uint64_t kernel = metrics_scalar_sum(page, METRIC_SYN_KERNEL);
	uint64_t nowhere = metrics_scalar_sum(page, METRIC_SYN_NOWHERE);
	bool is_wanted = c->settings.config->syn.sidecar[0] != '\0';
	bool is_up = page->values[METRIC_VALUE_SIDECAR_UP] > 0;
	char text[200];

	snprintf(
	    text, sizeof(text),
	    "%llu sessions; %llu packets dropped by the kernel",
	    (unsigned long long)sidecar,
	    (unsigned long long)value_of(page, METRIC_VALUE_SIDECAR_DROPS));
	put_source(list, "SYN by the sidecar",
		   !is_wanted ? "off"
		   : is_up    ? "good"
			      : "bad",
		   is_wanted ? text : "not configured: syn.sidecar");
	snprintf(text, sizeof(text),
		 "%llu sessions; %llu more had no SYN from anywhere",
		 (unsigned long long)kernel, (unsigned long long)nowhere);
	put_source(list, "SYN by the kernel", kernel > 0 ? "good" : "idle",
		   text);
}

static void
put_dns(const struct control *c, const struct metrics_page *page, json_t *list)
{
	char text[200];
	uint64_t failed = value_of(page, METRIC_VALUE_DNS_FAILED) +
			  value_of(page, METRIC_VALUE_DNS_TIMEOUT) +
			  value_of(page, METRIC_VALUE_DNS_BLOCKED);
	uint64_t sent = value_of(page, METRIC_VALUE_DNS_SENT);

	snprintf(text, sizeof(text),
		 "%llu questions sent, %llu failed or late, %llu under way",
		 (unsigned long long)sent, (unsigned long long)failed,
		 (unsigned long long)value_of(page, METRIC_VALUE_DNS_FLYING));
	put_source(list, "DNS",
		   sent == 0	       ? "idle"
		   : failed * 2 > sent ? "bad"
				       : "good",
		   text);
	(void)c;
}

static void
put_other_sources(const struct control *c, const struct metrics_page *page,
		  json_t *list)
{
	char text[200];

	snprintf(text, sizeof(text), "%llu lines joined with a session",
		 (unsigned long long)metrics_scalar_sum(
		     page, METRIC_VERDICTS_JOINED));
	put_source(list, "Verdicts",
		   c->verdict.book == NULL     ? "off"
		   : c->verdict.socket == NULL ? "bad"
					       : "good",
		   c->verdict.book != NULL ? text
					   : "not configured: verdict.socket");
	snprintf(text, sizeof(text), "%llu of %llu rows in use",
		 (unsigned long long)memory_rows(page),
		 (unsigned long long)value_of(page, METRIC_VALUE_MEMORY_LIMIT));
	put_source(list, "Memory", c->memory != NULL ? "good" : "off",
		   c->memory != NULL ? text : "nothing: learn.capacity = 0");
}

static json_t *
sources_json(const struct control *c, const struct metrics_page *page)
{
	json_t *list = json_array();
	char why[512];
	bool is_ready =
	    control_is_ready((void *)(uintptr_t)c, why, sizeof(why));

	put_source(list, "MTA", is_ready ? "good" : "bad",
		   is_ready ? "passed its test session" : why);
	put_syn_sources(c, page, list);
	put_dns(c, page, list);
	put_other_sources(c, page, list);
	return list;
}

static json_t *
labels_json(const struct metrics_page *page)
{
	json_t *list = json_object();

	for (size_t i = 0; i < page->threads_count; i++) {
		const struct metrics *m = page->threads[i];
		uint32_t count = atomic_load_explicit(&m->labels_count,
						      memory_order_acquire);

		for (uint32_t n = 0; n < count; n++) {
			char name[4 * METRICS_LABEL_TEXT_CAP];
			json_t *had;
			uint64_t sum;

			(void)escape_text(m->labels[n], strlen(m->labels[n]),
					  name, sizeof(name));
			had = json_object_get(list, name);
			sum = (uint64_t)json_integer_value(had) +
			      metrics_label_count(m, n + 1);
			json_object_set_new(list, name, count_json(sum));
		}
	}
	return list;
}

static json_t *
now_json(const struct metrics_page *page)
{
	static const struct {
		const char *name;
		enum metric_value value;
	} rows[] = {
	    {"open", METRIC_VALUE_OPEN},
	    {"held", METRIC_VALUE_HELD},
	    {"limit", METRIC_VALUE_CONNECTIONS_LIMIT},
	    {"slots_throttled", METRIC_VALUE_MTA_SHARE_USED},
	    {"slots_other", METRIC_VALUE_MTA_OTHER_USED},
	    {"slots_share", METRIC_VALUE_MTA_SHARE_LIMIT},
	    {"slots_limit", METRIC_VALUE_MTA_LIMIT},
	    {"slots_waiting", METRIC_VALUE_MTA_WAITING},
	    {"stress_sessions", METRIC_VALUE_STRESS_SESSIONS},
	    {"stress_slots", METRIC_VALUE_STRESS_SLOTS},
	    {"rss", METRIC_VALUE_RSS},
	};
	json_t *out = json_object();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		json_object_set_new(out, rows[i].name,
				    count_json(value_of(page, rows[i].value)));
	return out;
}

static json_t *
outcomes_json(const struct metrics_page *page)
{
	json_t *out = json_object();

	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		json_object_set_new(
		    out, outcome_name((enum outcome)i),
		    count_json(metrics_scalar_sum(
			page, (enum metric)(METRIC_OUTCOME_DELIVERED + i))));
	return out;
}

static const char *
state_name(const struct control *c)
{
	return c->state == CONTROL_RUNS ? "running" : "draining";
}

static json_t *
summary_json(struct control *c)
{
	static struct metrics_page page; /* some KB; of this thread alone */
	uint64_t up_s = (uv_now(&c->loop) - c->start_ms) / 1000;

	memset(&page, 0, sizeof(page));
	control_fill_page(c, &page);
	return json_pack(
	    "{ss ss ss sI sI so so so so so so so}", "version", TARRY_VERSION,
	    "state", state_name(c), "mode",
	    c->settings.config->policy.is_shadow ? "shadow" : "enforce",
	    "uptime_s", (json_int_t)up_s, "accepted",
	    (json_int_t)(metrics_scalar_sum(&page, METRIC_ACCEPTED_IPV4) +
			 metrics_scalar_sum(&page, METRIC_ACCEPTED_IPV6)),
	    "now", now_json(&page), "classes", classes_json(&page), "outcomes",
	    outcomes_json(&page), "gave_up", give_up_json(&page), "rules",
	    rules_json(c, &page), "labels", labels_json(&page), "sources",
	    sources_json(c, &page));
}

char *
control_api(void *ctx, enum http_api what)
{
	struct control *c = ctx;
	json_t *json = NULL;
	char *text;

	switch (what) {
	case HTTP_API_SUMMARY:
		json = summary_json(c);
		break;
	case HTTP_API_HOUR:
	case HTTP_API_QUARTER:
	case HTTP_API_DAY:
	case HTTP_API_MONTH:
	case HTTP_API_YEAR:
		json = control_history_json(c, what);
		break;
	case HTTP_API_SIGNATURES:
		json = control_signatures_json(c);
		break;
	case HTTP_API_EFFECT:
		json = control_effect_json(c);
		break;
	case HTTP_API_SESSIONS:
		json = control_live_json(c);
		break;
	case HTTP_API_COUNT:
		break;
	}
	text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	return text;
}
