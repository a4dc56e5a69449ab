/* From rules that hold to a plan: points, shadow, stress, the governor. */
#include "tests/unit/plan_rig.h"

static void
first_rule_decides(void **state)
{
	const struct policy_condition early = {
	    .kind = EVIDENCE_EARLY_TALKER, .low = 1, .high = 1};
	const struct policy_rule rules[] = {
	    {.name = "early",
	     .id = 0,
	     .class_index = 1,
	     .conditions = &early,
	     .conditions_count = 1},
	    {.name = "all", .id = 1, .class_index = 0},
	    {.name = "late", .id = 2, .class_index = PLAN_CLASS_PASS},
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
	struct plan plan = plan_make(&policy, &e, NULL, &trace);

	(void)state;
	assert_string_equal(policy_rule_name(&policy, plan.rule_id), "early");
	assert_string_equal(policy_class_name(&policy, plan.class_id), "slow");
	assert_int_equal(trace.rule, 0);
	assert_int_equal(trace.rules_tried, 1);

	e.present &= ~evidence_bit(EVIDENCE_EARLY_TALKER);
	plan = plan_make(&policy, &e, NULL, &trace);
	assert_int_equal(plan.rule_id, 1);
	assert_int_equal(trace.rules_tried, 2);
	assert_true(plan.teaser);
	assert_int_equal(plan.greet_ms, 3000);

	policy.rules_count = 1;
	plan = plan_make(&policy, &e, NULL, &trace);
	assert_int_equal(plan.rule_id, PLAN_NO_RULE);
	assert_int_equal(trace.rule, PLAN_NO_RULE);
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
	    {"drip with replies alone", 0, 5000, 9000, 6000, 20000, 120000,
	     9000, 0, 5000, 9000, 6000},
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
		struct policy_rule rule = {.name = "r", .class_index = 0};
		struct policy policy = {.classes = &class,
					.classes_count = 1,
					.rules = &rule,
					.rules_count = 1,
					.reply_cap_ms = rows[i].reply_cap,
					.data_reply_cap_ms = UINT32_MAX,
					.session_cap_ms = rows[i].session_cap,
					.patience_ms = rows[i].patience};
		struct plan_trace trace;
		struct plan p = plan_make(&policy, &e, NULL, &trace);
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

/* A drip of twice its length, no longer than the delays that are left. */
static void
split(void **state)
{
	static const struct {
		uint32_t split, drip, greet, reply;
		uint32_t want_drip;
		bool want_split;
	} rows[] = {
	    {300, 0, 3000, 2000, 600, true},   {300, 0, 3000, 0, 600, true},
	    {300, 0, 0, 2000, 600, true},      {300, 0, 0, 0, 0, true},
	    {2000, 0, 3000, 0, 3000, true},    {0, 600, 3000, 0, 600, false},
	    {300, 900, 3000, 0, 900, false},   {0, 0, 3000, 0, 0, false},
	    {3600000, 0, 9000, 0, 9000, true},
	};
	const struct evidence e = known_client();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct policy_class class = {.name = "c",
						   .split_ms = rows[i].split,
						   .drip_ms = rows[i].drip,
						   .greet_ms = rows[i].greet,
						   .reply_ms = rows[i].reply};
		const struct policy_rule rule = {.name = "r"};
		const struct policy policy = {.classes = &class,
					      .classes_count = 1,
					      .rules = &rule,
					      .rules_count = 1,
					      .reply_cap_ms = 20000,
					      .session_cap_ms = 120000,
					      .patience_ms = 9000};
		const struct plan p = plan_make(&policy, &e, NULL, NULL);

		assert_int_equal(p.drip_ms, rows[i].want_drip);
		assert_int_equal(p.is_split, rows[i].want_split);
	}
}

/* Each has its points, and is a source of its own; what is not so has none. */
static void
facts_have_points(void **state)
{
	const struct policy policy = {.score = {.early_talker = 1,
						.pipelining = 10,
						.non_smtp = 100,
						.bare_newline = 1000}};
	struct evidence e = known_client();
	struct plan_trace trace;
	int32_t score = 0;

	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		e.early_talker = (bits & 1) != 0;
		e.pipelining = (bits & 2) != 0;
		e.non_smtp = (bits & 4) != 0;
		e.bare_newline = (bits & 8) != 0;
		score = (int32_t)((bits & 1) + (bits >> 1 & 1) * 10 +
				  (bits >> 2 & 1) * 100 + (bits >> 3) * 1000);
		(void)plan_make(&policy, &e, NULL, &trace);
		assert_int_equal(trace.score, score);
		assert_int_equal(trace.sources, __builtin_popcount(bits));
	}
	e.present = 0;
	(void)plan_make(&policy, &e, NULL, &trace);
	assert_int_equal(trace.score, 0);
}

