#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/policy.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define LINUX_SYN "4:64:0:1460:mss*44,10:mss,sok,ts,nop,ws:df,id+:0"

static const struct policy_class classes[] = {
    {"new", 3000, 0, 0, 0, true},
    {"slow", 15000, 5000, 9000, 2000, false},
};

/* A policy of one rule with one condition; the class is slow. */
struct one_rule {
	struct policy_rule rule;
	struct policy policy;
};

static void
one_rule(struct one_rule *o, const struct policy_condition *c, size_t count)
{
	*o = (struct one_rule){
	    .rule = {.name = "only",
		     .class_id = 1,
		     .conditions = c,
		     .conditions_count = count},
	    .policy = {.classes = classes,
		       .classes_count = COUNT_OF(classes),
		       .rules_count = 1,
		       .reply_cap_ms = 20000,
		       .data_reply_cap_ms = 5000,
		       .session_cap_ms = 120000,
		       .patience_ms = 9000},
	};
	o->policy.rules = &o->rule;
}

static bool
decides(const struct policy_condition *c, size_t count,
	const struct evidence *e)
{
	struct one_rule o;

	one_rule(&o, c, count);
	return plan_make(&o.policy, e, NULL).rule_id == 0;
}

/* A client 192.0.2.7 on Linux, of which all is known. */
static struct evidence
known_client(void)
{
	struct evidence e = {.present = (1u << EVIDENCE_COUNT) - 1,
			     .label = "Linux 4.20 or newer",
			     .early_talker = true};

	assert_true(addr_parse_ip(&e.client, "192.0.2.7", 9));
	e.syn.version = 4;
	e.syn.ttl = 52;
	e.syn.mss = 1460;
	e.syn.window = 64240;
	e.syn.wscale = 10;
	e.syn.quirks = SYN_QUIRK_DF | SYN_QUIRK_ID_PLUS;
	e.syn.eol_pad = SYN_EOL_ABSENT;
	e.syn.kinds_count = 5;
	memcpy(e.syn.kinds, "\x02\x04\x08\x01\x03", 5);
	return e;
}

static struct signature_pattern
pattern(enum signature_level level, const char *text)
{
	struct signature_pattern p;
	const char *error = NULL;
	size_t at;

	if (!signature_pattern_parse(&p, level, text, strlen(text), &error,
				     &at))
		fail_msg("%s: %s", text, error);
	return p;
}

static void
numbers(void **state)
{
	static const struct {
		const char *label;
		enum evidence_kind kind;
		uint32_t low;
		uint32_t high;
		bool want;
	} rows[] = {
	    {"mss inside", EVIDENCE_MSS, 1400, 1500, true},
	    {"mss at low", EVIDENCE_MSS, 1460, 1500, true},
	    {"mss at high", EVIDENCE_MSS, 1400, 1460, true},
	    {"mss below", EVIDENCE_MSS, 1461, 1500, false},
	    {"mss above", EVIDENCE_MSS, 0, 1459, false},
	    {"distance", EVIDENCE_DISTANCE, 12, 12, true},
	    {"distance above", EVIDENCE_DISTANCE, 0, 11, false},
	    {"distance below", EVIDENCE_DISTANCE, 13, 40, false},
	    {"early, asked yes", EVIDENCE_EARLY_TALKER, 1, 1, true},
	    {"early, asked no", EVIDENCE_EARLY_TALKER, 0, 0, false},
	};
	struct evidence e = known_client();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct policy_condition c = {.kind = rows[i].kind,
					     .low = rows[i].low,
					     .high = rows[i].high};
		if (decides(&c, 1, &e) != rows[i].want)
			fail_msg("%s", rows[i].label);
		e.present = ~(1u << rows[i].kind);
		if (decides(&c, 1, &e))
			fail_msg("%s: absent", rows[i].label);
		e = known_client();
	}
}

static void
mss_option_left_out_is_absent(void **state)
{
	struct policy_condition c = {.kind = EVIDENCE_MSS, .high = UINT32_MAX};
	struct evidence e = known_client();

	(void)state;
	assert_true(decides(&c, 1, &e));
	e.syn.mss = SYN_MSS_ABSENT;
	assert_false(decides(&c, 1, &e));
}

