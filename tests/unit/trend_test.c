/* The last day by minutes: what falls into which, and what falls out. */
#include "proxy/admin/trend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 29000000u /* a minute of 2025 */
#define DELIVERED (TALLY_OUTCOMES + OUTCOME_DELIVERED)

static struct trend *t;
static struct trend_totals totals;
static struct trend_span span;
static struct tally_signature rows[100];
static bool is_first_call;

static int
open_trend(void **state)
{
	(void)state;
	memset(&totals, 0, sizeof(totals));
	is_first_call = true;
	t = trend_new(TREND_MINUTES);
	return t == NULL;
}

static int
close_trend(void **state)
{
	(void)state;
	trend_free(t);
	return 0;
}

static void
take(uint64_t minute, uint32_t more, uint32_t held)
{
	totals.counts[2][TALLY_SESSIONS] += more;
	totals.held = held;
	trend_take(t, minute, &totals);
}

static uint32_t
sessions(uint64_t first, uint32_t count)
{
	trend_sum(t, first, count, &span);
	return span.classes[2].counts[TALLY_SESSIONS];
}

static void
differences_are_kept(void **state)
{
	(void)state;
	assert_int_equal(trend_now(t), 0);
	take(NOW, 5, 1);
	take(NOW, 2, 9);
	take(NOW, 0, 3);
	take(NOW + 1, 4, 2);
	assert_int_equal(sessions(NOW, 1), 7);
	assert_int_equal(span.held_most, 9);
	assert_true(span.is_known);
	assert_int_equal(sessions(NOW + 1, 1), 4);
	assert_int_equal(sessions(NOW - 10, 30), 11);
	assert_int_equal(sessions(NOW - 1, 1), 0);
	assert_false(span.is_known);
	assert_int_equal(trend_now(t), NOW + 1);
}

static void
time_that_nobody_saw_is_empty(void **state)
{
	(void)state;
	take(NOW, 5, 1);
	take(NOW + 10, 6, 1);
	assert_int_equal(sessions(NOW + 1, 9), 0);
	assert_false(span.is_known);
	assert_int_equal(sessions(NOW + 10, 1), 6);
	/* A clock that is set back goes on where it was. */
	take(NOW - 500, 1, 1);
	assert_int_equal(sessions(NOW + 10, 1), 7);
	take(NOW + 100000, 2, 1);
	assert_int_equal(
	    sessions(NOW + 100000 - TREND_MINUTES + 1, TREND_MINUTES), 2);
}

static void
a_day_is_kept(void **state)
{
	(void)state;
	for (uint32_t m = 0; m < 3 * TREND_MINUTES; m++)
		take(NOW + m, 1, 0);
	assert_int_equal(sessions(NOW, 3 * TREND_MINUTES), TREND_MINUTES);
	assert_int_equal(sessions(NOW + 3 * TREND_MINUTES - 60, 60), 60);
	assert_int_equal(sessions(NOW + TREND_MINUTES, 1), 0);
}

/* These are there now; the next call's rows grow from them. */
static void
take_rows(uint32_t count)
{
	static struct tally_signature before[sizeof(rows) / sizeof(rows[0])];
	static uint32_t before_count;

	if (is_first_call)
		before_count = 0;
	is_first_call = false;
	trend_take_signatures(
	    t, &(struct trend_rows){.now = rows,
				    .count = count,
				    .before = before,
				    .before_count = before_count});
	memcpy(before, rows, sizeof(rows));
	before_count = count;
}

/* Those that were heaviest, number 1 first; each has so many sessions. */
static uint32_t
heaviest(uint64_t first, uint32_t count, uint32_t delivered)
{
	memset(rows, 0, count * sizeof(*rows));
	for (uint32_t i = 0; i < count; i++) {
		rows[i].hash = first + i;
		rows[i].weight = 1000 - i;
		rows[i].counts[DELIVERED] = delivered;
	}
	return count;
}

/* The line of a signature; TREND_SIGNATURES: it has none. */
static uint32_t
line_of(uint64_t hash)
{
	uint32_t i = 0;

	while (i < TREND_SIGNATURES && (trend_signature(t, i) == NULL ||
					trend_signature(t, i)->hash != hash))
		i++;
	return i;
}

static void
signatures_have_lines(void **state)
{

	(void)state;
	take(NOW, 0, 0);
	take_rows(heaviest(1, 40, 5));
	take(NOW + 1, 0, 0);
	take_rows(heaviest(1, 40, 8));
	for (uint32_t i = 0; i < TREND_SIGNATURES; i++)
		assert_int_equal(trend_signature(t, i)->hash, 1 + i);
	trend_sum(t, NOW, 1, &span);
	assert_int_equal(span.signatures[0][DELIVERED], 5);
	trend_sum(t, NOW, 2, &span);
	assert_int_equal(span.signatures[0][DELIVERED], 8);

	/* All are gone, and leave with what they had. */
	take_rows(heaviest(91, 40, 8));
	trend_sum(t, NOW, 2, &span);
	assert_int_equal(trend_signature(t, 0)->hash, 91);
	assert_int_equal(span.signatures[0][DELIVERED], 8);
}

static void
one_that_falls_a_little_stays(void **state)
{
	struct tally_signature last;

	(void)state;
	take(NOW, 0, 0);
	take_rows(heaviest(1, 40, 5));
	last = rows[0];
	memmove(rows, rows + 1, 20 * sizeof(*rows));
	rows[20] = last; /* from the first place to the 21st */
	take_rows(40);
	assert_int_equal(trend_signature(t, 0)->hash, 1);
	memmove(rows + 20, rows + 21, 10 * sizeof(*rows));
	rows[30] = last;
	take_rows(40);
	assert_int_equal(trend_signature(t, 0)->hash, 13);
	trend_sum(t, NOW, 1, &span);
	assert_int_equal(span.signatures[0][DELIVERED], 0);
}

