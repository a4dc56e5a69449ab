/* The ledger: counts, their decay, who gives way, and what is given out. */
#include "tarry/ledger.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DAY 86400u
#define WEEK (7 * DAY)
#define START 1700000000u

static struct ledger l;
static void *memory;

static void
open_ledger(uint32_t capacity)
{
	const size_t bytes = (ledger_bytes(capacity) + 63) / 64 * 64;

	free(memory);
	memory = aligned_alloc(64, bytes);
	assert_non_null(memory);
	memset(memory, 0, bytes);
	ledger_init(&l, memory, capacity, WEEK, 4711);
}

static int
close_ledger(void **state)
{
	(void)state;
	free(memory);
	memory = NULL;
	return 0;
}

static struct ledger_key
key_of(enum ledger_kind kind, const char *text)
{
	return ledger_key(&l, kind, text, strlen(text));
}

static const struct ledger_delta good = {
    .counts =
	{[LEDGER_SESSIONS] = 1, [LEDGER_DELIVERED] = 1, [LEDGER_GOOD] = 1},
    .proof_messages = 1,
    .proof_sessions = 1};
static const struct ledger_delta bad = {
    .counts = {[LEDGER_SESSIONS] = 1, [LEDGER_SPAM] = 1, [LEDGER_BAD] = 1}};

static bool
add(enum ledger_kind kind, const char *text, const struct ledger_delta *d,
    uint32_t now_s)
{
	const struct ledger_key key = key_of(kind, text);

	return ledger_add(&l, &key, d, now_s);
}

static struct ledger_row
find(enum ledger_kind kind, const char *text, uint32_t now_s)
{
	const struct ledger_key key = key_of(kind, text);
	struct ledger_row row;

	(void)ledger_find(&l, &key, now_s, &row);
	return row;
}

static uint32_t
rows_in_use(void)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < LEDGER_SHARDS; s++) {
		for (uint32_t k = 0; k < LEDGER_KINDS; k++)
			n += l.shards[s].rows[k];
	}
	return n;
}

static void
what_is_added_is_found(void **state)
{
	struct ledger_key key;
	struct ledger_row row;

	(void)state;
	open_ledger(1000);
	key = key_of(LEDGER_CLIENT, "192.0.2.1");
	assert_false(ledger_find(&l, &key, START, &row));
	assert_true(add(LEDGER_CLIENT, "192.0.2.1", &good, START));
	assert_true(add(LEDGER_CLIENT, "192.0.2.1", &bad, START));
	assert_true(ledger_find(&l, &key, START, &row));
	assert_true(row.counts[LEDGER_SESSIONS] == 2);
	assert_true(row.counts[LEDGER_DELIVERED] == 1);
	assert_true(row.counts[LEDGER_BAD] == 1);
	/* The same text of another kind is another row. */
	row = find(LEDGER_NETWORK, "192.0.2.1", START);
	assert_true(row.counts[LEDGER_SESSIONS] == 0);
	assert_int_equal(rows_in_use(), 1);
}

/* All that is added is there, in some row: nothing is lost or made up while
 * there is room. */
static void
sums_are_kept(void **state)
{
	double sum = 0;
	char text[32];

	(void)state;
	open_ledger(100000);
	for (int i = 0; i < 30000; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i % 5000 / 250,
			 i % 250);
		assert_true(
		    add(LEDGER_CLIENT, text, i % 3 ? &good : &bad, START));
	}
	for (uint32_t slot = 0; slot < ledger_rows(100000); slot++) {
		struct ledger_entry e;

		if (!ledger_at(&l, slot, &e))
			continue;
		assert_int_equal(ledger_slot_shard(&l, slot),
				 key_of(LEDGER_CLIENT, e.text).hash >> 60);
		sum += (double)e.row.counts[LEDGER_SESSIONS];
	}
	assert_true(sum == 30000);
	assert_int_equal(rows_in_use(), 5000);
}

static void
counts_decay_by_half(void **state)
{
	(void)state;
	open_ledger(1000);
	for (int i = 0; i < 64; i++)
		add(LEDGER_STACK, "s", &good, START);
	for (uint32_t age = 0; age < 5 * WEEK; age += 7919) {
		const double want = 64 * exp2(-(double)age / WEEK);
		const struct ledger_row row =
		    find(LEDGER_STACK, "s", START + age);

		assert_true(fabs((double)row.counts[LEDGER_GOOD] - want) <
			    want * 1e-6);
	}
	/* An earlier now is no earlier than the row, and a late one is 0. */
	assert_true(find(LEDGER_STACK, "s", 5).counts[LEDGER_GOOD] == 64);
	assert_true(find(LEDGER_STACK, "s", UINT32_MAX).counts[LEDGER_GOOD] <
		    1e-9f);
}

