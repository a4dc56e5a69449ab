/*
 * Two witnesses of one SYN: the sidecar's entry and the kernel's copy. Which
 * of them is believed at accept is decided here, and nowhere else.
 *
 *   sidecar's entry      kernel's copy        used
 *   there                same ISN             sidecar's, confirmed
 *   there                other ISN            kernel's, is_conflict
 *   there and unspent    empty or made up     sidecar's, if fresh
 *   missing or spent     real                 kernel's
 *   missing or spent     empty or made up     later, in the end none
 *
 * An entry serves one accept. A client may use its address and port again
 * within a second, with a new SYN; then the old one must never be taken for
 * it. So each worker remembers its accepts: a SYN captured before the last
 * accept of the same client and port, or with the ISN used for it, is spent.
 * That memory is bounded, and forgetting is safe: what is forgotten raises a
 * floor in time below which every SYN of that bucket is spent.
 */
#ifndef TARRY_SYN_WITNESS_H
#define TARRY_SYN_WITNESS_H

#include "tarry/syn_table.h"

/* A full accept queue (4096) that is emptied in one go must fit: to forget an
 * accept spends the SYNs of those behind it in the queue. */
#define SYN_WITNESS_BUCKETS 4096
#define SYN_WITNESS_WAYS 8

/* How old a SYN may be if nothing else vouches for it. */
#define SYN_WITNESS_FRESH_NS (3 * SYN_TABLE_SECOND_NS)
#define SYN_WITNESS_FRESH_RETRANSMITTED_NS (64 * SYN_TABLE_SECOND_NS)

/* Looks after the one at accept. */
#define SYN_WITNESS_LOOKS 8

enum syn_witness_source {
	SYN_WITNESS_NONE,	      /* unknown, for good */
	SYN_WITNESS_LATER,	      /* unknown: look again */
	SYN_WITNESS_KERNEL,	      /* the kernel's bytes */
	SYN_WITNESS_SIDECAR,	      /* the sidecar's bytes, not confirmed */
	SYN_WITNESS_SIDECAR_CONFIRMED /* the kernel's ISN is the same */
};

/* The last accept of one client's address and port. */
struct syn_witness_accept {
	uint64_t hash;	      /* of these; 0: free */
	uint64_t accepted_ns; /* which accept; 0: none yet */
	uint64_t floor_ns;    /* SYNs captured up to then are spent */
	uint32_t isn;	      /* of the SYN used last */
	bool has_isn;
};

struct syn_witness_bucket {
	uint64_t floor_ns; /* for accepts that are not remembered */
	struct syn_witness_accept accepts[SYN_WITNESS_WAYS];
};

/* One worker's memory, 1056 KiB; belongs to the caller, used by one thread. */
struct syn_witness {
	uint64_t seed;
	struct syn_witness_bucket buckets[SYN_WITNESS_BUCKETS];
};

/*
 * One look. All is borrowed for the call. If the sidecar does not watch the
 * port of `local`, the listener is reached by redirection, and no destination
 * is compared; NULL says so outright. The kernel's copy can be read once:
 * at later looks it is empty. accepted_ns is read after accept() returned
 * (CLOCK_MONOTONIC; not the loop's cached time, which may lie before the SYN)
 * and is the same at every look of one connection.
 */
struct syn_witness_case {
	const struct syn_reader *reader; /* without a table: no sidecar */
	const struct addr *client;
	const struct addr
	    *local;	       /* where the client went, as the socket says */
	const uint8_t *kernel; /* TCP_SAVED_SYN, from the IP header on */
	size_t kernel_len;     /* 0: empty */
	uint64_t accepted_ns;
	uint64_t now_ns;	 /* accepted_ns at the first look */
	unsigned int looks_done; /* 0 at accept, then 1 .. LOOKS */
};

struct syn_witness_result {
	enum syn_witness_source source;
	uint32_t look_again_ms; /* LATER: so long after accept */
	uint32_t first_gap_ms;	/* first SYN to its first copy; 0: none */
	uint8_t retransmits;	/* sidecar's; 0 from the kernel */
	bool is_conflict;	/* the entry is another connection's SYN */
	bool is_made_up;	/* the kernel's copy came from a SYNPROXY */
	bool is_stale;		/* an entry was there, too old to be believed */
	uint8_t raw_len;	/* 0 if source is NONE or LATER */
	uint8_t raw[SYN_RAW_CAP];
	struct syn syn; /* raw, parsed; valid if raw_len > 0 */
};

/*
 * Empties the memory; `seed` is random. SYNs captured up to now_ns are spent:
 * they may have served another process, of which this one knows nothing.
 */
void syn_witness_init(struct syn_witness *memory, uint64_t seed,
		      uint64_t now_ns);

/*
 * Looks once, decides, and remembers. The first look of each accepted
 * connection must be made, even if nothing is to be learnt from it: it says
 * that older SYNs of that client and port are spent. With source LATER call
 * again when look_again_ms after accept have passed, with looks_done one
 * higher; no need to if the session ends or is let go before that. The last
 * look never says LATER. Never blocks or allocates.
 */
void syn_witness_decide(struct syn_witness *memory,
			const struct syn_witness_case *look,
			struct syn_witness_result *out);

/* The source's name, as "sidecar_confirmed". Static. */
const char *syn_witness_source_name(enum syn_witness_source source);

#endif
