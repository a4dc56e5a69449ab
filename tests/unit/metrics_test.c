#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/admin/metrics.h"
#include "proxy/config/config.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

/* A configuration as far as names are concerned. */
static struct policy_class classes[] = {
    {.name = "new"}, {.name = "slow"}, {.name = "tar\"pit\\\n"}};
static struct policy_rule rules[] = {{.name = "bot"}, {.name = "everyone"}};

static struct names *
names_of(struct policy_class *c, size_t classes_count, struct policy_rule *r,
	 size_t rules_count)
{
	struct config config = {.policy = {.classes = c,
					   .classes_count = classes_count,
					   .rules = r,
					   .rules_count = rules_count}};
	struct names *names = names_new();

	assert_non_null(names);
	names_assign(names, &config);
	return names;
}

/* Too large for a stack; zeroed by each test. */
static struct metrics threads[2];

static struct metrics_text
print_as(const struct names *names, enum metrics_form form)
{
	static const struct metrics *const both[] = {&threads[0], &threads[1]};
	const struct metrics_page page = {
	    .threads = both,
	    .threads_count = 2,
	    .names = names,
	    .build = "version=\"1\"",
	    .values = {[METRIC_VALUE_MTA_LIMIT] = 80},
	};
	struct metrics_text text = {0};

	metrics_print(&page, form, &text);
	assert_int_equal(text.error, 0);
	assert_int_equal(text.len, strlen(text.text));
	return text;
}

static struct metrics_text
print_with(const struct names *names)
{
	return print_as(names, METRICS_TEXT);
}

static struct metrics_text
print_form(enum metrics_form form)
{
	struct names *names =
	    names_of(classes, COUNT_OF(classes), rules, COUNT_OF(rules));
	struct metrics_text text = print_as(names, form);

	names_free(names);
	return text;
}

static struct metrics_text
print(void)
{
	return print_form(METRICS_TEXT);
}

/* True if a whole line of the text is this one. */
static bool
has_line(const struct metrics_text *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = text->text; (at = strstr(at, line)) != NULL;
	     at++) {
		if ((at == text->text || at[-1] == '\n') && at[len] == '\n')
			return true;
	}
	return false;
}

static void
assert_lines(const struct metrics_text *text, const char *const *lines,
	     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!has_line(text, lines[i]))
			fail_msg("no line: %s", lines[i]);
	}
}

static struct session_report
report_of(const struct session *s)
{
	return (struct session_report){
	    .session = s, .phase = PHASE_GREET, .duration_ms = 20000};
}

static void
counts_add_up_over_threads(void **state)
{
	static const char *const want[] = {
	    "tarry_connections_accepted_total{ip_family=\"ipv4\"} 5",
	    "tarry_connections_accepted_total{ip_family=\"ipv6\"} 1",
	    "tarry_mta_connections_limit 80",
	    "tarry_build_info{version=\"1\"} 1",
	};
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	metrics_add(&threads[0], METRIC_ACCEPTED_IPV4, 2);
	metrics_add(&threads[1], METRIC_ACCEPTED_IPV4, 3);
	metrics_add(&threads[1], METRIC_ACCEPTED_IPV6, 1);
	text = print();
	assert_lines(&text, want, COUNT_OF(want));
	free(text.text);
}

static void
histogram_bounds_are_upper_and_cumulative(void **state)
{
	static const char *const want[] = {
	    "tarry_mta_connect_seconds_bucket{le=\"0.0005\"} 1",
	    "tarry_mta_connect_seconds_bucket{le=\"0.001\"} 2",
	    "tarry_mta_connect_seconds_bucket{le=\"0.0025\"} 2",
	    "tarry_mta_connect_seconds_bucket{le=\"5.0\"} 2",
	    "tarry_mta_connect_seconds_bucket{le=\"+Inf\"} 3",
	    "tarry_mta_connect_seconds_sum 6.001001",
	    "tarry_mta_connect_seconds_count 3",
	};
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	metrics_time(&threads[0], METRIC_HISTOGRAM_MTA_CONNECT, 500);
	metrics_time(&threads[1], METRIC_HISTOGRAM_MTA_CONNECT, 501);
	metrics_time(&threads[0], METRIC_HISTOGRAM_MTA_CONNECT, 6000000);
	text = print();
	assert_lines(&text, want, COUNT_OF(want));
	free(text.text);
}

