/* Slow uploads at their edges: what starts and ends them, what a piece costs,
 * and that nothing is saved or owed from before. */
#include <string.h>

#include "tests/sim/scenario.h"

#define KIB 1024u
#define CAPS_OF_THE_GOVERNOR                                                   \
	.reply_cap_ms = 20000, .data_reply_cap_ms = 5000, .patience_ms = 9000, \
	.session_cap_ms = 120000

static const struct plan slow = {CAPS_OF_THE_GOVERNOR, .data_rate = 4 * KIB};
static char body[64 * KIB];
static size_t before;
static int steps;

static void
count_step(struct world *w)
{
	(void)w;
	steps++;
}

static void
open_relay(struct plan plan)
{
	memset(body, 'x', sizeof(body));
	scene_open(plan);
	scene_connect();
	scene_mta("220 real\r\n");
}

static void
open_payload(struct plan plan)
{
	open_relay(plan);
	scene_client("DATA\r\n");
	scene_mta("354 go\r\n");
	before = scene.out[SIDE_MTA].len;
}

static void
open_tls(struct plan plan)
{
	open_relay(plan);
	scene_client("STARTTLS\r\n");
	scene_mta("220 go\r\n");
	before = scene.out[SIDE_MTA].len;
}

static void
upload(size_t len)
{
	world_says(&scene, SIDE_CLIENT, body, len);
}

/* Since the payload or TLS began. */
static size_t
passed(void)
{
	return scene.out[SIDE_MTA].len - before;
}

static void
a_second_costs_few_steps(void **state)
{
	static const uint32_t rates[] = {PLAN_DATA_RATE_MIN, 4 * KIB, 16 * KIB};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		open_payload((struct plan){.data_rate = rates[i]});
		upload(48 * KIB);
		scene.on_step = count_step;
		steps = 0;
		scene_until(2000);
		scene.on_step = NULL;
		/* A wake and a look at the bytes, four times a second. */
		assert_in_range(steps, 4, 2 * 2 * 4);
	}
}

static void
the_slowest_goes_in_whole_pieces(void **state)
{
	(void)state;
	open_payload((struct plan){.data_rate = PLAN_DATA_RATE_MIN});
	upload(8 * KIB);
	scene_until(499);
	assert_int_equal(passed(), 0);
	scene_until(500);
	assert_int_equal(passed(), 512);
}

static void
byte_by_byte_is_no_faster(void **state)
{
	int i;

	(void)state;
	open_payload(slow);
	scene_until(1000);
	for (i = 0; i < 8192; i++)
		upload(1);
	assert_true(passed() <= KIB);
}

static void
nothing_passes_between_two_pieces(void **state)
{
	(void)state;
	open_payload(slow);
	upload(20 * KIB);
	scene_until(250);
	assert_int_equal(passed(), KIB);
	scene_until(260);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	assert_int_equal(passed(), KIB);
}

/* What went at full speed before the share had room is not to be paid for. */
static void
nothing_is_owed_from_before(void **state)
{
	(void)state;
	open_payload((struct plan){.greet_ms = 0});
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &slow);
	world_event(&scene, EVENT_DENIED, SIDE_CLIENT, NULL);
	upload(32 * KIB);
	assert_int_equal(passed(), 32 * KIB);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &slow);
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	upload(20 * KIB);
	assert_true(passed() <= 33 * KIB);
	scene_until(2000);
	assert_true(passed() >= (32 + 6) * KIB);
}

static void
without_the_share_the_buffer_is_full(void **state)
{
	(void)state;
	open_relay((struct plan){.greet_ms = 0});
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &slow);
	assert_false(scene.s.is_small);
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	assert_true(scene.s.is_small);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	assert_false(scene.s.is_small);
}

/* Who lingers, or is not followed any more, has no upload to be slowed. */
static void
the_buffer_is_full_when_all_is_over(void **state)
{
	(void)state;
	scene_open((struct plan){.data_rate = 4 * KIB, .greet_ms = 5000});
	assert_true(scene.s.is_small);
	world_event(&scene, EVENT_GIVE_WAY, SIDE_CLIENT, NULL);
	assert_false(scene.s.is_small);
	open_relay(slow);
	assert_true(scene.s.is_small);
	scene_mta("250 unasked\r\n");
	assert_true(scene.s.is_lost);
	assert_false(scene.s.is_small);
	open_payload(slow);
	assert_true(scene.s.is_small);
	world_shuts(&scene, SIDE_CLIENT);
	assert_false(scene.s.is_small);
}

