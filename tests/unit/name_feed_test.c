/* The rings between a worker and the DNS: nothing is lost unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/evidence/name_feed.h"

static struct name_feed *
new_feed(void)
{
	struct name_feed *f =
	    aligned_alloc(_Alignof(struct name_feed), sizeof(*f));

	assert_non_null(f);
	f->asks = (struct name_ring){0};
	f->answers = (struct name_ring){0};
	return f;
}

static bool
ask(struct name_feed *f, uint32_t seat)
{
	const struct name_ask a = {.who = {.seat = seat}};

	return name_feed_ask(f, &a);
}

static bool
tell(struct name_feed *f, uint32_t seat)
{
	const struct name_answer a = {.who = {.seat = seat}};

	return name_feed_answer(f, &a);
}

/* In order, and round the ring's end as often as it takes. */
static void
what_is_put_is_taken(void **state)
{
	struct name_feed *f = new_feed();
	struct name_answer answer;
	struct name_ask a;

	(void)state;
	for (uint32_t i = 0; i < 3 * NAME_FEED_CAP; i += 2) {
		assert_true(ask(f, i) && ask(f, i + 1));
		assert_true(tell(f, i + 7));
		assert_true(name_feed_take_ask(f, &a));
		assert_int_equal(a.who.seat, i);
		assert_true(name_feed_take_ask(f, &a));
		assert_int_equal(a.who.seat, i + 1);
		assert_true(name_feed_take_answer(f, &answer));
		assert_int_equal(answer.who.seat, i + 7);
	}
	assert_false(name_feed_take_ask(f, &a));
	assert_false(name_feed_take_answer(f, &answer));
	assert_int_equal(name_feed_dropped(f), 0);
	free(f);
}

/* What finds no room is dropped and counted; what was there stays. */
static void
a_full_ring_drops(void **state)
{
	struct name_feed *f = new_feed();
	struct name_ask a;

	(void)state;
	for (uint32_t i = 0; i < NAME_FEED_CAP; i++)
		assert_true(ask(f, i));
	assert_false(ask(f, 1));
	assert_false(ask(f, 2));
	assert_int_equal(name_feed_dropped(f), 2);
	/* The other ring is another one. */
	assert_true(tell(f, 1));
	assert_true(name_feed_take_ask(f, &a));
	assert_int_equal(a.who.seat, 0);
	assert_true(ask(f, NAME_FEED_CAP));
	assert_false(ask(f, 3));
	assert_int_equal(name_feed_dropped(f), 3);
	for (uint32_t i = 1; i <= NAME_FEED_CAP; i++) {
		assert_true(name_feed_take_ask(f, &a));
		assert_int_equal(a.who.seat, i);
	}
	assert_false(name_feed_take_ask(f, &a));
	free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_put_is_taken),
	    cmocka_unit_test(a_full_ring_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
