/* One policy of one rule, one client of which all is known. */
#ifndef TESTS_UNIT_PLAN_RIG_H
#define TESTS_UNIT_PLAN_RIG_H

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
    {.name = "new", .id = 0, .greet_ms = 3000, .teaser = true},
    {.name = "slow",
     .id = 1,
     .greet_ms = 15000,
     .reply_ms = 5000,
     .error_ms = 9000,
     .drip_ms = 2000,
     .data_rate = 16384,
     .caps = {2, 10, 200}},
};

/* A policy of one rule with one condition; the class is slow. */
struct one_rule {
	struct policy_rule rule;
	struct policy policy;
};

static inline void
one_rule(struct one_rule *o, const struct policy_condition *c, size_t count)
{
	*o = (struct one_rule){
	    .rule = {.name = "only",
		     .class_index = 1,
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

static inline bool
decides(const struct policy_condition *c, size_t count,
	const struct evidence *e)
{
	struct one_rule o;

	one_rule(&o, c, count);
	return plan_make(&o.policy, e, NULL, NULL).rule_id == 0;
}

/* A client 192.0.2.7 on Linux, of which all is known. */
static inline struct evidence
known_client(void)
{
	struct evidence e = {.present = evidence_bit(EVIDENCE_COUNT) - 1,
			     .label = "Linux 4.20 or newer",
			     .early_talker = true,
			     .pipelining = true,
			     .non_smtp = true,
			     .bare_newline = true};

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

static inline struct signature_pattern
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

#endif