static void
patterns(void **state)
{
	static const struct {
		const char *label;
		enum evidence_kind kind;
		enum signature_level level;
		const char *text;
		bool want;
	} rows[] = {
	    {"syn", EVIDENCE_SYN, SIGNATURE_SYN, LINUX_SYN, true},
	    {"syn other", EVIDENCE_SYN, SIGNATURE_SYN, "*:128:*:*:*,*:*:*:*",
	     false},
	    {"family", EVIDENCE_FAMILY, SIGNATURE_FAMILY, "64:*:*", true},
	    {"family other", EVIDENCE_FAMILY, SIGNATURE_FAMILY, "128:*:*",
	     false},
	};
	struct signature_pattern p[2];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct policy_condition c = {
		    .kind = rows[i].kind, .patterns = p, .count = 1};
		struct evidence e = known_client();
		p[0] = pattern(rows[i].level, rows[i].text);
		p[1] = p[0];
		if (decides(&c, 1, &e) != rows[i].want)
			fail_msg("%s", rows[i].label);
		/* The second of a list counts as well. */
		p[0] = pattern(rows[i].level, rows[i].level == SIGNATURE_SYN
						  ? "*:255:*:*:*,*:*:*:*"
						  : "255:*:*");
		c.count = 2;
		if (decides(&c, 1, &e) != rows[i].want)
			fail_msg("%s: second", rows[i].label);
		e.present &= ~(1u << rows[i].kind);
		if (decides(&c, 1, &e))
			fail_msg("%s: absent", rows[i].label);
	}
}

static void
unknown_asks_for_absence(void **state)
{
	struct signature_pattern p = pattern(SIGNATURE_SYN, LINUX_SYN);
	struct policy_condition only = {.kind = EVIDENCE_SYN,
					.is_unknown = true};
	struct policy_condition either = {.kind = EVIDENCE_SYN,
					  .is_unknown = true,
					  .patterns = &p,
					  .count = 1};
	struct evidence e = known_client();

	(void)state;
	assert_false(decides(&only, 1, &e));
	assert_true(decides(&either, 1, &e));
	e.syn.ttl = 100;
	assert_false(decides(&either, 1, &e));
	e.present &= ~(1u << EVIDENCE_SYN);
	assert_true(decides(&only, 1, &e));
	assert_true(decides(&either, 1, &e));
}

static void
networks_and_labels(void **state)
{
	struct net nets[2];
	const char *const texts[] = {"Windows", "LINUX 4.20 or newer"};
	struct policy_condition net = {
	    .kind = EVIDENCE_NETWORK, .nets = nets, .count = 2};
	struct policy_condition label = {
	    .kind = EVIDENCE_LABEL, .texts = texts, .count = 2};
	struct evidence e = known_client();

	(void)state;
	assert_true(net_parse(&nets[0], "10.0.0.0/8", 10));
	assert_true(net_parse(&nets[1], "192.0.2.0/24", 12));
	assert_true(decides(&net, 1, &e));
	assert_true(decides(&label, 1, &e));
	net.count = 1;
	label.count = 1;
	assert_false(decides(&net, 1, &e));
	assert_false(decides(&label, 1, &e));
	label.count = 2;
	e.label = "Linux 4.20 or newe";
	assert_false(decides(&label, 1, &e));
	e.label = "Linux 4.20 or newer!";
	assert_false(decides(&label, 1, &e));
	e.label = NULL;
	assert_false(decides(&label, 1, &e));
}

static void
all_conditions_must_hold(void **state)
{
	struct policy_condition c[] = {
	    {.kind = EVIDENCE_MSS, .low = 1460, .high = 1460},
	    {.kind = EVIDENCE_EARLY_TALKER, .low = 1, .high = 1},
	};
	struct evidence e = known_client();

	(void)state;
	assert_true(decides(c, 2, &e));
	e.early_talker = false;
	assert_false(decides(c, 2, &e));
	e.early_talker = true;
	e.syn.mss = 1400;
	assert_false(decides(c, 2, &e));
	assert_true(decides(c, 0, &e));
}

static void
first_rule_decides(void **state)
{
	const struct policy_condition early = {
	    .kind = EVIDENCE_EARLY_TALKER, .low = 1, .high = 1};
	const struct policy_rule rules[] = {
	    {"early", 1, &early, 1},
	    {"all", 0, NULL, 0},
	    {"late", PLAN_CLASS_PASS, NULL, 0},
	};
	struct policy policy = {.classes = classes,
				.classes_count = 2,
				.rules = rules,
				.rules_count = 3,
				.reply_cap_ms = 20000,
				.session_cap_ms = 120000,
				.patience_ms = 9000};
	struct evidence e = known_client();
	struct plan_trace trace;
	struct plan plan = plan_make(&policy, &e, &trace);

	(void)state;
	assert_string_equal(policy_rule_name(&policy, plan.rule_id), "early");
	assert_string_equal(policy_class_name(&policy, plan.class_id), "slow");
	assert_int_equal(trace.rule_id, 0);
	assert_int_equal(trace.rules_tried, 1);

	e.present &= ~(1u << EVIDENCE_EARLY_TALKER);
	plan = plan_make(&policy, &e, &trace);
	assert_int_equal(plan.rule_id, 1);
	assert_int_equal(trace.rules_tried, 2);
	assert_true(plan.teaser);
	assert_int_equal(plan.greet_ms, 3000);

	policy.rules_count = 1;
	plan = plan_make(&policy, &e, &trace);
	assert_int_equal(plan.rule_id, PLAN_NO_RULE);
	assert_int_equal(trace.rule_id, PLAN_NO_RULE);
	assert_string_equal(policy_rule_name(&policy, plan.rule_id), "-");
	assert_string_equal(policy_class_name(&policy, plan.class_id), "pass");
	assert_int_equal(plan.greet_ms, 0);
	assert_int_equal(plan.reply_ms, 0);
	assert_int_equal(plan.patience_ms, 9000);
}

