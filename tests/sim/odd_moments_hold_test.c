/* Plans, places and ends that come at an odd moment: each scene once went
 * wrong. */
#include <string.h>

#include "tests/sim/scenario.h"

static struct plan
full(struct plan plan)
{
	plan.reply_cap_ms = 20000;
	plan.data_reply_cap_ms = 5000;
	plan.patience_ms = 9000;
	if (plan.session_cap_ms == 0)
		plan.session_cap_ms = 120000;
	return plan;
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
a_lower_error_delay_acts_at_once(void **state)
{
	struct plan lower = full((struct plan){.reply_ms = 1000});

	(void)state;
	open_relay((struct plan){.reply_ms = 1000, .error_ms = 9000});
	scene_client("RCPT TO:<a>\r\n");
	scene_mta("550 no\r\n");
	scene_until(2000);
	scene_client_got("");
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &lower);
	scene_until(2001);
	scene_client_got("550 no\r\n");
}

static void
pass_frees_a_held_error(void **state)
{
	struct plan pass = full((struct plan){.class_id = PLAN_CLASS_PASS});

	(void)state;
	open_relay((struct plan){.reply_ms = 1000, .error_ms = 9000});
	scene_client("RCPT TO:<a>\r\n");
	scene_mta("550 no\r\n");
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &pass);
	scene_until(1);
	scene_client_got("550 no\r\n");
}

static void
shadow_frees_a_held_error(void **state)
{
	struct plan pass =
	    full((struct plan){.error_ms = 9000, .is_shadow = true});

	(void)state;
	open_relay((struct plan){.error_ms = 9000});
	scene_client("RCPT TO:<a>\r\n");
	scene_mta("550 no\r\n");
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &pass);
	scene_until(1);
	scene_client_got("550 no\r\n");
}

static const struct plan capped = {
    .greet_ms = 5000, .reply_ms = 3000, .caps = {1, 0, 0}, .rank = 3};

static void
giving_way_leaves_the_queue_of_the_caps(void **state)
{
	(void)state;
	scene_open(capped);
	assert_true(scene.wants_caps);
	world_event(&scene, EVENT_GIVE_WAY, SIDE_CLIENT, NULL);
	scene_client_got(OWN_421);
	assert_int_equal(scene.s.phase, PHASE_LINGER);
	assert_false(scene.wants_caps);
}

static void
caps_for_one_who_lingers_is_no_hole(void **state)
{
	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_GIVE_WAY, SIDE_CLIENT, NULL);
	if (scene.wants_caps)
		world_event(&scene, EVENT_CAPS, SIDE_CLIENT, NULL);
	assert_false(scene.has_ended);
	assert_int_equal(scene.s.phase, PHASE_LINGER);
}

static void
a_deferral_leaves_the_queue_of_the_caps(void **state)
{
	struct plan defer = full((struct plan){.class_id = PLAN_CLASS_DEFER});

	(void)state;
	scene_open(capped);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &defer);
	scene_client_got(OWN_421);
	assert_false(scene.wants_caps);
}

static void
spent_at_the_gate_needs_no_share(void **state)
{
	(void)state;
	scene_open((struct plan){
	    .greet_ms = 6500, .reply_ms = 3000, .session_cap_ms = 6000});
	scene_until(5500);
	assert_int_equal(scene.asking, SLOT_SHARE);
	scene_until(19000);
	assert_int_equal(scene.asking, SLOT_ANY);
}

static void
small_chunks_are_no_slower(void **state)
{
	static char chunk[15 + 100 + 1];
	int i;

	(void)state;
	open_relay((struct plan){.data_rate = PLAN_DATA_RATE_MIN});
	memset(chunk, 'x', sizeof(chunk));
	memcpy(chunk, "BDAT 100\r\n", 10);
	chunk[110] = '\0';
	for (i = 0; i < 40; i++) {
		scene_client(chunk);
		if (scene.leg->count > 0)
			scene_mta("250 ok\r\n");
	}
	for (i = 0; i < 8000; i += 100) {
		scene_until((uint32_t)i);
		while (scene.leg->count > 0)
			scene_mta("250 ok\r\n");
	}
	print_message("%zu of %d\n", scene.out[SIDE_MTA].len, 40 * 110);
	assert_int_equal(scene.out[SIDE_MTA].len, 40 * 110);
}

static void
the_421_fits_behind_the_longest_name(void **state)
{
	static char name[SESSION_NAME_CAP];
	struct plan plan = full(
	    (struct plan){.greet_ms = 9000, .drip_ms = 1000, .teaser = true});
	struct site site = {.name = name,
			    .name_len = sizeof(name),
			    .lead_ms = 1000,
			    .connect_timeout_ms = 10000,
			    .drip_gap_ms = 200};
	const struct world_output *out = &scene.out[SIDE_CLIENT];

	(void)state;
	memset(name, 'n', sizeof(name));
	world_open(&scene, &site, &plan, 5000000);
	scene_client("EHLO a\r\n");
	world_event(&scene, EVENT_GIVE_WAY, SIDE_CLIENT, NULL);
	assert_int_equal(out->len, 3 * sizeof(name) + 12 + 12 + 45);
}

static void
a_reset_behind_quit_is_not_giving_up(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\nQUIT\r\n");
	scene_mta("250 hello\r\n");
	scene_until(1000);
	world_event(&scene, EVENT_ERROR, SIDE_CLIENT, NULL);
	scene_ended(REASON_CLIENT_RESET);
}