/* Touched each second or once: what is left is the same. */
static void
decay_does_not_ask_how_often(void **state)
{
	const struct ledger_delta touch = {.counts = {[LEDGER_SESSIONS] = 1}};
	double want;
	double got;

	(void)state;
	open_ledger(1000);
	for (int i = 0; i < 1000; i++)
		add(LEDGER_STACK, "s", &good, START);
	for (uint32_t t = 1; t <= 2 * WEEK; t++)
		add(LEDGER_STACK, "s", &touch, START + t);
	got = (double)find(LEDGER_STACK, "s", START + 2 * WEEK)
		  .counts[LEDGER_GOOD];
	assert_true(fabs(got - 250) < 0.25);
	/* A second is worth what the integral says it is. */
	want = WEEK / log(2) * 0.75;
	got = (double)find(LEDGER_STACK, "s", START + 2 * WEEK)
		  .counts[LEDGER_SESSIONS];
	assert_true(fabs(got - want - 250) < want * 1e-3);
}

static void
no_count_goes_below_nothing(void **state)
{
	const struct ledger_delta back = {
	    .counts = {[LEDGER_DELIVERED] = -2, [LEDGER_SPAM] = 2},
	    .proof_messages = -2};
	struct ledger_row row;

	(void)state;
	open_ledger(1000);
	add(LEDGER_CLIENT, "c", &good, START);
	add(LEDGER_CLIENT, "c", &back, START);
	row = find(LEDGER_CLIENT, "c", START);
	assert_true(row.counts[LEDGER_DELIVERED] == 0);
	assert_true(row.counts[LEDGER_SPAM] == 2);
	assert_int_equal(row.proof_messages, 0);
}

/* Ten times as many signatures as there are rows, each seen once, and rows
 * with delivered mail, one of it three weeks old: all of those stay. */
static void
a_flood_pushes_out_itself(void **state)
{
	char text[64];
	uint64_t replaced = 0;

	(void)state;
	open_ledger(16000);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "good %d", i);
		add(LEDGER_CLIENT, text, &good,
		    i % 2 ? START : START - 3 * WEEK);
	}
	for (int i = 0; i < 160000; i++) {
		snprintf(text, sizeof(text), "4:64:0:%d:*,7:mss::0", i);
		add(LEDGER_SYN, text, &bad, START + 1 + (uint32_t)i / 10);
	}
	for (int i = 0; i < 1000; i++) {
		const struct ledger_key key =
		    (snprintf(text, sizeof(text), "good %d", i),
		     key_of(LEDGER_CLIENT, text));
		struct ledger_row row;

		assert_true(ledger_find(&l, &key, START + 16000, &row));
	}
	assert_true(rows_in_use() <= ledger_rows(16000));
	for (uint32_t s = 0; s < LEDGER_SHARDS; s++)
		replaced += l.shards[s].replaced;
	assert_true(replaced > 140000);
}

/* Where all rows have delivered mail, a newcomer without any is not taken,
 * and one that brings as much is. */
static void
delivered_mail_is_not_given_up(void **state)
{
	char text[64];
	int refused = 0;
	uint64_t told = 0;

	(void)state;
	open_ledger(128);
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "g%d", i);
		add(LEDGER_CLIENT, text, &good, START);
	}
	assert_int_equal(rows_in_use(), 128);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "b%d", i);
		refused += !add(LEDGER_CLIENT, text, &bad, START);
	}
	for (uint32_t s = 0; s < LEDGER_SHARDS; s++)
		told += l.shards[s].refused;
	assert_int_equal(refused, 1000);
	assert_int_equal(told, 1000);
	assert_true(add(LEDGER_CLIENT, "new", &good, START));
}

/* Rows without delivered mail are worth no protection: a newcomer that may be
 * anybody gets the place of the worst known sender. */
static void
bad_rows_make_room(void **state)
{
	const struct ledger_delta once = {.counts = {[LEDGER_SESSIONS] = 1}};
	char text[64];

	(void)state;
	open_ledger(128);
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "b%d", i);
		add(LEDGER_CLIENT, text, &bad, START);
	}
	assert_int_equal(rows_in_use(), 128);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "n%d", i);
		assert_true(add(LEDGER_CLIENT, text, &once, START));
		assert_true(
		    find(LEDGER_CLIENT, text, START).counts[LEDGER_SESSIONS] ==
		    1);
	}
}

