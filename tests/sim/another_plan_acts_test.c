/* A plan that is made again: what it changes at the gate, in the greet, and
 * for what is held or read slowly at that moment. */
#include <string.h>

#include "tests/sim/scenario.h"

#define CAPS_OF_THE_GOVERNOR                                                   \
	.reply_cap_ms = 20000, .data_reply_cap_ms = 5000, .patience_ms = 9000, \
	.session_cap_ms = 120000

static const struct plan capped = {CAPS_OF_THE_GOVERNOR, .greet_ms = 5000,
				   .caps = {1, 0, 0}, .rank = 3};

static void
replan(struct plan plan)
{
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &plan);
}

static void
granted(void)
{
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
}

static void
open_relay(struct plan plan)
{
	scene_open(plan);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
}

static void
shadow_gives_the_caps_back(void **state)
{
	struct plan plan = capped;

	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_CAPS, SIDE_CLIENT, NULL);
	assert_true(scene.has_caps);
	plan.is_shadow = true;
	replan(plan);
	assert_false(scene.has_caps);
}

/* Caps are counted by class, so equal figures are not the same caps. */
static void
another_class_with_equal_caps_claims_its_own(void **state)
{
	struct plan plan = capped;

	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_CAPS, SIDE_CLIENT, NULL);
	plan.rank = 2;
	replan(plan);
	assert_false(scene.has_caps);
	assert_true(scene.wants_caps);
}

static void
the_same_class_keeps_its_caps(void **state)
{
	struct plan plan = capped;

	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_CAPS, SIDE_CLIENT, NULL);
	plan.rule_id = 7;
	replan(plan);
	assert_true(scene.has_caps);
}

static void
caps_waited_for_in_vain_are_counted(void **state)
{
	(void)state;
	scene_open(capped);
	scene_until(19000);
	assert_int_equal(scene.claims, 1);
	assert_int_equal(scene.s.counts.caps_ms, 19000);
}

static void
who_is_released_takes_no_caps(void **state)
{
	struct plan plan = capped;

	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	plan.rank = 2;
	replan(plan);
	assert_false(scene.has_caps || scene.wants_caps);
}

/* Behind the greet nobody waits for caps any more: they are tried. */
static void
at_the_gate_caps_are_only_tried(void **state)
{
	struct plan open = {.greet_ms = 0, .rank = 1};

	(void)state;
	scene_open(open);
	scene_until(5000);
	assert_int_equal(scene.asking, SLOT_ANY);
	replan(capped);
	assert_true(scene.has_caps);
	assert_false(scene.wants_caps);
	scene_until(8000);
	granted();
	assert_int_equal(scene.s.counts.gate_ms, 8000);
	assert_int_equal(scene.s.counts.caps_ms, 0);
}

static void
another_rank_queues_anew(void **state)
{
	struct plan plan = {CAPS_OF_THE_GOVERNOR, .rank = 1};

	(void)state;
	scene_open((struct plan){.rank = 2});
	assert_int_equal(scene.asking, SLOT_ANY);
	replan(plan);
	assert_int_equal(scene.returns, 1);
	assert_int_equal(scene.claims, 2);
	replan(plan);
	assert_int_equal(scene.claims, 2);
}

/* Last of all beyond a cap, but only of the class that has the cap. */
static void
the_rank_at_the_gate_is_that_of_the_plan(void **state)
{
	struct plan plan = capped;

	(void)state;
	scene_open(capped);
	scene_until(19000);
	assert_int_equal(session_slot_rank(&scene.s), PLAN_RANKS - 1);
	plan.rank = 2;
	plan.caps[0] = 0;
	replan(plan);
	assert_int_equal(session_slot_rank(&scene.s), 2);
	plan.is_shadow = true;
	replan(plan);
	assert_int_equal(session_slot_rank(&scene.s), 0);
	scene_open(capped);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	assert_int_equal(session_slot_rank(&scene.s), 3);
}

/* In shadow the gate knows it as one that passes, and waits as long for it. */
static void
shadow_waits_at_the_gate_as_pass_does(void **state)
{
	(void)state;
	scene_open((struct plan){.rank = 2});
	replan(
	    (struct plan){CAPS_OF_THE_GOVERNOR, .rank = 2, .is_shadow = true});
	assert_int_equal(scene.claims, 2);
	scene_until(100000);
	replan(
	    (struct plan){CAPS_OF_THE_GOVERNOR, .rank = 3, .is_shadow = true});
	scene_until(299999);
	scene_client_got("");
	scene_until(300000);
	scene_client_got(OWN_421);
	assert_int_equal(scene.s.counts.gate_ms, 300000);
}

static void
the_reserve_is_asked_for_once(void **state)
{
	(void)state;
	scene_open((struct plan){.reply_ms = 3000});
	scene_until(20000);
	assert_int_equal(scene.asking, SLOT_RESERVE);
	replan((struct plan){CAPS_OF_THE_GOVERNOR});
	assert_int_equal(scene.asking, SLOT_RESERVE);
	assert_int_equal(scene.returns, 0);
	scene_until(20999);
	scene_client_got("");
	scene_until(21000);
	scene_client_got(OWN_421);
}

