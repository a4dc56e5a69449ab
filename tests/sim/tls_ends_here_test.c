/* STARTTLS that we answer: what the MTA sees of it, what is thrown away, and
 * that nothing of ours waits on the way. */
#include "tests/sim/scenario.h"

#define GO_AHEAD "220 2.0.0 Ready to start TLS\r\n"
#define SHORT_EHLO "250-mx\r\n250 SIZE\r\n"

static void
open_relay(struct plan plan)
{
	scene.opens_tls = false;
	scene_open(plan);
	scene.site.has_tls = true;
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
}

static void
shake(void)
{
	assert_true(scene.is_shaking);
	world_event(&scene, EVENT_TLS_UP, SIDE_CLIENT, NULL);
	assert_int_equal(scene.s.tls, SESSION_TLS_UP);
}

static void
open_tls(struct plan plan)
{
	open_relay(plan);
	scene_client("STARTTLS\r\n");
	scene_client_got(GO_AHEAD);
	shake();
}

static void
the_mta_never_sees_starttls(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("EHLO a\r\n");
	scene_mta(SHORT_EHLO);
	scene_client_got("250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n");
	scene_mta_got("EHLO a\r\n");
	scene_client("sTaRtTlS \t\r\n");
	scene_client_got(GO_AHEAD);
	shake();
	scene_client("EHLO a\r\nMAIL FROM:<a>\r\n");
	scene_mta(SHORT_EHLO "250 fine\r\n");
	scene_client_got(SHORT_EHLO "250 fine\r\n");
	scene_mta_got("EHLO a\r\nMAIL FROM:<a>\r\n");
	assert_true(scene.s.counts.own_starttls);
	assert_int_equal(scene.s.counts.own_added, 1);
	assert_int_equal(scene.s.counts.own_removed, 0);
}

/* Byte by byte, and with what looks like it at first. */
static void
a_line_that_may_be_it_is_held(void **state)
{
	static const char line[] = "STARTTLS\r\n";
	size_t i;

	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("NOOP\r\nSTARTT");
	scene_mta_got("NOOP\r\n");
	scene_client("X\r\nSTART");
	scene_mta_got("STARTTX\r\n");
	scene_client(" x\r\n");
	scene_mta_got("START x\r\n");
	scene_mta("250 a\r\n500 b\r\n500 c\r\n");
	scene_client_got("250 a\r\n500 b\r\n500 c\r\n");
	for (i = 0; i + 1 < sizeof(line); i++) {
		const char one[2] = {line[i], '\0'};

		scene_client_got("");
		scene_client(one);
	}
	scene_client_got(GO_AHEAD);
	scene_mta_got("");
	shake();
}

static void
arguments_are_the_mtas_to_refuse(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS now\r\n");
	scene_mta_got("STARTTLS now\r\n");
	scene_mta("501 no\r\n");
	scene_client_got("501 no\r\n");
	assert_int_equal(scene.s.phase, PHASE_RELAY);
}

static void
a_fin_behind_half_of_it_passes_both(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("START");
	scene_mta_got("");
	world_shuts(&scene, SIDE_CLIENT);
	scene_mta_got("START");
	assert_true(scene.out[SIDE_MTA].fin);
}

static void
plaintext_behind_it_is_thrown_away(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\nRSET\r\nMAIL FROM:<evil>\r\n");
	scene_client_got(GO_AHEAD);
	assert_int_equal(scene.discarded, 24);
	shake();
	scene_client("EHLO a\r\n");
	scene_mta_got("EHLO a\r\n");
}

/* Before it is started, and in segments of its own. */
static void
plaintext_before_the_go_ahead_too(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("NOOP\r\nSTARTTLS\r\n");
	scene_mta_got("NOOP\r\n");
	scene_client_got("");
	scene_client("RSET\r\n");
	assert_false(scene.is_shaking);
	scene_mta("250 fine\r\n");
	scene_client_got("250 fine\r\n" GO_AHEAD);
	assert_int_equal(scene.discarded, 6);
	shake();
	scene_mta_got("");
}