static void
a_session_is_counted_everywhere(void **state)
{
	static const char *const want[] = {
	    "tarry_connections_closed_total{class=\"slow\",end=\"gave_up\"} 1",
	    "tarry_connections_closed_total{class=\"slow\",end=\"quit\"} 0",
	    "tarry_connections_closed_total{class=\"new\",end=\"gave_up\"} 0",
	    "tarry_rule_matches_total{rule=\"bot\",mode=\"enforce\"} 1",
	    "tarry_rule_matches_total{rule=\"none\",mode=\"enforce\"} 0",
	    "tarry_added_delay_seconds_sum{class=\"slow\"} 9.000000",
	    "tarry_connection_duration_seconds_sum{class=\"slow\"} 20.000000",
	    "tarry_time_to_give_up_seconds_sum{stage=\"greet\"} 7.000000",
	    "tarry_banner_wait_seconds_count{class=\"slow\"} 0",
	    "tarry_relayed_bytes_total{direction=\"to_mta\"} 11",
	    "tarry_relayed_bytes_total{direction=\"to_client\"} 22",
	    "tarry_signature_connections_total{label=\"Linux\"} 1",
	    "tarry_signature_connections_total{label=\"unknown\"} 0",
	    ("tarry_signature_lookups_total{source=\"sidecar\",result=\"hit\"} "
	     "1"),
	    "tarry_early_talkers_total 1",
	    "tarry_odd_manners_total{kind=\"pipelining\"} 1",
	    "tarry_odd_manners_total{kind=\"non_smtp\"} 0",
	    "tarry_odd_manners_total{kind=\"bare_newline\"} 1",
	    "tarry_replies_held_total 3",
	    "tarry_messages_total{outcome=\"accepted\"} 4",
	    "tarry_recipients_total{outcome=\"refused\"} 5",
	};
	const struct session s = {
	    .plan = {.class_id = 1,
		     .rule_id = 0,
		     .shadow_rule_id = PLAN_NO_RULE},
	    .reason = REASON_GAVE_UP,
	    .is_early = true,
	    .is_pipelining = true,
	    .is_bare_newline = true,
	    .counts = {.held_ms = 9000,
		       .gave_up_ms = 7000,
		       .bytes = {11, 22},
		       .replies_held = 3,
		       .messages = 4,
		       .recipients_refused = 5},
	};
	struct session_report r = report_of(&s);
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	r.label = "Linux";
	r.syn_source = SYN_FROM_SIDECAR;
	metrics_session(&threads[1], &r);
	text = print();
	assert_lines(&text, want, COUNT_OF(want));
	free(text.text);
}

static void
pass_and_greeted_sessions(void **state)
{
	static const char *const want[] = {
	    "tarry_connections_closed_total{class=\"pass\",end=\"quit\"} 1",
	    "tarry_rule_matches_total{rule=\"none\",mode=\"enforce\"} 1",
	    "tarry_banner_wait_seconds_bucket{class=\"pass\",le=\"0.005\"} 1",
	    "tarry_signature_connections_total{label=\"unknown\"} 1",
	    "tarry_signature_lookups_total{source=\"none\",result=\"miss\"} 1",
	};
	const struct session s = {
	    .plan = {.class_id = PLAN_CLASS_PASS, .rule_id = PLAN_NO_RULE},
	    .reason = REASON_QUIT,
	    .is_greeted = true,
	    .counts = {.greet_ms = 5},
	};
	const struct session_report r = report_of(&s);
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	metrics_session(&threads[0], &r);
	text = print();
	assert_lines(&text, want, COUNT_OF(want));
	free(text.text);
}

