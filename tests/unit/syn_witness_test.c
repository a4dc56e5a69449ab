/* Two witnesses: the decision table, row by row, and looking again. */
#include "syn_witness_rig.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What a result says beside its source. */
enum mark { CONFLICT = 1, STALE = 2, SYNPROXY = 4 };

/*
 * The design's table. The sidecar saw `isn` (0: nothing) that long before the
 * accept, and again at newest_ms before it (0: not again).
 */
static const struct {
	const char *label;
	uint32_t isn;
	uint64_t age_ms;
	uint64_t newest_ms;
	enum kernel_copy kernel;
	uint32_t kernel_isn;
	bool is_spent; /* an accept before this one used it */
	enum syn_witness_source want;
	unsigned int marks;
} rows[] = {
    /* there; same ISN */
    {"same ISN", 5, 10, 0, REAL, 5, false, SYN_WITNESS_SIDECAR_CONFIRMED, 0},
    {"same ISN, old", 5, 60000, 0, REAL, 5, false,
     SYN_WITNESS_SIDECAR_CONFIRMED, 0},
    {"same ISN, spent", 5, 10, 0, REAL, 5, true, SYN_WITNESS_KERNEL, 0},
    /* there; other ISN */
    {"other ISN", 5, 10, 0, REAL, 6, false, SYN_WITNESS_KERNEL, CONFLICT},
    {"other ISN, spent", 5, 10, 0, REAL, 6, true, SYN_WITNESS_KERNEL, CONFLICT},
    /* there, not yet used; empty or made up */
    {"cookies", 5, 10, 0, EMPTY, 0, false, SYN_WITNESS_SIDECAR, 0},
    {"cookies, at the very accept", 5, 0, 0, EMPTY, 0, false,
     SYN_WITNESS_SIDECAR, 0},
    {"cookies, 2999 ms", 5, 2999, 0, EMPTY, 0, false, SYN_WITNESS_SIDECAR, 0},
    {"cookies, 3 s", 5, 3000, 0, EMPTY, 0, false, SYN_WITNESS_LATER, STALE},
    {"cookies, sent again", 5, 4000, 2999, EMPTY, 0, false, SYN_WITNESS_SIDECAR,
     0},
    {"cookies, sent again, 63.999 s", 5, 64999, 63999, EMPTY, 0, false,
     SYN_WITNESS_SIDECAR, 0},
    {"cookies, sent again, 64 s", 5, 65000, 64000, EMPTY, 0, false,
     SYN_WITNESS_LATER, STALE},
    {"SYNPROXY", 5, 10, 0, MADE_UP, 6, false, SYN_WITNESS_SIDECAR, SYNPROXY},
    {"SYNPROXY, same ISN", 5, 10, 0, MADE_UP, 5, false, SYN_WITNESS_SIDECAR,
     SYNPROXY},
    {"SYNPROXY, old", 5, 3000, 0, MADE_UP, 5, false, SYN_WITNESS_LATER,
     STALE | SYNPROXY},
    {"broken copy", 5, 10, 0, BROKEN, 5, false, SYN_WITNESS_SIDECAR, 0},
    {"copy too long to keep", 5, 10, 0, TOO_LONG, 5, false, SYN_WITNESS_SIDECAR,
     0},
    /* missing or used; real */
    {"sidecar late", 0, 0, 0, REAL, 6, false, SYN_WITNESS_KERNEL, 0},
    /* missing or used; empty or made up */
    {"nobody", 0, 0, 0, EMPTY, 0, false, SYN_WITNESS_LATER, 0},
    {"nobody but a SYNPROXY", 0, 0, 0, MADE_UP, 6, false, SYN_WITNESS_LATER,
     SYNPROXY},
    {"cookies, spent", 5, 10, 0, EMPTY, 0, true, SYN_WITNESS_LATER, 0},
    {"SYNPROXY, spent", 5, 10, 0, MADE_UP, 5, true, SYN_WITNESS_LATER,
     SYNPROXY},
};

static unsigned int
marks_of(const struct syn_witness_result *r)
{
	return (r->is_conflict ? CONFLICT : 0u) | (r->is_stale ? STALE : 0u) |
	       (r->is_made_up ? SYNPROXY : 0u);
}

