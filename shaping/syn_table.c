/*
 * The SYN table: put and find over memory that two processes share.
 *
 * Invariant: what a reader returns was written by one put, whole. Each entry
 * is a sequence lock: the writer makes the sequence odd, stores the words,
 * makes it even again; a reader that finds it odd or changed looks again. The
 * words are stored with release and loaded with acquire order. That orders
 * them against the sequence without fences, which the thread sanitizer does
 * not know; on x86 it costs nothing.
 *
 * Rejected: a ring or a socket between the two. A flood would then have to be
 * read by the proxy; so it ends in the writer, and a look costs one set.
 */
#include "tarry/syn_table.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

/* A load must not be a compare-and-swap: readers cannot write. */
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit loads must be plain");
static_assert(sizeof(struct syn_table_entry) == 192, "entry");
static_assert(sizeof(struct syn_entry) ==
		  sizeof(uint64_t) * (SYN_TABLE_WORDS - 1),
	      "an entry is all words but the sequence");
static_assert(sizeof(struct syn_table) <= SYN_TABLE_HEAD_BYTES, "head");
static_assert(SYN_RAW_CAP <= UINT8_MAX, "raw_len is one byte");

/*
 * A tag has 24 bits of the hash and when its entry's newest copy came, in
 * steps of a millisecond that is 2^20 ns, from 1 on: 0 is no entry.
 */
#define TAG_TIME_BITS 40
#define TAG_TIME_MASK ((UINT64_C(1) << TAG_TIME_BITS) - 1)
#define TAG_STEP_BITS 20

#define FRESH_STEPS ((3 * SYN_TABLE_SECOND_NS) >> TAG_STEP_BITS)
#define IPV4_HLEN 20
#define IPV6_HLEN 40
/* A reader that is overtaken so often gives up; it will look again anyway. */
#define READ_TRIES 8

static struct syn_table_tags *
first_tags(struct syn_table *table)
{
	/* Aligned: the table lies on a page, the head is one. */
	return (struct syn_table_tags *)(void *)((char *)table +
						 SYN_TABLE_HEAD_BYTES);
}

static struct syn_table_entry *
first_entry(struct syn_table *table)
{
	return (struct syn_table_entry *)(void *)(first_tags(table) +
						  table->sets_count);
}

static uint64_t
hash_of(const uint8_t ip[16], uint16_t port, uint64_t seed)
{
	uint8_t key[18];

	memcpy(key, ip, 16);
	memcpy(key + 16, &port, sizeof(port));
	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}

static size_t
set_of(uint64_t hash, uint32_t sets_count)
{
	return (size_t)((hash >> 32) * sets_count >> 32);
}

static uint64_t
step_of(uint64_t ns)
{
	return ((ns >> TAG_STEP_BITS) + 1) & TAG_TIME_MASK;
}

static uint64_t
tag_of(uint64_t hash, uint64_t newest_ns)
{
	return hash << TAG_TIME_BITS | step_of(newest_ns);
}

/* True if the tag may be of an entry with this hash. */
static bool
fits(uint64_t tag, uint64_t hash)
{
	return tag != 0 && (tag ^ hash << TAG_TIME_BITS) <= TAG_TIME_MASK;
}

/* The bytes of the destination in a stored IP header. */
static bool
goes_to(const struct syn_entry *e, const struct addr *local)
{
	if (e->local_port != local->port)
		return false;
	if (e->family == 4)
		return memcmp(e->raw + 16, local->ip + 12, 4) == 0;
	return memcmp(e->raw + 24, local->ip, 16) == 0;
}

/* True if the fields say what the raw bytes say. */
static bool
is_sound(const struct syn_entry *e)
{
	if (e->captured_ns == 0 || e->newest_ns < e->captured_ns ||
	    e->raw_len > SYN_RAW_CAP || e->raw[0] >> 4 != e->family)
		return false;
	if (e->family == 4)
		return e->raw_len >= IPV4_HLEN &&
		       memcmp(e->raw + 12, e->client_ip + 12, 4) == 0;
	return e->family == 6 && e->raw_len >= IPV6_HLEN &&
	       memcmp(e->raw + 8, e->client_ip, 16) == 0;
}

