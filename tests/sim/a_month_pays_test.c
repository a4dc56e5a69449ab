/*
 * Two days of each population, with learning and without: no good mail is
 * lost, hardly any is late, more spam stays away, and the machine's contract
 * is kept throughout. The same seed gives the same month.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/month/month.h"

#define SESSIONS 34000u
#define DAYS 2u

static void
play(const char *path, bool learns, struct month_result *out)
{
	static struct population population;
	const struct month_options options = {
	    .population = &population,
	    .days = DAYS,
	    .sessions = SESSIONS,
	    .seed = 7,
	    .learns = learns,
	    .holdout = 500,
	};

	assert_true(population_read(&population, path));
	assert_true(month_play(&options, out));
	assert_string_equal(out->breach, "");
}

static void
compare(const char *path)
{
	static struct month_result without;
	static struct month_result with;

	play(path, false, &without);
	play(path, true, &with);
	print_message("%s: spam that came, of %llu: %llu, %llu with learning; "
		      "good late, of %llu: %llu\n",
		      path, (unsigned long long)with.spam_wanted,
		      (unsigned long long)without.spam_come,
		      (unsigned long long)with.spam_come,
		      (unsigned long long)with.good_come,
		      (unsigned long long)with.good_late);
	assert_int_equal(without.good_lost, 0);
	assert_int_equal(with.good_lost, 0);
	assert_int_equal(with.good_come + with.good_waiting, with.good_wanted);
	assert_int_equal(with.spam_wanted, without.spam_wanted);
	assert_true(with.spam_come * 3 < without.spam_come * 2);
	assert_true(with.good_late * 500 < with.good_come);
	assert_in_range(with.held_out, 100, SESSIONS / 10);
	assert_int_equal(without.held_out, 0);
}

static void
it_pays(void **state)
{
	(void)state;
	compare("tests/month/populations/company.pop");
	compare("tests/month/populations/university.pop");
	compare("tests/month/populations/hoster.pop");
}

static void
it_is_the_same_again(void **state)
{
	static struct month_result one;
	static struct month_result two;

	(void)state;
	play("tests/month/populations/company.pop", true, &one);
	play("tests/month/populations/company.pop", true, &two);
	assert_memory_equal(&one, &two, sizeof(one));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_pays),
	    cmocka_unit_test(it_is_the_same_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
