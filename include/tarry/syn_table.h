/*
 * The SYN table: memory that tarry-sidecar writes and tarryd reads.
 *
 * One writer, any number of readers in other processes that map it read-only.
 * An entry belongs to one client address and port; it holds the raw header
 * bytes of the SYN, unjudged. Sets of eight entries by a keyed hash, the oldest
 * is overwritten, nothing ever grows: a flood costs the writer time and the
 * readers nothing.
 *
 * Times are CLOCK_MONOTONIC in nanoseconds, the same clock on both sides.
 * Numbers are in the byte order of the machine.
 */
#ifndef TARRY_SYN_TABLE_H
#define TARRY_SYN_TABLE_H

#include <stdatomic.h>

#include "tarry/syn.h"

#define SYN_TABLE_MAGIC "TARRYSYN"
#define SYN_TABLE_VERSION 2
#define SYN_TABLE_WAYS 8
#define SYN_TABLE_ENTRIES_DEFAULT 65536
#define SYN_TABLE_ENTRIES_MAX 16777216
#define SYN_TABLE_PORTS_CAP 16
#define SYN_TABLE_WORDS 24

#define SYN_TABLE_SECOND_NS UINT64_C(1000000000)
/* Every so often the writer says that it lives; older than this: stopped. */
#define SYN_TABLE_HEARTBEAT_MS 250
#define SYN_TABLE_STOPPED_NS (2 * SYN_TABLE_SECOND_NS)
/* A copy so soon is the same packet seen on a second interface (a bridge and
 * its port): no stack sends its SYN again within this time. */
#define SYN_TABLE_ECHO_NS (SYN_TABLE_SECOND_NS / 50)
/* The same ISN later than this after the first copy is another connection
 * (Linux sends its last SYN after 63 s: tcp_syn_retries 6). */
#define SYN_TABLE_RETRANSMIT_NS (64 * SYN_TABLE_SECOND_NS)

/* An entry as it lies in the table: word 0 is the sequence, odd while the
 * others are being written; they are a struct syn_entry. */
struct syn_table_entry {
	_Atomic uint64_t words[SYN_TABLE_WORDS];
};

/* Of a set, a tag an entry: the fields are the table's. One line of the cache,
 * and all that most looks read. */
struct syn_table_tags {
	_Atomic uint64_t tags[SYN_TABLE_WAYS];
};

/* What the writer counts. Each is right by itself, all only grow. */
enum syn_table_counter {
	SYN_TABLE_RECEIVED,	 /* packets that reached the writer */
	SYN_TABLE_DROPPED,	 /* by the kernel: its ring was full */
	SYN_TABLE_INSERTED,	 /* new entries, those in place included */
	SYN_TABLE_RETRANSMITTED, /* copies of a SYN that was there */
	SYN_TABLE_ECHOED,	 /* see SYN_TABLE_ECHO_NS */
	SYN_TABLE_MALFORMED,	 /* no SYN that can be parsed */
	SYN_TABLE_FOREIGN,	 /* another port, or not for this host */
	SYN_TABLE_CROWDED,	 /* overwritten while younger than 3 s */
	SYN_TABLE_COUNTERS
};

/* The head of the mapping. SYN_TABLE_HEAD_BYTES in stand the tags of all sets,
 * then the entries of all sets. */
struct syn_table {
	char magic[8];
	uint32_t version;
	uint32_t entry_bytes;
	uint32_t sets_count;
	uint32_t writer_pid;
	uint64_t seed; /* of the hash; random for each table */
	uint64_t started_ns;
	uint16_t ports[SYN_TABLE_PORTS_CAP]; /* watched; 0: no more */
	_Atomic uint64_t heartbeat_ns;
	_Atomic uint64_t counters[SYN_TABLE_COUNTERS];
};

#define SYN_TABLE_HEAD_BYTES 4096

