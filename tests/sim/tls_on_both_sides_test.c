/* STARTTLS where the MTA's side becomes TLS too: the MTA answers it, first
 * with its handshake and then the client with its own. */
#include <string.h>

#include "tests/sim/scenario.h"

#define GO_AHEAD "220 2.0.0 go ahead\r\n"
#define EHLO_REPLY "250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n"

static void
open_relay(struct plan plan)
{
	scene_open(plan);
	scene.site.has_tls = true;
	scene.site.mta_tls = true;
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
}

static void
ask(void)
{
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("starttls\r\n");
	scene_until(1);
	scene_mta_got("STARTTLS\r\n");
	scene_client_got("");
}

static void
flush(void)
{
	while (scene.wants_flushed)
		world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
}

/* The MTA's handshake is over; the client's begins. */
static void
mta_is_up(void)
{
	assert_true(scene.is_mta_shaking);
	assert_false(scene.is_shaking);
	scene_client_got("");
	world_event(&scene, EVENT_TLS_UP, SIDE_MTA, NULL);
	flush();
}

static void
both_shake_hands_mta_first(void **state)
{
	(void)state;
	ask();
	scene_mta(GO_AHEAD);
	mta_is_up();
	scene_client_got(GO_AHEAD);
	assert_true(scene.is_shaking);
	world_event(&scene, EVENT_TLS_UP, SIDE_CLIENT, NULL);
	assert_int_equal(scene.s.tls, SESSION_TLS_UP);
	assert_int_equal(scene.s.phase, PHASE_RELAY);
	assert_false(scene.s.counts.own_starttls);
	scene_client("EHLO a\r\n");
	scene_mta_got("EHLO a\r\n");
	scene_mta("250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n");
	scene_client_got("250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n");
	assert_int_equal(scene.s.counts.own_removed, 0);
}

/* It is the MTA's keyword, and it alone knows whether it is to be there. */
static void
the_keyword_is_the_mtas(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("EHLO a\r\n");
	scene_mta("250-mx\r\n250 SIZE\r\n");
	scene_client_got("250-mx\r\n250 SIZE\r\n");
	scene_mta_got("EHLO a\r\n");
	scene_client("EHLO a\r\n");
	scene_mta(EHLO_REPLY);
	scene_client_got(EHLO_REPLY);
	assert_int_equal(scene.s.counts.own_added, 0);
}

static void
the_go_ahead_may_come_in_pieces(void **state)
{
	static const char reply[] = "220-2.0.0 well,\r\n" GO_AHEAD;
	size_t i;

	(void)state;
	ask();
	for (i = 0; i + 1 < sizeof(reply); i++) {
		const char one[2] = {reply[i], '\0'};

		assert_false(scene.is_mta_shaking);
		scene_mta(one);
		scene_client_got("");
	}
	mta_is_up();
	scene_client_got("220-2.0.0 well,\r\n" GO_AHEAD);
	assert_true(scene.is_shaking);
}

/* CVE-2011-0411, from the other side: an answer that nobody could vouch for
 * must not be taken for one that came within TLS. */
static void
words_behind_the_go_ahead_are_thrown_away(void **state)
{
	(void)state;
	ask();
	scene_mta(GO_AHEAD "250 AUTH PLAIN\r\n");
	assert_int_equal(scene.discarded, 16);
	mta_is_up();
	scene_client_got(GO_AHEAD);
	world_event(&scene, EVENT_TLS_UP, SIDE_CLIENT, NULL);
	scene_client_got("");
}

static void
what_the_client_said_behind_it_too(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\nRSET\r\n");
	scene_until(1);
	scene_mta_got("STARTTLS\r\n");
	scene_mta(GO_AHEAD);
	mta_is_up();
	scene_client_got(GO_AHEAD);
	assert_int_equal(scene.discarded, 6);
	world_event(&scene, EVENT_TLS_UP, SIDE_CLIENT, NULL);
	scene_mta_got("");
}

/* And the session goes on in the clear; it may ask again. */
static void
a_refusal_is_the_clients_answer(void **state)
{
	(void)state;
	ask();
	scene_mta("454-4.7.0 not\r\n454 4.7.0 now\r\n");
	scene_client_got("454-4.7.0 not\r\n454 4.7.0 now\r\n");
	assert_int_equal(scene.s.phase, PHASE_RELAY);
	scene_client("NOOP\r\n");
	scene_mta_got("NOOP\r\n");
	scene_mta("250 ok\r\n");
	scene_client_got("250 ok\r\n");
	scene_client("STARTTLS\r\n");
	scene_until(2);
	scene_mta_got("STARTTLS\r\n");
	scene_mta(GO_AHEAD);
	mta_is_up();
	scene_client_got(GO_AHEAD);
}

static void
close_both(void)
{
	flush();
	assert_true(scene.out[SIDE_CLIENT].fin);
	assert_int_equal(scene.hang_ups, 1);
	scene_client_got("");
	world_shuts(&scene, SIDE_CLIENT);
}

