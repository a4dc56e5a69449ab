/*
 * A SYN table in memory that ends against a page nobody can read, and SYNs to
 * put there. Shared by the tests of the table and of the witnesses.
 */
#ifndef TESTS_UNIT_SYN_TABLE_RIG_H
#define TESTS_UNIT_SYN_TABLE_RIG_H

#include "syn_packets.h"

#include "tarry/syn_table.h"

#define S SYN_TABLE_SECOND_NS
#define MS (S / 1000)
/* Rows count from here, so that "before" has room. */
#define T0 (1000 * S)

struct rig {
	struct syn_table *table;
	size_t bytes;
	struct syn_reader reader;
	void *mapping;
	size_t mapped;
};

static inline void
rig_open(struct rig *rig, uint32_t sets_count)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t rounded;

	rig->bytes = syn_table_bytes(sets_count);
	rounded = (rig->bytes + page - 1) / page * page;
	rig->mapped = rounded + page;
	rig->mapping = mmap(NULL, rig->mapped, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rig->mapping == MAP_FAILED ||
	    mprotect((char *)rig->mapping + rounded, page, PROT_NONE) != 0)
		abort();
	/* The end against the guard; entries are 64 bytes aligned still. */
	rig->table = (void *)((char *)rig->mapping + rounded - rig->bytes);
	syn_table_init(rig->table, sets_count, 4711, T0);
	rig->table->ports[0] = 25;
	if (syn_reader_open(&rig->reader, rig->table, rig->bytes) != NULL)
		abort();
}

static inline void
rig_close(struct rig *rig)
{
	munmap(rig->mapping, rig->mapped);
}

static inline struct syn_table_entry *
rig_entry(struct rig *rig, size_t index)
{
	const size_t at = (size_t)((const char *)rig->reader.entries -
				   (const char *)rig->table);

	return (struct syn_table_entry *)(void *)((char *)rig->table + at) +
	       index;
}

/* The SYN of 192.0.2.1:port to 192.0.2.2:25 (or the IPv6 of syn_packets.h). */
static inline size_t
rig_syn(const struct packet *p, uint16_t port, uint8_t raw[PACKET_CAP],
	struct syn *syn)
{
	const size_t len = packet_build(p, raw);

	put16(raw + (p->version == 6 ? 40 : 20), port);
	if (syn_parse(syn, raw, len) != (int)len)
		abort();
	return len;
}

static inline enum syn_put
rig_put(struct rig *rig, const struct packet *p, uint16_t port, uint64_t at_ns)
{
	uint8_t raw[PACKET_CAP];
	struct syn syn;
	const size_t len = rig_syn(p, port, raw, &syn);

	return syn_table_put(rig->table, &syn, raw, len, at_ns);
}

static inline struct addr
rig_client(uint16_t port)
{
	static const uint8_t ip[4] = {192, 0, 2, 1};
	struct addr a;

	addr_set_v4(&a, ip, port);
	return a;
}

static inline struct addr
rig_local(uint16_t port)
{
	static const uint8_t ip[4] = {192, 0, 2, 2};
	struct addr a;

	addr_set_v4(&a, ip, port);
	return a;
}

/* What most tests put, and how they look for it. */
__attribute__((unused)) static const struct packet plain = {
    "plain", 64, DF, 7, 1024, MSS_1460, .isn = 100};
__attribute__((unused)) static const struct packet plain_v6 = {
    "v6", 64, 0, 0, 1024, MSS_1440, .version = 6, .isn = 200};

static inline bool
find(const struct rig *rig, uint16_t port, struct syn_entry *e)
{
	const struct addr client = rig_client(port);
	const struct addr local = rig_local(25);

	return syn_reader_find(&rig->reader, &client, &local, e);
}

#endif
