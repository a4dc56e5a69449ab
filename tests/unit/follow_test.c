/* Followers: lines of logs, real and nasty, and what is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/ctl/follow.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define P "Nov 23 02:00:00 mta postfix/"
#define E "2026-11-23 02:00:00 "
#define ID "1vN3hP-0000Ab-2C"
#define WHO "192.0.2.1:4711"
#define FROM " from x.example[192.0.2.1]:4711: "
#define ENVELOPE "; from=<a@b> to=<c@d> proto=ESMTP helo=<h>"
#define SENT ", relay=virtual, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, "
#define CAME P "smtpd[1]: 4XyZ12: client=x.example[192.0.2.1]:4711\n"
#define EXIM_CAME E ID " <= a@b H=x.example (h) [192.0.2.1]:4711 P=esmtp S=3\n"

/* Lines, one newline between two; what they tell: verdict, client, id. */
struct row {
	const char *label;
	const char *lines;
	const char *want;
};

static const struct row postfix[] = {
    {"delivered",
     CAME P "virtual[2]: 4XyZ12: to=<c@d>" SENT "status=sent (maildir)",
     "delivered " WHO " 4XyZ12;"},
    {"own log file, long id",
     "2026-11-23T02:00:00.123+01:00 mta postfix/smtpd[1]: 4dBvQy5wJbz1: "
     "client=unknown[2001:db8::1]:5\n2026-11-23T02:00:00.123+01:00 mta "
     "postfix/lmtp[1]: 4dBvQy5wJbz1: to=<c@d>, orig_to=<e@d>" SENT
     "status=sent (250)",
     "delivered [2001:db8::1]:5 4dBvQy5wJbz1;"},
    {"deferred, then sent",
     CAME P "smtp[2]: 4XyZ12: to=<c@d>, relay=none, delay=1, dsn=4.4.1, "
	    "status=deferred (refused)\n" P "smtp[2]: 4XyZ12: to=<c@d>" SENT
	    "status=sent (250)",
     "deferred " WHO " 4XyZ12;delivered " WHO " 4XyZ12;"},
    {"bounced",
     CAME P "smtp[2]: 4XyZ12: to=<c@d>, relay=m[192.0.2.9]:25, conn_use=2, "
	    "delay=1, dsn=5.0.0, status=bounced (x)",
     "bounced " WHO " 4XyZ12;"},
    {"nobody there",
     CAME P "local[2]: 4XyZ12: to=<c@d>, relay=local, delay=1, dsn=5.1.1, "
	    "status=bounced (x)",
     "unknown_user " WHO " 4XyZ12;"},
    {"expired",
     CAME P "qmgr[2]: 4XyZ12: from=<a@b>, status=expired, returned to sender",
     "bounced " WHO " 4XyZ12;"},
    {"removed",
     CAME P "qmgr[2]: 4XyZ12: removed\n" P "smtp[2]: 4XyZ12: to=<c@d>" SENT
	    "status=sent (250)",
     ""},
    {"not of a client",
     P "pickup[1]: 4XyZ12: uid=0 from=<r>\n" P "smtp[2]: 4XyZ12: to=<c@d>" SENT
       "status=sent (250)",
     ""},
    {"id used again",
     CAME P "smtpd[9]: 4XyZ12: client=y[192.0.2.2]:9\n" P
	    "smtp[2]: 4XyZ12: to=<c@d>" SENT "status=sent (250)",
     "delivered 192.0.2.2:9 4XyZ12;"},
    {"no port",
     P "smtpd[1]: 4XyZ12: client=x.example[192.0.2.1]\n" P
       "smtp[2]: 4XyZ12: to=<c@d>" SENT "status=sent (250)",
     "delivered - 4XyZ12;"},
    {"behind a filter",
     P "smtpd[1]: 4XyZ13: client=localhost[127.0.0.1]:7, "
       "orig_queue_id=4XyZ12, orig_client=x[192.0.2.1]:4711\n" P
       "smtp[2]: 4XyZ13: to=<c@d>" SENT "status=sent (250)",
     "delivered " WHO " 4XyZ13;"},
    {"a user who is named like a client",
     P "smtpd[1]: 4XyZ12: client=x[192.0.2.1]:4711, sasl_method=PLAIN, "
       "sasl_username=u, orig_client=y[192.0.2.2]:9\n" P
       "smtp[2]: 4XyZ12: to=<c@d>" SENT "status=sent (250)",
     "delivered " WHO " 4XyZ12;"},
    {"unknown user",
     P "smtpd[1]: NOQUEUE: reject: RCPT" FROM
       "550 5.1.1 <n@d>: Recipient address rejected: User "
       "unknown in virtual mailbox table" ENVELOPE,
     "unknown_user " WHO " -;"},
    {"of Exchange",
     P "smtpd[1]: NOQUEUE: reject: RCPT" FROM "550 5.4.1 Denied" ENVELOPE,
     "unknown_user " WHO " -;"},
    {"unknown sender",
     P "smtpd[1]: NOQUEUE: reject: RCPT" FROM "550 5.1.8 <a@b>: no" ENVELOPE,
     "rejected " WHO " -;"},
    {"relaying",
     P "smtpd[1]: NOQUEUE: reject: RCPT" FROM
       "554 5.7.1 <n@e>: Relay access denied" ENVELOPE,
     "rejected " WHO " -;"},
    {"listed, of postscreen",
     P "postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.1]:4711: 550 5.7.1 "
       "Service unavailable" ENVELOPE,
     "rejected " WHO " -;"},
    {"greylisted",
     P "smtpd[1]: NOQUEUE: reject: RCPT" FROM "450 4.7.1 later" ENVELOPE,
     "deferred " WHO " -;"},
    {"spam, says a milter",
     P "cleanup[1]: 4XyZ12: milter-reject: END-OF-MESSAGE" FROM
       "5.7.1 Spam message rejected" ENVELOPE,
     "spam " WHO " 4XyZ12;"},
    {"spam in words",
     P "smtpd[1]: 4XyZ12: reject: END-OF-MESSAGE" FROM
       "550 This is SPAM" ENVELOPE,
     "spam " WHO " 4XyZ12;"},
    {"a virus",
     P "cleanup[1]: 4XyZ12: milter-reject: END-OF-MESSAGE" FROM
       "5.7.1 virus Eicar" ENVELOPE,
     "virus " WHO " 4XyZ12;"},
    {"too large at the dot",
     P "smtpd[1]: 4XyZ12: reject: END-OF-MESSAGE" FROM
       "552 5.3.4 too large" ENVELOPE,
     "rejected " WHO " 4XyZ12;"},
    {"helo that says spam",
     P "smtpd[1]: 4XyZ12: reject: END-OF-MESSAGE" FROM
       "552 5.3.4 no; from=<spam@b> to=<c@d> proto=SMTP helo=<spam>",
     "rejected " WHO " 4XyZ12;"},
    {"a milter's later",
     P "cleanup[1]: 4XyZ12: milter-reject: END-OF-MESSAGE" FROM
       "4.7.1 Try again" ENVELOPE,
     "deferred " WHO " 4XyZ12;"},
    {"of a filter before the queue",
     P "smtpd[1]: NOQUEUE: proxy-reject: END-OF-MESSAGE" FROM
       "554 5.7.0 Reject" ENVELOPE,
     "spam " WHO " -;"},
    {"submission",
     P "submission/smtpd[1]: NOQUEUE: reject: RCPT" FROM "450 x" ENVELOPE,
     "deferred " WHO " -;"},
    {"smtps of another instance",
     "Nov 23 02:00:00 mta postfix-in/smtps/smtpd[1]: NOQUEUE: reject: RCPT" FROM
     "450 x" ENVELOPE,
     "deferred " WHO " -;"},
    {"header_checks with a forged header",
     CAME P "cleanup[1]: 4XyZ12: reject: header Subject: x from "
	    "y[192.0.2.2]:9: 450 x from x.example[192.0.2.1]; from=<a> to=<c> "
	    "proto=SMTP helo=<h>: 5.7.1 no",
     "spam " WHO " 4XyZ12;"},
    {"forged recipient in quotes",
     CAME P "smtp[2]: 4XyZ12: to=<\"x>, relay=y, dsn=2.0.0, status=sent "
	    "(\"@d>, relay=none, delay=1, dsn=5.0.0, status=bounced (x)",
     "bounced " WHO " 4XyZ12;"},
    {"quote in a quote",
     CAME P "smtp[2]: 4XyZ12: to=<\"x\\\">, dsn=2.0.0, status=sent (\"@d>, "
	    "relay=none, dsn=4.0.0, status=deferred (x)",
     "deferred " WHO " 4XyZ12;"},
    {"dsn in the answer",
     CAME P "smtp[2]: 4XyZ12: to=<c@d>, relay=none, dsn=4.0.0, "
	    "status=deferred (x, dsn=2.0.0, status=sent (x))",
     "deferred " WHO " 4XyZ12;"},
    {"sender with the words of a log",
     P "smtpd[1]: NOQUEUE: reject: RCPT" FROM
       "450 x; from=<\"]: NOQUEUE: reject: RCPT from y[192.0.2.2]:9: 550 "
       "5.1.1 x\"@b>",
     "deferred " WHO " -;"},
    {"escaped bytes",
     P "smtpd[1]: NOQUEUE: reject: RCPT" FROM "550 5.1.1 <\\303\\244??@d>: x",
     "unknown_user " WHO " -;"},
    {"another program",
     "Nov 23 02:00:00 mta sshd[1]: NOQUEUE: reject: RCPT" FROM "450 x", ""},
    {"another program that is asked to say it",
     "Nov 23 02:00:00 mta web[1]: postfix/smtpd[1]: NOQUEUE: reject: RCPT" FROM
     "450 x",
     ""},
    {"a program's name alone",
     "Nov 23 02:00:00 mta smtpd[1]: NOQUEUE: reject: RCPT" FROM "450 x", ""},
    {"no process", P "smtpd[]: NOQUEUE: reject: RCPT" FROM "450 x", ""},
    {"delivery by one who delivers nothing",
     CAME P "smtpd[2]: 4XyZ12: to=<c@d>" SENT "status=sent (x)", ""},
    {"nobody's address",
     P "smtpd[1]: NOQUEUE: reject: RCPT from unknown[unknown]: 450 x", ""},
    {"nobody's port",
     P "smtpd[1]: NOQUEUE: reject: RCPT from unknown[unknown]:unknown: 450 x",
     ""},
    {"port 0", P "smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.1]:0: 450 x",
     ""},
    {"port beyond",
     P "smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.1]:99999: 450 x", ""},
    {"port far beyond",
     P "smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.1]:4711471147: 450 x",
     ""},
    {"a name with a blank",
     P "smtpd[1]: NOQUEUE: reject: RCPT from a b[192.0.2.1]:4711: 450 x", ""},
    {"id of others", P "smtpd[1]: 4XyZ12\\303: client=x[192.0.2.1]:4711", ""},
    {"warnings", P "smtpd[1]: NOQUEUE: reject_warning: RCPT" FROM "450 x", ""},
};