/* An early talker has 2 points of [score]; rules add, test and decide. */
static void
points(void **state)
{
	static const struct {
		const char *label;
		int32_t early, add;
		bool is_shadow; /* the rule that adds */
		enum evidence_kind kind;
		uint32_t low, high;
		bool is_not;
		bool want;
	} rows[] = {
	    {"score", 2, 3, false, EVIDENCE_SCORE, 5, 5, false, true},
	    {"score above", 2, 3, false, EVIDENCE_SCORE, 6, 99, false, false},
	    {"sources", 2, 3, false, EVIDENCE_SOURCES, 2, 2, false, true},
	    {"a fact of 0 is none", 0, 3, false, EVIDENCE_SOURCES, 1, 1, false,
	     true},
	    {"a rule of 0 is none", 2, 0, false, EVIDENCE_SOURCES, 1, 1, false,
	     true},
	    {"less is no source", 2, -1, false, EVIDENCE_SOURCES, 1, 1, false,
	     true},
	    {"less counts", 2, -1, false, EVIDENCE_SCORE, 1, 1, false, true},
	    {"below 0 is 0", 2, -9, false, EVIDENCE_SCORE, 0, 0, false, true},
	    {"below 0 is not much", 2, -9, false, EVIDENCE_SCORE, 1, UINT32_MAX,
	     false, false},
	    {"a rule in shadow adds none", 2, 3, true, EVIDENCE_SCORE, 2, 2,
	     false, true},
	    {"negated", 2, 3, false, EVIDENCE_SCORE, 6, 99, true, true},
	    {"negated, and it is", 2, 3, false, EVIDENCE_SCORE, 5, 5, true,
	     false},
	};
	const struct evidence e = known_client();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct policy_condition c = {.kind = rows[i].kind,
						   .is_not = rows[i].is_not,
						   .low = rows[i].low,
						   .high = rows[i].high};
		const struct policy_rule rules[] = {
		    {.name = "adds",
		     .is_add = true,
		     .is_shadow = rows[i].is_shadow,
		     .points = rows[i].add},
		    {.name = "tests",
		     .id = 1,
		     .class_index = 1,
		     .conditions = &c,
		     .conditions_count = 1},
		    {.name = "too late",
		     .id = 2,
		     .is_add = true,
		     .points = 100},
		};
		const struct policy policy = {
		    .classes = classes,
		    .classes_count = COUNT_OF(classes),
		    .rules = rules,
		    .rules_count = COUNT_OF(rules),
		    .score = {.early_talker = rows[i].early}};
		struct plan_trace trace;
		if ((plan_make(&policy, &e, NULL, &trace).rule_id == 1) !=
		    rows[i].want)
			fail_msg("%s: score %d, sources %u", rows[i].label,
				 trace.score, trace.sources);
		assert_int_equal(trace.held[0], 0);
		assert_int_equal(trace.held_count, 2);
		assert_int_equal(trace.held[1], rows[i].want ? 1 : 2);
	}
}

static void
points_of_absent_facts(void **state)
{
	const struct policy policy = {.score = {.early_talker = 2}};
	struct evidence e = known_client();
	struct plan_trace trace;

	(void)state;
	plan_make(&policy, &e, NULL, &trace);
	assert_int_equal(trace.score, 2);
	e.present &= ~evidence_bit(EVIDENCE_EARLY_TALKER);
	plan_make(&policy, &e, NULL, &trace);
	assert_int_equal(trace.score, 0);
	e = known_client();
	e.early_talker = false;
	plan_make(&policy, &e, NULL, &trace);
	assert_int_equal(trace.score, 0);
	assert_int_equal(trace.sources, 0);
}

static void
points_for_a_name_that_leads_nowhere(void **state)
{
	static const int32_t want[EVIDENCE_PTR_COUNT] = {
	    [EVIDENCE_PTR_NONE] = 2, [EVIDENCE_PTR_UNCONFIRMED] = 2};
	const struct policy policy = {.score = {.ptr = 2}};

	(void)state;
	for (int i = 0; i < EVIDENCE_PTR_COUNT; i++) {
		struct evidence e = known_client();
		struct plan_trace trace;

		e.ptr = evidence_ptr_name((enum evidence_ptr)i);
		e.present &= ~evidence_bit(EVIDENCE_PTR);
		if (e.ptr != NULL)
			e.present |= evidence_bit(EVIDENCE_PTR);
		plan_make(&policy, &e, NULL, &trace);
		assert_int_equal(trace.score, want[i]);
	}
}

/* The first rule in shadow that would have decided is told, and that is all
 * it does; what adds in shadow is none. */
