/*
 * Two witnesses to be asked: a sidecar that sees SYNs when it is told to, a
 * kernel that keeps copies or not, and one worker's memory.
 */
#ifndef TESTS_UNIT_SYN_WITNESS_RIG_H
#define TESTS_UNIT_SYN_WITNESS_RIG_H

#include "syn_table_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tarry/syn_witness.h"

#define PORT 40001
/* When the rows' connection is accepted. */
#define ACCEPT (T0 + 500 * S)

/* What the kernel hands out. */
enum kernel_copy { EMPTY, REAL, MADE_UP, BROKEN, TOO_LONG };

__attribute__((unused)) static const struct packet ordinary = {
    "ordinary", 64, DF, 7, 1024, LINUX("07"), .isn = 100};
__attribute__((unused)) static const struct packet made_up = {
    "made up", 64, DF, 0, 1024, MSS_1460, .isn = 100, .ack = 1};

struct bench {
	struct rig rig;
	struct syn_witness memory;
	struct syn_reader none;
};

static inline void
bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	rig_open(&b->rig, 64);
	syn_witness_init(&b->memory, 42, 0);
}

static inline void
bench_close(struct bench *b)
{
	rig_close(&b->rig);
}

/* The sidecar sees a SYN with that ISN. */
static inline void
see(struct bench *b, uint32_t isn, uint64_t at_ns)
{
	struct packet p = ordinary;

	p.isn = isn;
	p.isn_is_zero = isn == 0;
	rig_put(&b->rig, &p, PORT, at_ns);
}

static inline size_t
kernel_bytes(enum kernel_copy kind, uint32_t isn, uint8_t raw[PACKET_CAP])
{
	struct packet p = kind == MADE_UP ? made_up : ordinary;
	struct syn syn;
	size_t len;

	if (kind == EMPTY)
		return 0;
	p.isn = isn;
	len = rig_syn(&p, PORT, raw, &syn);
	if (kind == BROKEN)
		return len - 1;
	return kind == TOO_LONG ? SYN_RAW_CAP + 1 : len;
}

struct ask {
	enum kernel_copy kernel;
	uint32_t isn; /* the kernel's */
	uint64_t accepted_ns;
	uint64_t now_ns; /* 0: accepted_ns */
	unsigned int looks_done;
	uint16_t port;	     /* 0: PORT */
	uint16_t local_port; /* 0: 25 */
	uint8_t host;	     /* 0: the rig's own */
	bool has_no_sidecar;
	bool has_no_local;
};

static inline struct syn_witness_result
decide(struct bench *b, const struct ask *ask)
{
	uint8_t raw[PACKET_CAP];
	struct addr client = rig_client(ask->port ? ask->port : PORT);
	const struct addr local =
	    rig_local(ask->local_port ? ask->local_port : 25);
	const struct syn_witness_case look = {
	    .reader = ask->has_no_sidecar ? &b->none : &b->rig.reader,
	    .client = &client,
	    .local = ask->has_no_local ? NULL : &local,
	    .kernel = raw,
	    .kernel_len = kernel_bytes(ask->kernel, ask->isn, raw),
	    .accepted_ns = ask->accepted_ns,
	    .now_ns = ask->now_ns ? ask->now_ns : ask->accepted_ns,
	    .looks_done = ask->looks_done,
	};
	struct syn_witness_result result;

	if (ask->host != 0)
		client.ip[15] = ask->host;
	syn_table_beat(b->rig.table, look.now_ns);
	syn_witness_decide(&b->memory, &look, &result);
	return result;
}

/* An accept at a time, with the kernel's copy; the source must be that. */
static inline void
accept_at(struct bench *b, uint64_t at_ns, enum kernel_copy kernel,
	  uint32_t isn, enum syn_witness_source want)
{
	const struct ask ask = {kernel, isn, .accepted_ns = at_ns};
	const struct syn_witness_result r = decide(b, &ask);

	if (r.source != want)
		fail_msg("at %llu ms: %s, want %s",
			 (unsigned long long)(at_ns - T0) / MS,
			 syn_witness_source_name(r.source),
			 syn_witness_source_name(want));
}

/*
 * Accepts of other hosts, one each us from at_ns on: four times as many as
 * are remembered. Returns when the last one was.
 */
static inline uint64_t
crowd(struct bench *b, uint64_t at_ns)
{
	const uint32_t count = 4 * SYN_WITNESS_BUCKETS * SYN_WITNESS_WAYS;
	struct ask other = {REAL, 1, .accepted_ns = at_ns};

	for (uint32_t i = 0; i < count; i++) {
		other.host = (uint8_t)(2 + i / 50000);
		other.port = (uint16_t)(1 + i % 50000);
		other.accepted_ns += 1000;
		(void)decide(b, &other);
	}
	return other.accepted_ns;
}

#endif