static const struct row exim[] = {
    {"delivered",
     EXIM_CAME E ID " => box <c@d> R=all T=box\n" E ID " -> e <e@d> R=all",
     "delivered " WHO " " ID ";delivered " WHO " " ID ";"},
    {"long id, pid, milliseconds, zone",
     "2026-11-23 02:00:00.123 +0100 [77] 1vN3hP-00000000Ab1-2CdE <= a@b "
     "H=([192.0.2.7]) [2001:db8::1]:5 P=esmtps X=TLS1.3:y:256 S=3\n"
     "2026-11-23 02:00:01 1vN3hP-00000000Ab1-2CdE => c@d R=r T=t C=\"250 ok\"",
     "delivered [2001:db8::1]:5 1vN3hP-00000000Ab1-2CdE;"},
    {"by syslog",
     "Nov 23 02:00:00 mta exim[9]: H=(h) [192.0.2.1]:4711 F=<a@b> rejected "
     "RCPT <c@d>: Unrouteable address",
     "unknown_user " WHO " -;"},
    {"no port",
     E ID " <= a@b H=(h) [192.0.2.1] P=esmtp S=3\n" E ID " == c@d R=r defer",
     "deferred - " ID ";"},
    {"a bounce, with what it answers",
     E ID " <= <> R=1vN3hP-0000Ab-2D H=(h) [192.0.2.1]:4711 P=smtp\n" E ID
	  " ** c@d: no",
     "bounced " WHO " " ID ";"},
    {"local mail", E ID " <= r@h U=root P=local S=3\n" E ID " => c <c@d> R=r",
     ""},
    {"completed", EXIM_CAME E ID " Completed\n" E ID " => c <c@d> R=r", ""},
    {"thrown away", EXIM_CAME E ID " => :blackhole: <c@d> R=r", ""},
    {"relaying",
     E "H=x.example (h) [192.0.2.1]:4711 X=TLS1.3:y:256 CV=no F=<a@b> "
       "rejected RCPT <c@e>: relay not permitted",
     "rejected " WHO " -;"},
    {"later",
     E "H=x.example [192.0.2.1]:4711 F=<a@b> temporarily rejected RCPT <c@e>",
     "deferred " WHO " -;"},
    {"spam",
     E ID " H=(h) [192.0.2.1]:4711 F=<a@b> rejected after DATA: This is spam",
     "spam " WHO " " ID ";"},
    {"a virus",
     E ID " H=(h) [192.0.2.1]:4711 F=<a@b> rejected after DATA: virus found",
     "virus " WHO " " ID ";"},
    {"another reason after the text",
     E ID " H=(h) [192.0.2.1]:4711 F=<a@b> rejected after DATA: no date",
     "rejected " WHO " " ID ";"},
    {"recipient that says spam and unknown user",
     E "H=(h) [192.0.2.1]:4711 F=<a@b> rejected RCPT <\"user unknown> \"@d>: x",
     "rejected " WHO " -;"},
    {"sender with the words of a log",
     E "H=(h) [192.0.2.1]:4711 F=<\"x> rejected RCPT <\"@b> temporarily "
       "rejected RCPT <c@d>: x",
     "deferred " WHO " -;"},
    {"sender who is named like a host",
     E ID
     " <= \"x H=(h) [192.0.2.2]:9 \"@b H=(h) [192.0.2.1]:4711 P=smtp\n" E ID
     " ** c@d: no",
     "bounced " WHO " " ID ";"},
    {"sender with a blank",
     E ID " <= \"x H= \"@b H=(h) [192.0.2.1]:4711 P=smtp\n" E ID " ** c@d",
     "bounced " WHO " " ID ";"},
    {"helo that is an address and a port",
     E "H=(h) [192.0.2.2]:9 (x) [192.0.2.1]:4711 F=<a@b> rejected MAIL", ""},
    {"nothing refused", E "H=(h) [192.0.2.1]:4711 Warning: rejected MAIL", ""},
    {"no host", E "rejected HELO from [192.0.2.1]:4711: x", ""},
    {"no date", "H=(h) [192.0.2.1]:4711 F=<a@b> rejected RCPT <c@d>", ""},
    {"another program",
     "Nov 23 02:00:00 mta web[9]: exim[9]: H=(h) [192.0.2.1]:4711 rejected x",
     ""},
    {"port beyond", E "H=(h) [192.0.2.1]:70000 F=<a@b> rejected RCPT <c@d>",
     ""},
    {"no id", E "1vN3hP-0000Ab => c <c@d>", ""},
};

