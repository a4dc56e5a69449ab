/* The SYN table: put, find, eviction, retransmissions, no torn reads. */
#include "syn_table_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
check(const char *label, const char *what, uint64_t have, uint64_t want)
{
	if (have != want)
		fail_msg("%s: %s is %llu, want %llu", label, what,
			 (unsigned long long)have, (unsigned long long)want);
}

static uint64_t
counted(const struct rig *rig, enum syn_table_counter which)
{
	return syn_table_counter(rig->table, which);
}

static void
what_is_put_is_found(void **state)
{
	const struct packet *const packets[] = {&plain, &plain_v6};
	struct rig rig;

	(void)state;
	rig_open(&rig, 16);
	for (size_t i = 0; i < COUNT(packets); i++) {
		uint8_t raw[PACKET_CAP];
		struct syn syn;
		struct syn_entry e;
		const size_t len = rig_syn(packets[i], 40001, raw, &syn);

		assert_false(
		    syn_reader_find(&rig.reader, &syn.src, &syn.dst, &e));
		assert_int_equal(
		    syn_table_put(rig.table, &syn, raw, len, T0 + i),
		    SYN_PUT_INSERTED);
		assert_true(
		    syn_reader_find(&rig.reader, &syn.src, &syn.dst, &e));
		assert_int_equal(e.raw_len, len);
		assert_memory_equal(e.raw, raw, len);
		assert_memory_equal(e.client_ip, syn.src.ip, 16);
		assert_int_equal(e.client_port, 40001);
		assert_int_equal(e.local_port, 25);
		assert_int_equal(e.isn, packets[i]->isn);
		assert_int_equal(e.family, syn.version);
		assert_int_equal(e.captured_ns, T0 + i);
		assert_int_equal(e.newest_ns, T0 + i);
		assert_int_equal(e.retransmits, 0);
		assert_int_equal(e.first_gap_ms, 0);
		/* Another port of the same client is another client. */
		syn.src.port++;
		assert_false(
		    syn_reader_find(&rig.reader, &syn.src, &syn.dst, &e));
	}
	assert_int_equal(counted(&rig, SYN_TABLE_INSERTED), 2);
	rig_close(&rig);
}

static void
longest_header_fits_and_longer_is_refused(void **state)
{
	uint8_t raw[PACKET_CAP];
	struct syn syn;
	struct syn_entry e;
	struct rig rig;

	(void)state;
	rig_open(&rig, 1);
	(void)rig_syn(&plain, 1, raw, &syn);
	assert_int_equal(
	    syn_table_put(rig.table, &syn, raw, SYN_RAW_CAP + 1, T0),
	    SYN_PUT_TOO_LONG);
	assert_int_equal(counted(&rig, SYN_TABLE_MALFORMED), 1);
	assert_false(find(&rig, 1, &e));
	assert_int_equal(syn_table_put(rig.table, &syn, raw, SYN_RAW_CAP, T0),
			 SYN_PUT_INSERTED);
	assert_true(find(&rig, 1, &e));
	assert_memory_equal(e.raw, raw, SYN_RAW_CAP);
	rig_close(&rig);
}

/* One set: eight fit; the ninth takes the place of the oldest. */
static void
oldest_is_overwritten(void **state)
{
	struct syn_entry e;
	struct rig rig;

	(void)state;
	rig_open(&rig, 1);
	for (uint16_t port = 1; port <= 8; port++)
		rig_put(&rig, &plain, port, T0 + port * S);
	for (uint16_t port = 1; port <= 8; port++)
		assert_true(find(&rig, port, &e));
	/* Sent again: no more the oldest. */
	rig_put(&rig, &plain, 1, T0 + 9 * S);
	rig_put(&rig, &plain, 9, T0 + 10 * S);
	assert_true(find(&rig, 1, &e));
	assert_false(find(&rig, 2, &e));
	assert_true(find(&rig, 9, &e));
	assert_int_equal(counted(&rig, SYN_TABLE_CROWDED), 0);
	/* The next oldest is 7 s old; in a flood it would be younger. */
	rig_put(&rig, &plain, 10, T0 + 3 * S + 3 * S);
	assert_int_equal(counted(&rig, SYN_TABLE_CROWDED), 0);
	rig_put(&rig, &plain, 11, T0 + 4 * S + 3 * S - S / 500);
	assert_int_equal(counted(&rig, SYN_TABLE_CROWDED), 1);
	assert_int_equal(counted(&rig, SYN_TABLE_INSERTED), 11);
	rig_close(&rig);
}

