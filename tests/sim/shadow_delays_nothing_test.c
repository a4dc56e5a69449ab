/* Shadow: nothing is delayed, and what would have been is counted. The same
 * dialogue is played in both modes, and the two must agree. */
#include <string.h>

#include "tests/sim/scenario.h"

struct line {
	const char *client;
	const char *mta;
};

static const struct line lines[] = {
    {"EHLO a\r\n", "250 a\r\n"},
    {"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\n",
     "250 m\r\n250 b\r\n550 c\r\n"},
    {"DATA\r\n", "354 go\r\n"},
    {"x\r\n.\r\n", "250 queued\r\n"},
    {"RSET\r\n", "250 r\r\n"},
    {"MAIL FROM:<>\r\n", "451 later\r\n"},
    {"QUIT\r\n", "221 bye\r\n"},
};

/* Returns when the last reply was out. A reply that is held is waited for. */
static uint64_t
play(struct plan plan)
{
	uint32_t ms = 0;
	size_t i;

	scene_open(plan);
	while (scene.claims == 0)
		scene_until(ms += 50);
	scene_connect();
	scene_mta("220 real\r\n");
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		while (scene.out[SIDE_CLIENT].len < scene.in[SIDE_MTA].len)
			scene_until(ms += 50);
		scene_client(lines[i].client);
		scene_mta(lines[i].mta);
	}
	while (scene.out[SIDE_CLIENT].len < scene.in[SIDE_MTA].len)
		scene_until(ms += 50);
	return ms;
}

static void
shadow_counts_what_enforce_takes(void **state)
{
	static const struct plan plans[] = {
	    {.greet_ms = 3000},
	    {.greet_ms = 15000, .reply_ms = 5000, .error_ms = 9000},
	    {.reply_ms = 9000, .drip_ms = 2000},
	    {.greet_ms = 20000, .reply_ms = 9000, .session_cap_ms = 30000},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		struct plan plan = plans[i];
		uint64_t took = play(plan);

		assert_true(took > 0);
		plan.is_shadow = true;
		assert_int_equal(play(plan), 0);
		assert_int_equal(scene.s.counts.held_ms, 0);
		assert_int_equal(scene.s.counts.would_ms, took);
	}
}

static void
an_upload_counts_too(void **state)
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
	scene_client("\r\n.\r\n");
	assert_int_equal(scene.out[SIDE_MTA].len, 6 + 8192 + 5);
	scene_mta("250 queued\r\n");
	scene_client_got("220 real\r\n354 go\r\n250 queued\r\n");
	assert_in_range(scene.s.counts.would_ms, 2000, 2010);
}

static void
no_teaser_no_caps_no_small_buffer(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000,
				 .teaser = true,
				 .data_rate = 4096,
				 .caps = {1, 1, 1},
				 .is_shadow = true});
	scene_client_got("");
	assert_false(scene.wants_caps);
	assert_int_equal(scene.o.receive_buffer, RECEIVE_KEEP);
	assert_int_equal(scene.claims, 1);
}

SCENES(cmocka_unit_test(shadow_counts_what_enforce_takes),
       cmocka_unit_test(an_upload_counts_too),
       cmocka_unit_test(no_teaser_no_caps_no_small_buffer))
