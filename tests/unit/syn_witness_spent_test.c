/* Two witnesses: an entry serves one accept, and the old SYN none. */
#include "syn_witness_rig.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/*
 * The same client address and port again within a second. Whatever was used
 * for the first connection, its SYN is never taken for the second one's.
 */
static void
reused_port_never_gets_the_old_syn(void **state)
{
	static const struct {
		enum kernel_copy kernel; /* at the first accept */
		bool is_late;		 /* the entry comes after it */
		enum syn_witness_source want;
	} first[] = {
	    {EMPTY, false, SYN_WITNESS_SIDECAR},
	    {REAL, false, SYN_WITNESS_SIDECAR_CONFIRMED},
	    {REAL, true, SYN_WITNESS_KERNEL},
	    {EMPTY, true, SYN_WITNESS_LATER},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(first); i++) {
		static struct bench b;

		bench_open(&b);
		if (!first[i].is_late)
			see(&b, 5, T0 + 10 * MS);
		accept_at(&b, T0 + 20 * MS, first[i].kernel, 5, first[i].want);
		if (first[i].is_late)
			see(&b, 5, T0 + 10 * MS);
		/* Its own SYN was lost, or is late too. */
		accept_at(&b, T0 + 500 * MS, EMPTY, 0, SYN_WITNESS_LATER);
		see(&b, 6, T0 + 490 * MS);
		accept_at(&b, T0 + 900 * MS, EMPTY, 0, SYN_WITNESS_LATER);
		see(&b, 7, T0 + 950 * MS);
		accept_at(&b, T0 + 960 * MS, EMPTY, 0, SYN_WITNESS_SIDECAR);
		accept_at(&b, T0 + 970 * MS, REAL, 7, SYN_WITNESS_KERNEL);
		bench_close(&b);
	}
}

/* A late copy of a used SYN that is put in anew is spent as well. */
static void
used_isn_is_spent(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b);
	accept_at(&b, T0 + 20 * MS, REAL, 5, SYN_WITNESS_KERNEL);
	see(&b, 5, T0 + 30 * MS);
	accept_at(&b, T0 + 500 * MS, EMPTY, 0, SYN_WITNESS_LATER);
	bench_close(&b);
}

/* Captured in the very moment of the accept before: that one's. */
static void
syn_of_the_last_accept_is_spent(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b);
	accept_at(&b, T0 + 20 * MS, EMPTY, 0, SYN_WITNESS_LATER);
	see(&b, 5, T0 + 20 * MS);
	accept_at(&b, T0 + 500 * MS, EMPTY, 0, SYN_WITNESS_LATER);
	bench_close(&b);
}

/* What one port spends, another port of the client does not. */
static void
ports_are_remembered_apart(void **state)
{
	static struct bench b;
	const struct ask other = {EMPTY, 0, .accepted_ns = T0 + 20 * MS,
				  .port = PORT + 1};

	(void)state;
	bench_open(&b);
	see(&b, 5, T0 + 10 * MS);
	(void)decide(&b, &other);
	accept_at(&b, T0 + 30 * MS, EMPTY, 0, SYN_WITNESS_SIDECAR);
	bench_close(&b);
}

/* A later look must not take the SYN of the connection that came after. */
static void
later_look_gets_no_newer_syn(void **state)
{
	static struct bench b;
	struct ask old = {EMPTY, 0, .accepted_ns = T0, .looks_done = 5};

	(void)state;
	bench_open(&b);
	accept_at(&b, T0, EMPTY, 0, SYN_WITNESS_LATER);
	see(&b, 6, T0 + 50 * MS);
	old.now_ns = T0 + 60 * MS;
	assert_int_equal(decide(&b, &old).source, SYN_WITNESS_LATER);
	accept_at(&b, T0 + 70 * MS, EMPTY, 0, SYN_WITNESS_SIDECAR);
	/* Its addresses were accepted anew: the old one may stop looking. */
	old.now_ns = T0 + 100 * MS;
	assert_int_equal(decide(&b, &old).source, SYN_WITNESS_NONE);
	bench_close(&b);
}

/*
 * More connections than are remembered, then one of them again, with the
 * sidecar showing its old SYN: forgotten or not, it is not taken.
 */
static void
forgetting_is_safe(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b);
	accept_at(&b, T0 + 20 * MS, REAL, 5, SYN_WITNESS_KERNEL);
	(void)crowd(&b, T0 + 20 * MS);
	see(&b, 5, T0 + 10 * MS);
	accept_at(&b, T0 + 900 * MS, EMPTY, 0, SYN_WITNESS_LATER);
	bench_close(&b);
}

