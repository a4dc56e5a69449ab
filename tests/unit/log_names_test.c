/* What the DNS said of a client, in its session's line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/daemon/log_line.h"
#include "proxy/daemon/session_report.h"
#include "tarry/session.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A pool may be of one host: it is not told where addresses are not. */
static void
names_are_told(void **state)
{
	static const struct {
		enum config_log_addresses addresses;
		const char *want;
	} rows[] = {
	    {CONFIG_LOG_FULL, " ptr=confirmed pool=example.org "},
	    {CONFIG_LOG_NETWORK, " ptr=confirmed pool=example.org "},
	    {CONFIG_LOG_NONE, " ptr=confirmed phase="},
	};
	static struct session s;
	struct session_report r = {.session = &s,
				   .listener = "smtp",
				   .rule = "-",
				   .class = "pass",
				   .mode = "enforce",
				   .shadow_rule = "-",
				   .has_dnsbl = true,
				   .has_dnswl = true,
				   .dnsbl = 4,
				   .asn = 64500,
				   .lists = "zen:4,good:0",
				   .ptr = "confirmed",
				   .pool = "example.org"};
	struct log_line l;

	(void)state;
	s.plan.rule_id = PLAN_NO_RULE;
	s.plan.shadow_rule_id = PLAN_NO_RULE;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct config_log style = {.format = CONFIG_LOG_LOGFMT,
						 .addresses =
						     rows[i].addresses};

		log_line_session(&l, &style, 0, &r);
		l.text[l.len] = '\0';
		if (strstr(l.text, rows[i].want) == NULL)
			fail_msg("%s is not in %s", rows[i].want, l.text);
		assert_non_null(strstr(l.text, " asn=64500 dnsbl=4 dnswl=0 "
					       "lists=zen:4,good:0 "));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