static void
check_row(struct bench *b, size_t i)
{
	const char *label = rows[i].label;
	const struct ask ask = {rows[i].kernel, rows[i].kernel_isn,
				.accepted_ns = ACCEPT};
	struct syn_witness_result r;
	bool has_bytes;

	if (rows[i].isn != 0)
		see(b, rows[i].isn, ACCEPT - rows[i].age_ms * MS);
	if (rows[i].newest_ms != 0)
		see(b, rows[i].isn, ACCEPT - rows[i].newest_ms * MS);
	if (rows[i].is_spent)
		accept_at(b, ACCEPT - MS, EMPTY, 0, SYN_WITNESS_SIDECAR);
	r = decide(b, &ask);
	has_bytes = rows[i].want != SYN_WITNESS_LATER;
	if (r.source != rows[i].want)
		fail_msg("%s: %s, want %s", label,
			 syn_witness_source_name(r.source),
			 syn_witness_source_name(rows[i].want));
	if (marks_of(&r) != rows[i].marks)
		fail_msg("%s: marks %u, want %u", label, marks_of(&r),
			 rows[i].marks);
	if (has_bytes != (r.raw_len > 0))
		fail_msg("%s: %d bytes", label, r.raw_len);
	if (has_bytes &&
	    r.syn.isn != (r.source == SYN_WITNESS_KERNEL ? rows[i].kernel_isn
							 : rows[i].isn))
		fail_msg("%s: ISN %u", label, r.syn.isn);
	if (r.source >= SYN_WITNESS_SIDECAR &&
	    r.retransmits != (rows[i].newest_ms != 0))
		fail_msg("%s: %d retransmits", label, r.retransmits);
}

static void
design_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct bench b;

		bench_open(&b);
		check_row(&b, i);
		bench_close(&b);
	}
}

static void
bytes_are_those_of_the_witness(void **state)
{
	static struct bench b;
	const struct ask confirmed = {REAL, 5, .accepted_ns = ACCEPT};
	const struct ask kernel = {REAL, 6, .accepted_ns = ACCEPT + S};
	uint8_t raw[PACKET_CAP];
	struct syn_witness_result r;

	(void)state;
	bench_open(&b);
	see(&b, 5, ACCEPT - 1500 * MS);
	see(&b, 5, ACCEPT - 500 * MS);
	r = decide(&b, &confirmed);
	assert_int_equal(r.raw_len, kernel_bytes(REAL, 5, raw));
	assert_memory_equal(r.raw, raw, r.raw_len);
	assert_int_equal(r.retransmits, 1);
	assert_int_equal(r.first_gap_ms, 1000);
	r = decide(&b, &kernel);
	assert_int_equal(r.raw_len, kernel_bytes(REAL, 6, raw));
	assert_memory_equal(r.raw, raw, r.raw_len);
	assert_int_equal(r.retransmits, 0);
	assert_int_equal(r.first_gap_ms, 0);
	bench_close(&b);
}

/* Looks at 1 .. 1000 ms after accept, then never more. */
static void
looks_again_eight_times(void **state)
{
	static const uint32_t want_ms[] = {1, 5, 20, 50, 100, 250, 500, 1000};
	static struct bench b;
	struct ask ask = {EMPTY, 0, .accepted_ns = ACCEPT, .now_ns = ACCEPT};
	struct syn_witness_result r;

	(void)state;
	bench_open(&b);
	for (ask.looks_done = 0; ask.looks_done < 8; ask.looks_done++) {
		r = decide(&b, &ask);
		assert_int_equal(r.source, SYN_WITNESS_LATER);
		assert_int_equal(r.look_again_ms, want_ms[ask.looks_done]);
		ask.now_ns = ACCEPT + r.look_again_ms * MS;
	}
	r = decide(&b, &ask);
	assert_int_equal(r.source, SYN_WITNESS_NONE);
	assert_int_equal(r.raw_len, 0);
	bench_close(&b);
}

