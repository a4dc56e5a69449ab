#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/config/config.h"
#include "proxy/config/names.h"

/* Gives ids to classes and rules of these names. */
static void
assign(struct names *names, struct policy_class *classes,
       struct policy_rule *rules, size_t count)
{
	struct config config = {.policy = {.classes = classes,
					   .classes_count = count,
					   .rules = rules,
					   .rules_count = count}};

	names_assign(names, &config);
}

static void
a_name_keeps_its_id_whatever_the_order(void **state)
{
	struct policy_class classes[] = {
	    {.name = "a"}, {.name = "b"}, {.name = "c"}};
	struct policy_rule rules[] = {
	    {.name = "x"}, {.name = "y"}, {.name = "z"}};
	struct policy_class later[] = {{.name = "d"}, {.name = "c"}};
	struct policy_rule later_rules[] = {{.name = "z"}, {.name = "w"}};
	struct names *names = names_new();

	(void)state;
	assign(names, classes, rules, 3);
	assign(names, later, later_rules, 2);
	assert_int_equal(later[0].id, 3);
	assert_int_equal(later[1].id, classes[2].id);
	assert_int_equal(later_rules[0].id, rules[2].id);
	assert_int_equal(names_classes_count(names), 4);
	assert_int_equal(names_rules_count(names), 4);
	assert_string_equal(names_class(names, classes[0].id), "a");
	assert_string_equal(names_class(names, later[0].id), "d");
	assert_string_equal(names_rule(names, later_rules[1].id), "w");
	names_free(names);
}

static void
names_outlive_the_file(void **state)
{
	char text[] = "botnet";
	struct policy_class class = {.name = text};
	struct policy_rule rule = {.name = text};
	struct names *names = names_new();

	(void)state;
	assign(names, &class, &rule, 1);
	memset(text, 'x', sizeof text - 1);
	assert_string_equal(names_class(names, class.id), "botnet");
	assert_string_equal(names_rule(names, rule.id), "botnet");
	names_free(names);
}

static void
ids_that_stand_for_no_name(void **state)
{
	struct names *names = names_new();

	(void)state;
	assert_string_equal(names_class(names, PLAN_CLASS_PASS), "pass");
	assert_string_equal(names_class(names, PLAN_CLASS_DEFER), "defer");
	assert_string_equal(names_class(names, 0), "other");
	assert_string_equal(names_rule(names, PLAN_NO_RULE), "-");
	assert_string_equal(names_rule(names, 0), "other");
	names_free(names);
}

/* So many files with other names each that there is no more room. */
static void
the_last_ones_are_other(void **state)
{
	char text[16];
	struct policy_class class = {.name = text};
	struct policy_rule rule = {.name = text};
	struct names *names = names_new();

	(void)state;
	for (unsigned i = 0; i < NAMES_RULES_CAP + 10u; i++) {
		unsigned class_id =
		    i < NAMES_CLASSES_CAP - 1 ? i : NAMES_CLASSES_CAP - 1;
		unsigned rule_id =
		    i < NAMES_RULES_CAP - 1 ? i : NAMES_RULES_CAP - 1;

		snprintf(text, sizeof text, "n%u", i);
		assign(names, &class, &rule, 1);
		assert_int_equal(class.id, class_id);
		assert_int_equal(rule.id, rule_id);
	}
	assert_int_equal(names_rules_count(names), NAMES_RULES_CAP);
	assert_string_equal(names_rule(names, rule.id), "other");
	assert_string_equal(names_class(names, class.id), "other");
	snprintf(text, sizeof text, "n77");
	assign(names, &class, &rule, 1);
	assert_int_equal(rule.id, 77);
	assert_int_equal(class.id, 77);
	names_free(names);
}

static void
long_names_are_cut(void **state)
{
	char text[200];
	struct policy_class class = {.name = text};
	struct policy_rule rule = {.name = text};
	struct names *names = names_new();

	(void)state;
	memset(text, 'n', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assign(names, &class, &rule, 1);
	assign(names, &class, &rule, 1);
	assert_int_equal(names_rules_count(names), 1);
	assert_int_equal(strlen(names_rule(names, rule.id)), 64);
	names_free(names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_keeps_its_id_whatever_the_order),
	    cmocka_unit_test(names_outlive_the_file),
	    cmocka_unit_test(ids_that_stand_for_no_name),
	    cmocka_unit_test(the_last_ones_are_other),
	    cmocka_unit_test(long_names_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
