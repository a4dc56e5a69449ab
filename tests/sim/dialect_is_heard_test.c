/* How the client speaks is heard as it passes: what it did not wait for, and
 * rules on it are asked again with each new word. */
#include <string.h>

#include "tests/sim/scenario.h"

static void
begin(bool counts_matter)
{
	scene_open((struct plan){.greet_ms = 0});
	scene.site.counts_matter = counts_matter;
	scene_connect();
	scene_mta("220 real\r\n");
}

static void
is_dialect(const char *want)
{
	char text[DIALECT_TEXT_CAP];

	(void)dialect_text(&scene.s.dialect, text);
	assert_string_equal(text, want);
}

static void
who_waits_and_who_does_not(void **state)
{
	(void)state;
	begin(false);
	is_dialect("");
	scene_client("EHLO a.b\r\n");
	is_dialect("EHLO:fqdn:-:-:-:-:----:-:-:-:crlf");
	scene_mta("250 a\r\n");
	scene_client("MAIL FROM:<a> SIZE=9\r\nRCPT TO:<b>\r\nDATA\r\n");
	scene_mta("250 a\r\n250 b\r\n354 c\r\n");
	scene_client("x\r\n.\r\nQUIT\r\n");
	is_dialect(
	    "EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:none:wRDQ:DATA:QUIT:-:crlf");
	begin(false);
	scene_client("EHLO a.b\r\n");
	scene_mta("250 a\r\n");
	scene_client("MAIL FROM:<a> SIZE=9\r\n");
	scene_mta("250 a\r\n");
	scene_client("RCPT TO:<b>\r\n");
	scene_mta("250 b\r\n");
	scene_client("DATA\r\n");
	scene_mta("354 c\r\n");
	scene_client("x\r\nQUIT\r\n.\r\n");
	scene_mta("250 d\r\n");
	is_dialect(
	    "EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:none:www-:DATA:-:-:crlf");
	scene_client("QUIT\r\n");
	is_dialect(
	    "EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:none:wwww:DATA:QUIT:-:crlf");
}

/* A reply that we hold was not read: to speak before it is not to wait. */
static void
held_is_not_answered(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 0, .reply_ms = 5000});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client("MAIL FROM:<a>\r\n");
	scene_mta("250 a\r\n");
	scene_client("RCPT TO:<b>\r\n");
	is_dialect("-:-:MAIL.FROM<:RCPT.TO<:none:none:wR--:-:-:-:crlf");
}

static void
lines_in_pieces(void **state)
{
	static const char line[] =
	    "MAIL From:<someone@a.long.example.org> X\r\n";

	(void)state;
	for (size_t at = 1; at < sizeof line - 1; at++) {
		begin(false);
		world_says(&scene, SIDE_CLIENT, line, at);
		world_says(&scene, SIDE_CLIENT, line + at,
			   sizeof line - 1 - at);
		is_dialect("-:-:MAIL.From<:-:x:-:w---:-:-:-:crlf");
	}
}

static void
rules_look_again(void **state)
{
	(void)state;
	begin(true);
	scene_client("EHLO a\r\n");
	assert_true(scene.wants_plan);
	scene_mta("250 a\r\n");
	scene.wants_plan = false;
	scene_client("EHLO a\r\n");
	assert_false(scene.wants_plan);
	scene_client("MAIL FROM:<a>\r\n");
	assert_true(scene.wants_plan);
	begin(false);
	scene_client("EHLO a\r\n");
	assert_false(scene.wants_plan);
}

static void
gaps_are(uint32_t low_ms, uint32_t high_ms)
{
	assert_true(scene.s.has_gaps);
	assert_int_equal(scene.s.gap_low_ms, low_ms);
	assert_int_equal(scene.s.gap_high_ms, high_ms);
}

/* From a reply, not from what the MTA said that is still held. */
static void
how_long_it_thinks(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 0, .reply_ms = 5000});
	scene_connect();
	scene_mta("220 real\r\n");
	assert_false(scene.s.has_gaps);
	scene_until(30);
	scene_client("EHLO a.b\r\n");
	gaps_are(30, 30);
	scene_mta("250 a\r\n");
	scene_until(5037);
	scene_client("MAIL FROM:<a>\r\nRCPT TO:<b>\r\n");
	gaps_are(7, 30);
	scene_mta("250 a\r\n250 b\r\n");
	scene_until(100037);
	scene_client("DATA\r\n");
	gaps_are(7, UINT16_MAX);
}

SCENES(cmocka_unit_test(who_waits_and_who_does_not),
       cmocka_unit_test(held_is_not_answered),
       cmocka_unit_test(lines_in_pieces), cmocka_unit_test(rules_look_again),
       cmocka_unit_test(how_long_it_thinks))