static const struct row rspamd[] = {
    {"ham", "{\"qid\":\"4XyZ12\",\"action\":\"no action\",\"score\":0.1}",
     "ham - 4XyZ12;"},
    {"spam", "{\"action\":\"reject\",\"qid\":\"4XyZ12\",\"ip\":\"192.0.2.1\"}",
     "spam - 4XyZ12;"},
    {"marked", "{\"qid\":\"4XyZ12\",\"action\":\"add header\"}",
     "spam - 4XyZ12;"},
    {"greylisted", "{\"qid\":\"4XyZ12\",\"action\":\"soft reject\"}",
     "deferred - 4XyZ12;"},
    {"no id", "{\"qid\":\"unknown\",\"action\":\"reject\"}", ""},
    {"an id that is none", "{\"qid\":\"a\\\"b c\",\"action\":\"reject\"}", ""},
    {"an id with a NUL",
     "{\"qid\":\"4XyZ12\\u0000\\\"\",\"action\":\"reject\"}", "spam - 4XyZ12;"},
    {"action of tomorrow", "{\"qid\":\"4XyZ12\",\"action\":\"x\"}", ""},
    {"numbers", "{\"qid\":412345,\"action\":7}", ""},
    {"list", "[\"reject\"]", ""},
    {"words of redis-cli", "message", ""},
    {"nothing", "", ""},
};