/* P4: no delay of ours in front of STARTTLS, and behind it as ever. */
static void
what_was_asked_before_is_answered_at_once(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta(SHORT_EHLO);
	scene_until(1000);
	scene_client_got("");
	scene_client("STARTTLS\r\n");
	scene_client_got("250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n" GO_AHEAD);
	shake();
	scene_client("EHLO a\r\n");
	scene_mta(SHORT_EHLO);
	scene_until(5999);
	scene_client_got("");
	scene_until(6000);
	scene_client_got(SHORT_EHLO);
}

static void
so_is_what_the_mta_answers_later(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("VRFY a\r\nSTARTTLS\r\n");
	scene_mta_got("VRFY a\r\n");
	scene_until(1000);
	scene_mta("252-per");
	scene_client_got("252-per");
	scene_mta("haps\r\n252 so\r\n");
	scene_client_got("haps\r\n252 so\r\n" GO_AHEAD);
}

static void
the_keyword_is_put_right(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("EHLO a\r\nEHLO b\r\nEHLO c\r\n");
	scene_mta("250 mx\r\n250-mx\r\n250-");
	scene_client_got("250-mx\r\n250 STARTTLS\r\n");
	scene_mta("STARTTLS\r\n250 SIZE\r\n250\r\n");
	scene_client_got("250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n"
			 "250-\r\n250 STARTTLS\r\n");
	scene_client("STARTTLS\r\n");
	scene_client_got(GO_AHEAD);
	shake();
	scene_client("EHLO a\r\nEHLO b\r\nEHLO c\r\nEHLO d\r\n");
	scene_mta("250-mx\r\n250-StartTLS\r\n250 SIZE\r\n"
		  "250-mx\r\n250 STARTTLS\r\n"
		  "250-STARTTLS\r\n250 STARTTLSX\r\n502 STARTTLS\r\n");
	scene_client_got("250-mx\r\n250 SIZE\r\n"
			 "250 mx\r\n"
			 "250-STARTTLS\r\n250 STARTTLSX\r\n502 STARTTLS\r\n");
}

/* Half a reply is kept for the MTA's patience, no longer. */
static void
half_a_reply_to_ehlo_passes_in_the_end(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("EHLO a\r\n");
	scene_mta("250-mx\r\n25");
	scene_until(8999);
	scene_client_got("");
	scene_until(9001);
	scene_client_got("250-mx\r\n25");
	scene_mta("0 SIZE\r\n");
	scene_client_got("0 SIZE\r\n");
}

static void
behind_mail_it_is_the_mtas(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("MAIL FROM:<a>\r\n");
	scene_mta("250 fine\r\n");
	scene_client("STARTTLS\r\n");
	scene_mta_got("MAIL FROM:<a>\r\nSTARTTLS\r\n");
	scene_mta("220 mine\r\n");
	scene_client_got("250 fine\r\n220 mine\r\n");
	assert_int_equal(scene.s.phase, PHASE_BLIND);
	assert_true(scene.s.is_opaque);
}

static void
without_room_it_is_the_mtas(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene.site.has_tls = false;
	scene_client("EHLO a\r\nSTARTTLS\r\n");
	scene_mta_got("EHLO a\r\nSTARTTLS\r\n");
	scene_mta(SHORT_EHLO "502 no\r\n");
	scene_client_got(SHORT_EHLO "502 no\r\n");
}

/* Room that goes, or comes, while a line is on its way. */
static void
room_changes_within_a_line(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("START");
	scene.site.has_tls = false;
	scene_client("TLS\r\n");
	scene_mta_got("STARTTLS\r\n");
	scene_mta("502 no\r\n");
	scene_client("START");
	scene_mta_got("START");
	scene.site.has_tls = true;
	scene_client("TLS\r\n");
	scene_mta_got("TLS\r\n");
	scene_mta("502 no\r\n");
	scene_client_got("502 no\r\n502 no\r\n");
}

