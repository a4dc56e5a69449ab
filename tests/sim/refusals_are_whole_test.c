/* An MTA that is not there or says no: what the client sees is one
 * well-formed reply at a time, and never a code of ours but 220 and 421. */
#include "tests/sim/scenario.h"

static void
held_while_the_mta_is_down(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 0});
	scene_refuse();
	scene_until(1000);
	scene_refuse();
	scene_until(2000);
	scene_client_got("");
	scene_connect();
	scene_mta("220 back again\r\n");
	scene_client_got("220 back again\r\n");
}

static void
mta_down_for_good(void **state)
{
	uint32_t ms;

	(void)state;
	scene_open((struct plan){.greet_ms = 0});
	for (ms = 1000; ms <= 19000; ms += 1000) {
		scene_refuse();
		scene_until(ms);
	}
	scene_refuse();
	scene_until(19899);
	scene_client_got("");
	scene_until(19900);
	scene_refuse();
	scene_client_got(OWN_421);
	assert_true(scene.out[SIDE_CLIENT].fin);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_MTA_UNREACHABLE);
}

static void
teaser_then_nobody(void **state)
{
	uint32_t ms;

	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_client_got(TEASER);
	for (ms = 1000; scene.s.phase != PHASE_REFUSED; ms += 100) {
		assert_true(ms <= 20000);
		if (scene.is_dialling || scene.asking != SLOT_NO_WISH)
			scene_refuse();
		scene_until(ms);
	}
	scene_client_got(OWN_220);
	scene_client("EHL");
	scene_client_got("");
	scene_client("O a\r\n");
	scene_client_got(OWN_421);
	assert_true(scene.out[SIDE_CLIENT].fin);
}

static void
teaser_then_554(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_connect();
	scene_mta("554 5.7.1 not you\r\n");
	scene_client_got(TEASER OWN_220);
	world_shuts(&scene, SIDE_MTA);
	scene_client("EHLO a\r\n");
	scene_client_got("554 5.7.1 not you\r\n");
	assert_true(scene.out[SIDE_CLIENT].fin);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_MTA_REFUSED);
}

static void
without_a_teaser_554_passes_verbatim(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000});
	scene_connect();
	scene_mta("554 5.7.1 not you\r\n");
	scene_client_got("554 5.7.1 not you\r\n");
	scene_client("QUIT\r\n");
	scene_mta_got("QUIT\r\n");
}

static void
teaser_then_garbage(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_connect();
	scene_client("EHLO a\r\n");
	scene_mta("220***\r\n");
	scene_client_got(TEASER OWN_220 OWN_421);
	assert_int_equal(scene.hang_ups, 1);
}

static void
closing_before_the_greeting_is_complete(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000});
	scene_connect();
	scene_mta("220-half a gree");
	world_shuts(&scene, SIDE_MTA);
	scene_client_got("");
	scene_until(1000);
	scene_connect();
	scene_mta("220 whole\r\n");
	scene_client_got("220 whole\r\n");
}

static void
no_slot_in_time(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_until(19999);
	assert_int_equal(scene.claims, 1);
	scene_client_got("");
	scene_until(20000);
	scene_client_got(OWN_421);
	assert_int_equal(scene.returns, 1);
}

static void
pass_waits_longer_for_a_slot(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_until(299999);
	scene_client_got("");
	scene_until(300000);
	scene_client_got(OWN_421);
}

static void
more_words_do_not_push_the_refusal_out(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_connect();
	scene_mta("554 5.7.1 not you\r\n");
	scene_mta("421 4.4.2 too slow\r\n");
	scene_client("EHLO a\r\n");
	scene_client_got(TEASER OWN_220 "554 5.7.1 not you\r\n");
}

static void
an_early_client_gets_the_refusal_at_once(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_client("EHLO a\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	scene_connect();
	scene_mta("554 5.7.1 not you\r\n");
	scene_client_got(TEASER OWN_220 "554 5.7.1 not you\r\n");
	scene_ended(REASON_MTA_REFUSED);
}

static void
only_220_ends_a_teaser(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_connect();
	scene_mta("250 odd\r\n");
	scene_client_got(TEASER OWN_220);
	scene_client("EHLO a\r\n");
	scene_client_got("250 odd\r\n");
}

static void
a_dial_without_an_answer_is_given_up(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_PASS});
	world_event(&scene, EVENT_GRANTED, SIDE_MTA, NULL);
	scene_until(9999);
	assert_int_equal(scene.hang_ups, 0);
	scene_until(11000);
	assert_int_equal(scene.hang_ups, 1);
	assert_int_equal(scene.dials, 2);
}

