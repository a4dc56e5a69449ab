/* The table of effects: who has a row, and where a session is counted. */
#include "proxy/memory/effects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct effects *effects;

static struct effects_session
some_session(void)
{
	return (struct effects_session){
	    .rule_id = 3,
	    .stack = "stack",
	    .arm = EFFECT_SHAPED,
	    .facts = 1u << EFFECT_GOOD,
	    .was_held = true,
	    .longest_ms = 3000,
	    .sum_ms = 9000,
	    .sort = EFFECTS_GOOD,
	};
}

static void
add(struct effects_session s, uint32_t times)
{
	for (uint32_t i = 0; i < times; i++)
		effects_add(effects, &s);
}

static struct effects_stack stack;

/* Its sessions, the row in `stack`; 0: it has none. */
static uint32_t
sessions_of(const char *text)
{
	for (size_t i = 0; i < EFFECTS_STACKS; i++) {
		if (effects_stack(effects, i, &stack) &&
		    strcmp(stack.text, text) == 0)
			return stack.sessions;
	}
	return 0;
}

static uint32_t
sessions_of_rule(uint16_t id)
{
	struct effects_rule row;

	for (size_t i = 0; i < EFFECTS_RULES; i++) {
		if (effects_rule(effects, i, &row) && row.id == id)
			return row.sessions;
	}
	return 0;
}

static void
a_session_counts_where_it_belongs(void **state)
{
	struct effects_session s = some_session();
	static struct effects_all all;
	struct effect_change c;

	(void)state;
	add(s, 2);
	s.has_left = true;
	s.sort = EFFECTS_BAD;
	s.facts = 0;
	add(s, 3);
	s.arm = EFFECT_HELD_OUT;
	s.was_held = false;
	s.is_blind = true;
	add(s, 5);
	effects_all(effects, &all);
	(void)effect_of(&all.effect, EFFECT_GOOD, &c);
	assert_int_equal(c.sessions[EFFECT_SHAPED], 5);
	assert_int_equal(c.sessions[EFFECT_HELD_OUT], 5);
	assert_true(c.shares[EFFECT_SHAPED] == 0.4);
	assert_int_equal(all.blind[EFFECT_SHAPED], 0);
	assert_int_equal(all.blind[EFFECT_HELD_OUT], 5);
	assert_int_equal(sessions_of_rule(3), 10);
	assert_int_equal(sessions_of("stack"), 10);
	/* By the one wait and by the sum; the good apart from the bad. */
	assert_int_equal(
	    patience_waited(&all.curves[EFFECTS_ALL][EFFECTS_WAIT], 3000), 5);
	assert_int_equal(
	    patience_waited(&all.curves[EFFECTS_ALL][EFFECTS_WAIT], 3250), 0);
	assert_int_equal(
	    patience_waited(&all.curves[EFFECTS_ALL][EFFECTS_SUM], 9000), 5);
	assert_true(
	    patience_gone(&all.curves[EFFECTS_GOOD][EFFECTS_WAIT], 3000) == 0);
	assert_true(
	    patience_gone(&all.curves[EFFECTS_BAD][EFFECTS_SUM], 9000) == 1);
	assert_int_equal(
	    patience_waited(&all.curves[EFFECTS_UNKNOWN][EFFECTS_SUM], 0), 0);
	assert_int_equal(patience_waited(&stack.curves[EFFECTS_SUM], 0), 5);
}

/* A flood of made-up names takes the rows of each other. */
static void
who_comes_often_keeps_the_row(void **state)
{
	struct effects_session s = some_session();
	static struct effects_all all;

	(void)state;
	add(s, 2);
	for (uint32_t i = 0; i < 20000; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "made up %u", i);
		s.stack = text;
		s.rule_id = (uint16_t)(100 + i);
		effects_add(effects, &s);
	}
	assert_int_equal(sessions_of("stack"), 2);
	assert_int_equal(sessions_of_rule(3), 2);
	assert_int_equal(sessions_of("made up 19999"), 1);
	assert_int_equal(sessions_of("made up 1"), 0);
	effects_all(effects, &all);
	assert_int_equal(all.replaced, 2 * (20001 - EFFECTS_RULES));
}

/* One that comes no more gives way in the end. */
static void
who_comes_no_more_gives_way(void **state)
{
	struct effects_session s = some_session();

	(void)state;
	add(s, 100);
	for (uint32_t i = 0; i < 10 * 65536; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "made up %u", i % 300);
		s.stack = text;
		effects_add(effects, &s);
	}
	assert_int_equal(sessions_of("stack"), 0);
	assert_true(sessions_of_rule(3) > 0); /* its rule went on */
}

/* What the store asks for, and what it gives back at the next start. */
static void
what_was_kept_goes_on(void **state)
{
	struct effects_session s = some_session();
	static struct effects_all all;
	struct effects_rule rule;

	(void)state;
	assert_false(effects_all_changed(effects, &all));
	add(s, 7);
	/* The first free row of each, in turn. */
	assert_true(effects_all_changed(effects, &all));
	assert_true(effects_rule_changed(effects, 0, &rule));
	assert_true(effects_stack_changed(effects, 1, &stack));
	assert_false(effects_rule_changed(effects, 0, &rule));
	assert_false(effects_rule_changed(effects, 1, &rule));
	assert_false(effects_stack_changed(effects, 1, &stack));
	assert_false(effects_all_changed(effects, &all));
	effects_touch(effects);
	assert_true(effects_all_changed(effects, &all));
	assert_true(effects_rule_changed(effects, 0, &rule));
	assert_true(effects_stack_changed(effects, 1, &stack));

	effects_free(effects);
	effects = effects_new();
	effects_put_all(effects, &all);
	assert_true(effects_put_rule(effects, 9, &rule));
	assert_true(effects_put_stack(effects, 5, &stack));
	assert_false(effects_put_stack(effects, 6, &stack)); /* twice */
	assert_false(effects_put_rule(effects, 9, &rule));
	assert_false(effects_put_rule(effects, EFFECTS_RULES, &rule));
	assert_false(effects_rule_changed(effects, 9, &rule));
	add(s, 1);
	assert_true(effects_rule_changed(effects, 9, &rule));
	assert_int_equal(rule.sessions, 8);
	assert_int_equal(sessions_of("stack"), 8);
	assert_int_equal(patience_waited(&stack.curves[EFFECTS_SUM], 0), 8);
	effects_all(effects, &all);
	assert_int_equal(
	    patience_waited(&all.curves[EFFECTS_ALL][EFFECTS_WAIT], 0), 8);
}

static int
open_effects(void **state)
{
	(void)state;
	effects = effects_new();
	return effects == NULL;
}

static int
close_effects(void **state)
{
	(void)state;
	effects_free(effects);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_session_counts_where_it_belongs,
					    open_effects, close_effects),
	    cmocka_unit_test_setup_teardown(who_comes_often_keeps_the_row,
					    open_effects, close_effects),
	    cmocka_unit_test_setup_teardown(what_was_kept_goes_on, open_effects,
					    close_effects),
	    cmocka_unit_test_setup_teardown(who_comes_no_more_gives_way,
					    open_effects, close_effects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