static void
a_second_starttls_is_the_mtas(void **state)
{
	(void)state;
	open_tls((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\n");
	scene_mta_got("STARTTLS\r\n");
}

static void
a_failed_handshake_ends_in_order(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\n");
	scene_client_got(GO_AHEAD);
	world_event(&scene, EVENT_TLS_FAILED, SIDE_CLIENT, NULL);
	while (scene.wants_flushed)
		world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	assert_true(scene.out[SIDE_CLIENT].fin);
	assert_int_equal(scene.hang_ups, 1);
	scene_client_got("");
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_TLS_FAILED);
}

/* A handshake without end costs a minute, and hears nothing of ours. */
static void
a_slow_handshake_ends(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\n");
	scene_client_got(GO_AHEAD);
	scene_until(59999);
	assert_false(scene.out[SIDE_CLIENT].fin);
	scene_until(60001);
	assert_true(scene.out[SIDE_CLIENT].fin);
	scene_client_got("");
	scene_until(120002);
	scene_ended(REASON_TLS_FAILED);
}

static void
the_mta_may_leave_meanwhile(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\n");
	scene_client_got(GO_AHEAD);
	scene_mta("421 bye\r\n");
	world_shuts(&scene, SIDE_MTA);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	assert_true(scene.out[SIDE_CLIENT].fin);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_MTA_CLOSED);
}

/* What the MTA says in between is read in TLS. */
static void
the_mtas_words_wait_for_the_handshake(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\n");
	scene_client_got(GO_AHEAD);
	scene_mta("421 bye\r\n");
	scene_client_got("");
	shake();
	scene_client_got("421 bye\r\n");
}

static void
the_client_may_leave_meanwhile(void **state)
{
	(void)state;
	open_relay((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_client("STARTTLS\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_ended(REASON_CLIENT_CLOSED);
}

/* Implicit: the greet delay counts from the accept all the same. */
static void
implicit_tls_comes_before_all_else(void **state)
{
	(void)state;
	scene.opens_tls = true;
	scene_open((struct plan){.greet_ms = 3000, .teaser = true});
	assert_true(scene.is_shaking);
	scene_until(1000);
	scene_client_got("");
	assert_int_equal(scene.claims, 0);
	world_event(&scene, EVENT_TLS_UP, SIDE_CLIENT, NULL);
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(2999);
	assert_false(scene.s.is_greeted);
	scene_until(3000);
	assert_true(scene.s.is_greeted);
	scene.opens_tls = false;
}

static void
a_deferred_client_hears_it_in_tls(void **state)
{
	(void)state;
	scene.opens_tls = true;
	scene_open((struct plan){.class_id = PLAN_CLASS_DEFER});
	scene_client_got("");
	world_event(&scene, EVENT_TLS_UP, SIDE_CLIENT, NULL);
	scene_client_got(OWN_421);
	scene.opens_tls = false;
}

static void
implicit_tls_that_fails_costs_no_slot(void **state)
{
	(void)state;
	scene.opens_tls = true;
	scene_open((struct plan){.greet_ms = 3000});
	world_event(&scene, EVENT_TLS_FAILED, SIDE_CLIENT, NULL);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_client_got("");
	assert_true(scene.out[SIDE_CLIENT].fin);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_TLS_FAILED);
	assert_int_equal(scene.claims, 0);
	scene.opens_tls = false;
}

SCENES(cmocka_unit_test(the_mta_never_sees_starttls),
       cmocka_unit_test(a_line_that_may_be_it_is_held),
       cmocka_unit_test(arguments_are_the_mtas_to_refuse),
       cmocka_unit_test(a_fin_behind_half_of_it_passes_both),
       cmocka_unit_test(plaintext_behind_it_is_thrown_away),
       cmocka_unit_test(plaintext_before_the_go_ahead_too),
       cmocka_unit_test(what_was_asked_before_is_answered_at_once),
       cmocka_unit_test(so_is_what_the_mta_answers_later),
       cmocka_unit_test(the_keyword_is_put_right),
       cmocka_unit_test(half_a_reply_to_ehlo_passes_in_the_end),
       cmocka_unit_test(behind_mail_it_is_the_mtas),
       cmocka_unit_test(without_room_it_is_the_mtas),
       cmocka_unit_test(room_changes_within_a_line),
       cmocka_unit_test(a_second_starttls_is_the_mtas),
       cmocka_unit_test(a_failed_handshake_ends_in_order),
       cmocka_unit_test(a_slow_handshake_ends),
       cmocka_unit_test(the_mta_may_leave_meanwhile),
       cmocka_unit_test(the_mtas_words_wait_for_the_handshake),
       cmocka_unit_test(the_client_may_leave_meanwhile),
       cmocka_unit_test(implicit_tls_comes_before_all_else),
       cmocka_unit_test(a_deferred_client_hears_it_in_tls),
       cmocka_unit_test(implicit_tls_that_fails_costs_no_slot))