/* Copies of a SYN at these times; what the entry says then. */
static const struct {
	const char *label;
	uint64_t at_ms[4]; /* after the first; 0: no more */
	uint8_t retransmits;
	uint32_t first_gap_ms;
	uint64_t newest_ms;
	uint64_t echoed;
	uint64_t captured_ms; /* of the entry that stands at the end */
} copy_rows[] = {
    {"none", {0}, 0, 0, 0, 0, 0},
    {"a bridge shows it twice", {1}, 0, 0, 0, 1, 0},
    {"just not an echo", {20}, 1, 20, 20, 0, 0},
    {"Linux 6.5 or newer", {1000, 2000, 3000, 4000}, 4, 1000, 4000, 0, 0},
    {"doubling", {1000, 3000, 7000}, 3, 1000, 7000, 0, 0},
    {"each seen twice", {1, 1000, 1001}, 1, 1000, 1000, 2, 0},
    {"the last that may count", {63999}, 1, 63999, 63999, 0, 0},
    {"another connection by then", {64000}, 0, 0, 64000, 0, 64000},
};

static void
copies_are_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(copy_rows); i++) {
		const char *label = copy_rows[i].label;
		struct packet copy = plain;
		struct syn_entry e;
		struct rig rig;

		rig_open(&rig, 1);
		rig_put(&rig, &plain, 1, T0);
		copy.id = 8; /* the copy's header is another */
		for (size_t k = 0; k < 4 && copy_rows[i].at_ms[k] != 0; k++)
			rig_put(&rig, &copy, 1,
				T0 + copy_rows[i].at_ms[k] * MS);
		assert_true(find(&rig, 1, &e));
		check(label, "retransmits", e.retransmits,
		      copy_rows[i].retransmits);
		check(label, "first gap", e.first_gap_ms,
		      copy_rows[i].first_gap_ms);
		check(label, "newest", e.newest_ns,
		      T0 + copy_rows[i].newest_ms * MS);
		check(label, "captured", e.captured_ns,
		      T0 + copy_rows[i].captured_ms * MS);
		check(label, "header", e.raw[5],
		      copy_rows[i].captured_ms == 0 ? 7 : 8);
		check(label, "retransmitted",
		      counted(&rig, SYN_TABLE_RETRANSMITTED),
		      copy_rows[i].retransmits);
		check(label, "echoed", counted(&rig, SYN_TABLE_ECHOED),
		      copy_rows[i].echoed);
		rig_close(&rig);
	}
}

static void
retransmits_stay_at_255(void **state)
{
	struct syn_entry e;
	struct rig rig;

	(void)state;
	rig_open(&rig, 1);
	for (uint64_t i = 0; i < 300; i++)
		rig_put(&rig, &plain, 1, T0 + i * 100 * MS);
	assert_true(find(&rig, 1, &e));
	assert_int_equal(e.retransmits, 255);
	assert_int_equal(e.first_gap_ms, 100);
	rig_close(&rig);
}

/* A reused port with a new ISN: the old SYN is gone at once. */
static void
new_isn_overwrites_in_place(void **state)
{
	struct packet next = plain;
	struct syn_entry e;
	struct rig rig;
	size_t used = 0;

	(void)state;
	rig_open(&rig, 1);
	next.isn = 101;
	rig_put(&rig, &plain, 1, T0);
	rig_put(&rig, &plain, 1, T0 + S);
	assert_int_equal(rig_put(&rig, &next, 1, T0 + S + 1), SYN_PUT_INSERTED);
	assert_true(find(&rig, 1, &e));
	assert_int_equal(e.isn, 101);
	assert_int_equal(e.captured_ns, T0 + S + 1);
	assert_int_equal(e.retransmits, 0);
	assert_int_equal(e.first_gap_ms, 0);
	for (size_t i = 0; i < SYN_TABLE_WAYS; i++)
		used += syn_reader_at(&rig.reader, i, &e);
	assert_int_equal(used, 1);
	assert_false(syn_reader_at(&rig.reader, SYN_TABLE_WAYS, &e));
	rig_close(&rig);
}

/* One client port may talk to two of our addresses or ports at a time. */
static void
destination_is_compared_unless_redirected(void **state)
{
	const struct addr client = rig_client(1);
	struct addr local = rig_local(587);
	uint8_t raw[PACKET_CAP];
	struct syn syn;
	struct syn_entry e;
	struct rig rig;
	size_t len;

	(void)state;
	rig_open(&rig, 4);
	rig_put(&rig, &plain, 1, T0);
	assert_false(syn_reader_find(&rig.reader, &client, &local, &e));
	(void)rig_syn(&plain, 1, raw, &syn);
	put16(raw + 22, 587);
	put32(raw + 24, 999);
	len = 20 + 24;
	assert_int_equal(syn_parse(&syn, raw, len), len);
	syn_table_put(rig.table, &syn, raw, len, T0 + S);
	assert_true(syn_reader_find(&rig.reader, &client, &local, &e));
	assert_int_equal(e.isn, 999);
	assert_true(find(&rig, 1, &e));
	assert_int_equal(e.isn, 100);
	local.port = 25;
	local.ip[15]++;
	assert_false(syn_reader_find(&rig.reader, &client, &local, &e));
	/* Compared with none: the newest. */
	assert_true(syn_reader_find(&rig.reader, &client, NULL, &e));
	assert_int_equal(e.isn, 999);
	rig_close(&rig);
}

