#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/daemon/options.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define ARGS_CAP 8

/* NULL in `want` fields: not set. */
static const struct {
	const char *label;
	const char *args[ARGS_CAP];
	struct options want;
} good[] = {
    {"nothing", {"tarryd"}, {.action = OPTIONS_RUN}},
    {"file", {"tarryd", "-c", "f.ini"}, {.config_path = "f.ini"}},
    {"long file", {"tarryd", "--config=f.ini"}, {.config_path = "f.ini"}},
    {"check", {"tarryd", "-t"}, {.action = OPTIONS_CHECK}},
    {"print", {"tarryd", "-T"}, {.action = OPTIONS_PRINT}},
    {"version", {"tarryd", "-V"}, {.action = OPTIONS_VERSION}},
    {"help", {"tarryd", "--help"}, {.action = OPTIONS_HELP}},
    {"user", {"tarryd", "-u", "mail"}, {.user = "mail"}},
    {"listen",
     {"tarryd", "-l", "0.0.0.0:25", "127.0.0.1:2525"},
     {.overrides = {.listen = "0.0.0.0:25", .mta = "127.0.0.1:2525"}}},
    {"mta between options",
     {"tarryd", "-l", "0.0.0.0:25", "127.0.0.1:2525", "-t"},
     {.action = OPTIONS_CHECK,
      .overrides = {.listen = "0.0.0.0:25", .mta = "127.0.0.1:2525"}}},
    {"client address",
     {"tarryd", "--client-address", "none", "--open-relay-checked"},
     {.overrides = {.client_address = "none", .open_relay_checked = "yes"}}},
};

static const struct {
	const char *label;
	const char *args[ARGS_CAP];
	const char *want; /* is in the error */
} bad[] = {
    {"unknown letter", {"tarryd", "-x"}, "there is no option -x"},
    {"unknown word", {"tarryd", "--nope"}, "there is no option --nope"},
    {"no value", {"tarryd", "-c"}, "-c needs a value"},
    {"no mta", {"tarryd", "-l", "0.0.0.0:25"}, "-l needs two addresses"},
    {"mta without -l", {"tarryd", "127.0.0.1:2525"}, "\"127.0.0.1:2525\""},
    {"two mtas", {"tarryd", "-l", "a", "b", "c"}, "\"c\""},
};

static int
count(const char *const *args)
{
	int n = 0;

	while (n < ARGS_CAP && args[n] != NULL)
		n++;
	return n;
}

/* getopt moves the words of argv, and never writes into one. */
static bool
parse(const char *const *args, struct options *o, char *error, size_t cap)
{
	char *argv[ARGS_CAP + 1] = {0};

	for (int i = 0; i < count(args); i++)
		argv[i] = (char *)(uintptr_t)args[i];
	return options_parse(o, count(args), argv, error, cap);
}

static void
assert_text(const char *got, const char *want)
{
	if (want == NULL)
		assert_null(got);
	else
		assert_string_equal(got, want);
}

static void
good_lines(void **state)
{
	char error[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct options o;

		print_message("%s\n", good[i].label);
		assert_true(parse(good[i].args, &o, error, sizeof error));
		assert_int_equal(o.action, good[i].want.action);
		assert_text(o.config_path, good[i].want.config_path);
		assert_text(o.user, good[i].want.user);
		assert_text(o.overrides.listen, good[i].want.overrides.listen);
		assert_text(o.overrides.mta, good[i].want.overrides.mta);
		assert_text(o.overrides.client_address,
			    good[i].want.overrides.client_address);
		assert_text(o.overrides.open_relay_checked,
			    good[i].want.overrides.open_relay_checked);
	}
}

static void
bad_lines(void **state)
{
	char error[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct options o;

		print_message("%s\n", bad[i].label);
		assert_false(parse(bad[i].args, &o, error, sizeof error));
		if (strstr(error, bad[i].want) == NULL)
			fail_msg("%s is not in: %s", bad[i].want, error);
	}
}

static void
errors_fit(void **state)
{
	struct options o;
	char error[8];

	(void)state;
	memset(error, 'x', sizeof error);
	assert_false(parse(bad[0].args, &o, error, sizeof error));
	assert_int_equal(strlen(error), sizeof error - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_lines),
	    cmocka_unit_test(bad_lines),
	    cmocka_unit_test(errors_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
