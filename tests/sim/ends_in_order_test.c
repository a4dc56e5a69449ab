/* How sessions end: half-closes, a client that leaves, an MTA that dies, a
 * drain; and what happens when track is lost. */
#include "tests/sim/scenario.h"

static void
open_relay(struct plan plan)
{
	scene_open(plan);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
}

static void
open_data(struct plan plan)
{
	open_relay(plan);
	scene_client("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n");
	scene_mta("250 a\r\n250 b\r\n354 c\r\n");
	scene_until(20000);
	scene_client_got("250 a\r\n250 b\r\n354 c\r\n");
	scene_mta_got("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n");
}

/* Exim: body, QUIT and FIN before the reply to the dot. */
static void
half_close_before_the_dots_reply(void **state)
{
	(void)state;
	open_data((struct plan){.reply_ms = 2000});
	scene_client("x\r\n.\r\nQUIT\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	scene_mta_got("x\r\n.\r\nQUIT\r\n");
	assert_true(scene.out[SIDE_MTA].fin);
	scene_until(60000);
	assert_false(scene.has_ended);
	scene_mta("250 queued\r\n221 bye\r\n");
	scene_client_got("250 queued\r\n221 bye\r\n");
	world_shuts(&scene, SIDE_MTA);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_ended(REASON_QUIT);
	assert_int_equal(scene.s.counts.messages, 1);
}

/* It may still want the greeting, but not for five minutes. */
static void
a_client_that_wants_nothing_is_not_waited_for(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_connect();
	world_shuts(&scene, SIDE_CLIENT);
	scene_until(19999);
	assert_false(scene.has_ended);
	scene_until(20001);
	scene_ended(REASON_CLIENT_CLOSED);
}

static void
an_mta_that_closes_on_it_is_not_dialled_again(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_connect();
	world_shuts(&scene, SIDE_CLIENT);
	world_shuts(&scene, SIDE_MTA);
	scene_ended(REASON_CLIENT_CLOSED);
}

static void
leaving_in_a_held_reply_is_giving_up(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_until(3000);
	world_event(&scene, EVENT_ERROR, SIDE_CLIENT, NULL);
	scene_ended(REASON_GAVE_UP);
	assert_int_equal(scene.s.counts.gave_up_ms, 3000);
}

static void
leaving_without_a_hold_is_not(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_until(3000);
	world_event(&scene, EVENT_ERROR, SIDE_CLIENT, NULL);
	scene_ended(REASON_CLIENT_RESET);
}

static void
a_fin_flushes_what_is_held(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n");
	scene_until(1000);
	world_shuts(&scene, SIDE_CLIENT);
	scene_client_got("250 hello\r\n");
	assert_true(scene.out[SIDE_MTA].fin);
	world_shuts(&scene, SIDE_MTA);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_ended(REASON_GAVE_UP);
}

static void
an_mta_that_dies_after_the_dot_says_nothing(void **state)
{
	(void)state;
	open_data((struct plan){.reply_ms = 0});
	scene_client("x\r\n.\r\n");
	world_event(&scene, EVENT_ERROR, SIDE_MTA, NULL);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_client_got("");
	assert_true(scene.out[SIDE_CLIENT].fin);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_MTA_RESET);
	assert_int_equal(scene.s.counts.messages, 0);
}

static void
a_client_that_does_not_close_is_let_go(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 0});
	world_shuts(&scene, SIDE_MTA);
	scene_until(1);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_until(SESSION_LINGER_MS - 1);
	assert_false(scene.has_ended);
	scene_until(SESSION_LINGER_MS + 1);
	scene_ended(REASON_MTA_CLOSED);
}

/* Eighty clients that do not close must not keep eighty MTA slots. */
static void
lingering_keeps_no_slot(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 0});
	scene_client("EHLO a\r\n");
	scene_mta("421 4.3.2 full\r\n");
	world_shuts(&scene, SIDE_MTA);
	scene_client_got("421 4.3.2 full\r\n");
	assert_false(scene.has_ended);
	assert_int_equal(scene.returns, 1);
	assert_null(scene.leg);
}

static void
silence_ends_after_a_quarter_of_an_hour(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 0});
	scene_until(899999);
	assert_int_equal(scene.s.phase, PHASE_RELAY);
	scene_until(900000);
	assert_int_not_equal(scene.s.phase, PHASE_RELAY);
	world_shuts(&scene, SIDE_CLIENT);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_ended(REASON_IDLE);
}