static char told[1000];

static void
hear(void *ctx, const struct verdict_out *out)
{
	size_t len = strlen(told);
	const char *client = out->client;

	(void)ctx;
	if (client == NULL || client[0] == '\0')
		client = "-";
	(void)snprintf(told + len, sizeof(told) - len, "%s %s %s;",
		       out->verdict, client, out->id != NULL ? out->id : "-");
}

static struct follow *
follow_new(void)
{
	struct follow *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->tell = hear;
	f->is_told = true;
	told[0] = '\0';
	return f;
}

/* A line in memory that ends where it ends. */
static void
take(struct follow *f, follow_line_fn *line_fn, const char *line, size_t len)
{
	char *copy = malloc(len + 1);

	assert_non_null(copy);
	memcpy(copy, line, len);
	copy[len] = '\0';
	line_fn(f, copy);
	free(copy);
}

static void
try_rows(const struct row *rows, size_t count, follow_line_fn *line_fn)
{
	for (size_t i = 0; i < count; i++) {
		struct follow *f = follow_new();
		const char *at = rows[i].lines;

		while (*at != '\0') {
			size_t len = strcspn(at, "\n");

			take(f, line_fn, at, len);
			at += len + (at[len] == '\n');
		}
		if (strcmp(told, rows[i].want) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", rows[i].label, told,
				 rows[i].want);
		free(f);
	}
}

