#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tarry/smtp.h"
#include "tests/unit/guard.h"

#define LONG_64                                                                \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LONG_1K                                                                \
	LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64        \
	    LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64
/*
 * What is seen, one letter an event, in small letters the verbs that matter:
 * C other command, h HELO, e EHLO, m MAIL, n MAIL from the null sender, r RCPT,
 * d DATA, b BDAT, l BDAT LAST, s STARTTLS, a AUTH, q QUIT, then D dot,
 * K chunk, T AUTH text, X lost. `354` etc. cannot be in the client's bytes:
 * the test answers DATA with 354, AUTH with 334 once, STARTTLS with 220.
 */
struct row {
	const char *label;
	const char *bytes;
	const char *want;
	bool at_odd_dot;
	size_t len; /* 0: strlen */
};

static const struct row rows[] = {
    {"a plain session",
     "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c>\r\nDATA\r\n"
     "hi\r\n.\r\nQUIT\r\n",
     "emrdDq"},
    {"any case, any blanks", "eHlO  a\r\nmail \t FROM:<a>\r\nquit \r\n", "emq"},
    {"bare line feeds", "HELO a\nMAIL FROM:<>\nQUIT\n", "hnq"},
    {"a verb is a whole word", "EHLOX\r\nQUI\r\nQUITT\r\n", "CCC"},
    {"empty lines", "\r\n\n", "CC"},
    {"null sender, blanks", "MAIL FROM: <> SIZE=1\r\n", "n"},
    {"null sender, case", "mail from:<>\r\n", "n"},
    {"not the null sender", "MAIL FROM:<a@b>\r\nMAIL FROM:\r\nMAIL <>\r\n",
     "mmm"},
    {"null sender at the line's end", "MAIL FROM:<", ""},
    {"dot at once", "DATA\r\n.\r\n", "dD"},
    {"dot stuffing is no dot", "DATA\r\n..\r\n.x\r\n.\r\n", "dD"},
    {"a dot must stand alone", "DATA\r\nx.\r\n. \r\n.\r\n", "dD"},
    {"CR CR LF is no line end", "DATA\r\nx\r\r\n.\r\n", "dD"},
    {"LF . LF is not our dot", "DATA\r\nx\n.\n", "dO", true},
    {"LF . CRLF is not our dot", "DATA\r\nx\n.\r\n", "dO", true},
    {"CRLF . LF is not our dot", "DATA\r\nx\r\n.\n", "dO", true},
    {"CR . CR is not our dot", "DATA\r\nx\r.\r", "d", true},
    {"CRLF . CR CRLF is not our dot", "DATA\r\nx\r\n.\r\r\n", "dO", true},
    {"odd dot at the very beginning", "DATA\r\n.\n", "dO", true},
    {"an odd dot is over with the next byte", "DATA\r\nx\n.\ny", "dO"},
    {"two dots are none", "DATA\r\nx\n..\n", "d"},
    {"line ends behind an odd dot",
     "DATA\r\nx\n.\n\n\r\r\n\n\n\n\n\n\n\n\n\n\n", "dO", true},
    {"an odd dot behind many bytes", "DATA\r\n" LONG_64 "\n.\n", "dO", true},
    {"LF . CR CR LF", "DATA\r\nx\n.\r\r\n", "dO", true},
    {"CR in front of the dot is in the text", "DATA\r\nx\r.\r\n", "d", true},
    {"text behind a dot", "DATA\r\n.x\n.\rx\n. \n", "d"},
    {"an odd form is asked about once", "DATA\r\nx\n.\n.\n\n.\n", "dO", true},
    {"and each form for itself", "DATA\r\n.\n.\n.\r\n\r\n.\r\r\n", "dOOOO",
     true},
    {"the dot behind odd ones", "DATA\r\n.\n.\r\n.\r\nQUIT\r\n", "dOODq"},
    {"commands behind the dot", "DATA\r\n.\r\nRSET\r\nQUIT\r\n", "dDCq"},
    {"BDAT counts octets", "BDAT 5\r\n.\r\n.\nBDAT 3 LAST\r\nabcQUIT\r\n",
     "bKlKq"},
    {"BDAT 0 LAST", "BDAT 0 LAST\r\nQUIT\r\n", "lq"},
    {"BDAT without a size", "BDAT\r\nBDAT x\r\nBDAT 5x\r\nQUIT\r\n", "bbbq"},
    {"BDAT last in small letters", "bdat 1 last\r\nx", "lK"},
    {"BDAT of 2^63 and more", "BDAT 9223372036854775807\r\n", "X"},
    {"BDAT of 10^18", "BDAT 1000000000000000000\r\nabc", "b"},
    {"AUTH, a text, then commands", "AUTH LOGIN\r\nQUIT\r\nQUIT\r\n", "aTq"},
    {"STARTTLS, then anything", "STARTTLS\r\n\x16\x03QUIT\r\n", "s"},
    {"TLS on connect", "\x16\x03\x01", "X"},
    {"0x16 later is only a bad command", "NOOP\r\n\x16\r\n", "CC"},
    {"a NUL in a command", "NO\0P\r\nQUIT\r\n", "Cq", false, 12},
    {"a long line that ends", LONG_1K "\r\nQUIT\r\n", "Cq"},
};

