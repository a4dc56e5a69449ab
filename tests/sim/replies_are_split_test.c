/* A split: greeting and answer to EHLO in two halves, the second when the
 * whole is due; nothing else is cut. Who speaks in between is told. */
#include <string.h>

#include "tests/sim/scenario.h"

static const struct plan split = {
    .greet_ms = 3000, .reply_ms = 2000, .drip_ms = 600, .is_split = true};

/* The greeting is asked for and there; its time has not come. */
static void
open_at(uint32_t ms)
{
	scene_open(split);
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(ms);
}

/* It is out, and EHLO is answered at 3000. */
static void
say_hello(void)
{
	open_at(3000);
	scene_client_got("220 real\r\n");
	scene_client("EHLO a\r\n");
	scene_mta("250-mx\r\n250 PIPELINING\r\n");
}

static void
the_greeting(void **state)
{
	(void)state;
	open_at(2699);
	scene_client_got("");
	scene_until(2700);
	scene_client_got("220 r");
	scene_until(2999);
	scene_client_got("");
	scene_until(3000);
	scene_client_got("eal\r\n");
	assert_false(scene.s.is_early);
}

static void
who_speaks_between_its_halves_is_early(void **state)
{
	(void)state;
	open_at(2800);
	scene_client("EHLO a\r\n");
	assert_true(scene.s.is_early);
	scene_until(3000);
	scene_mta_got("EHLO a\r\n");
}

static void
the_answer_to_ehlo(void **state)
{
	(void)state;
	say_hello();
	scene_until(4699);
	scene_client_got("");
	scene_until(4700);
	scene_client_got("250-mx\r\n250 ");
	scene_until(5000);
	scene_client_got("PIPELINING\r\n");
	scene_client("MAIL FROM:<a>\r\n");
	assert_false(scene.s.is_pipelining);
}

static void
who_speaks_between_its_halves_is_told(void **state)
{
	(void)state;
	say_hello();
	scene_until(4800);
	scene_client("MAIL FROM:<a>\r\n");
	assert_true(scene.s.is_pipelining);
}

static void
no_other_reply(void **state)
{
	(void)state;
	say_hello();
	scene_until(5000);
	scene_client_got("250-mx\r\n250 PIPELINING\r\n");
	scene_client("MAIL FROM:<a>\r\n");
	scene_mta("250 ok\r\n");
	scene_until(6999);
	scene_client_got("");
	scene_until(7000);
	scene_client_got("250 ok\r\n");
}

static void
nor_one_that_is_not_delayed_enough(void **state)
{
	(void)state;
	scene_open((struct plan){.drip_ms = 600, .is_split = true});
	scene_connect();
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
	scene_client("EHLO a\r\n");
	scene_mta("250 mx\r\n");
	scene_client_got("250 mx\r\n");
}

static void
with_a_teaser_in_one_piece(void **state)
{
	struct plan plan = split;

	(void)state;
	plan.teaser = true;
	scene_open(plan);
	scene_client_got(TEASER);
	scene_until(2000);
	scene_connect();
	scene_mta("220 real\r\n");
	scene_until(2700);
	scene_client_got("220 r");
	scene_until(3000);
	scene_client_got("eal\r\n");
}

SCENES(cmocka_unit_test(the_greeting),
       cmocka_unit_test(who_speaks_between_its_halves_is_early),
       cmocka_unit_test(the_answer_to_ehlo),
       cmocka_unit_test(who_speaks_between_its_halves_is_told),
       cmocka_unit_test(no_other_reply),
       cmocka_unit_test(nor_one_that_is_not_delayed_enough),
       cmocka_unit_test(with_a_teaser_in_one_piece))
