/* Dialects as clients speak them, and what a session that is not over shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/dialect.h"

/* A `+` in front: the answers before were not waited for. */
static const struct {
	const char *label;
	const char *lines[8];
	const char *want;
} rows[] = {
    {"nothing", {NULL}, ""},
    {"only a NOOP", {"NOOP\r\n"}, "-:-:-:-:-:-:----:-:-:-:crlf"},
    {"Postfix",
     {"EHLO mail.example.org\r\n", "MAIL FROM:<a@b> SIZE=320\r\n",
      "+RCPT TO:<c@d> ORCPT=rfc822;c@d\r\n", "+DATA\r\n", "+QUIT\r\n"},
     "EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:ORCPT:wRDQ:DATA:QUIT:-:crlf"},
    {"Exim",
     {"EHLO mail.example.org\r\n", "MAIL FROM:<a@b> SIZE=1344\r\n",
      "+RCPT TO:<c@d>\r\n", "+BDAT 320 LAST\r\n", "+QUIT\r\n"},
     "EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:none:wRDQ:BDAT:QUIT:-:crlf"},
    {"sendmail",
     {"EHLO mail.example.org\r\n", "MAIL From:<a@b> SIZE=320\r\n",
      "RCPT To:<c@d>\r\n", "+DATA\r\n", "QUIT\r\n"},
     "EHLO:fqdn:MAIL.From<:RCPT.To<:SIZE:none:wRDw:DATA:QUIT:-:crlf"},
    {"Python's smtplib",
     {"ehlo [127.0.1.1]\r\n", "mail FROM:<a@b> size=320\r\n",
      "rcpt TO:<c@d>\r\n", "data\r\n", "quit\r\n"},
     "ehlo:ip4:mail.FROM<:rcpt.TO<:size:none:wwww:data:quit:-:crlf"},
    {"Go's net/smtp",
     {"EHLO localhost\r\n", "MAIL FROM:<a@b> BODY=8BITMIME SMTPUTF8\r\n",
      "RCPT TO:<c@d>\r\n", "DATA\r\n", "QUIT\r\n"},
     "EHLO:localhost:MAIL.FROM<:RCPT.TO<:BODY+SMTPUTF8:none:wwww:DATA:QUIT:-:"
     "crlf"},
    {"qmail",
     {"HELO mail.example.org\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n",
      "DATA\r\n", "QUIT\r\n"},
     "HELO:fqdn:MAIL.FROM<:RCPT.TO<:none:none:wwww:DATA:QUIT:-:crlf"},
    {"a client that gives up EHLO",
     {"EHLO box\r\n", "HELO box\r\n"},
     "EHLO+HELO:label:-:-:-:-:----:-:-:-:crlf"},
    {"EHLO again behind TLS",
     {"EHLO box\r\n", "EHLO box.example.org\r\n"},
     "EHLO:label:-:-:-:-:----:-:-:-:crlf"},
    {"the first of each counts",
     {"EHLO box\r\n", "MAIL FROM:<a> SIZE=1\r\n", "RCPT TO:<b>\r\n",
      "+RCPT TO:<c> NOTIFY=NEVER\r\n", "RSET\r\n", "MAIL from: d\r\n"},
     "EHLO:label:MAIL.FROM<:RCPT.TO<:SIZE:none:ww--:-:-:RSET:crlf"},
    {"blanks, and no brackets",
     {"Helo [IPv6:::1]\r\n", "MAIL FROM: a@b\r\n", "RCPT TO: <c@d> \r\n"},
     "Helo:ip6:MAIL.FROM_:RCPT.TO_<_:none:none:ww--:-:-:-:crlf"},
    {"a bare address for a name",
     {"HELO 192.0.2.1\r\n"},
     "HELO:ip:-:-:-:-:----:-:-:-:crlf"},
    {"no name", {"EHLO\r\n"}, "EHLO:none:-:-:-:-:----:-:-:-:crlf"},
    {"a name that is none",
     {"EHLO under_score\r\n"},
     "EHLO:odd:-:-:-:-:----:-:-:-:crlf"},
    {"a name that ends too soon",
     {"EHLO [\r\n"},
     "EHLO:odd:-:-:-:-:----:-:-:-:crlf"},
    {"MAIL without FROM", {"MAIL\r\n"}, "-:-:MAIL:-:none:-:w---:-:-:-:crlf"},
    {"an address without end",
     {"MAIL FROM:<a SIZE=1\r\n"},
     "-:-:MAIL.FROM<:-:none:-:w---:-:-:-:crlf"},
    {"unknown parameters, and one too many",
     {"MAIL FROM:<a> X=1 ret=HDRS Mt-Priority=3 SIZE=3\r\n"},
     "-:-:MAIL.FROM<:-:x+ret+Mt-priority:-:w---:-:-:-:crlf"},
    {"a quoted >, and a blank in it",
     {"MAIL FROM:<\"a> X\"@b> SIZE=1\r\n"},
     "-:-:MAIL.FROM<:-:SIZE:-:w---:-:-:-:crlf"},
    {"no brackets, then a parameter",
     {"MAIL FROM:a@b SIZE=1\r\n"},
     "-:-:MAIL.FROM:-:SIZE:-:w---:-:-:-:crlf"},
    {"blanks around the colon",
     {"MAIL FROM : <a>\r\n"},
     "-:-:MAIL.FROM_<:-:none:-:w---:-:-:-:crlf"},
    {"a value with = and blanks behind",
     {"RCPT TO:<a> orcpt=rfc822;a=b  \r\n"},
     "-:-:-:RCPT.TO<_:-:orcpt:-w--:-:-:-:crlf"},
    {"an address literal that is not IPv6",
     {"EHLO [127.0.0.1]\r\n"},
     "EHLO:ip4:-:-:-:-:----:-:-:-:crlf"},
    {"a host of another's name",
     {"EHLO localhosts\r\n"},
     "EHLO:label:-:-:-:-:----:-:-:-:crlf"},
    {"bytes that are none",
     {"EHLO \xff\x01\x7f\r\n"},
     "EHLO:odd:-:-:-:-:----:-:-:-:crlf"},
    {"two line ends",
     {"EHLO a.b\r\n", "RSET\n"},
     "EHLO:fqdn:-:-:-:-:----:-:-:RSET:both"},
    {"a bare LF",
     {"EHLO a.b\n", "MAIL FROM:<>\n"},
     "EHLO:fqdn:MAIL.FROM<:-:none:-:w---:-:-:-:lf"},
};