/* Copies an entry out. False: empty, or written at each of our tries. */
static bool
read_entry(const struct syn_table_entry *at, struct syn_entry *out)
{
	uint64_t words[SYN_TABLE_WORDS];

	for (int tries = 0; tries < READ_TRIES; tries++) {
		words[0] =
		    atomic_load_explicit(&at->words[0], memory_order_acquire);
		if (words[0] == 0)
			return false;
		if (words[0] % 2 != 0)
			continue;
		for (size_t i = 1; i < SYN_TABLE_WORDS; i++)
			words[i] = atomic_load_explicit(&at->words[i],
							memory_order_acquire);
		if (atomic_load_explicit(&at->words[0], memory_order_relaxed) !=
		    words[0])
			continue;
		memcpy(out, words + 1, sizeof(*out));
		return true;
	}
	return false;
}

/* Stores an entry; the writer alone. */
static void
write_entry(struct syn_table_entry *at, const struct syn_entry *e)
{
	uint64_t words[SYN_TABLE_WORDS];
	uint64_t sequence =
	    atomic_load_explicit(&at->words[0], memory_order_relaxed);

	memcpy(words + 1, e, sizeof(*e));
	atomic_store_explicit(&at->words[0], sequence + 1,
			      memory_order_relaxed);
	for (size_t i = 1; i < SYN_TABLE_WORDS; i++)
		atomic_store_explicit(&at->words[i], words[i],
				      memory_order_release);
	atomic_store_explicit(&at->words[0], sequence + 2,
			      memory_order_release);
}

uint32_t
syn_table_sets(uint32_t entries_count)
{
	uint32_t sets_count = entries_count / SYN_TABLE_WAYS;

	return sets_count +
	       (entries_count % SYN_TABLE_WAYS != 0 || entries_count == 0);
}

size_t
syn_table_bytes(uint32_t sets_count)
{
	return SYN_TABLE_HEAD_BYTES +
	       (size_t)sets_count *
		   (sizeof(struct syn_table_tags) +
		    SYN_TABLE_WAYS * sizeof(struct syn_table_entry));
}

void
syn_table_init(struct syn_table *table, uint32_t sets_count, uint64_t seed,
	       uint64_t now_ns)
{
	table->version = SYN_TABLE_VERSION;
	table->entry_bytes = sizeof(struct syn_table_entry);
	table->sets_count = sets_count;
	table->seed = seed;
	table->started_ns = now_ns;
	syn_table_beat(table, now_ns);
	memcpy(table->magic, SYN_TABLE_MAGIC, sizeof(table->magic));
}

static void
count(struct syn_table *table, enum syn_table_counter which)
{
	syn_table_count(table, which, 1);
}

/* Where an entry is, or is to be: its two halves. */
struct spot {
	_Atomic uint64_t *tag;
	struct syn_table_entry *entry;
};

/* The entry first: whoever finds the tag finds what it is of. */
static void
write_spot(const struct spot *at, const struct syn_entry *e, uint64_t hash)
{
	write_entry(at->entry, e);
	atomic_store_explicit(at->tag, tag_of(hash, e->newest_ns),
			      memory_order_release);
}

/* A copy of a SYN that is there: the first header stays. */
static enum syn_put
put_again(struct syn_table *table, const struct spot *at, struct syn_entry *e,
	  uint64_t captured_ns, uint64_t hash)
{
	uint64_t gap_ms;

	if (captured_ns < e->newest_ns + SYN_TABLE_ECHO_NS) {
		count(table, SYN_TABLE_ECHOED);
		return SYN_PUT_ECHOED;
	}
	gap_ms = (captured_ns - e->captured_ns) / (SYN_TABLE_SECOND_NS / 1000);
	if (e->retransmits == 0)
		e->first_gap_ms = (uint32_t)gap_ms; /* below 64,000 */
	if (e->retransmits < UINT8_MAX)
		e->retransmits++;
	e->newest_ns = captured_ns;
	write_spot(at, e, hash);
	count(table, SYN_TABLE_RETRANSMITTED);
	return SYN_PUT_RETRANSMITTED;
}

