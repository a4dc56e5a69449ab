/* Reply delays: which replies wait, how long, and which never do. */
#include <string.h>

#include "tests/sim/scenario.h"

static const struct plan slow = {.reply_ms = 5000, .error_ms = 9000};

static void
open_relay(struct plan plan)
{
	scene_open(plan);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
}

static void
a_reply_waits(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("EHLO a\r\n");
	scene_mta_got("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_until(4999);
	scene_client_got("");
	scene_until(5000);
	scene_client_got("250 hello\r\n");
}

static void
the_mtas_own_time_counts(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 15000, .patience_ms = 60000});
	scene_client("EHLO a\r\n");
	scene_until(12000);
	scene_mta("250 hello\r\n");
	scene_until(19999);
	scene_client_got("");
	scene_until(20000);
	scene_client_got("250 hello\r\n");
}

static void
patience_ends_it(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 15000});
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_until(9000);
	scene_client_got("250 hello\r\n");
}

static void
errors_have_their_own_delay(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("RCPT TO:<a>\r\n");
	scene_mta("550 no\r\n");
	scene_until(8999);
	scene_client_got("");
	scene_until(9000);
	scene_client_got("550 no\r\n");
	scene_client("RCPT TO:<a>\r\n");
	scene_mta("451 later\r\n");
	scene_until(14000);
	scene_client_got("451 later\r\n");
}

static void
some_replies_never_wait(void **state)
{
	static const char *const rows[][2] = {
	    {"RSET\r\n", "250 r\r\n"},
	    {"NOOP\r\n", "250 n\r\n"},
	    {"QUIT\r\n", "221 q\r\n"},
	    {"STARTTLS\r\n", "454 not now\r\n"},
	    {"AUTH LOGIN\r\n", "334 x\r\n"},
	    {"BDAT 1\r\nx", "250 b\r\n"},
	    {"EHLO a\r\n", "421 4.3.2 going down\r\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_relay(slow);
		scene_client(rows[i][0]);
		scene_mta(rows[i][1]);
		scene_client_got(rows[i][1]);
	}
}

static void
the_dot_never_waits(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n");
	scene_mta("250 a\r\n250 b\r\n354 c\r\n");
	scene_until(5000);
	scene_client_got("250 a\r\n250 b\r\n354 c\r\n");
	scene_client("x\r\n.\r\n");
	scene_mta("250 queued\r\n");
	scene_client_got("250 queued\r\n");
}

static void
replies_keep_their_order(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_client("RSET\r\n");
	scene_until(1000);
	scene_client_got("");
	scene_mta("250 reset\r\n");
	scene_client_got("250 hello\r\n250 reset\r\n");
}

static void
a_callback_is_not_held_up(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("MAIL FROM:<>\r\n");
	scene_mta("250 a\r\n");
	scene_client_got("250 a\r\n");
	scene_client("RCPT TO:<b>\r\n");
	scene_mta("550 b\r\n");
	scene_client_got("550 b\r\n");
	scene_client("MAIL FROM:<a>\r\n");
	scene_mta("250 c\r\n");
	scene_client_got("");
	scene_until(5000);
	scene_client_got("250 c\r\n");
}

static void
the_budget_ends_all_delays(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000, .session_cap_ms = 8000});
	scene_client("EHLO a\r\n");
	scene_mta("250 a\r\n");
	scene_until(5000);
	scene_client_got("250 a\r\n");
	scene_client("MAIL FROM:<a>\r\n");
	scene_mta("250 b\r\n");
	scene_until(7999);
	scene_client_got("");
	scene_until(8000);
	scene_client_got("250 b\r\n");
	scene_client("RCPT TO:<a>\r\n");
	scene_mta("250 c\r\n");
	scene_client_got("250 c\r\n");
}

static void
a_release_lets_all_go(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_until(100);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	scene_client_got("250 hello\r\n");
}

static void
the_mtas_421_brings_all(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_mta("421 4.4.2 timeout\r\n");
	scene_client_got("250 hello\r\n421 4.4.2 timeout\r\n");
}