static void
who_is_in_the_share_asks_no_more(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 1000});
	scene_client("EHLO a\r\n");
	assert_int_equal(scene.asking, SLOT_NO_WISH);
}

static void
released_at_the_gate_needs_no_share(void **state)
{
	(void)state;
	scene_open((struct plan){.reply_ms = 1000});
	assert_int_equal(scene.asking, SLOT_SHARE);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	assert_int_equal(scene.asking, SLOT_ANY);
}

static void
a_teaser_may_begin_later(void **state)
{
	struct plan plan = capped;

	(void)state;
	plan.caps[0] = 0;
	scene_open(plan);
	plan.teaser = true;
	scene_until(100);
	replan(plan);
	scene_client_got(TEASER);
}

/* Its name became another meanwhile: the line ends, and is not mixed. */
static void
a_teaser_under_way_keeps_its_line(void **state)
{
	struct plan plan = {CAPS_OF_THE_GOVERNOR, .greet_ms = 9000,
			    .drip_ms = 1000, .teaser = true};
	size_t len;

	(void)state;
	scene_open(plan);
	scene_until(4000);
	len = scene.out[SIDE_CLIENT].len;
	scene.site.name = "a-much-longer-name.example.org";
	scene.site.name_len = strlen(scene.site.name);
	replan(plan);
	scene_until(8000);
	assert_int_equal(scene.out[SIDE_CLIENT].len, len + 2);
	assert_memory_equal(scene.out[SIDE_CLIENT].bytes + len, "\r\n", 2);
}

static void
hold_a_greeting(void)
{
	scene_open((struct plan){.greet_ms = 15000});
	scene_until(14000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("");
}

static void
a_shorter_greet_ends_one_that_is_held(void **state)
{
	struct plan plan = {CAPS_OF_THE_GOVERNOR, .greet_ms = 3000};

	(void)state;
	hold_a_greeting();
	replan(plan);
	scene_until(14001);
	scene_client_got("220 real\r\n");
	hold_a_greeting();
	plan.greet_ms = 14500;
	replan(plan);
	scene_until(14499);
	scene_client_got("");
	scene_until(14500);
	scene_client_got("220 real\r\n");
}

static void
shadow_frees_a_held_reply(void **state)
{
	struct plan plan = {CAPS_OF_THE_GOVERNOR, .reply_ms = 5000,
			    .is_shadow = true};

	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta("250 a\r\n");
	replan(plan);
	scene_until(1);
	scene_client_got("250 a\r\n");
}

static void
pass_frees_half_a_reply(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta("250-a\r\n");
	scene_client_got("");
	replan((struct plan){CAPS_OF_THE_GOVERNOR});
	scene_client_got("250-a\r\n");
}

/* Both arms are told apart by what came first: what a session is treated by
 * later may be for what it did because it was slowed, or was not. */
static void
the_first_that_slows_is_kept(void **state)
{
	static const struct plan pass = {CAPS_OF_THE_GOVERNOR, .rule_id = 4};
	static const struct plan slow = {CAPS_OF_THE_GOVERNOR, .reply_ms = 1000,
					 .rank = 2, .rule_id = 6};
	struct plan out = slow;

	(void)state;
	open_relay(pass);
	assert_int_equal(scene.s.slowed_by, 0);
	out.is_shadow = true;
	replan(out);
	assert_int_equal(scene.s.slowed_by, 0);
	out.is_held_out = true;
	replan(out);
	assert_int_equal(scene.s.slowed_by, 7);
	assert_true(scene.s.is_held_out);
	out = slow;
	out.rule_id = 8;
	replan(out);
	replan(pass);
	assert_int_equal(scene.s.slowed_by, 7);
	assert_true(scene.s.is_held_out);
}

SCENES(cmocka_unit_test(shadow_gives_the_caps_back),
       cmocka_unit_test(another_class_with_equal_caps_claims_its_own),
       cmocka_unit_test(the_same_class_keeps_its_caps),
       cmocka_unit_test(caps_waited_for_in_vain_are_counted),
       cmocka_unit_test(who_is_released_takes_no_caps),
       cmocka_unit_test(at_the_gate_caps_are_only_tried),
       cmocka_unit_test(another_rank_queues_anew),
       cmocka_unit_test(the_rank_at_the_gate_is_that_of_the_plan),
       cmocka_unit_test(shadow_waits_at_the_gate_as_pass_does),
       cmocka_unit_test(the_reserve_is_asked_for_once),
       cmocka_unit_test(who_is_in_the_share_asks_no_more),
       cmocka_unit_test(released_at_the_gate_needs_no_share),
       cmocka_unit_test(a_teaser_may_begin_later),
       cmocka_unit_test(a_teaser_under_way_keeps_its_line),
       cmocka_unit_test(a_shorter_greet_ends_one_that_is_held),
       cmocka_unit_test(shadow_frees_a_held_reply),
       cmocka_unit_test(pass_frees_half_a_reply),
       cmocka_unit_test(the_first_that_slows_is_kept))
