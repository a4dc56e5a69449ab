/*
 * Who connects to a site: groups of a population file. The keys are described
 * in populations/README. Members are not kept: all that one is follows from a
 * hash of its number.
 */
#ifndef TESTS_MONTH_POPULATION_H
#define TESTS_MONTH_POPULATION_H

#include "proxy/simulate/dice.h"
#include "tarry/signature.h"

#define GROUPS_CAP 32
#define GROUP_NAME_CAP 32

struct group {
	char name[GROUP_NAME_CAP];
	char dialect[GROUP_NAME_CAP];
	char looks[GROUP_NAME_CAP];
	char behind[GROUP_NAME_CAP];
	bool is_bad;
	bool has_pool;
	uint32_t share;
	uint32_t signatures;
	uint32_t addresses;
	uint32_t networks;
	uint32_t retry_min;
	uint32_t tries;
	uint32_t tls;
	uint32_t spam;
	uint32_t caught;
	uint32_t late;
	uint32_t unknown;
	uint32_t early;
	uint32_t from_day;
	uint32_t until_day;
	uint32_t rotates_h;
	uint32_t adapts_day;
	uint32_t adapted_s;
	struct range patience_s;
	struct range total_s;
	struct range bytes;
	struct range messages;
	uint32_t looks_of;     /* groups whose signatures and */
	uint32_t addresses_of; /* whose addresses these are */
};

struct population {
	struct group groups[GROUPS_CAP];
	uint32_t count;
};

/* One client at one time. */
struct member {
	struct addr client;
	struct syn syn;
	const char *dialect;
	const char *pool;     /* or NULL */
	uint64_t signature;   /* a number of its own for each */
	uint32_t patience_ms; /* 0: for ever */
	uint32_t total_ms;
};

/* Reads a file; tells what is wrong and returns false if anything is. */
bool population_read(struct population *p, const char *path);

/* The member with this number of a group, at a time in seconds. */
void population_member(const struct population *p, uint32_t group,
		       uint32_t number, uint32_t at_s, struct member *out);

#endif