static void
found_at_a_later_look(void **state)
{
	static struct bench b;
	struct ask ask = {EMPTY, 0, .accepted_ns = ACCEPT};

	(void)state;
	bench_open(&b);
	assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_LATER);
	see(&b, 5, ACCEPT - 1);
	ask.now_ns = ACCEPT + 50 * MS;
	ask.looks_done = 4;
	assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_SIDECAR);
	bench_close(&b);
}

/* Without a sidecar that lives there is nothing to wait for. */
static void
nobody_to_wait_for(void **state)
{
	static struct bench b;
	struct ask ask = {EMPTY, 0, .accepted_ns = ACCEPT};
	const struct addr client = rig_client(PORT);
	struct syn_witness_case look = {.reader = &b.rig.reader,
					.client = &client,
					.accepted_ns = ACCEPT,
					.now_ns = ACCEPT};
	struct syn_witness_result r;

	(void)state;
	bench_open(&b);
	ask.has_no_sidecar = true;
	assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_NONE);
	ask.kernel = REAL;
	ask.accepted_ns++;
	assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_KERNEL);
	syn_table_beat(b.rig.table, ACCEPT - 2 * S - 1);
	syn_witness_decide(&b.memory, &look, &r);
	assert_int_equal(r.source, SYN_WITNESS_NONE);
	/* Stopped, but it saw this SYN before. */
	see(&b, 5, ACCEPT + S);
	look.accepted_ns = look.now_ns = ACCEPT + 2 * S;
	syn_witness_decide(&b.memory, &look, &r);
	assert_int_equal(r.source, SYN_WITNESS_SIDECAR);
	bench_close(&b);
}

/* The table knows the port in front of a redirection: 25 or 587. */
static void
redirection_compares_no_destination(void **state)
{
	static const struct {
		const char *label;
		uint16_t local_port;
		bool has_no_local;
		enum syn_witness_source want;
	} ports[] = {
	    {"the port itself", 25, false, SYN_WITNESS_SIDECAR},
	    {"another one that is watched", 587, false, SYN_WITNESS_LATER},
	    {"one that is not", 2525, false, SYN_WITNESS_SIDECAR},
	    {"not told", 587, true, SYN_WITNESS_SIDECAR},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(ports); i++) {
		static struct bench b;
		struct ask ask = {EMPTY, 0, .accepted_ns = T0 + S};
		struct syn_witness_result r;

		bench_open(&b);
		b.rig.table->ports[1] = 587;
		ask.local_port = ports[i].local_port;
		ask.has_no_local = ports[i].has_no_local;
		see(&b, 5, T0 + S - MS);
		r = decide(&b, &ask);
		if (r.source != ports[i].want)
			fail_msg("%s: %s", ports[i].label,
				 syn_witness_source_name(r.source));
		ask.accepted_ns++;
		assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_LATER);
		bench_close(&b);
	}
}

/* An entry whose bytes are no SYN, or of another ISN, is none. */
static void
lying_entry_is_none(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} lies[] = {
	    {33, 0x12}, /* SYN and ACK */
	    {27, 0x99}, /* the ISN */
	    {32, 0x40}, /* the data offset */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lies); i++) {
		static struct bench b;
		const struct ask ask = {EMPTY, 0, .accepted_ns = T0 + S};

		bench_open(&b);
		see(&b, 0, T0 + S - MS);
		for (size_t k = 0; k < 64 * 8; k++) {
			char *words = (char *)rig_entry(&b.rig, k);

			words[8 + offsetof(struct syn_entry, raw) +
			      lies[i].at] = (char)lies[i].value;
		}
		assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_LATER);
		bench_close(&b);
	}
}

static void
names(void **state)
{
	(void)state;
	assert_string_equal(syn_witness_source_name(SYN_WITNESS_NONE), "none");
	assert_string_equal(
	    syn_witness_source_name(SYN_WITNESS_SIDECAR_CONFIRMED),
	    "sidecar_confirmed");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(design_table),
	    cmocka_unit_test(bytes_are_those_of_the_witness),
	    cmocka_unit_test(looks_again_eight_times),
	    cmocka_unit_test(found_at_a_later_look),
	    cmocka_unit_test(nobody_to_wait_for),
	    cmocka_unit_test(redirection_compares_no_destination),
	    cmocka_unit_test(lying_entry_is_none),
	    cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