/* A newer SYN is taken all the same, for clients never seen before too. */
static void
forgetting_costs_only_old_syns(void **state)
{
	static struct bench b;
	uint64_t last_ns;

	(void)state;
	bench_open(&b);
	last_ns = crowd(&b, T0);
	see(&b, 5, last_ns + 1);
	accept_at(&b, last_ns + MS, EMPTY, 0, SYN_WITNESS_SIDECAR);
	bench_close(&b);
}

/*
 * The oldest are forgotten first: a SYN captured when half of those that are
 * remembered came after it is good for nearly every client. Were the newest
 * forgotten, it would be for nearly none.
 */
static void
oldest_is_forgotten(void **state)
{
	static struct bench b;
	struct ask ask = {.kernel = EMPTY};
	const uint64_t half_ns =
	    UINT64_C(1000) * SYN_WITNESS_BUCKETS * SYN_WITNESS_WAYS / 2;
	unsigned int taken = 0;

	(void)state;
	bench_open(&b);
	ask.accepted_ns = crowd(&b, T0);
	for (uint16_t port = 60000; port < 60200; port++) {
		ask.port = port;
		rig_put(&b.rig, &ordinary, port, ask.accepted_ns - half_ns);
		taken += decide(&b, &ask).source == SYN_WITNESS_SIDECAR;
	}
	assert_true(taken > 150);
	bench_close(&b);
}

/* A look of an accept that was forgotten meanwhile finds nothing. */
static void
forgotten_accept_gives_up(void **state)
{
	static struct bench b;
	struct ask late = {EMPTY, 0, .accepted_ns = T0, .looks_done = 8};

	(void)state;
	bench_open(&b);
	accept_at(&b, T0, EMPTY, 0, SYN_WITNESS_LATER);
	(void)crowd(&b, T0);
	see(&b, 5, T0 - MS);
	late.now_ns = T0 + S;
	assert_int_equal(decide(&b, &late).source, SYN_WITNESS_NONE);
	bench_close(&b);
}

/* A full accept queue, emptied in one go, costs nobody its SYN. */
static void
full_accept_queue_is_remembered(void **state)
{
	static struct bench b;
	struct ask ask = {.kernel = EMPTY};

	(void)state;
	bench_open(&b);
	for (uint16_t i = 0; i < 4096; i++) {
		ask.port = (uint16_t)(1 + i);
		/* All SYNs came before the first accept. */
		rig_put(&b.rig, &ordinary, ask.port, T0 + i);
		ask.accepted_ns = T0 + S + i;
		assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_SIDECAR);
	}
	bench_close(&b);
}

/* A process that was started anew knows nothing of its predecessor's. */
static void
syn_from_before_the_start_is_spent(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b);
	syn_witness_init(&b.memory, 42, T0 + 20 * MS);
	see(&b, 5, T0 + 20 * MS);
	accept_at(&b, T0 + 30 * MS, EMPTY, 0, SYN_WITNESS_LATER);
	see(&b, 6, T0 + 31 * MS);
	accept_at(&b, T0 + 40 * MS, EMPTY, 0, SYN_WITNESS_SIDECAR);
	bench_close(&b);
}

/* Spent while there was no sidecar, spent when it is there. */
static void
spent_without_a_sidecar(void **state)
{
	static struct bench b;
	const struct ask ask = {EMPTY, 0, .accepted_ns = T0 + 20 * MS,
				.has_no_sidecar = true};

	(void)state;
	bench_open(&b);
	assert_int_equal(decide(&b, &ask).source, SYN_WITNESS_NONE);
	see(&b, 5, T0 + 10 * MS);
	accept_at(&b, T0 + 500 * MS, EMPTY, 0, SYN_WITNESS_LATER);
	bench_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reused_port_never_gets_the_old_syn),
	    cmocka_unit_test(used_isn_is_spent),
	    cmocka_unit_test(syn_of_the_last_accept_is_spent),
	    cmocka_unit_test(ports_are_remembered_apart),
	    cmocka_unit_test(later_look_gets_no_newer_syn),
	    cmocka_unit_test(forgetting_is_safe),
	    cmocka_unit_test(forgetting_costs_only_old_syns),
	    cmocka_unit_test(oldest_is_forgotten),
	    cmocka_unit_test(forgotten_accept_gives_up),
	    cmocka_unit_test(full_accept_queue_is_remembered),
	    cmocka_unit_test(syn_from_before_the_start_is_spent),
	    cmocka_unit_test(spent_without_a_sidecar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
