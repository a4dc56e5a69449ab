/* The greet delay: late dial, teaser, drip, and who pays for a slow MTA. */
#include <string.h>

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

/* The MTA's name is learnt while a teaser is on its way. */
static void
a_teaser_survives_another_name(void **state)
{
	size_t len;

	(void)state;
	scene_open(
	    (struct plan){.greet_ms = 9000, .drip_ms = 1000, .teaser = true});
	scene_until(4000);
	scene.site.name = "a-much-longer-name.example.org";
	scene.site.name_len = strlen(scene.site.name);
	scene_until(8000);
	len = scene.out[SIDE_CLIENT].len;
	assert_memory_equal(scene.out[SIDE_CLIENT].bytes, "220-mx.exa", 10);
	assert_memory_equal(scene.out[SIDE_CLIENT].bytes + len - 2, "\r\n", 2);
}

static void
a_greeting_too_long_to_hold_follows_the_teaser(void **state)
{
	static const char line[] = "220-a line of a very long greeting\r\n";
	static char said[SESSION_HELD_CAP + 64];
	static char got[sizeof(said) + 64] = TEASER;

	(void)state;
	scene_open((struct plan){.greet_ms = 3000, .teaser = true});
	scene_until(2000);
	scene_connect();
	while (strlen(said) <= SESSION_HELD_CAP)
		strcat(said, line);
	scene_mta(said);
	scene_client_got(strcat(got, said));
	scene_mta("220 at last\r\n");
	scene_client_got("220 at last\r\n");
}

static void
a_longer_greet_comes_too_late_behind_the_dial(void **state)
{
	struct plan longer = {.greet_ms = 15000,
			      .reply_cap_ms = 20000,
			      .patience_ms = 9000,
			      .session_cap_ms = 120000};

	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_until(2000);
	scene_connect();
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &longer);
	scene_mta("220 real\r\n");
	scene_until(3000);
	scene_client_got("220 real\r\n");
}

static void
a_longer_greet_acts_before_the_dial(void **state)
{
	struct plan longer = {.greet_ms = 15000,
			      .reply_cap_ms = 20000,
			      .patience_ms = 9000,
			      .session_cap_ms = 120000};

	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &longer);
	scene_until(13999);
	assert_int_equal(scene.claims, 0);
	scene_until(14000);
	assert_int_equal(scene.claims, 1);
}

static void
the_budget_ends_the_greet(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 15000, .session_cap_ms = 6000});
	scene_until(5999);
	assert_int_equal(scene.claims, 0);
	scene_until(6000);
	assert_int_equal(scene.claims, 1);
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
       cmocka_unit_test(leaving_early_costs_no_slot),
       cmocka_unit_test(a_teaser_survives_another_name),
       cmocka_unit_test(a_greeting_too_long_to_hold_follows_the_teaser),
       cmocka_unit_test(a_longer_greet_comes_too_late_behind_the_dial),
       cmocka_unit_test(a_longer_greet_acts_before_the_dial),
       cmocka_unit_test(the_budget_ends_the_greet))