static void
three_messages_in_two_sessions_prove(void **state)
{
	const struct ledger_delta three = {
	    .counts = {[LEDGER_SESSIONS] = 1, [LEDGER_GOOD] = 1},
	    .proof_messages = 3,
	    .proof_sessions = 1};
	struct ledger_row row;

	(void)state;
	open_ledger(1000);
	add(LEDGER_POOL, "p", &three, START);
	row = find(LEDGER_POOL, "p", START);
	assert_false(ledger_is_proven(&row, START));
	add(LEDGER_POOL, "p", &good, START + 10);
	row = find(LEDGER_POOL, "p", START + 10);
	assert_true(ledger_is_proven(&row, START + 10));
	assert_true(ledger_is_proven(&row, START + 10 + 36 * DAY - 1));
	assert_false(ledger_is_proven(&row, START + 10 + 36 * DAY));
	/* More than a twentieth of it bad: no proof. */
	add(LEDGER_POOL, "p", &bad, START + 10);
	for (int i = 3; i < 19; i++)
		add(LEDGER_POOL, "p", &good, START + 10);
	row = find(LEDGER_POOL, "p", START + 10);
	assert_false(ledger_is_proven(&row, START + 10));
	add(LEDGER_POOL, "p", &good, START + 10);
	row = find(LEDGER_POOL, "p", START + 10);
	assert_true(row.counts[LEDGER_GOOD] > 18.99f);
	assert_true(ledger_is_proven(&row, START + 10));
	/* What is too old to prove does not count with what is new. */
	add(LEDGER_POOL, "q", &three, START);
	add(LEDGER_POOL, "q", &good, START + LEDGER_PROOF_S);
	row = find(LEDGER_POOL, "q", START + LEDGER_PROOF_S);
	assert_int_equal(row.proof_messages, 1);
}

static void
networks_are_told_apart(void **state)
{
	static const struct {
		uint32_t networks;
		uint32_t low;
		uint32_t high;
	} rows[] = {{0, 0, 0},	  {1, 1, 1},	  {3, 2, 3},
		    {20, 15, 25}, {100, 75, 130}, {5000, 300, 400}};
	struct ledger_delta d = {.counts = {[LEDGER_SESSIONS] = 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ledger_row row;

		open_ledger(1000);
		for (uint64_t n = 0; n < 3 * rows[i].networks; n++) {
			d.network = ledger_key(&l, LEDGER_NETWORK,
					       (const char *)&(uint64_t){
						   n % rows[i].networks},
					       8)
					.hash;
			add(LEDGER_STACK, "s", &d, START);
		}
		row = find(LEDGER_STACK, "s", START);
		assert_in_range(ledger_networks(&row), rows[i].low,
				rows[i].high);
		/* They are known for a half-life, and forgotten within two. */
		row =
		    find(LEDGER_STACK, "s", START / WEEK * WEEK + 2 * WEEK - 1);
		assert_in_range(ledger_networks(&row), rows[i].low,
				rows[i].high);
		row = find(LEDGER_STACK, "s", START + 2 * WEEK);
		assert_int_equal(ledger_networks(&row), 0);
	}
}

static void
long_texts_are_told_apart(void **state)
{
	char text[300];
	struct ledger_key a;
	struct ledger_key b;

	(void)state;
	open_ledger(1000);
	memset(text, 'x', sizeof(text));
	a = ledger_key(&l, LEDGER_PAIR, text, sizeof(text));
	assert_int_equal(a.len, LEDGER_TEXT_CAP);
	text[299] = 'y';
	b = ledger_key(&l, LEDGER_PAIR, text, sizeof(text));
	assert_true(a.hash != b.hash);
	/* What it is known by has the same key: the store loads it so. */
	a = ledger_key(&l, LEDGER_PAIR, b.text, b.len);
	assert_true(a.hash == b.hash);
	a = ledger_key(&l, LEDGER_PAIR, text, LEDGER_TEXT_CAP);
	assert_memory_equal(a.text, text, LEDGER_TEXT_CAP);
}

static uint32_t
count_dirty(uint32_t *left)
{
	uint32_t n = 0;
	struct ledger_entry e;

	*left = 0;
	for (uint32_t s = 0; s < LEDGER_SHARDS; s++) {
		uint32_t cursor = 0;
		enum ledger_scan found;

		while ((found = ledger_dirty_next(&l, s, &cursor, &e)) !=
		       LEDGER_SCAN_DONE)
			n += found == LEDGER_SCAN_ROW;
		*left += l.shards[s].dirty;
	}
	return n;
}

static void
changed_rows_are_given_out_once(void **state)
{
	char text[32];
	uint32_t left;
	struct ledger_row row;
	struct ledger_key key;

	(void)state;
	open_ledger(2000000); /* sparse: the scan has to pause */
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "c%d", i);
		add(LEDGER_CLIENT, text, &good, START);
		add(LEDGER_CLIENT, text, &good, START);
	}
	assert_int_equal(count_dirty(&left), 500);
	assert_int_equal(left, 0);
	assert_int_equal(count_dirty(&left), 0);
	add(LEDGER_CLIENT, "c7", &good, START);
	assert_int_equal(count_dirty(&left), 1);
	/* What is loaded is not written again. */
	row = find(LEDGER_CLIENT, "c7", START);
	key = key_of(LEDGER_CLIENT, "c8");
	assert_true(ledger_put(&l, &key, &row, START));
	assert_int_equal(count_dirty(&left), 0);
	assert_true(find(LEDGER_CLIENT, "c8", START).counts[LEDGER_GOOD] == 3);
}