static void
quit_ends_without_waiting_for_the_client(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 0});
	scene_client("QUIT\r\n");
	scene_mta("221 bye\r\n");
	world_shuts(&scene, SIDE_MTA);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_client_got("221 bye\r\n");
	scene_ended(REASON_QUIT);
}

static void
a_drain_ends_delays_not_sessions(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 15000});
	scene_until(1000);
	world_event(&scene, EVENT_DRAIN, SIDE_CLIENT, NULL);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
	world_event(&scene, EVENT_CUT, SIDE_CLIENT, NULL);
	scene_ended(REASON_DRAINED);
}

static void
starttls_is_opaque_behind_its_220(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("STARTTLS\r\n");
	scene_mta("220 go\r\n");
	scene_client_got("220 go\r\n");
	assert_int_equal(scene.s.phase, PHASE_BLIND);
	assert_true(scene.s.is_opaque);
	scene_client("\x16\x03\x01");
	scene_mta_got("STARTTLS\r\n\x16\x03\x01");
	scene_mta("\x16\x03\x03");
	scene_client_got("\x16\x03\x03");
}

static void
an_unasked_reply_loses_track(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta("250 hello\r\n250 and more\r\n");
	scene_client_got("250 hello\r\n250 and more\r\n");
	assert_true(scene.s.is_lost);
	scene_client("MAIL FROM:<a>\r\n");
	scene_mta("250 b\r\n");
	scene_client_got("250 b\r\n");
}

/* A FIN behind a QUIT or a message is how some clients always end. */
static void
shutting_behind_quit_is_not_giving_up(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\nQUIT\r\n");
	scene_mta("250 hello\r\n");
	scene_until(1000);
	world_shuts(&scene, SIDE_CLIENT);
	assert_int_equal(scene.s.reason, REASON_NONE);
}

static void
shutting_behind_a_message_is_not_giving_up(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 1 LAST\r\nx");
	scene_mta("250 a\r\n");
	scene_until(1000);
	world_shuts(&scene, SIDE_CLIENT);
	assert_int_equal(scene.s.reason, REASON_NONE);
	scene_mta("250 b\r\n250 queued\r\n");
	scene_client_got("250 a\r\n250 b\r\n250 queued\r\n");
}

static void
half_a_reply_is_passed_when_the_mta_ends(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta("250-hello\r\n250-PIPE");
	scene_client_got("");
	world_shuts(&scene, SIDE_MTA);
	scene_client_got("250-hello\r\n250-PIPE");
}

static void
an_mta_that_stays_behind_quit_is_left(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 0});
	scene_client("QUIT\r\n");
	scene_mta("221 bye\r\n");
	scene_until(1999);
	assert_false(scene.has_ended);
	scene_until(2000);
	scene_ended(REASON_QUIT);
}

SCENES(cmocka_unit_test(a_client_that_wants_nothing_is_not_waited_for),
       cmocka_unit_test(an_mta_that_closes_on_it_is_not_dialled_again),
       cmocka_unit_test(half_close_before_the_dots_reply),
       cmocka_unit_test(leaving_in_a_held_reply_is_giving_up),
       cmocka_unit_test(leaving_without_a_hold_is_not),
       cmocka_unit_test(a_fin_flushes_what_is_held),
       cmocka_unit_test(an_mta_that_dies_after_the_dot_says_nothing),
       cmocka_unit_test(a_client_that_does_not_close_is_let_go),
       cmocka_unit_test(lingering_keeps_no_slot),
       cmocka_unit_test(silence_ends_after_a_quarter_of_an_hour),
       cmocka_unit_test(quit_ends_without_waiting_for_the_client),
       cmocka_unit_test(a_drain_ends_delays_not_sessions),
       cmocka_unit_test(starttls_is_opaque_behind_its_220),
       cmocka_unit_test(an_unasked_reply_loses_track),
       cmocka_unit_test(shutting_behind_quit_is_not_giving_up),
       cmocka_unit_test(shutting_behind_a_message_is_not_giving_up),
       cmocka_unit_test(half_a_reply_is_passed_when_the_mta_ends),
       cmocka_unit_test(an_mta_that_stays_behind_quit_is_left))
