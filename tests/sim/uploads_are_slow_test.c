/* Slow uploads: payload at the plan's rate, nothing else, and never for long
 * at a time without a byte. */
#include <string.h>

#include "tests/sim/scenario.h"

#define KIB 1024

static const struct plan slow = {.data_rate = 4 * KIB};
static char body[20 * KIB];

static void
open_payload(struct plan plan)
{
	memset(body, 'x', sizeof(body));
	scene_open(plan);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("DATA\r\n");
	scene_mta("354 go\r\n");
}

static size_t
mta_bytes(void)
{
	return scene.out[SIDE_MTA].len;
}

static void
upload(size_t len)
{
	world_says(&scene, SIDE_CLIENT, body, len);
}

static void
payload_passes_at_its_rate(void **state)
{
	size_t before;
	uint32_t ms;

	(void)state;
	open_payload(slow);
	before = mta_bytes();
	upload(20 * KIB);
	for (ms = 1000; ms <= 4000; ms += 1000) {
		size_t due = 4 * KIB * ms / 1000;
		size_t got;

		scene_until(ms);
		got = mta_bytes() - before;
		assert_true(got <= due && got + 2 * KIB > due);
	}
	scene_until(5250);
	assert_int_equal(mta_bytes() - before, 20 * KIB);
}

static void
no_gap_is_long(void **state)
{
	struct plan slowest = {.data_rate = PLAN_DATA_RATE_MIN};
	size_t before;
	uint32_t ms;

	(void)state;
	open_payload(slowest);
	upload(20 * KIB);
	for (ms = 1000; ms <= 19000; ms += 1000) {
		before = mta_bytes();
		scene_until(ms);
		assert_true(mta_bytes() > before);
	}
}

static void
reading_stops_between_pieces(void **state)
{
	(void)state;
	open_payload(slow);
	upload(20 * KIB);
	assert_false(scene.o.read[SIDE_CLIENT]);
	assert_int_equal(scene.o.quota, 0);
	scene_until(6000);
	assert_true(scene.o.read[SIDE_CLIENT]);
	assert_true(scene.o.quota > 0 && scene.o.quota <= KIB);
}

static void
commands_are_not_slowed(void **state)
{
	(void)state;
	scene_open(slow);
	scene_connect();
	scene_mta("220 real\r\n");
	assert_true(scene.o.quota == UINT32_MAX);
	upload(3 * KIB);
	assert_int_equal(mta_bytes(), 3 * KIB);
}

static void
a_chunk_is_slowed_too(void **state)
{
	size_t before;

	(void)state;
	scene_open(slow);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("BDAT 8192 LAST\r\n");
	memset(body, 'x', sizeof(body));
	before = mta_bytes();
	upload(8 * KIB);
	scene_until(1000);
	assert_true(mta_bytes() - before <= 4 * KIB);
	scene_until(2300);
	assert_int_equal(mta_bytes() - before, 8 * KIB);
}

/* The sender's kernel has all of it, and its clock runs. */
static void
no_longer_than_a_reply_may_take(void **state)
{
	static char large[60 * KIB];
	size_t before;

	(void)state;
	memset(large, 'x', sizeof(large));
	open_payload((struct plan){.data_rate = PLAN_DATA_RATE_MIN});
	assert_true(scene.s.is_small);
	scene_until(30000);
	before = mta_bytes();
	world_says(&scene, SIDE_CLIENT, large, sizeof(large));
	scene_until(49999);
	assert_true(mta_bytes() - before <= 21 * KIB);
	scene_until(50000);
	assert_int_equal(mta_bytes() - before, sizeof(large));
	assert_false(scene.s.is_small);
	scene_client("\r\n.\r\n");
	scene_mta("250 queued\r\n");
	scene_client("DATA\r\n");
	scene_mta("354 go\r\n");
	assert_false(scene.s.is_small);
}

static void
the_budget_ends_it(void **state)
{
	struct plan plan = slow;
	size_t before;

	(void)state;
	plan.session_cap_ms = 2000;
	open_payload(plan);
	before = mta_bytes();
	upload(20 * KIB);
	scene_until(1999);
	assert_true(mta_bytes() - before < 9 * KIB);
	scene_until(2000);
	assert_int_equal(mta_bytes() - before, 20 * KIB);
	assert_int_equal(scene.s.counts.held_ms, 2000);
}

static void
a_release_ends_it(void **state)
{
	size_t before;

	(void)state;
	open_payload(slow);
	before = mta_bytes();
	upload(20 * KIB);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	assert_int_equal(mta_bytes() - before, 20 * KIB);
	assert_int_equal(scene.s.is_small, false);
}

static void
a_fin_ends_it(void **state)
{
	size_t before;

	(void)state;
	open_payload(slow);
	before = mta_bytes();
	upload(20 * KIB);
	world_shuts(&scene, SIDE_CLIENT);
	assert_int_equal(mta_bytes() - before, 20 * KIB);
	assert_true(scene.out[SIDE_MTA].fin);
}

static void
the_buffer_is_small_from_the_accept_on(void **state)
{
	(void)state;
	scene_open((struct plan){.data_rate = 4 * KIB, .greet_ms = 5000});
	assert_int_equal(scene.o.receive_buffer, RECEIVE_SMALL);
	world_event(&scene, EVENT_RELEASED, SIDE_CLIENT, NULL);
	assert_int_equal(scene.o.receive_buffer, RECEIVE_FULL);
	scene_open((struct plan){.greet_ms = 5000});
	assert_int_equal(scene.o.receive_buffer, RECEIVE_KEEP);
}

static void
tls_is_free_at_first(void **state)
{
	size_t before;

	(void)state;
	memset(body, 'x', sizeof(body));
	scene_open(slow);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("STARTTLS\r\n");
	scene_mta("220 go\r\n");
	before = mta_bytes();
	upload(SESSION_TLS_FREE);
	assert_int_equal(mta_bytes() - before, SESSION_TLS_FREE);
	upload(8 * KIB);
	scene_until(1000);
	assert_true(mta_bytes() - before <= SESSION_TLS_FREE + 4 * KIB);
	scene_until(2300);
	assert_int_equal(mta_bytes() - before, SESSION_TLS_FREE + 8 * KIB);
}

static void
what_was_not_used_is_not_saved(void **state)
{
	size_t before;

	(void)state;
	open_payload(slow);
	scene_until(60000);
	before = mta_bytes();
	upload(20 * KIB);
	assert_true(mta_bytes() - before <= 2 * KIB);
}

SCENES(cmocka_unit_test(payload_passes_at_its_rate),
       cmocka_unit_test(no_gap_is_long),
       cmocka_unit_test(reading_stops_between_pieces),
       cmocka_unit_test(commands_are_not_slowed),
       cmocka_unit_test(a_chunk_is_slowed_too),
       cmocka_unit_test(no_longer_than_a_reply_may_take),
       cmocka_unit_test(the_budget_ends_it),
       cmocka_unit_test(a_release_ends_it), cmocka_unit_test(a_fin_ends_it),
       cmocka_unit_test(the_buffer_is_small_from_the_accept_on),
       cmocka_unit_test(tls_is_free_at_first),
       cmocka_unit_test(what_was_not_used_is_not_saved))
