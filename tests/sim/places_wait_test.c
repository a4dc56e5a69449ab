/* The gate: caps that are full, the share of the throttled, the reserve, and
 * a plan that changes while one waits. */
#include "tests/sim/scenario.h"

static const struct plan capped = {
    .greet_ms = 5000, .reply_ms = 3000, .caps = {1, 0, 0}, .rank = 3};

static void
a_full_cap_keeps_the_newcomer(void **state)
{
	(void)state;
	scene_open(capped);
	assert_true(scene.wants_caps);
	scene_until(12000);
	assert_int_equal(scene.claims, 0);
	world_event(&scene, EVENT_CAPS, SIDE_CLIENT, NULL);
	assert_int_equal(scene.asking, SLOT_SHARE);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
	assert_int_equal(scene.s.counts.caps_ms, 12000);
}

static void
room_at_once_changes_nothing(void **state)
{
	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_CAPS, SIDE_CLIENT, NULL);
	scene_until(3999);
	assert_int_equal(scene.claims, 0);
	scene_until(4000);
	assert_int_equal(scene.claims, 1);
}

/* It goes on with its own plan at the end of the greet budget. */
static void
a_cap_never_costs_more_than_the_greet(void **state)
{
	(void)state;
	scene_open(capped);
	scene_until(18999);
	assert_int_equal(scene.claims, 0);
	scene_until(19000);
	assert_int_equal(scene.claims, 1);
	assert_false(scene.wants_caps);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("EHLO a\r\n");
	scene_client_got("220 real\r\n");
	scene_mta("250 a\r\n");
	scene_until(21999);
	scene_client_got("");
	scene_until(22000);
	scene_client_got("250 a\r\n");
}

static void
who_is_over_its_cap_is_of_the_last_rank(void **state)
{
	(void)state;
	scene_open(capped);
	scene_until(18999);
	assert_int_equal(session_slot_rank(&scene.s), 3);
	scene_until(19999);
	assert_int_equal(scene.asking, SLOT_SHARE);
	assert_int_equal(session_slot_rank(&scene.s), PLAN_RANKS - 1);
	scene_until(20000);
	scene_client_got("");
	assert_int_equal(scene.asking, SLOT_RESERVE);
	assert_int_equal(session_slot_rank(&scene.s), PLAN_RANKS - 1);
	world_event(&scene, EVENT_DENIED, SIDE_CLIENT, NULL);
	scene_client_got(OWN_421);
	assert_int_equal(scene.s.reason, REASON_NO_SLOT);
}

static void
a_release_does_not_wait_for_caps(void **state)
{
	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	assert_false(scene.wants_caps);
	assert_int_equal(scene.asking, SLOT_ANY);
}

static void
another_class_has_other_caps(void **state)
{
	struct plan other = {.greet_ms = 6000,
			     .caps = {0, 2, 0},
			     .rank = 2,
			     .reply_cap_ms = 20000,
			     .patience_ms = 9000,
			     .session_cap_ms = 120000};

	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_CAPS, SIDE_CLIENT, NULL);
	assert_true(scene.has_caps);
	scene_until(1000);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &other);
	assert_true(scene.wants_caps);
	assert_false(scene.has_caps);
	other.caps[1] = 0;
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &other);
	assert_false(scene.wants_caps);
}

static void
only_the_throttled_need_the_share(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000});
	assert_int_equal(scene.asking, SLOT_ANY);
	scene_open((struct plan){.reply_ms = 1});
	assert_int_equal(scene.asking, SLOT_SHARE);
	scene_open((struct plan){.error_ms = 1});
	assert_int_equal(scene.asking, SLOT_SHARE);
	scene_open((struct plan){.data_rate = PLAN_DATA_RATE_MIN});
	assert_int_equal(scene.asking, SLOT_SHARE);
	scene_open((struct plan){.reply_ms = 1, .is_shadow = true});
	assert_int_equal(scene.asking, SLOT_ANY);
}