static void
more_words_in_the_same_breath(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 1000, .teaser = true});
	scene_client("EHLO a\r\n");
	scene_connect();
	scene_mta("554 5.7.1 not you\r\n421 4.4.2 bye\r\n");
	scene_client_got(TEASER OWN_220 "554 5.7.1 not you\r\n");
}

static void
tls_behind_many_segments_is_read(void **state)
{
	int i;

	(void)state;
	scene_open((struct plan){.greet_ms = 1000});
	scene_client("STARTTLS\r\n");
	for (i = 0; i < 7; i++)
		scene_client("x");
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(1000);
	scene_client("y");
	scene_mta("220 go\r\n");
	assert_int_equal(scene.s.phase, PHASE_BLIND);
	assert_true(scene.o.read[SIDE_CLIENT]);
}

static void
shadow_counts_each_chunk(void **state)
{
	static char body[8193];

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	scene_open((struct plan){.data_rate = 4096, .is_shadow = true});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("BDAT 8192\r\n");
	scene_client(body);
	scene_mta("250 one\r\n");
	scene_client("BDAT 8192 LAST\r\n");
	scene_client(body);
	scene_mta("250 two\r\n");
	print_message("%u\n", scene.s.counts.would_ms);
	assert_in_range(scene.s.counts.would_ms, 4000, 4020);
}

static void
shadow_counts_an_upload_with_quit_behind(void **state)
{
	static char body[8193];

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	scene_open((struct plan){.data_rate = 4096, .is_shadow = true});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("DATA\r\n");
	scene_mta("354 go\r\n");
	scene_client(body);
	scene_client("\r\n.\r\nQUIT\r\n");
	scene_mta("250 queued\r\n221 bye\r\n");
	print_message("%u\n", scene.s.counts.would_ms);
	assert_in_range(scene.s.counts.would_ms, 2000, 2010);
}

static void
a_tls_client_that_waits_for_nothing_does_not_give_up(void **state)
{
	static char body[SESSION_TLS_FREE + 101];

	(void)state;
	open_relay((struct plan){.data_rate = 4096});
	scene_client("STARTTLS\r\n");
	scene_mta("220 go\r\n");
	memset(body, 'x', sizeof(body) - 1);
	scene_client(body);
	scene_until(5000);
	scene_mta("bye");
	scene_until(6000);
	world_event(&scene, EVENT_ERROR, SIDE_CLIENT, NULL);
	print_message("held %u gave up %u\n", scene.s.counts.held_ms,
		      scene.s.counts.gave_up_ms);
	scene_ended(REASON_CLIENT_RESET);
}

static void
replies_behind_a_fin_do_not_wait(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\nMAIL FROM:<a>\r\n");
	scene_mta("250 hello\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	scene_mta("250 m\r\n");
	scene_client_got("250 hello\r\n250 m\r\n");
}

static void
half_a_reply_is_flushed_by_a_fin(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 5000});
	scene_client("EHLO a\r\n");
	scene_mta("250-hello\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	scene_client_got("250-hello\r\n");
}

static void
between_two_dials_caps_are_only_tried(void **state)
{
	struct plan full_capped = full(capped);

	(void)state;
	scene_open((struct plan){.greet_ms = 0, .rank = 1});
	scene_refuse();
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &full_capped);
	assert_false(scene.wants_caps);
	scene_until(1000);
	assert_int_equal(scene.dials, 2);
}

static void
another_plan_does_not_hurry_the_next_dial(void **state)
{
	struct plan plain = full((struct plan){.greet_ms = 0});

	(void)state;
	scene_open((struct plan){.greet_ms = 0});
	scene_refuse();
	scene_until(500);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &plain);
	scene_until(999);
	assert_int_equal(scene.dials, 1);
	scene_until(1000);
	assert_int_equal(scene.dials, 2);
}

SCENES(cmocka_unit_test(a_lower_error_delay_acts_at_once),
       cmocka_unit_test(pass_frees_a_held_error),
       cmocka_unit_test(shadow_frees_a_held_error),
       cmocka_unit_test(giving_way_leaves_the_queue_of_the_caps),
       cmocka_unit_test(caps_for_one_who_lingers_is_no_hole),
       cmocka_unit_test(a_deferral_leaves_the_queue_of_the_caps),
       cmocka_unit_test(spent_at_the_gate_needs_no_share),
       cmocka_unit_test(small_chunks_are_no_slower),
       cmocka_unit_test(the_421_fits_behind_the_longest_name),
       cmocka_unit_test(a_reset_behind_quit_is_not_giving_up),
       cmocka_unit_test(more_words_in_the_same_breath),
       cmocka_unit_test(tls_behind_many_segments_is_read),
       cmocka_unit_test(shadow_counts_each_chunk),
       cmocka_unit_test(shadow_counts_an_upload_with_quit_behind),
       cmocka_unit_test(a_tls_client_that_waits_for_nothing_does_not_give_up),
       cmocka_unit_test(replies_behind_a_fin_do_not_wait),
       cmocka_unit_test(half_a_reply_is_flushed_by_a_fin),
       cmocka_unit_test(between_two_dials_caps_are_only_tried),
       cmocka_unit_test(another_plan_does_not_hurry_the_next_dial))