/* What it had before it got a line was among the others', and stays there. */
static void
a_newcomer_brings_nothing_old(void **state)
{
	(void)state;
	take(NOW, 0, 0);
	take_rows(heaviest(1, 20, 5));
	assert_int_equal(line_of(20), TREND_SIGNATURES);
	take(NOW + 1, 0, 0);
	for (uint32_t i = 0; i < 20; i++) {
		rows[i].counts[DELIVERED] = 8;
		rows[i].counts[TALLY_SESSIONS] = 8;
	}
	rows[0] = rows[19]; /* from the 20th place to the first */
	rows[1].hash = 21;  /* was not there at all */
	memmove(rows + 2, rows + 60, 18 * sizeof(*rows));
	take_rows(2);
	trend_sum(t, NOW, 2, &span);
	assert_int_equal(span.signatures[line_of(20)][DELIVERED], 3);
	assert_int_equal(span.signatures[line_of(21)][DELIVERED], 8);
}

/* The table that counts forgot it in between and began anew. */
static void
counts_may_begin_anew(void **state)
{

	(void)state;
	take(NOW, 0, 0);
	take_rows(heaviest(1, 1, 50));
	take_rows(heaviest(1, 1, 3));
	trend_sum(t, NOW, 1, &span);
	assert_int_equal(span.signatures[0][DELIVERED], 53);
}

/* A process that is started again goes on with what was kept. */
static void
what_was_kept_goes_on(void **state)
{
	struct trend_class class = {.counts = {[TALLY_SESSIONS] = 3}};
	uint32_t counts[TALLY_COUNTS] = {
	    [TALLY_SESSIONS] = 100, [DELIVERED] = 7};

	(void)state;
	trend_put(t, NOW - TREND_MINUTES, 99);
	trend_put(t, NOW, 4);
	trend_put_class(t, NOW - TREND_MINUTES, 2, &class); /* too old */
	trend_put_class(t, NOW - 1, 2, &class);
	trend_put_class(t, NOW, 2, &class);
	trend_put_signature(t, NOW - TREND_MINUTES, "one", counts);
	trend_put_signature(t, NOW - 1, "one", counts);
	take(NOW, 5, 1);
	assert_int_equal(sessions(NOW, 1), 8);
	assert_int_equal(span.held_most, 4);
	assert_int_equal(sessions(NOW - TREND_MINUTES, TREND_MINUTES), 3);
	assert_string_equal(trend_signature(t, 0)->text, "one");

	/* It is known by its text, and has another hash. */
	heaviest(1, 2, 5);
	strcpy(rows[1].text, "one");
	take_rows(2);
	assert_int_equal(trend_signature(t, 0)->hash, 2);
	assert_int_equal(trend_signature(t, 1)->hash, 1);
	trend_sum(t, NOW - 1, 2, &span);
	assert_int_equal(span.signatures[0][DELIVERED], 12);
	assert_int_equal(span.signatures[0][TALLY_SESSIONS], 100);
}

/* Who has few sessions takes no line from one that had many. */
static void
a_trickle_displaces_nobody(void **state)
{
	uint32_t counts[TALLY_COUNTS] = {[TALLY_SESSIONS] = 100};
	char text[2] = "a";

	(void)state;
	for (uint32_t i = 0; i < TREND_SIGNATURES; i++) {
		text[0] = (char)('a' + i);
		counts[TALLY_SESSIONS] = 100 + i;
		trend_put_signature(t, NOW, text, counts);
	}
	counts[TALLY_SESSIONS] = 99;
	trend_put_signature(t, NOW, "few", counts);
	take(NOW, 0, 0);
	heaviest(1, 12, 0);
	for (uint32_t i = 0; i < 12; i++)
		rows[i].counts[TALLY_SESSIONS] = i == 3 ? 101 : 50;
	take_rows(12);
	assert_int_equal(trend_signature(t, 0)->hash, 4);
	for (uint32_t i = 1; i < TREND_SIGNATURES; i++)
		assert_int_equal(trend_signature(t, i)->text[0], 'a' + i);
}

static void
quantiles_are_bounds_of_buckets(void **state)
{
	/* 0.005 0.05 0.25 1 2.5 5 10 .. 1800 and more */
	uint32_t delays[METRICS_BUCKETS_CAP] = {0};

	(void)state;
	assert_true(trend_quantile(delays, 0.5) == 0);
	delays[0] = 50;
	delays[4] = 49;
	delays[6] = 1;
	assert_true(trend_quantile(delays, 0.5) == 0.005);
	assert_true(trend_quantile(delays, 0.51) == 2.5);
	assert_true(trend_quantile(delays, 0.99) == 2.5);
	assert_true(trend_quantile(delays, 1) == 10);
	delays[METRICS_BUCKETS_CAP - 1] = 900;
	assert_true(trend_quantile(delays, 0.99) == 1800);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, open_trend, close_trend)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(differences_are_kept),
	    TEST(time_that_nobody_saw_is_empty),
	    TEST(a_day_is_kept),
	    TEST(signatures_have_lines),
	    TEST(one_that_falls_a_little_stays),
	    TEST(a_newcomer_brings_nothing_old),
	    TEST(counts_may_begin_anew),
	    TEST(what_was_kept_goes_on),
	    TEST(a_trickle_displaces_nobody),
	    TEST(quantiles_are_bounds_of_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