static char
command_letter(const struct smtp_command *cmd)
{
	switch ((int)cmd->verb) {
	case SMTP_HELO:
		return 'h';
	case SMTP_EHLO:
		return 'e';
	case SMTP_MAIL:
		return cmd->null_sender ? 'n' : 'm';
	case SMTP_RCPT:
		return 'r';
	case SMTP_DATA:
		return 'd';
	case SMTP_BDAT:
		return cmd->is_last ? 'l' : 'b';
	case SMTP_STARTTLS:
		return 's';
	case SMTP_AUTH:
		return 'a';
	case SMTP_QUIT:
		return 'q';
	default:
		return 'C';
	}
}

static void
answer(struct smtp_client *c, char letter)
{
	if (c->mode != SMTP_WAITING)
		return;
	c->mode = letter == 's' ? SMTP_OPAQUE : SMTP_COMMANDS;
	if (letter == 'd')
		smtp_client_payload(c);
	if (letter == 'a')
		c->mode = SMTP_AUTH_TEXT;
}

/* Reads a part; false once lost. */
static bool
read_part(struct smtp_client *c, const uint8_t *bytes, size_t len, char *seen)
{
	size_t at = 0;

	while (at < len) {
		struct smtp_command cmd = {.verb = SMTP_OTHER};
		size_t used = 99999;
		char letter = '?';

		switch (
		    smtp_client_read(c, bytes + at, len - at, &used, &cmd)) {
		case SMTP_CLIENT_MORE:
			assert_int_equal(used, len - at);
			return true;
		case SMTP_CLIENT_COMMAND:
			letter = command_letter(&cmd);
			break;
		case SMTP_CLIENT_DOT:
			letter = 'D';
			break;
		case SMTP_CLIENT_MAYBE:
			letter = 'O';
			smtp_client_was_text(c);
			break;
		case SMTP_CLIENT_CHUNK:
			letter = 'K';
			break;
		case SMTP_CLIENT_AUTH:
			letter = 'T';
			break;
		case SMTP_CLIENT_LOST:
			strcat(seen, "X");
			return false;
		}
		assert_true(used > 0 && used <= len - at);
		at += used;
		seen[strlen(seen) + 1] = '\0';
		seen[strlen(seen)] = letter;
		answer(c, letter);
	}
	return true;
}

static void
check(const struct row *row, size_t len, size_t split)
{
	struct smtp_client c = {0};
	char seen[64] = "";
	const uint8_t *part = guard_copy(row->bytes, split);

	if (read_part(&c, part, split, seen)) {
		part = guard_copy(row->bytes + split, len - split);
		(void)read_part(&c, part, len - split, seen);
	}
	if (strcmp(seen, row->want) != 0 ||
	    smtp_client_at_odd_dot(&c) != row->at_odd_dot)
		fail_msg("%s, split at %zu: saw %s, wanted %s; odd dot %d",
			 row->label, split, seen, row->want,
			 smtp_client_at_odd_dot(&c));
}