/* Threads meet labels in different orders; each is printed once. */
static void
labels_add_up_over_threads(void **state)
{
	static const struct {
		int thread;
		const char *label;
	} met[] = {{0, "a"}, {0, "b"}, {1, "b"}, {1, "a"}, {1, "c"}, {1, "b"}};
	static const char *const want[] = {
	    "tarry_signature_connections_total{label=\"a\"} 2",
	    "tarry_signature_connections_total{label=\"b\"} 3",
	    "tarry_signature_connections_total{label=\"c\"} 1",
	};
	const struct session s = {.reason = REASON_QUIT};
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	for (size_t i = 0; i < COUNT_OF(met); i++) {
		struct session_report r = report_of(&s);

		r.label = met[i].label;
		metrics_session(&threads[met[i].thread], &r);
	}
	text = print();
	assert_lines(&text, want, COUNT_OF(want));
	assert_null(
	    strstr(strstr(text.text, "label=\"a\"") + 1, "label=\"a\""));
	free(text.text);
}

/* More names than there is room for: counted as "other", none is lost. */
static void
names_behind_the_cap_are_other(void **state)
{
	enum { MANY = 1200 };
	static char texts[MANY][8];
	static struct policy_class many_classes[MANY];
	static struct policy_rule many_rules[MANY];
	static const char *const want[] = {
	    "tarry_connections_closed_total{class=\"n123\",end=\"quit\"} 1",
	    ("tarry_connections_closed_total{class=\"other\",end=\"quit\"} "
	     "1076"),
	    "tarry_rule_matches_total{rule=\"n997\",mode=\"enforce\"} 1",
	    "tarry_rule_matches_total{rule=\"other\",mode=\"enforce\"} 202",
	    "tarry_signature_connections_total{label=\"n61\"} 1",
	    "tarry_signature_connections_total{label=\"other\"} 1138",
	};
	struct metrics_text text;
	struct names *names;

	(void)state;
	memset(threads, 0, sizeof threads);
	for (uint16_t i = 0; i < MANY; i++) {
		snprintf(texts[i], sizeof texts[i], "n%u", (unsigned)i);
		many_classes[i].name = texts[i];
		many_rules[i].name = texts[i];
	}
	names = names_of(many_classes, MANY, many_rules, MANY);
	for (uint16_t i = 0; i < MANY; i++) {
		struct session s = {.reason = REASON_QUIT,
				    .plan = {.class_id = many_classes[i].id,
					     .rule_id = many_rules[i].id,
					     .shadow_rule_id = PLAN_NO_RULE}};
		struct session_report r = report_of(&s);

		r.label = texts[i];
		metrics_session(&threads[0], &r);
	}
	text = print_with(names);
	assert_lines(&text, want, COUNT_OF(want));
	names_free(names);
	free(text.text);
}

/* What a rule would have done is not what it did. */
static void
shadow_is_counted_apart(void **state)
{
	static const char *const want[] = {
	    "tarry_rule_matches_total{rule=\"bot\",mode=\"enforce\"} 0",
	    "tarry_rule_matches_total{rule=\"bot\",mode=\"shadow\"} 2",
	    "tarry_rule_matches_total{rule=\"everyone\",mode=\"enforce\"} 1",
	    "tarry_rule_matches_total{rule=\"none\",mode=\"shadow\"} 0",
	    "tarry_would_be_delay_seconds_sum{class=\"slow\"} 7.000000",
	    "tarry_would_be_delay_seconds_count{class=\"new\"} 0",
	    "tarry_caps_wait_seconds_sum{class=\"new\"} 2.000000",
	    ("tarry_connections_closed_total{class=\"defer\",end=\"deferred\"} "
	     "1"),
	};
	const struct session sessions[] = {
	    {.plan = {.class_id = 1,
		      .rule_id = 0,
		      .shadow_rule_id = PLAN_NO_RULE,
		      .is_shadow = true},
	     .reason = REASON_QUIT,
	     .counts = {.would_ms = 7000}},
	    {.plan = {.class_id = 0, .rule_id = 1, .shadow_rule_id = 0},
	     .reason = REASON_QUIT,
	     .counts = {.caps_ms = 2000}},
	    {.plan = {.class_id = PLAN_CLASS_DEFER,
		      .rule_id = PLAN_NO_RULE,
		      .shadow_rule_id = PLAN_NO_RULE},
	     .reason = REASON_DEFERRED},
	};
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	for (size_t i = 0; i < COUNT_OF(sessions); i++) {
		const struct session_report r = report_of(&sessions[i]);

		metrics_session(&threads[0], &r);
	}
	text = print();
	assert_lines(&text, want, COUNT_OF(want));
	free(text.text);
}

