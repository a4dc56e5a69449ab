/* Readers of the SYN table, whatever stands there: memory that lies. */
#include "syn_table_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* A writer that died in the middle leaves an odd sequence for ever. */
static void
half_written_is_no_entry(void **state)
{
	struct syn_entry e;
	struct rig rig;

	(void)state;
	rig_open(&rig, 1);
	rig_put(&rig, &plain, 1, T0);
	atomic_fetch_add(&rig_entry(&rig, 0)->words[0], 1);
	assert_false(find(&rig, 1, &e));
	assert_false(syn_reader_at(&rig.reader, 0, &e));
	rig_close(&rig);
}

/* Heads that are refused: a byte offset and what is written there. */
static const struct {
	const char *label;
	size_t at;
	uint32_t value;
	long bytes_more;
} head_rows[] = {
    {"magic", 0, 1, 0},
    {"version", offsetof(struct syn_table, version), SYN_TABLE_VERSION - 1, 0},
    {"entry size", offsetof(struct syn_table, entry_bytes), 128, 0},
    {"no sets", offsetof(struct syn_table, sets_count), 0, 0},
    {"no sets, and a size to fit", offsetof(struct syn_table, sets_count), 0,
     -4 * (64 + 8 * 192)},
    {"more sets", offsetof(struct syn_table, sets_count), 5, 0},
    {"fewer sets", offsetof(struct syn_table, sets_count), 3, 0},
    {"sets wrap", offsetof(struct syn_table, sets_count), 0xffffffff, 0},
    {"a byte short", offsetof(struct syn_table, version), SYN_TABLE_VERSION,
     -1},
    {"a byte long", offsetof(struct syn_table, version), SYN_TABLE_VERSION, 1},
};

static void
strange_heads_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(head_rows); i++) {
		struct syn_reader reader;
		struct syn_entry e;
		const struct addr client = rig_client(1);
		struct rig rig;
		const char *fault;

		rig_open(&rig, 4);
		memcpy((char *)rig.table + head_rows[i].at, &head_rows[i].value,
		       sizeof(uint32_t));
		fault = syn_reader_open(
		    &reader, rig.table,
		    (size_t)((long)rig.bytes + head_rows[i].bytes_more));
		if (fault == NULL)
			fail_msg("%s: taken", head_rows[i].label);
		assert_null(reader.table);
		assert_false(syn_reader_find(&reader, &client, NULL, &e));
		assert_false(syn_reader_at(&reader, 0, &e));
		rig_close(&rig);
	}
}

static void
nothing_is_read_of_a_stump(void **state)
{
	struct syn_reader reader;

	(void)state;
	for (size_t len = 0; len < 64; len++)
		assert_non_null(
		    syn_reader_open(&reader, guarded_end() - len, len));
}

/* The head may change later; readers go by what they saw at first. */
static void
later_lies_move_no_reader(void **state)
{
	struct syn_entry e;
	struct rig rig;

	(void)state;
	rig_open(&rig, 4);
	rig_put(&rig, &plain, 1, T0);
	rig.table->sets_count = UINT32_MAX;
	rig.table->seed = 1;
	assert_true(find(&rig, 1, &e));
	for (uint16_t port = 2; port < 2000; port++)
		assert_false(find(&rig, port, &e));
	rig_close(&rig);
}

/* Entries that do not hold together: offset in the entry, what stands there. */
static const struct {
	const char *label;
	size_t at;
	uint8_t value;
} entry_rows[] = {
    {"longer than its room", offsetof(struct syn_entry, raw_len), 129},
    {"raw_len 255", offsetof(struct syn_entry, raw_len), 255},
    {"shorter than an IP header", offsetof(struct syn_entry, raw_len), 19},
    {"neither version", offsetof(struct syn_entry, family), 5},
    {"the other version", offsetof(struct syn_entry, family), 6},
    {"another IP header", offsetof(struct syn_entry, raw), 0x65},
    {"another client", offsetof(struct syn_entry, raw) + 15, 9},
    {"newest before first", offsetof(struct syn_entry, captured_ns) + 7, 0x7f},
};

static void
unsound_entries_are_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(entry_rows); i++) {
		struct syn_entry e;
		struct rig rig;
		char *words;

		rig_open(&rig, 1);
		rig_put(&rig, &plain, 1, T0);
		assert_true(find(&rig, 1, &e));
		words = (char *)rig_entry(&rig, 0) + sizeof(uint64_t);
		words[entry_rows[i].at] = (char)entry_rows[i].value;
		if (find(&rig, 1, &e))
			fail_msg("%s: found", entry_rows[i].label);
		rig_close(&rig);
	}
}

/* Fields and bytes agree, on a version that does not exist. */
static void
unknown_version_is_none(void **state)
{
	uint8_t raw[PACKET_CAP];
	struct syn syn;
	struct syn_entry e;
	struct rig rig;
	char *words;

	(void)state;
	rig_open(&rig, 1);
	rig_put(&rig, &plain_v6, 1, T0);
	(void)rig_syn(&plain_v6, 1, raw, &syn);
	assert_true(syn_reader_find(&rig.reader, &syn.src, &syn.dst, &e));
	words = (char *)rig_entry(&rig, 0) + sizeof(uint64_t);
	words[offsetof(struct syn_entry, family)] = 7;
	words[offsetof(struct syn_entry, raw)] = 0x70;
	assert_false(syn_reader_find(&rig.reader, &syn.src, &syn.dst, &e));
	rig_close(&rig);
}

/* Any bytes at all: nothing is read outside (the sanitizers watch). */
static void
noise_is_harmless(void **state)
{
	uint64_t random = 88172645463325252u;
	struct syn_entry e;
	struct rig rig;

	(void)state;
	rig_open(&rig, 4);
	for (int round = 0; round < 50; round++) {
		uint64_t *at = (void *)rig_entry(&rig, 0);
		const size_t words = 4 * 8 * SYN_TABLE_WORDS;

		for (size_t i = 0; i < words; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			at[i] = random;
		}
		for (uint16_t port = 0; port < 100; port++)
			(void)find(&rig, port, &e);
		for (size_t i = 0; i < 40; i++)
			(void)syn_reader_at(&rig.reader, i, &e);
		rig_put(&rig, &plain, 1, T0);
	}
	rig_close(&rig);
}

/* Ports that are watched; 0 ends them. */
static void
watched_ports(void **state)
{
	const struct syn_reader none = {0};
	struct rig rig;

	(void)state;
	rig_open(&rig, 1);
	rig.table->ports[1] = 587;
	assert_true(syn_reader_watches(&rig.reader, 25));
	assert_true(syn_reader_watches(&rig.reader, 587));
	assert_false(syn_reader_watches(&rig.reader, 2525));
	assert_false(syn_reader_watches(&none, 25));
	rig_close(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(half_written_is_no_entry),
	    cmocka_unit_test(strange_heads_are_refused),
	    cmocka_unit_test(nothing_is_read_of_a_stump),
	    cmocka_unit_test(later_lies_move_no_reader),
	    cmocka_unit_test(unsound_entries_are_none),
	    cmocka_unit_test(unknown_version_is_none),
	    cmocka_unit_test(noise_is_harmless),
	    cmocka_unit_test(watched_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