/* One SYN, as a value. */
struct syn_entry {
	uint64_t captured_ns; /* the first copy; never 0 */
	uint64_t newest_ns;   /* the newest copy */
	uint32_t isn;
	uint32_t first_gap_ms; /* first copy to second; 0: only one */
	uint8_t client_ip[16]; /* as in struct addr */
	uint16_t client_port;
	uint16_t local_port;
	uint8_t family;		  /* of the client; 4 or 6 */
	uint8_t raw_len;	  /* 1..SYN_RAW_CAP */
	uint8_t retransmits;	  /* copies but the first; stays at 255 */
	uint8_t reserved[9];	  /* 0 */
	uint8_t raw[SYN_RAW_CAP]; /* from the IP header on */
};

/* What syn_table_put() did. */
enum syn_put {
	SYN_PUT_INSERTED,
	SYN_PUT_RETRANSMITTED,
	SYN_PUT_ECHOED,
	SYN_PUT_TOO_LONG /* more than SYN_RAW_CAP bytes: not stored */
};

/* Entries rounded up to whole sets, at least one set. */
uint32_t syn_table_sets(uint32_t entries_count);

/* Bytes to map for a table of so many sets. */
size_t syn_table_bytes(uint32_t sets_count);

/*
 * Makes a table of zeroed memory of syn_table_bytes(sets_count) bytes, aligned
 * to a page. The magic is written last.
 */
void syn_table_init(struct syn_table *table, uint32_t sets_count, uint64_t seed,
		    uint64_t now_ns);

/*
 * Stores one SYN that syn_parse() took from raw[0..raw_len), the writer alone.
 * The same client, ports and ISN: counted, the first header kept. Another ISN:
 * overwritten in place. Else the oldest entry of the set makes room.
 * captured_ns is the time on the wire, never 0. Counts INSERTED,
 * RETRANSMITTED, ECHOED, CROWDED and MALFORMED (too long).
 */
enum syn_put syn_table_put(struct syn_table *table, const struct syn *syn,
			   const uint8_t *raw, size_t raw_len,
			   uint64_t captured_ns);

/* Adds n to a counter; the writer alone. */
void syn_table_count(struct syn_table *table, enum syn_table_counter which,
		     uint64_t n);

/* Sets a counter that is counted elsewhere; the writer alone. */
void syn_table_set(struct syn_table *table, enum syn_table_counter which,
		   uint64_t value);

uint64_t syn_table_counter(const struct syn_table *table,
			   enum syn_table_counter which);

/* The writer lives at now_ns. */
void syn_table_beat(struct syn_table *table, uint64_t now_ns);

/* True if the writer has not beaten for SYN_TABLE_STOPPED_NS. */
bool syn_table_is_stopped(const struct syn_table *table, uint64_t now_ns);

/*
 * A reader's own copy of where everything is, so that nothing a writer does
 * later moves a reader out of the mapping. A value of 40 bytes.
 */
struct syn_reader {
	const struct syn_table *table; /* NULL: no table */
	const struct syn_table_tags *tags;
	const struct syn_table_entry *entries;
	uint64_t seed;
	uint32_t sets_count;
};

/*
 * A reader of memory[0..bytes), which must lie there as long as it is used.
 * It may have been written by anyone: the head is copied, then the copy is
 * judged. Returns NULL, or a static sentence that says what is wrong; *reader
 * is then a reader without a table.
 */
const char *syn_reader_open(struct syn_reader *reader, const void *memory,
			    size_t bytes);

/*
 * Copies the entry of a client into *out. `local` is the address that the
 * client went to, and must be the entry's; NULL compares none (a listener
 * reached by redirection), then the newest of the client's entries counts.
 * Returns false if there is none, or if it was being written at each of a few
 * looks. Bytes that are not what they should be are no entry. No system call,
 * no lock; reads the tags of a set and the
 * entries that they name (1.6 KiB at most).
 */
bool syn_reader_find(const struct syn_reader *reader, const struct addr *client,
		     const struct addr *local, struct syn_entry *out);

/*
 * True if SYNs to this port are captured. A listener on another port is
 * reached by redirection: the table knows the port before it.
 */
bool syn_reader_watches(const struct syn_reader *reader, uint16_t port);

/*
 * Copies entry `index` (0 .. 8 * sets_count - 1) as it stands. Returns false if
 * it is empty or being written. For tools.
 */
bool syn_reader_at(const struct syn_reader *reader, uint64_t index,
		   struct syn_entry *out);

#endif