/* Whatever the class says, in ms; what must come of it. */
static void
governor(void **state)
{
	static const struct {
		const char *label;
		uint32_t greet, reply, error, drip; /* of the class */
		uint32_t reply_cap, session_cap, patience;
		uint32_t want_greet, want_reply, want_error, want_drip;
	} rows[] = {
	    {"within", 15000, 5000, 9000, 2000, 20000, 120000, 9000, 15000,
	     5000, 9000, 2000},
	    {"greet", 25000, 0, 0, 0, 20000, 120000, 9000, 20000, 0, 0, 0},
	    {"reply to patience", 0, 15000, 12000, 0, 20000, 120000, 9000, 0,
	     9000, 9000, 0},
	    {"reply to cap", 0, 9000, 9000, 0, 4000, 120000, 9000, 0, 4000,
	     4000, 0},
	    {"greet to session", 15000, 0, 0, 0, 20000, 10000, 9000, 10000, 0,
	     0, 0},
	    {"drip with the greet", 15000, 0, 0, 15000, 5000, 120000, 9000,
	     5000, 0, 0, 5000},
	    {"drip without delay", 0, 0, 0, 5000, 20000, 120000, 9000, 0, 0, 0,
	     0},
	    {"a day", 86400000, 86400000, 86400000, 86400000, 20000, 120000,
	     9000, 20000, 9000, 9000, 20000},
	    {"caps above their maxima", 86400000, 86400000, 86400000, 0,
	     86400000, 86400000, 86400000, PLAN_REPLY_MAX_MS, PLAN_REPLY_MAX_MS,
	     PLAN_REPLY_MAX_MS, 0},
	    {"no budget", 15000, 5000, 9000, 2000, 0, 120000, 9000, 0, 0, 0, 0},
	};
	struct evidence e = known_client();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct policy_class class = {.name = "c",
					     .greet_ms = rows[i].greet,
					     .reply_ms = rows[i].reply,
					     .error_ms = rows[i].error,
					     .drip_ms = rows[i].drip,
					     .teaser = true};
		struct policy_rule rule = {.name = "r", .class_id = 0};
		struct policy policy = {.classes = &class,
					.classes_count = 1,
					.rules = &rule,
					.rules_count = 1,
					.reply_cap_ms = rows[i].reply_cap,
					.data_reply_cap_ms = UINT32_MAX,
					.session_cap_ms = rows[i].session_cap,
					.patience_ms = rows[i].patience};
		struct plan_trace trace;
		struct plan p = plan_make(&policy, &e, &trace);
		if (p.greet_ms != rows[i].want_greet ||
		    p.reply_ms != rows[i].want_reply ||
		    p.error_ms != rows[i].want_error ||
		    p.drip_ms != rows[i].want_drip)
			fail_msg("%s: got %u %u %u %u", rows[i].label,
				 p.greet_ms, p.reply_ms, p.error_ms, p.drip_ms);
		assert_int_equal(trace.cut_greet_ms,
				 rows[i].greet - rows[i].want_greet);
		assert_int_equal(trace.cut_reply_ms,
				 rows[i].reply - rows[i].want_reply);
		assert_int_equal(p.teaser, rows[i].want_greet > 0);
		assert_int_equal(p.data_reply_cap_ms, PLAN_DATA_REPLY_MAX_MS);
		assert_true(p.reply_cap_ms <= PLAN_REPLY_MAX_MS);
		assert_true(p.session_cap_ms <= PLAN_SESSION_MAX_MS);
	}
}

static void
names_of_ids(void **state)
{
	struct policy policy = {.classes = classes, .classes_count = 2};

	(void)state;
	assert_string_equal(policy_class_name(&policy, 0), "new");
	assert_string_equal(policy_class_name(&policy, PLAN_CLASS_PASS),
			    "pass");
	assert_string_equal(policy_class_name(&policy, 2), "-");
	assert_string_equal(policy_rule_name(&policy, 0), "-");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(mss_option_left_out_is_absent),
	    cmocka_unit_test(patterns),
	    cmocka_unit_test(unknown_asks_for_absence),
	    cmocka_unit_test(networks_and_labels),
	    cmocka_unit_test(all_conditions_must_hold),
	    cmocka_unit_test(first_rule_decides),
	    cmocka_unit_test(governor),
	    cmocka_unit_test(names_of_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