static void
rules_in_shadow(void **state)
{
	const struct policy_rule rules[] = {
	    {.id = 70, .is_add = true, .is_shadow = true, .points = 5},
	    {.id = 71, .class_index = 1, .is_shadow = true},
	    {.id = 72, .class_index = PLAN_CLASS_DEFER, .is_shadow = true},
	    {.id = 73, .class_index = 0},
	    {.id = 74, .class_index = 1, .is_shadow = true},
	};
	struct policy policy = {.classes = classes,
				.classes_count = COUNT_OF(classes),
				.rules = rules,
				.rules_count = COUNT_OF(rules),
				.reply_cap_ms = 20000,
				.session_cap_ms = 120000};
	const struct evidence e = known_client();
	struct plan_trace trace;
	struct plan plan = plan_make(&policy, &e, NULL, &trace);

	(void)state;
	assert_int_equal(plan.rule_id, 73);
	assert_int_equal(plan.shadow_rule_id, 71);
	assert_int_equal(plan.greet_ms, 3000);
	assert_false(plan.is_shadow);
	assert_int_equal(trace.rule, 3);
	assert_int_equal(trace.rules_tried, 4);
	assert_int_equal(trace.held_count, 4);
	assert_int_equal(trace.held[2], 2);
	assert_int_equal(trace.score, 0);

	policy.is_shadow = true;
	policy.rules_count = 2;
	plan = plan_make(&policy, &e, NULL, NULL);
	assert_true(plan.is_shadow);
	assert_int_equal(plan.class_id, PLAN_CLASS_PASS);
	assert_int_equal(plan.rule_id, PLAN_NO_RULE);
	assert_int_equal(plan.shadow_rule_id, 71);
	policy.rules_count = 1;
	plan = plan_make(&policy, &e, NULL, NULL);
	assert_int_equal(plan.shadow_rule_id, PLAN_NO_RULE);
}

static void
class_and_rank(void **state)
{
	struct policy_rule rule = {.id = 9};
	const struct policy policy = {.classes = classes,
				      .classes_count = COUNT_OF(classes),
				      .rules = &rule,
				      .rules_count = 1,
				      .reply_cap_ms = 20000,
				      .session_cap_ms = 120000,
				      .patience_ms = 9000};
	const struct evidence e = known_client();
	struct plan plan;

	(void)state;
	rule.class_index = PLAN_CLASS_PASS;
	plan = plan_make(&policy, &e, NULL, NULL);
	assert_int_equal(plan.rank, 0);
	assert_int_equal(plan.class_id, PLAN_CLASS_PASS);
	assert_int_equal(plan.rule_id, 9);
	rule.class_index = 1;
	plan = plan_make(&policy, &e, NULL, NULL);
	assert_int_equal(plan.rank, 2);
	assert_int_equal(plan.data_rate, 16384);
	assert_int_equal(plan.caps[PLAN_CAP_CLIENT], 2);
	assert_int_equal(plan.caps[PLAN_CAP_NETWORK], 10);
	assert_int_equal(plan.caps[PLAN_CAP_STACK], 200);
	rule.class_index = PLAN_CLASS_DEFER;
	plan = plan_make(&policy, &e, NULL, NULL);
	assert_int_equal(plan.rank, PLAN_RANK_DEFER);
	assert_int_equal(plan.class_id, PLAN_CLASS_DEFER);
	assert_int_equal(plan.greet_ms, 0);
	assert_int_equal(plan.reply_cap_ms, 20000);
}

static void
caps_are_no_smaller_for_being_large(void **state)
{
	const struct policy_class class = {.caps = {65536, UINT32_MAX, 65535}};
	const struct policy_rule rule = {.class_index = 0};
	const struct policy policy = {.classes = &class,
				      .classes_count = 1,
				      .rules = &rule,
				      .rules_count = 1};
	const struct evidence e = known_client();
	const struct plan plan = plan_make(&policy, &e, NULL, NULL);
	size_t i;

	(void)state;
	for (i = 0; i < PLAN_CAPS; i++)
		assert_int_equal(plan.caps[i], UINT16_MAX);
}

static void
no_upload_below_the_least_rate(void **state)
{
	struct policy_class class = {.greet_ms = 1};
	const struct policy_rule rule = {.class_index = 0};
	const struct policy policy = {.classes = &class,
				      .classes_count = 1,
				      .rules = &rule,
				      .rules_count = 1};
	const struct evidence e = known_client();

	(void)state;
	assert_int_equal(plan_make(&policy, &e, NULL, NULL).data_rate, 0);
	class.data_rate = 1;
	assert_int_equal(plan_make(&policy, &e, NULL, NULL).data_rate, 1024);
	class.data_rate = 1025;
	assert_int_equal(plan_make(&policy, &e, NULL, NULL).data_rate, 1025);
}