static void
a_failed_handshake_with_the_mta_ends_in_order(void **state)
{
	(void)state;
	ask();
	scene_mta(GO_AHEAD);
	world_event(&scene, EVENT_TLS_FAILED, SIDE_MTA, NULL);
	close_both();
	scene_ended(REASON_MTA_TLS_FAILED);
}

static void
a_slow_handshake_with_the_mta_ends(void **state)
{
	(void)state;
	ask();
	scene_mta(GO_AHEAD);
	scene_until(59999);
	assert_false(scene.out[SIDE_CLIENT].fin);
	print_message("dl %llu now %llu phase %d tls %d pm %u\n",
		      (unsigned long long)world_deadline(&scene),
		      (unsigned long long)scene.now_ms, scene.s.phase,
		      scene.s.tls, scene.s.phase_ms);
	scene_until(60000);
	print_message("dl %llu now %llu phase %d tls %d pm %u\n",
		      (unsigned long long)world_deadline(&scene),
		      (unsigned long long)scene.now_ms, scene.s.phase,
		      scene.s.tls, scene.s.phase_ms);
	close_both();
	scene_ended(REASON_MTA_TLS_FAILED);
}

static void
an_mta_that_does_not_answer_ends_it(void **state)
{
	(void)state;
	ask();
	scene_until(59999);
	assert_false(scene.out[SIDE_CLIENT].fin);
	scene_until(60000);
	close_both();
	scene_ended(REASON_MTA_TLS_FAILED);
}

/* Their time begins anew, and not with that of the refusal. */
static void
replies_behind_a_refusal_are_held(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000, .rank = 1});
	scene_client("STARTTLS\r\n");
	scene_until(1);
	scene_mta_got("STARTTLS\r\n");
	scene_mta("454 4.7.0 not now\r\n");
	scene_client_got("454 4.7.0 not now\r\n");
	scene_until(60000);
	scene_client("EHLO a\r\n");
	scene_mta_got("EHLO a\r\n");
	scene_mta("250 mx\r\n");
	scene_until(64999);
	scene_client_got("");
	scene_until(65000);
	scene_client_got("250 mx\r\n");
}

static void
what_is_no_reply_ends_it(void **state)
{
	(void)state;
	ask();
	scene_mta("\x16\x03\x01");
	close_both();
	scene_ended(REASON_MTA_TLS_FAILED);
}

static void
an_endless_reply_ends_it(void **state)
{
	char line[1001];
	unsigned i;

	(void)state;
	ask();
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "220-", 4);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	for (i = 0; i * (sizeof(line) - 1) <= SESSION_HELD_CAP; i++) {
		assert_int_equal(scene.hang_ups, 0);
		scene_mta(line);
	}
	close_both();
	scene_ended(REASON_MTA_TLS_FAILED);
}

static void
the_mta_may_leave_instead(void **state)
{
	(void)state;
	ask();
	world_shuts(&scene, SIDE_MTA);
	close_both();
	scene_ended(REASON_MTA_CLOSED);
}

static void
the_client_may_leave_meanwhile(void **state)
{
	(void)state;
	ask();
	scene_mta(GO_AHEAD);
	world_shuts(&scene, SIDE_CLIENT);
	flush();
	scene_ended(REASON_CLIENT_CLOSED);
	assert_int_equal(scene.hang_ups, 1);
}

/* Nothing of ours may wait on the way, as the handshakes must not. */
static void
replies_before_it_are_hurried(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000, .rank = 1});
	scene_client("EHLO a\r\n");
	scene_mta("250 mx\r\n");
	scene_client("STARTTLS\r\n");
	scene_until(1);
	scene_client_got("250 mx\r\n");
	scene_mta_got("EHLO a\r\nSTARTTLS\r\n");
	scene_mta(GO_AHEAD);
	mta_is_up();
	scene_client_got(GO_AHEAD);
}

SCENES(cmocka_unit_test(both_shake_hands_mta_first),
       cmocka_unit_test(the_keyword_is_the_mtas),
       cmocka_unit_test(the_go_ahead_may_come_in_pieces),
       cmocka_unit_test(words_behind_the_go_ahead_are_thrown_away),
       cmocka_unit_test(what_the_client_said_behind_it_too),
       cmocka_unit_test(a_refusal_is_the_clients_answer),
       cmocka_unit_test(a_failed_handshake_with_the_mta_ends_in_order),
       cmocka_unit_test(a_slow_handshake_with_the_mta_ends),
       cmocka_unit_test(an_mta_that_does_not_answer_ends_it),
       cmocka_unit_test(replies_behind_a_refusal_are_held),
       cmocka_unit_test(what_is_no_reply_ends_it),
       cmocka_unit_test(an_endless_reply_ends_it),
       cmocka_unit_test(the_mta_may_leave_instead),
       cmocka_unit_test(the_client_may_leave_meanwhile),
       cmocka_unit_test(replies_before_it_are_hurried))
