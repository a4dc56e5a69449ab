/*
 * Two witnesses of one SYN: which is believed.
 *
 * Invariant: the bytes returned are those of the connection that was accepted,
 * or none. The kernel's copy is bound to its socket. The sidecar's entry is
 * bound to addresses and ports alone, so it must be confirmed by the kernel's
 * ISN, or be younger than every earlier accept of the same addresses and
 * ports, not younger than this accept, and fresh.
 *
 * Rejected: to mark entries as used in the table. Readers would have to write
 * there, and a broken proxy could spoil what the others read.
 */
#include "tarry/syn_witness.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

static_assert(sizeof(struct syn_witness) <= 1100 * 1024, "a worker's memory");

/* When to look, in ms after accept. The SYN is captured before the accept, so
 * what is not there after a second was lost. */
static const uint16_t look_ms[SYN_WITNESS_LOOKS] = {1,	 5,   20,  50,
						    100, 250, 500, 1000};

/* What both witnesses say. */
struct testimony {
	bool has_kernel; /* a real copy */
	bool has_entry;	 /* an entry that parses */
	struct syn kernel;
	struct syn sidecar;
	struct syn_entry entry;
};

/* The destination is left out: whether it is known changes with the sidecar,
 * and what is spent must stay so. */
static uint64_t
hash_of(uint64_t seed, const struct addr *client)
{
	uint8_t key[18];
	uint64_t hash;

	memcpy(key, client->ip, 16);
	memcpy(key + 16, &client->port, 2);
	hash = XXH3_64bits_withSeed(key, sizeof(key), seed);
	return hash != 0 ? hash : 1;
}

static struct syn_witness_accept *
find_accept(struct syn_witness_bucket *bucket, uint64_t hash)
{
	for (size_t i = 0; i < SYN_WITNESS_WAYS; i++) {
		if (bucket->accepts[i].hash == hash)
			return &bucket->accepts[i];
	}
	return NULL;
}

/* Makes room: forgets the oldest accept, and raises the floor to it. */
static struct syn_witness_accept *
forget_oldest(struct syn_witness_bucket *bucket)
{
	struct syn_witness_accept *oldest = &bucket->accepts[0];

	for (size_t i = 1; i < SYN_WITNESS_WAYS; i++) {
		if (bucket->accepts[i].accepted_ns < oldest->accepted_ns)
			oldest = &bucket->accepts[i];
	}
	if (oldest->accepted_ns > bucket->floor_ns)
		bucket->floor_ns = oldest->accepted_ns;
	memset(oldest, 0, sizeof(*oldest));
	oldest->floor_ns = bucket->floor_ns;
	return oldest;
}

/*
 * The memory of this accept. NULL at a later look if it was forgotten, or if
 * the same addresses and ports were accepted again since: what comes now is
 * not ours.
 */
static struct syn_witness_accept *
recall(struct syn_witness *memory, const struct syn_witness_case *look)
{
	uint64_t hash = hash_of(memory->seed, look->client);
	struct syn_witness_bucket *bucket =
	    &memory->buckets[hash % SYN_WITNESS_BUCKETS];
	struct syn_witness_accept *accept = find_accept(bucket, hash);

	if (look->looks_done > 0)
		return accept != NULL &&
			       accept->accepted_ns == look->accepted_ns
			   ? accept
			   : NULL;
	if (accept != NULL) {
		accept->floor_ns = accept->accepted_ns;
	} else {
		accept = forget_oldest(bucket);
		accept->hash = hash;
	}
	accept->accepted_ns = look->accepted_ns;
	return accept;
}

/* Where the entry must have gone; NULL if the table cannot know. */
static const struct addr *
destination(const struct syn_witness_case *look)
{
	return look->local != NULL &&
		       syn_reader_watches(look->reader, look->local->port)
		   ? look->local
		   : NULL;
}

static void
hear(struct testimony *t, const struct syn_witness_case *look,
     struct syn_witness_result *out)
{
	t->has_kernel =
	    look->kernel_len > 0 && look->kernel_len <= SYN_RAW_CAP &&
	    syn_parse(&t->kernel, look->kernel, look->kernel_len) > 0;
	if (t->has_kernel && syn_is_made_up(&t->kernel)) {
		out->is_made_up = true;
		t->has_kernel = false;
	}
	t->has_entry =
	    syn_reader_find(look->reader, look->client, destination(look),
			    &t->entry) &&
	    syn_parse(&t->sidecar, t->entry.raw, t->entry.raw_len) > 0 &&
	    t->sidecar.isn == t->entry.isn;
}

