/* Behind an odd end of data nothing is read before the MTA has said, or had
 * the time to say, that the message is over: text or commands. */
#include "tests/sim/scenario.h"

#define SMUGGLED "MAIL FROM:<smuggled@example.org>\r\n"

static void
open_data(void)
{
	scene_open((struct plan){.rank = 1});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("DATA\r\n");
	scene_mta("354 go\r\n");
	scene_client_got("220 real\r\n354 go\r\n");
	scene_mta_got("DATA\r\n");
}

static void
it_was_the_end_if_the_mta_says_so(void **state)
{
	(void)state;
	open_data();
	scene_client("x\n.\n");
	scene_mta_got("x\n.\n");
	scene_mta("250 queued\r\n");
	assert_false(scene.s.is_lost);
	assert_int_equal(scene.s.counts.messages, 1);
	scene_client("QUIT\r\n");
	scene_mta("221 bye\r\n");
	scene_client_got("250 queued\r\n221 bye\r\n");
	assert_true(scene.s.has_quit);
}

static void
what_is_behind_it_waits_for_the_answer(void **state)
{
	(void)state;
	open_data();
	scene_client("x\n.\r\n" SMUGGLED "QUIT\r\n");
	scene_mta_got("x\n.\r\n");
	scene_until(SESSION_MAYBE_MS - 1);
	scene_mta_got("");
	scene_mta("250 queued\r\n");
	scene_mta_got(SMUGGLED "QUIT\r\n");
	scene_mta("250 sender\r\n221 bye\r\n");
	scene_client_got("250 queued\r\n250 sender\r\n221 bye\r\n");
	assert_false(scene.s.is_lost);
	assert_true(scene.s.has_quit);
	assert_int_equal(scene.s.counts.messages, 1);
}

static void
without_an_answer_it_was_text(void **state)
{
	(void)state;
	open_data();
	scene_client("x\r\n.\n" SMUGGLED ".\r\nQUIT\r\n");
	scene_mta_got("x\r\n.\n");
	scene_until(SESSION_MAYBE_MS);
	scene_mta_got(SMUGGLED ".\r\nQUIT\r\n");
	scene_mta("250 queued\r\n221 bye\r\n");
	assert_false(scene.s.is_lost);
	assert_true(scene.s.has_quit);
	assert_int_equal(scene.s.counts.messages, 1);
}

static void
the_same_form_waits_once(void **state)
{
	(void)state;
	open_data();
	scene_client("x\n.\ny\n.\nz");
	scene_until(SESSION_MAYBE_MS);
	scene_mta_got("x\n.\ny\n.\nz");
	scene_client("\n.\r\nz");
	scene_mta_got("\n.\r\n"); /* another form */
	scene_until(2 * SESSION_MAYBE_MS);
	scene_mta_got("z");
}

static void
a_late_answer_loses_track(void **state)
{
	(void)state;
	open_data();
	scene_client("x\n.\n" SMUGGLED);
	scene_until(SESSION_MAYBE_MS);
	scene_mta("250 queued\r\n");
	assert_true(scene.s.is_lost);
	scene_client_got("250 queued\r\n");
}

/* A filter that takes its time, before a client that waits for the answer. */
static void
a_late_answer_is_the_end_if_nothing_came_since(void **state)
{
	(void)state;
	open_data();
	scene_client("x\n.\n");
	scene_mta_got("x\n.\n");
	scene_until(30 * SESSION_MAYBE_MS);
	scene_mta("250 queued\r\n");
	assert_false(scene.s.is_lost);
	assert_int_equal(scene.s.counts.messages, 1);
	scene_client("QUIT\r\n");
	scene_mta("221 bye\r\n");
	scene_client_got("250 queued\r\n221 bye\r\n");
	assert_true(scene.s.has_quit);
}

static void
nothing_waits_where_no_mta_has_an_end(void **state)
{
	(void)state;
	open_data();
	scene_client("x\r.\r" SMUGGLED "\r.\r\n.\rx\r\n");
	scene_mta_got("x\r.\r" SMUGGLED "\r.\r\n.\rx\r\n");
}

static void
a_refusal_in_between_is_passed(void **state)
{
	(void)state;
	open_data();
	scene_client("x\n.\n" SMUGGLED);
	scene_mta("421 4.5.0 bare line feed\r\n");
	scene_client_got("421 4.5.0 bare line feed\r\n");
	world_shuts(&scene, SIDE_MTA);
	assert_int_equal(scene.s.counts.messages, 0);
	assert_false(scene.s.is_lost);
}

static void
a_fin_waits_with_it(void **state)
{
	(void)state;
	open_data();
	scene_client("x\n.\nQUIT\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	scene_mta_got("x\n.\n");
	assert_false(scene.s.mta_shut);
	scene_mta("250 queued\r\n");
	scene_mta_got("QUIT\r\n");
	assert_true(scene.s.mta_shut);
}

SCENES(cmocka_unit_test(it_was_the_end_if_the_mta_says_so),
       cmocka_unit_test(what_is_behind_it_waits_for_the_answer),
       cmocka_unit_test(without_an_answer_it_was_text),
       cmocka_unit_test(the_same_form_waits_once),
       cmocka_unit_test(a_late_answer_loses_track),
       cmocka_unit_test(a_late_answer_is_the_end_if_nothing_came_since),
       cmocka_unit_test(nothing_waits_where_no_mta_has_an_end),
       cmocka_unit_test(a_refusal_in_between_is_passed),
       cmocka_unit_test(a_fin_waits_with_it))