static void
a_client_that_has_shut_is_not_waited_for(void **state)
{
	uint32_t ms;

	(void)state;
	scene_open((struct plan){.greet_ms = 0});
	scene_client("QUIT\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	for (ms = 100; ms <= 20000 && !scene.has_ended; ms += 100) {
		if (scene.is_dialling || scene.asking != SLOT_NO_WISH)
			scene_refuse();
		scene_until(ms);
	}
	scene_client_got(OWN_421);
	scene_ended(REASON_MTA_UNREACHABLE);
}

/* The refusal was there: nothing of the MTA is kept for a farewell. */
static void
a_refusal_frees_the_mta(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_connect();
	scene_mta("554 5.7.1 not you\r\n");
	assert_int_equal(scene.returns, 0);
	scene_client("EHLO a\r\n");
	assert_int_equal(scene.returns, 1);
	assert_null(scene.leg);
}

/* Who lingers is read until it closes: unread bytes would reset it. */
static void
after_many_early_segments_reading_goes_on(void **state)
{
	int i;

	(void)state;
	scene_open((struct plan){.greet_ms = 5000});
	for (i = 0; i < SESSION_SEGMENTS_CAP; i++)
		scene_client("x");
	assert_false(scene.o.read[SIDE_CLIENT]);
	world_event(&scene, EVENT_GIVE_WAY, SIDE_CLIENT, NULL);
	scene_client_got(OWN_421);
	assert_true(scene.o.read[SIDE_CLIENT]);
}

static void
who_is_being_dialled_for_does_not_give_way(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_PASS});
	world_event(&scene, EVENT_GRANTED, SIDE_MTA, NULL);
	world_event(&scene, EVENT_GIVE_WAY, SIDE_CLIENT, NULL);
	scene_client_got("");
	assert_int_equal(scene.s.phase, PHASE_DIAL);
}

/* Behind a teaser as well as without: see ends_in_order_test.c. */
static void
a_client_that_has_shut_gets_all_at_once(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_connect();
	world_shuts(&scene, SIDE_CLIENT);
	scene_until(20001);
	scene_client_got(TEASER OWN_220 OWN_421);
	assert_true(scene.has_ended);
}

/* Its bytes are kept for the MTA, which may take its time to greet. */
static void
kept_bytes_are_worth_a_longer_wait(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 0});
	scene_client("QUIT\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	scene_connect();
	scene_until(60000);
	scene_mta("220 late\r\n");
	scene_client_got("220 late\r\n");
	scene_mta_got("QUIT\r\n");
}

SCENES(cmocka_unit_test(held_while_the_mta_is_down),
       cmocka_unit_test(mta_down_for_good),
       cmocka_unit_test(teaser_then_nobody), cmocka_unit_test(teaser_then_554),
       cmocka_unit_test(without_a_teaser_554_passes_verbatim),
       cmocka_unit_test(teaser_then_garbage),
       cmocka_unit_test(closing_before_the_greeting_is_complete),
       cmocka_unit_test(no_slot_in_time),
       cmocka_unit_test(pass_waits_longer_for_a_slot),
       cmocka_unit_test(more_words_do_not_push_the_refusal_out),
       cmocka_unit_test(an_early_client_gets_the_refusal_at_once),
       cmocka_unit_test(only_220_ends_a_teaser),
       cmocka_unit_test(a_dial_without_an_answer_is_given_up),
       cmocka_unit_test(a_client_that_has_shut_is_not_waited_for),
       cmocka_unit_test(a_refusal_frees_the_mta),
       cmocka_unit_test(after_many_early_segments_reading_goes_on),
       cmocka_unit_test(who_is_being_dialled_for_does_not_give_way),
       cmocka_unit_test(a_client_that_has_shut_gets_all_at_once),
       cmocka_unit_test(kept_bytes_are_worth_a_longer_wait))