static void
make_entry(struct syn_entry *e, const struct syn *syn, const uint8_t *raw,
	   size_t raw_len, uint64_t captured_ns)
{
	memset(e, 0, sizeof(*e));
	e->captured_ns = captured_ns;
	e->newest_ns = captured_ns;
	e->isn = syn->isn;
	memcpy(e->client_ip, syn->src.ip, sizeof(e->client_ip));
	e->client_port = syn->src.port;
	e->local_port = syn->dst.port;
	e->family = syn->version;
	e->raw_len = (uint8_t)raw_len; /* SYN_RAW_CAP at most */
	memcpy(e->raw, raw, raw_len);
}

/*
 * The place for a SYN in its set: the entry of the same connection, which is
 * copied to *e; else an empty or the oldest one, and e->captured_ns is 0.
 */
static struct spot
find_place(struct syn_table *table, const struct syn *syn, uint64_t hash,
	   struct syn_entry *e)
{
	const size_t set = set_of(hash, table->sets_count);
	struct syn_table_tags *tags = first_tags(table) + set;
	struct syn_table_entry *entries =
	    first_entry(table) + set * SYN_TABLE_WAYS;
	uint64_t oldest = UINT64_MAX;
	size_t at = 0;

	for (size_t i = 0; i < SYN_TABLE_WAYS; i++) {
		const uint64_t tag =
		    atomic_load_explicit(&tags->tags[i], memory_order_relaxed);

		if (fits(tag, hash) && read_entry(&entries[i], e) &&
		    e->client_port == syn->src.port &&
		    memcmp(e->client_ip, syn->src.ip, 16) == 0 &&
		    goes_to(e, &syn->dst))
			return (struct spot){&tags->tags[i], &entries[i]};
		if ((tag & TAG_TIME_MASK) < oldest) {
			oldest = tag & TAG_TIME_MASK;
			at = i;
		}
	}
	e->captured_ns = 0;
	return (struct spot){&tags->tags[at], &entries[at]};
}

/* True if an entry is about to go that somebody may still ask for. */
static bool
is_crowded(const struct spot *at, uint64_t captured_ns)
{
	const uint64_t tag =
	    atomic_load_explicit(at->tag, memory_order_relaxed);

	return tag != 0 &&
	       step_of(captured_ns) < (tag & TAG_TIME_MASK) + FRESH_STEPS;
}

enum syn_put
syn_table_put(struct syn_table *table, const struct syn *syn,
	      const uint8_t *raw, size_t raw_len, uint64_t captured_ns)
{
	const uint64_t hash = hash_of(syn->src.ip, syn->src.port, table->seed);
	struct syn_entry e = {0};
	struct spot at;

	if (raw_len == 0 || raw_len > SYN_RAW_CAP) {
		count(table, SYN_TABLE_MALFORMED);
		return SYN_PUT_TOO_LONG;
	}
	at = find_place(table, syn, hash, &e);
	if (e.captured_ns != 0 && e.isn == syn->isn &&
	    captured_ns < e.captured_ns + SYN_TABLE_RETRANSMIT_NS)
		return put_again(table, &at, &e, captured_ns, hash);
	if (e.captured_ns == 0 && is_crowded(&at, captured_ns))
		count(table, SYN_TABLE_CROWDED);
	make_entry(&e, syn, raw, raw_len, captured_ns);
	write_spot(&at, &e, hash);
	count(table, SYN_TABLE_INSERTED);
	return SYN_PUT_INSERTED;
}

void
syn_table_count(struct syn_table *table, enum syn_table_counter which,
		uint64_t n)
{
	syn_table_set(table, which, syn_table_counter(table, which) + n);
}

void
syn_table_set(struct syn_table *table, enum syn_table_counter which,
	      uint64_t value)
{
	atomic_store_explicit(&table->counters[which], value,
			      memory_order_relaxed);
}