static void
shadow_frees_an_upload(void **state)
{
	struct plan shadow = slow;

	(void)state;
	open_payload(slow);
	upload(20 * KIB);
	assert_int_equal(passed(), 0);
	shadow.is_shadow = true;
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &shadow);
	assert_int_equal(passed(), 20 * KIB);
	assert_false(scene.s.is_small);
}

static void
a_release_frees_tls(void **state)
{
	(void)state;
	open_tls(slow);
	upload(SESSION_TLS_FREE);
	upload(20 * KIB);
	assert_true(passed() <= SESSION_TLS_FREE + KIB);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	assert_int_equal(passed(), SESSION_TLS_FREE + 20 * KIB);
}

/* Time before the payload is not its own, however long it was. */
static void
open_late(const char *command, const char *reply)
{
	struct plan plan = slow;

	memset(body, 'x', sizeof(body));
	plan.greet_ms = 3000;
	scene_open(plan);
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(60000);
	scene_client(command);
	scene_mta(reply);
	before = scene.out[SIDE_MTA].len;
}

static void
a_late_upload_is_slowed_too(void **state)
{
	(void)state;
	open_late("DATA\r\n", "354 go\r\n");
	upload(20 * KIB);
	assert_true(passed() <= 2 * KIB);
	open_late("STARTTLS\r\n", "220 go\r\n");
	upload(SESSION_TLS_FREE);
	upload(20 * KIB);
	assert_true(passed() <= SESSION_TLS_FREE + 2 * KIB);
}

static void
a_late_wake_costs_the_client_nothing(void **state)
{
	uint64_t start;

	(void)state;
	open_payload((struct plan){.data_rate = PLAN_DATA_RATE_MIN});
	upload(20 * KIB);
	start = scene.now_ms;
	while (scene.now_ms < start + 10000) {
		scene.now_ms = world_deadline(&scene) + 100;
		world_wake(&scene);
	}
	assert_true(passed() + KIB > 10 * KIB);
}

static void
the_end_of_slowness_is_exact(void **state)
{
	(void)state;
	open_payload((struct plan){.data_rate = 1500});
	scene_until(130);
	upload(60 * KIB);
	scene_until(20129);
	assert_true(passed() < 60 * KIB);
	scene_until(20130);
	assert_int_equal(passed(), 60 * KIB);
}

/* It is over; what follows may be slow again. */
static void
behind_a_short_upload_the_buffer_stays_small(void **state)
{
	(void)state;
	open_payload(slow);
	scene_client("x\r\n.\r\n");
	scene_until(1000);
	scene_mta("250 queued\r\n");
	scene_until(40000);
	scene_client("RSET\r\n");
	assert_true(scene.s.is_small);
}

static void
another_plan_slows_tls_and_frees_it(void **state)
{
	struct plan pass = {CAPS_OF_THE_GOVERNOR};

	(void)state;
	open_tls((struct plan){.greet_ms = 0});
	upload(SESSION_TLS_FREE);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &slow);
	assert_int_equal(scene.asking, SLOT_INTO_SHARE);
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	upload(20 * KIB);
	assert_true(passed() <= SESSION_TLS_FREE + KIB);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &pass);
	assert_int_equal(passed(), SESSION_TLS_FREE + 20 * KIB);
}

static void
the_budget_ends_tls_to_the_millisecond(void **state)
{
	struct plan plan = slow;

	(void)state;
	plan.session_cap_ms = 2100;
	open_tls(plan);
	upload(SESSION_TLS_FREE);
	upload(20 * KIB);
	scene_until(2099);
	assert_true(passed() < SESSION_TLS_FREE + 9 * KIB);
	scene_until(2100);
	assert_int_equal(passed(), SESSION_TLS_FREE + 20 * KIB);
	assert_int_equal(scene.s.counts.held_ms, 2100);
}

