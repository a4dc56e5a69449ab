/* The greet delay: late dial, teaser, drip, and who pays for a slow MTA. */
#include "tests/sim/scenario.h"

static void
dials_a_lead_before_the_greeting(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_until(1999);
	assert_int_equal(scene.claims, 0);
	scene_until(2000);
	assert_int_equal(scene.claims, 1);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(2999);
	scene_client_got("");
	scene_until(3000);
	scene_client_got("220 real\r\n");
}

static void
teaser_is_out_at_once(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000, .teaser = true});
	scene_client_got(TEASER);
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(3000);
	scene_client_got("220 real\r\n");
}

static void
a_slow_mta_is_not_our_delay(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_until(2000);
	scene_connect();
	scene_until(7000);
	scene_mta("220 late\r\n");
	scene_client_got("220 late\r\n");
	assert_int_equal(scene.s.counts.held_ms, 3000);
}

static void
drip_is_the_last_part(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 5000, .drip_ms = 1000});
	scene_until(3000);
	scene_connect();
	scene_mta("220 abcdefghijklmn\r\n"); /* 20 bytes, 5 pieces */
	scene_until(4199);
	scene_client_got("");
	scene_until(4200);
	scene_client_got("220 ");
	scene_until(4999);
	scene_client_got("abcdefghijkl");
	scene_until(5000);
	scene_client_got("mn\r\n");
}

static void
teaser_is_spread_when_dripped(void **state)
{
	size_t some;

	(void)state;
	scene_open(
	    (struct plan){.greet_ms = 9000, .drip_ms = 1000, .teaser = true});
	scene_client_got("");
	scene_until(4000);
	some = scene.out[SIDE_CLIENT].len;
	assert_in_range(some, 8, 16);
	scene_until(8000);
	scene_client_got(TEASER);
}

static void
pass_is_dialled_at_once(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
	assert_int_equal(scene.now_ms, 5000000);
}

static void
leaving_early_costs_no_slot(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 15000, .teaser = true});
	scene_until(8000);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_GAVE_UP);
	assert_int_equal(scene.claims, 0);
	assert_int_equal(scene.s.counts.gave_up_ms, 8000);
}

SCENES(cmocka_unit_test(dials_a_lead_before_the_greeting),
       cmocka_unit_test(teaser_is_out_at_once),
       cmocka_unit_test(a_slow_mta_is_not_our_delay),
       cmocka_unit_test(drip_is_the_last_part),
       cmocka_unit_test(teaser_is_spread_when_dripped),
       cmocka_unit_test(pass_is_dialled_at_once),
       cmocka_unit_test(leaving_early_costs_no_slot))