uint64_t
syn_table_counter(const struct syn_table *table, enum syn_table_counter which)
{
	return atomic_load_explicit(&table->counters[which],
				    memory_order_relaxed);
}

void
syn_table_beat(struct syn_table *table, uint64_t now_ns)
{
	atomic_store_explicit(&table->heartbeat_ns, now_ns,
			      memory_order_relaxed);
}

bool
syn_table_is_stopped(const struct syn_table *table, uint64_t now_ns)
{
	uint64_t beat_ns =
	    atomic_load_explicit(&table->heartbeat_ns, memory_order_relaxed);

	return now_ns > beat_ns && now_ns - beat_ns > SYN_TABLE_STOPPED_NS;
}

/* What is wrong with the fixed part of a head, or NULL. */
static const char *
head_fault(const struct syn_table *head, size_t bytes)
{
	if (memcmp(head->magic, SYN_TABLE_MAGIC, sizeof(head->magic)) != 0)
		return "it is not a SYN table";
	if (head->version != SYN_TABLE_VERSION)
		return "it is of another version: use tarryd and "
		       "tarry-sidecar of one release";
	if (head->entry_bytes != sizeof(struct syn_table_entry))
		return "its entries have another size";
	if (head->sets_count == 0 ||
	    head->sets_count > SYN_TABLE_ENTRIES_MAX / SYN_TABLE_WAYS)
		return "its number of entries is impossible";
	if (bytes != syn_table_bytes(head->sets_count))
		return "its size does not fit its number of entries";
	return NULL;
}

const char *
syn_reader_open(struct syn_reader *reader, const void *memory, size_t bytes)
{
	struct syn_table head = {0};
	const char *fault;

	memset(reader, 0, sizeof(*reader));
	if (bytes < SYN_TABLE_HEAD_BYTES)
		return "it is shorter than a head";
	/* The fixed part alone, once: the writer may be hostile. */
	memcpy(&head, memory, offsetof(struct syn_table, heartbeat_ns));
	fault = head_fault(&head, bytes);
	if (fault != NULL)
		return fault;
	reader->table = memory;
	reader->tags =
	    (const void *)((const char *)memory + SYN_TABLE_HEAD_BYTES);
	reader->entries = (const void *)(reader->tags + head.sets_count);
	reader->seed = head.seed;
	reader->sets_count = head.sets_count;
	return NULL;
}

bool
syn_reader_watches(const struct syn_reader *reader, uint16_t port)
{
	if (reader->table == NULL)
		return false;
	for (size_t i = 0; i < SYN_TABLE_PORTS_CAP; i++) {
		if (reader->table->ports[i] == port)
			return true;
	}
	return false;
}

bool
syn_reader_find(const struct syn_reader *reader, const struct addr *client,
		const struct addr *local, struct syn_entry *out)
{
	uint64_t hash;
	size_t set;
	struct syn_entry e;
	bool is_found = false;

	if (reader->table == NULL)
		return false;
	hash = hash_of(client->ip, client->port, reader->seed);
	set = set_of(hash, reader->sets_count);
	for (size_t i = 0; i < SYN_TABLE_WAYS; i++) {
		const uint64_t tag = atomic_load_explicit(
		    &reader->tags[set].tags[i], memory_order_acquire);

		if (!fits(tag, hash) ||
		    !read_entry(&reader->entries[set * SYN_TABLE_WAYS + i],
				&e) ||
		    !is_sound(&e) || e.client_port != client->port ||
		    memcmp(e.client_ip, client->ip, 16) != 0)
			continue;
		if (local != NULL && !goes_to(&e, local))
			continue;
		if (!is_found || e.captured_ns > out->captured_ns)
			*out = e;
		is_found = true;
	}
	return is_found;
}

bool
syn_reader_at(const struct syn_reader *reader, uint64_t index,
	      struct syn_entry *out)
{
	return reader->table != NULL &&
	       index < (uint64_t)reader->sets_count * SYN_TABLE_WAYS &&
	       read_entry(&reader->entries[index], out) && is_sound(out);
}
