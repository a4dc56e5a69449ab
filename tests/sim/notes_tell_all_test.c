/* What is observed is noted, once each and in order, however it arrives; and
 * a client that pipelines more than the leg holds is lent a ring. */
#include <string.h>

#include "tests/sim/scenario.h"

#define COMMANDS 40

static struct session_note notes[256];
static int count;

static void
gather(struct world *w)
{
	int i;

	for (i = 0; i < w->o.notes_count && count < 256; i++)
		notes[count++] = w->o.notes[i];
}

static void
open_relay(bool has_rings)
{
	count = 0;
	scene_open((struct plan){.reply_ms = 1000});
	scene.has_rings = has_rings;
	scene.on_step = gather;
	scene_connect();
	scene_mta("220 real\r\n");
}

static void
say_many(enum side side, const char *line)
{
	static char text[COMMANDS * 20];
	size_t len = strlen(line);
	int i;

	for (i = 0; i < COMMANDS; i++)
		memcpy(text + (size_t)i * len, line, len);
	world_says(&scene, side, text, COMMANDS * len);
}

static void
commands_and_replies(void **state)
{
	(void)state;
	open_relay(true);
	scene_client("EHLO a\r\n");
	scene_mta("250 a\r\n");
	scene.on_step = NULL;
	assert_int_equal(count, 4);
	assert_int_equal(notes[0].verb, SMTP_GREETING);
	assert_int_equal(notes[0].code, 0);
	assert_int_equal(notes[1].code, 220);
	assert_int_equal(notes[2].verb, SMTP_EHLO);
	assert_int_equal(notes[3].code, 250);
	assert_int_equal(notes[3].due_ms, 1000);
}

static void
pipelined(bool has_rings)
{
	int i;

	open_relay(has_rings);
	say_many(SIDE_CLIENT, "VRFY a\r\n");
	say_many(SIDE_MTA, "252 a\r\n");
	scene_until(10000);
	say_many(SIDE_MTA, "252 a\r\n");
	scene.on_step = NULL;
	for (i = 2; i < count; i++)
		assert_int_equal(notes[i].verb, SMTP_VRFY);
}

static void
many_at_once(void **state)
{
	(void)state;
	pipelined(true);
	assert_int_equal(count, 2 + 2 * COMMANDS);
	assert_null(scene.leg->ring);
	assert_int_equal(scene.out[SIDE_MTA].len, COMMANDS * 8);
}

SCENES(cmocka_unit_test(commands_and_replies), cmocka_unit_test(many_at_once))