static void
prdr_is_followed(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 0});
	scene_client("MAIL FROM:<a> PRDR\r\nRCPT TO:<b>\r\n"
		     "RCPT TO:<c>\r\nDATA\r\n");
	scene_mta("250 a\r\n250 b\r\n250 c\r\n354 d\r\n");
	scene_client("x\r\n.\r\n");
	scene_mta("353 each\r\n250 b\r\n550 c\r\n");
	assert_int_equal(scene.s.counts.messages, 0);
	scene_mta("250 done\r\n");
	assert_int_equal(scene.s.counts.messages, 1);
	assert_false(scene.s.is_lost);
}

static void
what_is_too_long_to_hold_goes(void **state)
{
	static char line[1002];
	int i;

	(void)state;
	memset(line, 'x', 1000);
	memcpy(line, "250-", 4);
	memcpy(line + 998, "\r\n", 3);
	open_relay(slow);
	scene_client("HELP\r\n");
	for (i = 0; i < 8; i++)
		scene_mta(line);
	scene_client_got("");
	scene_mta(line);
	assert_int_equal(scene.out[SIDE_CLIENT].len, 10 + 9 * 1000);
	assert_false(scene.s.is_lost);
	scene_mta("250 end\r\n");
	assert_int_equal(scene.out[SIDE_CLIENT].len, 10 + 9 * 1000 + 9);
}

static void
a_lower_plan_acts_at_once(void **state)
{
	struct plan lower = {.reply_ms = 1000,
			     .reply_cap_ms = 20000,
			     .patience_ms = 9000,
			     .session_cap_ms = 120000};

	(void)state;
	open_relay(slow);
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_until(100);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &lower);
	scene_until(999);
	scene_client_got("");
	scene_until(1000);
	scene_client_got("250 hello\r\n");
}

static void
any_3xx_opens_the_payload(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 0});
	scene_client("DATA\r\n");
	scene_mta("334 odd\r\n");
	scene_client("QUIT\r\n.\r\n");
	scene_mta("250 taken\r\n");
	assert_int_equal(scene.s.counts.messages, 1);
	assert_int_equal(scene.leg->count, 0);
}

/* The first of the replies that end a message waits for none in front. */
static void
prdr_brings_what_is_held(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("MAIL FROM:<a> PRDR\r\nRCPT TO:<b>\r\n"
		     "BDAT 1 LAST\r\nx");
	scene_mta("250 a\r\n250 b\r\n");
	scene_client_got("");
	scene_mta("353 each\r\n");
	scene_client_got("250 a\r\n250 b\r\n353 each\r\n");
}

/* What need not wait when it is whole does not wait in half either. */
static void
half_a_reply_passes_if_the_whole_may(void **state)
{
	(void)state;
	open_relay(slow);
	scene_client("MAIL FROM:<>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\n");
	scene_mta("250 a\r\n250 b\r\n250-c\r\n");
	scene_until(5000);
	scene_client_got("250 a\r\n250 b\r\n250-c\r\n");
	scene_open((struct plan){.reply_ms = 3000});
	scene_until(20000);
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	world_event(&scene, EVENT_MTA_CONNECTED, SIDE_MTA, NULL);
	scene_mta("220 real\r\n");
	scene_client("EHLO a\r\n");
	scene_mta("250-a\r\n");
	scene_client_got("220 real\r\n250-a\r\n");
}

SCENES(cmocka_unit_test(a_reply_waits),
       cmocka_unit_test(the_mtas_own_time_counts),
       cmocka_unit_test(patience_ends_it),
       cmocka_unit_test(errors_have_their_own_delay),
       cmocka_unit_test(some_replies_never_wait),
       cmocka_unit_test(the_dot_never_waits),
       cmocka_unit_test(replies_keep_their_order),
       cmocka_unit_test(a_callback_is_not_held_up),
       cmocka_unit_test(the_budget_ends_all_delays),
       cmocka_unit_test(a_release_lets_all_go),
       cmocka_unit_test(the_mtas_421_brings_all),
       cmocka_unit_test(prdr_is_followed),
       cmocka_unit_test(what_is_too_long_to_hold_goes),
       cmocka_unit_test(a_lower_plan_acts_at_once),
       cmocka_unit_test(any_3xx_opens_the_payload),
       cmocka_unit_test(prdr_brings_what_is_held),
       cmocka_unit_test(half_a_reply_passes_if_the_whole_may))