static void
a_full_share_ends_in_the_reserve(void **state)
{
	(void)state;
	scene_open((struct plan){.reply_ms = 3000});
	scene_until(19999);
	assert_int_equal(scene.asking, SLOT_SHARE);
	scene_until(20000);
	assert_int_equal(scene.asking, SLOT_RESERVE);
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	world_event(&scene, EVENT_MTA_CONNECTED, SIDE_MTA, NULL);
	scene_mta("220 real\r\n");
	scene_client("EHLO a\r\n");
	scene_mta("250 a\r\n");
	scene_client_got("220 real\r\n250 a\r\n");
	assert_int_equal(scene.s.counts.held_ms, 0);
}

static void
no_reserve_is_a_421(void **state)
{
	(void)state;
	scene_open((struct plan){.reply_ms = 3000});
	scene_until(20000);
	world_event(&scene, EVENT_DENIED, SIDE_CLIENT, NULL);
	scene_client_got(OWN_421);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_NO_SLOT);
}

static void
pass_waits_for_five_minutes(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_PASS});
	scene_until(299999);
	scene_client_got("");
	scene_until(300000);
	scene_client_got(OWN_421);
}

static const struct plan later = {.reply_ms = 2000,
				  .rank = 4,
				  .reply_cap_ms = 20000,
				  .patience_ms = 9000,
				  .session_cap_ms = 120000};

static void
open_then_throttle(void)
{
	scene_open((struct plan){.greet_ms = 0});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &later);
	assert_int_equal(scene.asking, SLOT_INTO_SHARE);
}

static void
a_later_throttle_moves_into_the_share(void **state)
{
	(void)state;
	open_then_throttle();
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	scene_client("EHLO a\r\n");
	scene_mta("250 a\r\n");
	scene_until(1999);
	scene_client_got("");
	scene_until(2000);
	scene_client_got("250 a\r\n");
}

static void
while_the_share_is_full_nothing_waits(void **state)
{
	(void)state;
	open_then_throttle();
	world_event(&scene, EVENT_DENIED, SIDE_CLIENT, NULL);
	scene_client("EHLO a\r\n");
	assert_int_equal(scene.asking, SLOT_INTO_SHARE);
	world_event(&scene, EVENT_DENIED, SIDE_CLIENT, NULL);
	scene_mta("250 a\r\n");
	scene_client_got("250 a\r\n");
	scene_client("MAIL FROM:<a>\r\n");
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	scene_mta("250 b\r\n");
	scene_client_got("");
	scene_until(2000);
	scene_client_got("250 b\r\n");
}

static void
a_better_plan_queues_anew(void **state)
{
	struct plan better = {.greet_ms = 0,
			      .rank = 1,
			      .reply_cap_ms = 20000,
			      .patience_ms = 9000,
			      .session_cap_ms = 120000};

	(void)state;
	scene_open((struct plan){.reply_ms = 3000, .rank = 4});
	assert_int_equal(scene.asking, SLOT_SHARE);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &better);
	assert_int_equal(scene.asking, SLOT_ANY);
	assert_int_equal(scene.claims, 2);
	assert_int_equal(scene.returns, 1);
}

static void
defer_says_421(void **state)
{
	(void)state;
	scene_open((struct plan){.class_id = PLAN_CLASS_DEFER});
	scene_client_got(OWN_421);
	world_shuts(&scene, SIDE_CLIENT);
	scene_ended(REASON_DEFERRED);
	scene_open(
	    (struct plan){.class_id = PLAN_CLASS_DEFER, .is_shadow = true});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
}

SCENES(cmocka_unit_test(a_full_cap_keeps_the_newcomer),
       cmocka_unit_test(room_at_once_changes_nothing),
       cmocka_unit_test(a_cap_never_costs_more_than_the_greet),
       cmocka_unit_test(who_is_over_its_cap_is_of_the_last_rank),
       cmocka_unit_test(a_release_does_not_wait_for_caps),
       cmocka_unit_test(another_class_has_other_caps),
       cmocka_unit_test(only_the_throttled_need_the_share),
       cmocka_unit_test(a_full_share_ends_in_the_reserve),
       cmocka_unit_test(no_reserve_is_a_421),
       cmocka_unit_test(pass_waits_for_five_minutes),
       cmocka_unit_test(a_later_throttle_moves_into_the_share),
       cmocka_unit_test(while_the_share_is_full_nothing_waits),
       cmocka_unit_test(a_better_plan_queues_anew),
       cmocka_unit_test(defer_says_421))
