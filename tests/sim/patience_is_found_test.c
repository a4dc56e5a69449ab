/*
 * Bots with a known patience against the real machine: where their curve says
 * that nine of ten have left is where they do.
 */
#include "tarry/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/month/talk.h"

#define BOTS 400u

static struct world *world;

static void
same_plan(struct talk *t, bool knows_dialect, struct plan *out)
{
	const struct plan *plan = t->arg;

	(void)knows_dialect;
	*out = *plan;
}

/* Greetings of 1 to 20 s, answers of 0 to 9 s, as classes of a site vary. */
static struct plan
draw_plan(uint64_t *dice)
{
	return (struct plan){
	    .greet_ms = (uint16_t)(1000 + dice_below(dice, 19001)),
	    .reply_ms = (uint16_t)dice_below(dice, 9001),
	    .rule_id = 1,
	    .rank = 2,
	    .reply_cap_ms = 20000,
	    .data_reply_cap_ms = 5000,
	    .patience_ms = 9000,
	    .session_cap_ms = 120000,
	};
}

static void
play(struct talk *t, const struct member *m, uint64_t *dice)
{
	struct plan plan = draw_plan(dice);

	*t = (struct talk){.member = m,
			   .plan = plan,
			   .make_plan = same_plan,
			   .arg = &plan,
			   .w = world,
			   .count = TALK_MESSAGES_CAP};
	for (uint32_t i = 0; i < t->count; i++)
		t->messages[i].bytes = 1000;
	world->now_ms = 1000000;
	talk_play(t);
	t->arg = NULL;
	assert_null(world_breach_text);
}

/* As a worker does, by what the machine itself counted. */
static void
count(const struct talk *t, struct patience *wait, struct patience *sum)
{
	const struct session_counts *c = &world->s.counts;

	assert_int_equal(c->gave_up_ms > 0, t->has_left);
	/* Of one that left, talk has the wait that it left. */
	if (t->has_left)
		assert_true(c->longest_ms >= t->wait_ms);
	else
		assert_int_equal(c->longest_ms, t->wait_ms);
	if (c->gave_up_ms > 0) {
		patience_add_left(wait, c->longest_ms);
		patience_add_left(sum, c->gave_up_ms);
		return;
	}
	patience_add_stayed(wait, c->longest_ms);
	patience_add_stayed(sum, c->held_ms);
}

/* Nine of ten leave after `patience_ms` (or the sum of waits), a little more
 * or less each; the tenth stays. */
static void
fill(struct patience *wait, struct patience *sum, uint32_t patience_ms,
     uint32_t total_ms)
{
	uint64_t dice = 11;

	patience_init(wait, PATIENCE_WAIT_MS);
	patience_init(sum, PATIENCE_SUM_MS);
	for (uint32_t i = 0; i < BOTS; i++) {
		const uint32_t more = dice_below(&dice, 400);
		struct member m = {.client = {.family = 4}};
		struct talk t;

		if (i % 20 != 0 && patience_ms > 0)
			m.patience_ms = patience_ms - 200 + more;
		if (i % 20 != 0 && total_ms > 0)
			m.total_ms = total_ms - 200 + more;
		play(&t, &m, &dice);
		count(&t, wait, sum);
	}
}

static void
within_a_second(const struct patience *p, uint32_t truth_ms)
{
	const struct patience_wish wish = {.bad_percent = 90};
	uint32_t ms;

	assert_int_equal(patience_delay(p, NULL, &wish, &ms), PATIENCE_FOUND);
	print_message("true %u ms, found %u ms\n", truth_ms, ms);
	assert_in_range(ms, truth_ms - 1000, truth_ms + 1000);
}

static void
of_one_wait(void **state)
{
	static const uint32_t truths_ms[] = {8000, 17000};
	struct patience wait;
	struct patience sum;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fill(&wait, &sum, truths_ms[i], 0);
		within_a_second(&wait, truths_ms[i]);
	}
}

static void
of_all_waits(void **state)
{
	struct patience wait;
	struct patience sum;

	(void)state;
	fill(&wait, &sum, 0, 60000);
	within_a_second(&sum, 60000);
}

static int
open_world(void **state)
{
	(void)state;
	world = world_new();
	return world == NULL;
}

static int
close_world(void **state)
{
	(void)state;
	free(world);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_one_wait),
	    cmocka_unit_test(of_all_waits),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
