/* What MTAs say, and what it means: replies as the real programs word them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/outcome.h"

static const struct {
	const char *label;
	enum outcome_stage stage;
	uint16_t code;
	const char *text;
	enum outcome want;
} replies[] = {
#define AT_COMMAND OUTCOME_AT_COMMAND
#define AT_RCPT OUTCOME_AT_RECIPIENT
#define AT_DOT OUTCOME_AT_MESSAGE
#define AT_AUTH OUTCOME_AT_AUTH
    {"accepted", AT_DOT, 250, "2.0.0 Ok: queued as 4F", OUTCOME_DELIVERED},
    {"accepted without words", AT_DOT, 250, "", OUTCOME_DELIVERED},
    {"a recipient is not delivered yet", AT_RCPT, 250, "2.1.5 Ok",
     OUTCOME_NONE},
    {"go on", AT_COMMAND, 354, "End data with", OUTCOME_NONE},
    {"postfix: unknown", AT_RCPT, 550,
     "5.1.1 <x@y>: Recipient address rejected: User unknown in local "
     "recipient table",
     OUTCOME_UNKNOWN_USER},
    {"exim: unknown", AT_RCPT, 550, "Unrouteable address",
     OUTCOME_UNKNOWN_USER},
    {"sendmail: unknown", AT_RCPT, 550, "5.1.1 <x@y>... User unknown",
     OUTCOME_UNKNOWN_USER},
    {"opensmtpd: unknown", AT_RCPT, 550, "Invalid recipient: <x@y>",
     OUTCOME_UNKNOWN_USER},
    {"exchange online: unknown", AT_RCPT, 550,
     "5.4.1 Recipient address rejected: Access denied", OUTCOME_UNKNOWN_USER},
    {"only the status is known", AT_RCPT, 550, "5.1.", OUTCOME_UNKNOWN_USER},
    {"only the policy is known", AT_RCPT, 550, "5.7.", OUTCOME_POLICY},
    {"two digits", AT_RCPT, 550, "5.1.10 null MX", OUTCOME_UNKNOWN_USER},
    {"no such subject", AT_RCPT, 550, "5.11.1 what", OUTCOME_POLICY},
    {"no status after all", AT_RCPT, 550, "5x1.1 what", OUTCOME_UNKNOWN_USER},
    {"a bad address", AT_RCPT, 501, "5.1.3 bad address", OUTCOME_UNKNOWN_USER},
    {"the sender's domain", AT_RCPT, 553, "5.1.8 domain of sender",
     OUTCOME_POLICY},
    {"unknown, but later", AT_RCPT, 450, "4.1.1 not verified yet",
     OUTCOME_NEUTRAL},
    {"to MAIL", AT_COMMAND, 550, "5.1.1 no such sender", OUTCOME_POLICY},
    {"postfix: relay", AT_RCPT, 554, "5.7.1 <x@y>: Relay access denied",
     OUTCOME_RELAY},
    {"postfix: relay, deferred", AT_RCPT, 454,
     "4.7.1 <x@y>: Relay access denied", OUTCOME_RELAY},
    {"exim: relay", AT_RCPT, 550, "relay not permitted", OUTCOME_RELAY},
    {"sendmail: relay", AT_RCPT, 550, "5.7.1 <x@y>... Relaying denied",
     OUTCOME_RELAY},
    {"haraka: relay", AT_RCPT, 550, "I cannot deliver mail for <x@y>",
     OUTCOME_RELAY},
    {"qmail: relay", AT_RCPT, 553,
     "sorry, that domain isn't in my allowed list of rcpthosts (#5.7.1)",
     OUTCOME_RELAY},
    {"exchange: relay", AT_RCPT, 550, "5.7.54 SMTP; Unable", OUTCOME_RELAY},
    {"a black list", AT_RCPT, 554,
     "5.7.1 Service unavailable; Client host [1.2.3.4] blocked using zen",
     OUTCOME_POLICY},
    {"SPF", AT_COMMAND, 550, "5.7.23 SPF validation failed", OUTCOME_POLICY},
    {"no PTR", AT_COMMAND, 554, "5.7.25 no reverse", OUTCOME_POLICY},
    {"a greeting that is none", AT_COMMAND, 554, "go away", OUTCOME_POLICY},
    {"rspamd's milter", AT_DOT, 554, "5.7.1 Spam message rejected",
     OUTCOME_SPAM},
    {"exim: content", AT_DOT, 550, "This message contains malware",
     OUTCOME_SPAM},
    {"bad MIME", AT_DOT, 554, "5.6.0 bad content", OUTCOME_SPAM},
    {"too large at the dot", AT_DOT, 552, "5.3.4 Message too big",
     OUTCOME_NEUTRAL},
    {"too large, no status", AT_DOT, 552, "too much", OUTCOME_NEUTRAL},
    {"mailbox full", AT_RCPT, 552, "5.2.2 Over quota", OUTCOME_NEUTRAL},
    {"full for now", AT_RCPT, 452, "4.2.2 Over quota", OUTCOME_NEUTRAL},
    {"greylisted", AT_RCPT, 451, "4.7.1 Greylisting in action",
     OUTCOME_NEUTRAL},
    {"greylisted at the dot", AT_DOT, 451, "4.7.1 Try again later",
     OUTCOME_NEUTRAL},
    {"server trouble", AT_DOT, 451, "4.3.0 queue file write error",
     OUTCOME_NEUTRAL},
    {"closing", AT_COMMAND, 421, "4.3.2 shutting down", OUTCOME_NEUTRAL},
    {"a login first", AT_COMMAND, 530, "5.7.0 Must issue STARTTLS first",
     OUTCOME_NEUTRAL},
    {"out of order", AT_COMMAND, 503, "5.5.1 Error: need MAIL command",
     OUTCOME_PROTOCOL},
    {"no such command", AT_COMMAND, 502, "5.5.2 Error: command not recognized",
     OUTCOME_PROTOCOL},
    {"synchronization", AT_COMMAND, 554, "5.5.0 Error: SMTP protocol sync",
     OUTCOME_PROTOCOL},
    {"exim: synchronization", AT_RCPT, 503, "sender not yet given",
     OUTCOME_PROTOCOL},
    {"a bare LF", AT_DOT, 421, "4.5.0 bare <LF> received", OUTCOME_PROTOCOL},
    {"wrong password", AT_AUTH, 535, "5.7.8 Error: authentication failed",
     OUTCOME_AUTH_FAILURE},
    {"the directory is away", AT_AUTH, 454, "4.7.0 Temporary failure",
     OUTCOME_NEUTRAL},
};

static void
classes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
		enum outcome is =
		    outcome_of(replies[i].stage, replies[i].code,
			       replies[i].text, strlen(replies[i].text));
		if (is != replies[i].want)
			fail_msg("%s: %s", replies[i].label, outcome_name(is));
	}
}

#define SIXTY "012345678901234567890123456789012345678901234567890123456789"

static const struct {
	const char *text;
	const char *want;
} ids[] = {
    {"2.0.0 Ok: queued as 4cXk2w1Zz9z9", "4cXk2w1Zz9z9"},
    {"2.0.0 Ok: queued as 9A1B2C3D4E\r\n", "9A1B2C3D4E"},
    {"OK id=1tEaBC-0000Ab-2x", "1tEaBC-0000Ab-2x"},
    {"2.0.0 4AMN5xyz012345 Message accepted for delivery", "4AMN5xyz012345"},
    {"2.0.0 7d3a1b2c Message accepted for delivery", "7d3a1b2c"},
    {"Message Queued (0A1B2C3D-4E5F.1)", "0A1B2C3D-4E5F.1"},
    {"ok 1700000000 qp 12345", "12345"},
    {"2.0.0 OK 1700000000 a1-20 - gsmtp", ""},
    {"2.0.0 Ok", ""},
    {"queued as ", ""},
    {"queued as \"quoted\"", ""},
    {"", ""},
    {"queued as " SIXTY "123", SIXTY "123"},
    {"queued as " SIXTY "1234", ""},
};

static void
queue_ids(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		char id[OUTCOME_QUEUE_ID_CAP + 1];
		size_t n =
		    outcome_queue_id(ids[i].text, strlen(ids[i].text), id);

		if (strlen(ids[i].want) != n || memcmp(id, ids[i].want, n) != 0)
			fail_msg("%s: %s", ids[i].text, id);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(classes),
	    cmocka_unit_test(queue_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