static void
client_streams(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = rows[i].len ? rows[i].len : strlen(rows[i].bytes);
		size_t split;

		for (split = 0; split <= len; split++)
			check(&rows[i], len, split);
	}
}

static void
line_limit(void **state)
{
	static uint8_t line[SMTP_LINE_MAX + 1];
	struct smtp_client c = {0};
	struct smtp_command cmd;
	size_t used;

	(void)state;
	memset(line, 'x', sizeof(line));
	assert_int_equal(smtp_client_read(&c, line, SMTP_LINE_MAX, &used, &cmd),
			 SMTP_CLIENT_MORE);
	assert_int_equal(smtp_client_read(&c, line, 1, &used, &cmd),
			 SMTP_CLIENT_LOST);
	memset(&c, 0, sizeof(c));
	assert_int_equal(smtp_client_read(&c, line, sizeof(line), &used, &cmd),
			 SMTP_CLIENT_LOST);
}

static void
waiting_reads_nothing(void **state)
{
	struct smtp_client c = {.mode = SMTP_WAITING};
	struct smtp_command cmd;
	size_t used = 5;

	(void)state;
	assert_int_equal(
	    smtp_client_read(&c, (const uint8_t *)"QUIT\r\n", 6, &used, &cmd),
	    SMTP_CLIENT_MORE);
	assert_int_equal(used, 0);
}

static void
an_odd_end_is_asked_about_again_if_it_was_one(void **state)
{
	static const uint8_t end[] = ".\n";
	struct smtp_client c = {0};
	struct smtp_command cmd;
	size_t used;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		smtp_client_payload(&c);
		assert_int_equal(smtp_client_read(&c, end, 2, &used, &cmd),
				 SMTP_CLIENT_MAYBE);
		assert_int_equal(smtp_client_read(&c, end, 2, &used, &cmd),
				 SMTP_CLIENT_MORE);
		assert_int_equal(used, 0);
		assert_true(smtp_client_at_odd_dot(&c));
		smtp_client_was_end(&c);
		assert_int_equal(c.mode, SMTP_COMMANDS);
	}
}

static void
starttls_as_far_as_it_is_there(void **state)
{
	static const struct {
		const char *line;
		bool want;
	} words[] = {
	    {"s", true},
	    {"STARTTLS", true},
	    {"StArTtLs \t ", true},
	    {"starttls\r", true},
	    {"STARTTLS\r\n", true},
	    {"STARTTLS\n", true},
	    {"", false},
	    {"STARTTLX", false},
	    {"STARTTLSX", false},
	    {"STARTTLS x", false},
	    {"STARTTLS\r\r", false},
	    {" STARTTLS", false},
	    {"S\n", false},
	    {"\x13TARTTLS", false},
	};
	struct smtp_client c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
		size_t len = strlen(words[i].line);

		memset(&c, 0, sizeof(c));
		memcpy(c.line, words[i].line, len);
		if (smtp_client_is_starttls(&c, len) != words[i].want)
			fail_msg("%s", words[i].line);
	}
	memset(c.line, ' ', sizeof(c.line));
	memcpy(c.line, "STARTTLS", 8);
	assert_true(smtp_client_is_starttls(&c, sizeof(c.line)));
	assert_false(smtp_client_is_starttls(&c, sizeof(c.line) + 1));
}

static void
verb_table(void **state)
{
	(void)state;
	assert_string_equal(smtp_verb_name(SMTP_RCPT), "RCPT");
	assert_int_equal(smtp_verb_arms(SMTP_TURN), SMTP_BLIND);
	assert_int_equal(smtp_verb_delay(SMTP_DOT), SMTP_DELAY_NONE);
	assert_int_equal(smtp_verb_delay(SMTP_DATA), SMTP_DELAY_DATA);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(client_streams),
	    cmocka_unit_test(line_limit),
	    cmocka_unit_test(waiting_reads_nothing),
	    cmocka_unit_test(an_odd_end_is_asked_about_again_if_it_was_one),
	    cmocka_unit_test(starttls_as_far_as_it_is_there),
	    cmocka_unit_test(verb_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
