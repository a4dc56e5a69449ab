#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/smtp.h"
#include "tests/unit/guard.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct {
	const char *line;
	bool want;
} rows[] = {
    {"GET / HTTP/1.1\r\n", true},
    {"get /\r\n", true},
    {"GETX /\r\n", false},
    {"POST /x HTTP/1.0\r\n", true},
    {"CONNECT mx:25 HTTP/1.0\n", true},
    {"PRI * HTTP/2.0\r\n", true},
    {"OPTIONS * RTSP/1.0\r\n", true},
    {"SSH-2.0-OpenSSH_9.2p1\r\n", true},
    {"SSH-2.0-", true},
    {"SSH\r\n", false},
    {"Host: a\r\n", true},
    {"Subject:x\r\n", true},
    {"MAILFROM:<a>\r\n", true},
    {": x\r\n", true},
    {"\x16\x03\x01", true},
    {"\x80\r\n", true},
    {"M\xc3\xa4IL\r\n", true},
    {"1 2 3\r\n", true},
    {"<html>\r\n", true},
    {"  {\r\n", true},
    {"NO\x01P\r\n", true},
    {"NOOP\x01\r\n", true},
    {"NOOP \x01\r\n", false},
    {"X-EXPS GSSAPI\r\n", false},
    {"XCLIENT ADDR=1\r\n", false},
    {"FOO\r\n", false},
    {" FOO\r\n", false},
    {"A2\r\n", false},
    {"-A\r\n", true},
    {"\r\n", false},
    {"\n", false},
    {" \t \r\n", false},
    {"   ", false},
    {"", false},
    {"FOO", false},
};

static void
what_is_no_command(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = strlen(rows[i].line);
		const char *line = (const char *)guard_copy(rows[i].line, len);

		if (smtp_line_is_foreign(line, len) != rows[i].want)
			fail_msg("%s", rows[i].line);
	}
}

/* A NUL is no end of a word. */
static void
a_nul_is_garbage(void **state)
{
	(void)state;
	assert_true(smtp_line_is_foreign("NO\0P\r\n", 6));
	assert_true(smtp_line_is_foreign("\0\0\0\0", 4));
}

/* No two commands that RFCs know are taken for something else. */
static void
verbs_are_not_foreign(void **state)
{
	(void)state;
	for (int v = SMTP_OTHER + 1; v < SMTP_GREETING; v++) {
		const char *name = smtp_verb_name((enum smtp_verb)v);

		assert_false(smtp_line_is_foreign(name, strlen(name)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_no_command),
	    cmocka_unit_test(a_nul_is_garbage),
	    cmocka_unit_test(verbs_are_not_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