static void
stress_takes_away(void **state)
{
	static const struct {
		const char *label;
		struct stress stress;
		uint16_t class_index;
		uint8_t open_rank;
		uint32_t greet, reply, error, drip, data_rate;
	} rows[] = {
	    {"none", {false, false}, 1, 2, 15000, 5000, 9000, 2000, 16384},
	    {"sessions", {true, false}, 1, 2, 2000, 5000, 9000, 2000, 16384},
	    {"sessions, worse class",
	     {true, false},
	     1,
	     1,
	     15000,
	     5000,
	     9000,
	     2000,
	     16384},
	    {"sessions, best class", {true, false}, 0, 1, 2000, 0, 0, 0, 0},
	    {"sessions, no rule for everyone",
	     {true, false},
	     0,
	     0,
	     3000,
	     0,
	     0,
	     0,
	     0},
	    {"slots", {false, true}, 1, 2, 15000, 0, 0, 2000, 0},
	    {"both", {true, true}, 1, 2, 2000, 0, 0, 2000, 0},
	};
	const struct evidence e = known_client();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct policy_rule rule = {.class_index =
						     rows[i].class_index};
		const struct policy policy = {.classes = classes,
					      .classes_count =
						  COUNT_OF(classes),
					      .rules = &rule,
					      .rules_count = 1,
					      .open_rank = rows[i].open_rank,
					      .reply_cap_ms = 20000,
					      .session_cap_ms = 120000,
					      .patience_ms = 9000};
		const struct plan p =
		    plan_make(&policy, &e, &rows[i].stress, NULL);
		if (p.greet_ms != rows[i].greet ||
		    p.reply_ms != rows[i].reply ||
		    p.error_ms != rows[i].error || p.drip_ms != rows[i].drip ||
		    p.data_rate != rows[i].data_rate)
			fail_msg("%s: got %u %u %u %u %u", rows[i].label,
				 p.greet_ms, p.reply_ms, p.error_ms, p.drip_ms,
				 p.data_rate);
		assert_int_equal(p.caps[PLAN_CAP_STACK],
				 rows[i].class_index == 1 ? 200 : 0);
	}
}

/* More rules hold than the trace has room for. */
static void
trace_is_bounded(void **state)
{
	struct policy_rule rules[PLAN_TRACE_CAP + 5];
	const struct policy policy = {.rules = rules,
				      .rules_count = COUNT_OF(rules)};
	const struct evidence e = known_client();
	struct plan_trace trace;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		rules[i] = (struct policy_rule){.is_add = true, .points = 1};
	plan_make(&policy, &e, NULL, &trace);
	assert_int_equal(trace.held_count, COUNT_OF(rules));
	assert_int_equal(trace.held[PLAN_TRACE_CAP - 1], PLAN_TRACE_CAP - 1);
	assert_int_equal(trace.score, COUNT_OF(rules));
}

static void
names_of_ids(void **state)
{
	struct policy policy = {.classes = classes, .classes_count = 2};

	(void)state;
	assert_string_equal(policy_class_name(&policy, 0), "new");
	assert_string_equal(policy_class_name(&policy, PLAN_CLASS_PASS),
			    "pass");
	assert_string_equal(policy_class_name(&policy, PLAN_CLASS_DEFER),
			    "defer");
	assert_string_equal(policy_class_name(&policy, 2), "-");
	assert_string_equal(policy_rule_name(&policy, 0), "-");

	/* Ids that are no places. */
	const struct policy_rule rules[] = {{.name = "a", .id = 7},
					    {.name = "b", .id = 0}};
	policy.rules = rules;
	policy.rules_count = 2;
	assert_string_equal(policy_rule_name(&policy, 7), "a");
	assert_string_equal(policy_rule_name(&policy, 0), "b");
	assert_string_equal(policy_rule_name(&policy, 1), "-");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_rule_decides),
	    cmocka_unit_test(governor),
	    cmocka_unit_test(split),
	    cmocka_unit_test(facts_have_points),
	    cmocka_unit_test(points),
	    cmocka_unit_test(points_of_absent_facts),
	    cmocka_unit_test(points_for_a_name_that_leads_nowhere),
	    cmocka_unit_test(rules_in_shadow),
	    cmocka_unit_test(class_and_rank),
	    cmocka_unit_test(caps_are_no_smaller_for_being_large),
	    cmocka_unit_test(no_upload_below_the_least_rate),
	    cmocka_unit_test(stress_takes_away),
	    cmocka_unit_test(trace_is_bounded),
	    cmocka_unit_test(names_of_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