static void
postfix_is_read(void **state)
{
	(void)state;
	try_rows(postfix, COUNT(postfix), follow_postfix_line);
}

static void
exim_is_read(void **state)
{
	(void)state;
	try_rows(exim, COUNT(exim), follow_exim_line);
}

static void
rspamd_is_read(void **state)
{
	(void)state;
	try_rows(rspamd, COUNT(rspamd), follow_rspamd_line);
}

/* Cut lines tell less, or the same; never of anybody else. */
static void
cut_lines_tell_of_nobody_else(const struct row *rows, size_t count,
			      follow_line_fn *line_fn)
{
	for (size_t i = 0; i < count; i++) {
		const char *last = strrchr(rows[i].lines, '\n');

		if (last != NULL)
			continue;
		for (size_t len = 0; len < strlen(rows[i].lines); len++) {
			struct follow *f = follow_new();

			take(f, line_fn, rows[i].lines, len);
			if (strstr(told, " 192.0.2.2:") != NULL)
				fail_msg("%s, cut to %zu: %s", rows[i].label,
					 len, told);
			free(f);
		}
	}
}

static void
lines_may_be_cut(void **state)
{
	(void)state;
	cut_lines_tell_of_nobody_else(postfix, COUNT(postfix),
				      follow_postfix_line);
	cut_lines_tell_of_nobody_else(exim, COUNT(exim), follow_exim_line);
}

/* More mails than are remembered: the rest is forgotten, not mixed up. */
static void
memory_is_fixed(void **state)
{
	struct follow *f = follow_new();
	char id[FOLLOW_ID_CAP];
	char client[ADDR_TEXT_CAP];
	unsigned known = 0;

	(void)state;
	for (unsigned i = 0; i < 3 * FOLLOW_MAILS; i++) {
		(void)snprintf(id, sizeof(id), "QUEUE%u", i);
		(void)snprintf(client, sizeof(client), "192.0.2.1:%u", i);
		follow_learn(f, id, client);
	}
	for (unsigned i = 0; i < 3 * FOLLOW_MAILS; i++) {
		const char *whose;

		(void)snprintf(id, sizeof(id), "QUEUE%u", i);
		(void)snprintf(client, sizeof(client), "192.0.2.1:%u", i);
		whose = follow_whose(f, id);
		known += whose != NULL;
		if (whose != NULL)
			assert_string_equal(whose, client);
	}
	assert_in_range(known, FOLLOW_MAILS / 2, FOLLOW_MAILS);
	free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(postfix_is_read),
	    cmocka_unit_test(exim_is_read),
	    cmocka_unit_test(rspamd_is_read),
	    cmocka_unit_test(lines_may_be_cut),
	    cmocka_unit_test(memory_is_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
