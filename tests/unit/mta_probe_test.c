/*
 * What the test session reads out of an MTA's answers, by rows; and the lead
 * time that is learnt from them.
 */
#include "proxy/relay/mta_probe_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/relay/lead.h"

struct name_row {
	const char *label;
	const char *greeting;
	const char *want;
};

static const struct name_row names[] = {
    {"usual", "220 mx.example ESMTP Postfix\r\n", "mx.example"},
    {"multiline", "220-mx.example hi\r\n220 x\r\n", "mx.example"},
    {"name alone", "220 mx.example\r\n", "mx.example"},
    {"bare newline", "220 mx.example\n", "mx.example"},
    {"no name", "220 \r\n", ""},
    {"code alone", "220\r\n", ""},
    {"control byte", "220 mx\001.example ESMTP\r\n", ""},
    {"byte above ASCII", "220 mx\303\251.example ESMTP\r\n", ""},
    {"not ended", "220 mx.example", ""},
};

static void
names_are_validated(void **state)
{
	char name[256];
	char longest[400];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		mta_probe_name(names[i].greeting, strlen(names[i].greeting),
			       name, sizeof(name));
		if (strcmp(name, names[i].want) != 0)
			fail_msg("%s: got \"%s\"", names[i].label, name);
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "220 ", 4);
	longest[4 + 255] = ' ';
	mta_probe_name(longest, sizeof(longest), name, sizeof(name));
	assert_int_equal(strlen(name), 255);
	longest[4 + 255] = 'a';
	longest[4 + 256] = ' ';
	mta_probe_name(longest, sizeof(longest), name, sizeof(name));
	assert_int_equal(strlen(name), 0);
}

static void
keywords_are_whole_words(void **state)
{
	const char *reply = "250-mx.example\r\n250-PIPELINING\r\n"
			    "250-pipeConnect\r\n250 SIZE 1000\r\n";

	(void)state;
	assert_true(mta_probe_has_keyword(reply, strlen(reply), "PIPECONNECT"));
	assert_true(mta_probe_has_keyword(reply, strlen(reply), "SIZE"));
	assert_false(mta_probe_has_keyword(reply, strlen(reply), "PIPE"));
	assert_false(mta_probe_has_keyword(reply, strlen(reply), "1000"));
	assert_false(mta_probe_has_keyword("250", 3, "SIZE"));
}

static void
lines_end_where_they_should(void **state)
{
	char text[200];

	(void)state;
	assert_int_equal(mta_probe_line("502 no\r\n250 x", 13), 6);
	assert_int_equal(mta_probe_line("", 0), 0);
	memset(text, 'x', sizeof(text));
	assert_int_equal(mta_probe_line(text, sizeof(text)), 100);
}

static void
lead_is_the_second_largest(void **state)
{
	struct lead lead = {0};
	uint32_t ms = 0;
	unsigned i;

	(void)state;
	assert_int_equal(lead_add(&lead, 9000), LEAD_FIRST_MS);
	for (i = 0; i < 60; i++)
		ms = lead_add(&lead, 100 + i);
	assert_int_equal(ms, 159); /* not 9000: one stall is no rule */
	assert_int_equal(lead_add(&lead, 8000), 8000);
	for (i = 0; i < LEAD_SAMPLES; i++)
		ms = lead_add(&lead, 1);
	assert_int_equal(ms, 50); /* all forgotten; never less than this */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_validated),
	    cmocka_unit_test(keywords_are_whole_words),
	    cmocka_unit_test(lines_end_where_they_should),
	    cmocka_unit_test(lead_is_the_second_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