static void
names_are_quoted(void **state)
{
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	text = print();
	assert_non_null(strstr(text.text, "class=\"tar\\\"pit\\\\\\\\x0a\","));
	free(text.text);
}

/* One HELP and one TYPE a family, all its samples behind them. */
static void
families_stand_together(void **state)
{
	static char seen[200][100];
	size_t count = 0;
	struct metrics_text text;
	char *rest;

	(void)state;
	memset(threads, 0, sizeof threads);
	text = print();
	for (char *line = strtok_r(text.text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char family[100];

		if (sscanf(line, "# HELP %99s", family) == 1) {
			for (size_t i = 0; i < count; i++)
				assert_string_not_equal(seen[i], family);
			assert_true(count < COUNT_OF(seen));
			memcpy(seen[count++], family, sizeof family);
		} else if (line[0] != '#') {
			assert_memory_equal(line, seen[count - 1],
					    strlen(seen[count - 1]));
		}
	}
	assert_true(count > 30);
	free(text.text);
}

static void
openmetrics_has_heads_of_its_own(void **state)
{
	static const char *const want[] = {
	    "# TYPE tarry_build info",
	    "tarry_build_info{version=\"1\"} 1",
	    "# TYPE tarry_connections_accepted counter",
	    "tarry_connections_accepted_total{ip_family=\"ipv4\"} 7",
	    "# TYPE tarry_relayed_bytes counter",
	    "# UNIT tarry_relayed_bytes bytes",
	    "# TYPE tarry_added_delay_seconds histogram",
	    "# UNIT tarry_added_delay_seconds seconds",
	    "# TYPE process_cpu_seconds counter",
	    "# UNIT process_cpu_seconds seconds",
	    ("# HELP process_cpu_seconds Total user and system CPU time spent "
	     "in seconds."),
	    "tarry_added_delay_seconds_bucket{class=\"new\",le=\"10.0\"} 0",
	    "# TYPE tarry_mta_up gauge",
	};
	struct metrics_text text;

	(void)state;
	memset(threads, 0, sizeof threads);
	metrics_add(&threads[0], METRIC_ACCEPTED_IPV4, 7);
	text = print_form(METRICS_OPEN);
	assert_lines(&text, want, COUNT_OF(want));
	assert_string_equal(text.text + text.len - strlen("\n# EOF\n"),
			    "\n# EOF\n");
	assert_null(strstr(text.text, "_total counter"));
	free(text.text);
}

/* Whoever changes the form keeps his series. */
static void
samples_are_the_same_in_both_forms(void **state)
{
	struct metrics_text text, open;
	size_t count = 0;
	char *rest;

	(void)state;
	memset(threads, 0, sizeof threads);
	metrics_time(&threads[0], METRIC_HISTOGRAM_MTA_CONNECT, 501);
	text = print_form(METRICS_TEXT);
	open = print_form(METRICS_OPEN);
	for (char *line = strtok_r(text.text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (line[0] != '#' && !has_line(&open, line))
			fail_msg("not in OpenMetrics: %s", line);
		count += line[0] != '#';
	}
	for (char *line = strtok_r(open.text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest))
		count -= line[0] != '#';
	assert_int_equal(count, 0);
	free(text.text);
	free(open.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counts_add_up_over_threads),
	    cmocka_unit_test(histogram_bounds_are_upper_and_cumulative),
	    cmocka_unit_test(a_session_is_counted_everywhere),
	    cmocka_unit_test(pass_and_greeted_sessions),
	    cmocka_unit_test(labels_add_up_over_threads),
	    cmocka_unit_test(names_behind_the_cap_are_other),
	    cmocka_unit_test(shadow_is_counted_apart),
	    cmocka_unit_test(names_are_quoted),
	    cmocka_unit_test(families_stand_together),
	    cmocka_unit_test(openmetrics_has_heads_of_its_own),
	    cmocka_unit_test(samples_are_the_same_in_both_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