static bool
is_spent(const struct syn_entry *e, const struct syn_witness_accept *accept)
{
	return e->captured_ns <= accept->floor_ns ||
	       (accept->has_isn && accept->isn == e->isn);
}

/* True if an entry that nobody confirms may be believed. */
static bool
is_fresh(const struct syn_entry *e, const struct syn_witness_case *look)
{
	uint64_t limit_ns = e->retransmits > 0
				? SYN_WITNESS_FRESH_RETRANSMITTED_NS
				: SYN_WITNESS_FRESH_NS;

	/* A SYN comes before its accept; a later one is another's. */
	return e->captured_ns <= look->accepted_ns &&
	       (e->newest_ns >= look->now_ns ||
		look->now_ns - e->newest_ns < limit_ns);
}

/* The decision table of syn_witness.h, but for `later`. */
static enum syn_witness_source
judge(const struct testimony *t, const struct syn_witness_accept *accept,
      const struct syn_witness_case *look, struct syn_witness_result *out)
{
	bool is_usable = t->has_entry && !is_spent(&t->entry, accept);

	if (t->has_kernel && is_usable && t->entry.isn == t->kernel.isn)
		return SYN_WITNESS_SIDECAR_CONFIRMED;
	if (t->has_kernel) {
		out->is_conflict =
		    t->has_entry && t->entry.isn != t->kernel.isn;
		return SYN_WITNESS_KERNEL;
	}
	if (!is_usable)
		return SYN_WITNESS_NONE;
	if (is_fresh(&t->entry, look))
		return SYN_WITNESS_SIDECAR;
	out->is_stale = true;
	return SYN_WITNESS_NONE;
}

static void
take_kernel(struct syn_witness_result *out, const struct testimony *t,
	    const struct syn_witness_case *look)
{
	out->syn = t->kernel;
	out->raw_len = (uint8_t)look->kernel_len; /* SYN_RAW_CAP at most */
	memcpy(out->raw, look->kernel, look->kernel_len);
}

static void
take_sidecar(struct syn_witness_result *out, const struct testimony *t)
{
	out->syn = t->sidecar;
	out->raw_len = t->entry.raw_len;
	memcpy(out->raw, t->entry.raw, t->entry.raw_len);
	out->retransmits = t->entry.retransmits;
	out->first_gap_ms = t->entry.first_gap_ms;
}

/* Nobody knows: is there someone who may know soon? */
static enum syn_witness_source
later(const struct syn_witness_case *look, struct syn_witness_result *out)
{
	if (look->looks_done >= SYN_WITNESS_LOOKS ||
	    look->reader->table == NULL ||
	    syn_table_is_stopped(look->reader->table, look->now_ns))
		return SYN_WITNESS_NONE;
	out->look_again_ms = look_ms[look->looks_done];
	return SYN_WITNESS_LATER;
}

void
syn_witness_init(struct syn_witness *memory, uint64_t seed, uint64_t now_ns)
{
	memset(memory, 0, sizeof(*memory));
	memory->seed = seed;
	for (size_t i = 0; i < SYN_WITNESS_BUCKETS; i++)
		memory->buckets[i].floor_ns = now_ns;
}

void
syn_witness_decide(struct syn_witness *memory,
		   const struct syn_witness_case *look,
		   struct syn_witness_result *out)
{
	struct syn_witness_accept *accept = recall(memory, look);
	struct testimony t;

	memset(out, 0, sizeof(*out));
	if (accept == NULL)
		return;
	hear(&t, look, out);
	out->source = judge(&t, accept, look, out);
	if (out->source == SYN_WITNESS_NONE) {
		out->source = later(look, out);
		return;
	}
	if (out->source == SYN_WITNESS_KERNEL)
		take_kernel(out, &t, look);
	else
		take_sidecar(out, &t);
	accept->isn = out->syn.isn;
	accept->has_isn = true;
}

const char *
syn_witness_source_name(enum syn_witness_source source)
{
	switch (source) {
	case SYN_WITNESS_NONE:
		return "none";
	case SYN_WITNESS_LATER:
		return "later";
	case SYN_WITNESS_KERNEL:
		return "kernel";
	case SYN_WITNESS_SIDECAR:
		return "sidecar";
	case SYN_WITNESS_SIDECAR_CONFIRMED:
		return "sidecar_confirmed";
	}
	return "none";
}