static void
what_is_loaded_is_put_right(void **state)
{
	struct ledger_row row = {.stamp_s = UINT32_MAX, .proof_s = UINT32_MAX};
	struct ledger_key key;

	(void)state;
	open_ledger(1000);
	row.counts[LEDGER_GOOD] = -1;
	row.counts[LEDGER_BAD] = NAN;
	row.counts[LEDGER_SPAM] = INFINITY;
	row.counts[LEDGER_SESSIONS] = 3;
	key = key_of(LEDGER_SYN, "x");
	assert_true(ledger_put(&l, &key, &row, START));
	row = find(LEDGER_SYN, "x", START);
	assert_true(row.counts[LEDGER_GOOD] == 0);
	assert_true(row.counts[LEDGER_BAD] == 0);
	assert_true(row.counts[LEDGER_SPAM] > 1e7f);
	assert_true(row.counts[LEDGER_SPAM] < 2e7f);
	assert_true(row.counts[LEDGER_SESSIONS] == 3);
	assert_int_equal(row.stamp_s, START);
	assert_int_equal(row.proof_s, START);
}

static void
a_slot_is_found_and_touched(void **state)
{
	struct ledger_key key;
	struct ledger_key none;
	struct ledger_entry e;
	uint32_t cursor = 0;
	uint32_t shard;

	(void)state;
	open_ledger(1000);
	key = key_of(LEDGER_CLIENT, "192.0.2.1");
	none = key_of(LEDGER_CLIENT, "192.0.2.2");
	shard = ledger_shard(&key);
	assert_true(add(LEDGER_CLIENT, "192.0.2.1", &good, START));
	assert_int_equal(ledger_slot(&l, &none), LEDGER_NO_SLOT);
	assert_int_equal(ledger_dirty_next(&l, shard, &cursor, &e),
			 LEDGER_SCAN_ROW);
	assert_int_equal(ledger_slot(&l, &key), e.slot);
	cursor = 0;
	assert_int_equal(ledger_dirty_next(&l, shard, &cursor, &e),
			 LEDGER_SCAN_DONE);
	ledger_touch(&l, e.slot);
	ledger_touch(&l, e.slot ^ 7u); /* empty: nothing */
	assert_int_equal(l.shards[shard].dirty, 1);
	cursor = 0;
	assert_int_equal(ledger_dirty_next(&l, shard, &cursor, &e),
			 LEDGER_SCAN_ROW);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(a_slot_is_found_and_touched,
				      close_ledger),
	    cmocka_unit_test(what_is_added_is_found),
	    cmocka_unit_test(sums_are_kept),
	    cmocka_unit_test(counts_decay_by_half),
	    cmocka_unit_test(decay_does_not_ask_how_often),
	    cmocka_unit_test(no_count_goes_below_nothing),
	    cmocka_unit_test(a_flood_pushes_out_itself),
	    cmocka_unit_test(delivered_mail_is_not_given_up),
	    cmocka_unit_test(bad_rows_make_room),
	    cmocka_unit_test(three_messages_in_two_sessions_prove),
	    cmocka_unit_test(networks_are_told_apart),
	    cmocka_unit_test(long_texts_are_told_apart),
	    cmocka_unit_test(changed_rows_are_given_out_once),
	    cmocka_unit_test(what_is_loaded_is_put_right),
	};

	return cmocka_run_group_tests(tests, NULL, close_ledger);
}
