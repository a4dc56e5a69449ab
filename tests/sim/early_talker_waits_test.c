/* Who speaks first waits: kept bytes go on behind the greeting, in order and
 * in their segments, and reading stops at 4 KiB. */
#include <string.h>

#include "tests/sim/scenario.h"

static void
bytes_wait_for_the_greeting(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_client("EHLO early\r\n");
	assert_true(scene.wants_plan);
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(2999);
	scene_mta_got("");
	scene_until(3000);
	scene_client_got("220 real\r\n");
	scene_mta_got("EHLO early\r\n");
}

static void
segments_wait_for_answers(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_client("EHLO early\r\n");
	scene_client("MAIL FROM:<a@b>\r\nRCPT");
	scene_client(" TO:<c>\r\n");
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(3000);
	scene_mta_got("EHLO early\r\n");
	scene_mta("250 hello\r\n");
	scene_mta_got("MAIL FROM:<a@b>\r\nRCPT");
	scene_mta("250 sender\r\n");
	scene_mta_got(" TO:<c>\r\n");
}

static void
octets_of_a_chunk_wait_for_no_answer(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_client("EHLO early\r\nBDAT 6 LAST\r\n");
	scene_client("abc");
	scene_client("def");
	scene_client("QUIT\r\n");
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(3000);
	scene_mta_got("EHLO early\r\nBDAT 6 LAST\r\nabcdef");
	scene_mta("250 hello\r\n250 kept\r\n");
	scene_mta_got("QUIT\r\n");
}

static void
reading_stops_when_enough_is_kept(void **state)
{
	static char much[SESSION_EARLY_CAP + 1];

	(void)state;
	memset(much, 'x', sizeof(much));
	much[SESSION_EARLY_CAP] = '\0';
	scene_open((struct plan){.greet_ms = 3000});
	much[100] = '\0';
	scene_client(much);
	assert_true(scene.o.read[SIDE_CLIENT]);
	much[100] = 'x';
	much[SESSION_EARLY_CAP - 100] = '\0';
	scene_client(much);
	assert_false(scene.o.read[SIDE_CLIENT]);
}

static void
pipeconnect_makes_it_fair(void **state)
{
	struct plan plan = {.greet_ms = 3000,
			    .reply_cap_ms = 20000,
			    .patience_ms = 9000,
			    .session_cap_ms = 120000};
	struct site site = {.name = "a",
			    .name_len = 1,
			    .drip_gap_ms = 200,
			    .pipeconnect = true};

	(void)state;
	world_open(&scene, &site, &plan, 1000);
	scene_client("EHLO early\r\n");
	assert_false(scene.wants_plan);
	assert_false(scene.s.is_early);
}

static void
a_fin_behind_them_is_forwarded(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_client("QUIT\r\n");
	world_shuts(&scene, SIDE_CLIENT);
	assert_false(scene.has_ended);
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(3000);
	scene_mta_got("QUIT\r\n");
	assert_true(scene.out[SIDE_MTA].fin);
	scene_mta("221 bye\r\n");
	world_shuts(&scene, SIDE_MTA);
	scene_until(3001);
	world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	scene_client_got("220 real\r\n221 bye\r\n");
	scene_ended(REASON_QUIT);
}

SCENES(cmocka_unit_test(bytes_wait_for_the_greeting),
       cmocka_unit_test(segments_wait_for_answers),
       cmocka_unit_test(octets_of_a_chunk_wait_for_no_answer),
       cmocka_unit_test(reading_stops_when_enough_is_kept),
       cmocka_unit_test(pipeconnect_makes_it_fair),
       cmocka_unit_test(a_fin_behind_them_is_forwarded))
