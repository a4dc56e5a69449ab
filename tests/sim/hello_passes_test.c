/*
 * Behind STARTTLS the ClientHello is read while it passes: no byte of it
 * waits, none is changed, and when it is whole the plan is made again.
 */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <string.h>

#include "tarry/ja4.h"
#include "tests/unit/hello_bytes.h"

#define CIPHERS "0004 1301 c014"
#define EXTENSIONS "000d 0004 0002 0403"
#define RAW "t12i020100_1301,c014_000d_0403"

static struct hello_bytes hello;

static void
open_tls(struct plan plan)
{
	scene_open(plan);
	scene_until(plan.greet_ms);
	scene_connect();
	scene_mta("220 mta\r\n");
	scene_client("EHLO a\r\n");
	scene_mta("250-mta\r\n250 STARTTLS\r\n");
	scene_until(plan.greet_ms + plan.reply_ms);
	scene_client("STARTTLS\r\n");
	scene_mta("220 go\r\n");
	assert_int_equal(scene.s.phase, PHASE_BLIND);
	scene.out[SIDE_MTA].len = 0;
	scene.wants_plan = false;
}

/* What the MTA has of the client's TLS is all that the client has said. */
static void
says(const uint8_t *bytes, size_t len, size_t before)
{
	world_says(&scene, SIDE_CLIENT, bytes, len);
	assert_int_equal(scene.out[SIDE_MTA].len, before + len);
	assert_memory_equal(scene.out[SIDE_MTA].bytes + before, bytes, len);
}

static void
each_byte_passes_at_once(void **state)
{
	char raw[JA4_RAW_CAP];
	const struct plan slow = {
	    .greet_ms = 3000, .reply_ms = 5000, .data_rate = 1024};

	(void)state;
	hello_make(&hello, "0303", CIPHERS, EXTENSIONS);
	open_tls(slow);
	for (size_t i = 0; i < hello.len; i++) {
		assert_false(scene.wants_plan);
		says(hello.bytes + i, 1, i);
	}
	assert_true(scene.wants_plan);
	assert_int_equal(scene.hello->state, CLIENT_HELLO_DONE);
	(void)ja4_raw(scene.hello, raw);
	assert_string_equal(raw, RAW);
}

static void
the_plan_is_made_once(void **state)
{
	(void)state;
	hello_make(&hello, "0303", CIPHERS, EXTENSIONS);
	open_tls((struct plan){.reply_ms = 5000});
	says(hello.bytes, hello.len, 0);
	assert_true(scene.wants_plan);
	world_event(&scene, EVENT_REPLAN, SIDE_CLIENT, &scene.s.plan);
	assert_int_equal(scene.s.phase, PHASE_BLIND);
	says(hello.bytes, hello.len, hello.len);
	assert_false(scene.wants_plan);
	assert_int_equal(scene.hello->ciphers_count, 2);
}

static void
what_is_no_hello_passes_too(void **state)
{
	static const char words[] = "EHLO again\r\nMAIL FROM:<a>\r\n";

	(void)state;
	open_tls((struct plan){.reply_ms = 5000});
	says((const uint8_t *)words, strlen(words), 0);
	assert_int_equal(scene.hello->state, CLIENT_HELLO_NOT_TLS);
	assert_false(scene.wants_plan);
}

static void
nobody_reads_where_nothing_was_lent(void **state)
{
	(void)state;
	hello_make(&hello, "0303", CIPHERS, EXTENSIONS);
	open_tls((struct plan){.reply_ms = 5000});
	scene.hello = NULL;
	says(hello.bytes, hello.len, 0);
	assert_false(scene.wants_plan);
}

static void
a_relay_that_lost_track_reads_none(void **state)
{
	(void)state;
	hello_make(&hello, "0303", CIPHERS, EXTENSIONS);
	scene_open((struct plan){.reply_ms = 5000});
	scene_connect();
	scene_mta("220 mta\r\n250 unasked\r\n");
	assert_true(scene.s.is_lost);
	assert_null(scene.hello);
	world_says(&scene, SIDE_CLIENT, hello.bytes, hello.len);
	assert_false(scene.wants_plan);
}

SCENES(cmocka_unit_test(each_byte_passes_at_once),
       cmocka_unit_test(the_plan_is_made_once),
       cmocka_unit_test(what_is_no_hello_passes_too),
       cmocka_unit_test(nobody_reads_where_nothing_was_lent),
       cmocka_unit_test(a_relay_that_lost_track_reads_none))
