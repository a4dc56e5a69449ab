/*
 * The compiled form of the rules: which of them can hold for a client at all.
 *
 * Every rule is filed under one of its conditions: its networks, else its
 * patterns, else its labels, else under "always". A look-up gives candidates,
 * in file order, and plan_make() still tests all their conditions, so that a
 * candidate too many costs time and nothing else. proxy/config builds these
 * tables (rule_index.c); shaping/ reads them (plan_index.c).
 */
#ifndef TARRY_POLICY_INDEX_H
#define TARRY_POLICY_INDEX_H

#include "tarry/policy.h"

/* Some of a table's items. */
struct index_slice {
	uint32_t first;
	uint32_t count;
};

/* Open addressing; at least one entry is free: its slice is empty. */
struct index_entry {
	uint64_t key;
	struct index_slice slice;
};
struct index_table {
	const struct index_entry *entries;
	uint32_t mask; /* entries - 1, a power of two less 1 */
};

/*
 * One network, sorted by address, then the wider first. Networks never cross,
 * so those that have an address are one of them and the ones around it.
 */
struct index_net {
	uint64_t high; /* of the address, in host byte order */
	uint64_t low;
	uint32_t parent; /* the narrowest around it, + 1; 0: none */
	struct index_slice slice;
	uint8_t bits;
};

/*
 * Patterns by the fields that they want to be just so: patterns that name the
 * same fields share a mask, and a SYN is looked up once for each mask there
 * is. A field with a range, a wildcard or another idea is in no mask.
 */
enum pattern_field {
	PATTERN_FIELD_LAYOUT = 1,
	PATTERN_FIELD_MSS = 2,
	PATTERN_FIELD_SCALE = 4,
	PATTERN_FIELD_TTL = 8,
	PATTERN_FIELD_WINDOW = 16,  /* a number */
	PATTERN_FIELD_MULTIPLE = 32 /* mss*N, mtu*N */
};
#define PATTERN_MASKS 64

struct pattern_index {
	struct index_table table;
	uint8_t masks[PATTERN_MASKS];
	uint8_t masks_count;
	const uint32_t *items; /* of what the patterns are filed for */
};

#define INDEX_V4 65536

struct policy_index {
	const uint32_t *items; /* places of rules, ascending in each slice */
	const struct index_net *nets;
	size_t nets_count;
	/* Of IPv4: how many networks begin before a.b.0.0; [INDEX_V4] all of
	 * them that do before 255.255.255.255. NULL where they are few. */
	const uint32_t *v4;
	struct pattern_index patterns; /* with the same items */
	struct index_table labels;
	struct index_slice unknown[EVIDENCE_COUNT]; /* if it is not known */
	struct index_slice late; /* if JA4 or the dialect is known, so not at
				    the accept */
	struct index_slice always;
};

/* The mask of a pattern, and the key under which it is filed. */
uint8_t pattern_index_mask(const struct signature_pattern *p);
uint64_t pattern_index_key(const struct signature_pattern *p);

/* The key of a label, the same in any case. */
uint64_t label_index_key(const char *label);

/* Orders texts without regard to case: < 0, 0, > 0. */
int policy_text_compare(const char *a, const char *b);

/* 4 or 6: the clients that may lie in a network. */
int policy_net_family(const struct net *n);

/* Orders networks: IPv6 first, then by address, then the wider first. */
int policy_net_compare(const struct net *a, const struct net *b);

#endif