static const struct plan shadow = {CAPS_OF_THE_GOVERNOR, .data_rate = 4 * KIB,
				   .is_shadow = true};

static void
shadow_counts_from_the_beginning_of_the_payload(void **state)
{
	(void)state;
	open_relay(shadow);
	scene_until(60000);
	scene_client("DATA\r\n");
	scene_mta("354 go\r\n");
	upload(8 * KIB);
	scene_client("\r\n.\r\n");
	scene_mta("250 queued\r\n");
	assert_in_range(scene.s.counts.would_ms, 2000, 2010);
}

static void
shadow_counts_a_last_chunk(void **state)
{
	(void)state;
	open_relay(shadow);
	scene_until(60000);
	scene_client("BDAT 8192 LAST\r\n");
	upload(8 * KIB);
	scene_mta("250 queued\r\n");
	assert_in_range(scene.s.counts.would_ms, 2000, 2010);
}

static void
shadow_counts_no_more_than_enforce_takes(void **state)
{
	struct plan plan = shadow;

	(void)state;
	plan.data_rate = PLAN_DATA_RATE_MIN;
	open_payload(plan);
	upload(60 * KIB);
	scene_client("\r\n.\r\n");
	scene_mta("250 queued\r\n");
	assert_in_range(scene.s.counts.would_ms, 19990, 20010);
}

static void
nothing_is_owed_from_shadow(void **state)
{
	(void)state;
	open_payload(shadow);
	upload(60 * KIB);
	scene_client("\r\n.\r\n");
	scene_mta("250 queued\r\n");
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &slow);
	world_event(&scene, EVENT_GRANTED, SIDE_CLIENT, NULL);
	scene_client("DATA\r\n");
	scene_mta("354 go\r\n");
	before = scene.out[SIDE_MTA].len;
	upload(3 * KIB);
	scene_until(1000);
	assert_int_equal(passed(), 3 * KIB);
}

static void
shadow_adds_nothing_to_a_slower_client(void **state)
{
	(void)state;
	open_payload(shadow);
	upload(4 * KIB);
	scene_until(5000);
	scene_client("\r\n.\r\n");
	scene_mta("250 queued\r\n");
	assert_in_range(scene.s.counts.would_ms, 0, 10);
}

static void
who_is_released_would_wait_no_more(void **state)
{
	struct plan plan = {CAPS_OF_THE_GOVERNOR, .reply_ms = 3000,
			    .is_shadow = true};

	(void)state;
	open_relay(plan);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	scene_client("EHLO a\r\n");
	scene_mta("250 a\r\n");
	assert_int_equal(scene.s.counts.would_ms, 0);
}

SCENES(cmocka_unit_test(a_second_costs_few_steps),
       cmocka_unit_test(the_slowest_goes_in_whole_pieces),
       cmocka_unit_test(byte_by_byte_is_no_faster),
       cmocka_unit_test(nothing_passes_between_two_pieces),
       cmocka_unit_test(nothing_is_owed_from_before),
       cmocka_unit_test(without_the_share_the_buffer_is_full),
       cmocka_unit_test(the_buffer_is_full_when_all_is_over),
       cmocka_unit_test(shadow_frees_an_upload),
       cmocka_unit_test(a_release_frees_tls),
       cmocka_unit_test(a_late_upload_is_slowed_too),
       cmocka_unit_test(a_late_wake_costs_the_client_nothing),
       cmocka_unit_test(the_end_of_slowness_is_exact),
       cmocka_unit_test(behind_a_short_upload_the_buffer_stays_small),
       cmocka_unit_test(shadow_counts_no_more_than_enforce_takes),
       cmocka_unit_test(nothing_is_owed_from_shadow),

       cmocka_unit_test(another_plan_slows_tls_and_frees_it),
       cmocka_unit_test(the_budget_ends_tls_to_the_millisecond),
       cmocka_unit_test(shadow_counts_from_the_beginning_of_the_payload),
       cmocka_unit_test(shadow_counts_a_last_chunk),
       cmocka_unit_test(shadow_adds_nothing_to_a_slower_client),
       cmocka_unit_test(who_is_released_would_wait_no_more))
