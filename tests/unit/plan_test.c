/* Conditions of rules: what holds, what does not, what is not known. */
#include "tests/unit/plan_rig.h"

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
	    {"pipelining", EVIDENCE_PIPELINING, 1, 1, true},
	    {"pipelining, asked no", EVIDENCE_PIPELINING, 0, 0, false},
	    {"non_smtp", EVIDENCE_NON_SMTP, 1, 1, true},
	    {"bare_newline", EVIDENCE_BARE_NEWLINE, 1, 1, true},
	};
	struct evidence e = known_client();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct policy_condition c = {.kind = rows[i].kind,
					     .low = rows[i].low,
					     .high = rows[i].high};
		if (decides(&c, 1, &e) != rows[i].want)
			fail_msg("%s", rows[i].label);
		e.present = ~evidence_bit(rows[i].kind);
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
		e.present &= ~evidence_bit(rows[i].kind);
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
	e.present &= ~evidence_bit(EVIDENCE_SYN);
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

/* Each number by itself: its own value, and no other's. */
static void
every_number_is_its_own(void **state)
{
	static const struct {
		enum evidence_kind kind;
		uint32_t value;
	} rows[] = {
	    {EVIDENCE_SYN_RETRANSMITS, 101},
	    {EVIDENCE_SESSION_ERRORS, 102},
	    {EVIDENCE_SESSION_RECIPIENTS, 103},
	    {EVIDENCE_SESSION_MESSAGES, 104},
	    {EVIDENCE_SESSION_UNKNOWN_USERS, 105},
	    {EVIDENCE_CLIENT_SESSIONS, 106},
	    {EVIDENCE_NETWORK_SESSIONS, 107},
	    {EVIDENCE_STACK_SESSIONS, 108},
	    {EVIDENCE_CLIENT_RATE, 109},
	};
	struct evidence e = known_client();

	(void)state;
	e.syn_retransmits = 101;
	e.session_errors = 102;
	e.session_recipients = 103;
	e.session_messages = 104;
	e.session_unknown_users = 105;
	e.client_sessions = 106;
	e.network_sessions = 107;
	e.stack_sessions = 108;
	e.client_rate = 109;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct policy_condition c = {.kind = rows[i].kind,
					     .low = rows[i].value,
					     .high = rows[i].value};
		struct evidence without = e;
		without.present &= ~evidence_bit(rows[i].kind);
		assert_true(decides(&c, 1, &e));
		assert_false(decides(&c, 1, &without));
		c.is_not = true;
		assert_false(decides(&c, 1, &e));
		assert_false(decides(&c, 1, &without));
		c.low++;
		c.high++;
		assert_true(decides(&c, 1, &e));
		assert_false(decides(&c, 1, &without));
	}
}

static void
listeners(void **state)
{
	const char *const texts[] = {"smtp", "other"};
	struct policy_condition c = {
	    .kind = EVIDENCE_LISTENER, .texts = texts, .count = 2};
	struct evidence e = known_client();

	(void)state;
	assert_false(decides(&c, 1, &e)); /* it has none */
	e.listener = "other";
	assert_true(decides(&c, 1, &e));
	c.count = 1;
	assert_false(decides(&c, 1, &e));
	c.is_not = true;
	assert_true(decides(&c, 1, &e));
	e.listener = "SMTP"; /* another one */
	assert_true(decides(&c, 1, &e));
}

static void
negated_unknown_asks_for_presence(void **state)
{
	struct signature_pattern p = pattern(SIGNATURE_SYN, LINUX_SYN);
	struct policy_condition c = {
	    .kind = EVIDENCE_SYN, .is_unknown = true, .is_not = true};
	struct evidence e = known_client();

	(void)state;
	assert_true(decides(&c, 1, &e));
	c.patterns = &p;
	c.count = 1;
	assert_false(decides(&c, 1, &e));
	e.syn.ttl = 100;
	assert_true(decides(&c, 1, &e));
	e.present &= ~evidence_bit(EVIDENCE_SYN);
	assert_false(decides(&c, 1, &e));
	c.count = 0;
	assert_false(decides(&c, 1, &e));
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
	    cmocka_unit_test(every_number_is_its_own),
	    cmocka_unit_test(listeners),
	    cmocka_unit_test(negated_unknown_asks_for_presence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