static enum smtp_verb
verb_of(const char *line)
{
	static const enum smtp_verb verbs[] = {SMTP_EHLO, SMTP_HELO, SMTP_MAIL,
					       SMTP_RCPT, SMTP_DATA, SMTP_BDAT,
					       SMTP_QUIT, SMTP_RSET};

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		const char *name = smtp_verb_name(verbs[i]);
		size_t k = 0;

		while (k < 4 && (line[k] & ~0x20) == name[k])
			k++;
		if (k == 4)
			return verbs[i];
	}
	return SMTP_NOOP;
}

/* In pieces of `step` bytes: the dialect knows of none. */
static void
say(struct dialect *d, const char *text, size_t step)
{
	enum dialect_group group = DIALECT_WAITED;
	struct dialect_line line = {0};
	struct dialect_line again = {0};
	size_t len;

	if (*text == '+') {
		group = DIALECT_GROUPED;
		text++;
	}
	len = strlen(text);
	for (size_t at = 0; at < len; at += step)
		dialect_read(&line, (const uint8_t *)text + at,
			     len - at < step ? len - at : step);
	(void)dialect_command(d, &line, verb_of(text), group);
	/* The next line begins anew; the same again tells nothing. */
	assert_memory_equal(&line, &again, sizeof line);
	dialect_read(&line, (const uint8_t *)text, len);
	assert_false(dialect_command(d, &line, verb_of(text), group));
}

static void
are_clients(size_t step)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct dialect d = {0};
		char text[DIALECT_TEXT_CAP];
		size_t n;

		for (size_t k = 0; k < 8 && rows[i].lines[k] != NULL; k++)
			say(&d, rows[i].lines[k], step);
		n = dialect_text(&d, text);
		if (strcmp(text, rows[i].want) != 0 || n != strlen(text))
			fail_msg("%s, by %zu: %s", rows[i].label, step, text);
	}
}

static void
clients(void **state)
{
	(void)state;
	for (size_t step = 1; step < 20; step++)
		are_clients(step);
	are_clients(4096);
}

/* However long a line is, what stands behind is found. */
static void
long_lines(void **state)
{
	static char line[5000];
	static const size_t lens[] = {1, 60, 512, 4000};

	(void)state;
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		struct dialect d = {0};
		char text[DIALECT_TEXT_CAP];
		char *at = line + sprintf(line, "MAIL FROM:<");

		memset(at, 'a', lens[i]);
		(void)sprintf(at + lens[i], "> SIZE=1 BODY=8BITMIME\r\n");
		say(&d, line, 4096);
		(void)dialect_text(&d, text);
		assert_string_equal(text, "-:-:MAIL.FROM<:-:SIZE+BODY:-:w---:"
					  "-:-:-:crlf");
	}
}

static void
closed_without_quit(void **state)
{
	struct dialect d = {0};
	char text[DIALECT_TEXT_CAP];

	(void)state;
	say(&d, "EHLO a.b\r\n", 64);
	assert_true(dialect_fin(&d));
	assert_false(dialect_fin(&d));
	(void)dialect_text(&d, text);
	assert_string_equal(text, "EHLO:fqdn:-:-:-:-:----:-:fin:-:crlf");
	d = (struct dialect){0};
	say(&d, "QUIT\r\n", 64);
	assert_false(dialect_fin(&d));
	(void)dialect_text(&d, text);
	assert_string_equal(text, "-:-:-:-:-:-:---w:-:QUIT:-:crlf");
}

/* The longest text there can be has room. */
static void
longest(void **state)
{
	static const char *const lines[] = {
	    "EHLO localhost\r\n",
	    "HELO localhost\r\n",
	    "MAIL FROM: <a> REQUIRETLS MT-PRIORITY=1 MT-PRIORITY=1 \r\n",
	    "RCPT TO: <a> MT-PRIORITY=1 MT-PRIORITY=1 MT-PRIORITY=1 \r\n",
	    "+DATA\r\n",
	    "RSET\n",
	    "+QUIT\r\n"};
	struct dialect d = {0};
	char text[DIALECT_TEXT_CAP];

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		say(&d, lines[i], 64);
	assert_in_range(dialect_text(&d, text), 100, DIALECT_TEXT_CAP - 10);
	assert_string_equal(text + strlen(text) - 25,
			    ":wRDQ:DATA:QUIT:RSET:both");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clients),
	    cmocka_unit_test(long_lines),
	    cmocka_unit_test(closed_without_quit),
	    cmocka_unit_test(longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