static void
ipv6_destination_is_compared(void **state)
{
	uint8_t raw[PACKET_CAP];
	struct syn syn;
	struct syn_entry e;
	struct rig rig;

	(void)state;
	rig_open(&rig, 4);
	rig_put(&rig, &plain_v6, 1, T0);
	(void)rig_syn(&plain_v6, 1, raw, &syn);
	assert_true(syn_reader_find(&rig.reader, &syn.src, &syn.dst, &e));
	syn.dst.ip[0]++;
	assert_false(syn_reader_find(&rig.reader, &syn.src, &syn.dst, &e));
	rig_close(&rig);
}

static void
sets_hold_the_entries_asked_for(void **state)
{
	static const uint32_t rows[][2] = {
	    {0, 1}, {1, 1}, {8, 1}, {9, 2}, {65536, 8192},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(syn_table_sets(rows[i][0]), rows[i][1]);
	assert_int_equal(syn_table_bytes(8192), 4096 + 8192 * 64 + 65536 * 192);
}

static void
heartbeat_of_two_seconds(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, 1);
	syn_table_beat(rig.table, T0 + S);
	assert_false(syn_table_is_stopped(rig.table, T0));
	assert_false(syn_table_is_stopped(rig.table, T0 + 3 * S));
	assert_true(syn_table_is_stopped(rig.table, T0 + 3 * S + 1));
	rig_close(&rig);
}

/* Sets spread: no set of many gets far more than its share. */
static void
clients_spread_over_the_sets(void **state)
{
	struct syn_entry e;
	struct rig rig;
	size_t found = 0;

	(void)state;
	rig_open(&rig, 256);
	for (uint16_t port = 1; port <= 1024; port++)
		rig_put(&rig, &plain, port, T0);
	for (uint16_t port = 1; port <= 1024; port++)
		found += find(&rig, port, &e);
	/* Half full: a Poisson tail of 2 % of the sets overflows by a few. */
	assert_true(found > 1000);
	rig_close(&rig);
}

/* The writer's thread: SYNs whose bytes all follow from the ISN. */
struct race {
	struct rig rig;
	atomic_bool is_over;
	atomic_uint puts;
};

static void
race_syn(uint32_t isn, uint8_t raw[SYN_RAW_CAP], struct syn *syn)
{
	memset(raw, (uint8_t)isn, SYN_RAW_CAP);
	raw[0] = 0x45;
	put32(raw + 12, 0xc0000201);
	put32(raw + 16, 0xc0000202);
	memset(syn, 0, sizeof(*syn));
	syn->src = rig_client(1);
	syn->dst = rig_local(25);
	syn->isn = isn;
	syn->version = 4;
}

static void *
race_writer(void *arg)
{
	struct race *race = arg;
	uint8_t raw[SYN_RAW_CAP];
	struct syn syn;

	for (uint32_t isn = 1; !atomic_load(&race->is_over); isn++) {
		race_syn(isn, raw, &syn);
		syn_table_put(race->rig.table, &syn, raw, sizeof(raw),
			      T0 + isn);
		atomic_store(&race->puts, isn);
	}
	return NULL;
}

static void
check_whole(const struct syn_entry *e)
{
	uint8_t raw[SYN_RAW_CAP];
	struct syn syn;

	race_syn(e->isn, raw, &syn);
	if (memcmp(raw, e->raw, sizeof(raw)) != 0 ||
	    e->captured_ns != T0 + e->isn || e->newest_ns != e->captured_ns)
		fail_msg("torn: ISN %u, bytes %02x..%02x", e->isn, e->raw[1],
			 e->raw[SYN_RAW_CAP - 1]);
}

/* Until enough was written, and seen to change; few changes on one core. */
static void
no_read_is_torn(void **state)
{
	struct race race = {.is_over = false};
	struct syn_entry e;
	pthread_t writer;
	uint32_t changes = 0;
	uint32_t last_isn = 0;

	(void)state;
	rig_open(&race.rig, 1);
	assert_int_equal(pthread_create(&writer, NULL, race_writer, &race), 0);
	while (changes < 50 || atomic_load(&race.puts) < 400000) {
		if (!find(&race.rig, 1, &e))
			continue;
		check_whole(&e);
		changes += e.isn != last_isn;
		last_isn = e.isn;
	}
	atomic_store(&race.is_over, true);
	pthread_join(writer, NULL);
	rig_close(&race.rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_put_is_found),
	    cmocka_unit_test(longest_header_fits_and_longer_is_refused),
	    cmocka_unit_test(oldest_is_overwritten),
	    cmocka_unit_test(copies_are_counted),
	    cmocka_unit_test(retransmits_stay_at_255),
	    cmocka_unit_test(new_isn_overwrites_in_place),
	    cmocka_unit_test(destination_is_compared_unless_redirected),
	    cmocka_unit_test(ipv6_destination_is_compared),
	    cmocka_unit_test(sets_hold_the_entries_asked_for),
	    cmocka_unit_test(heartbeat_of_two_seconds),
	    cmocka_unit_test(clients_spread_over_the_sets),
	    cmocka_unit_test(no_read_is_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
