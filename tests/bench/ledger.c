/*
 * What a ledger costs: ledger [ROWS].
 *
 * Fills a ledger with that many rows (a million), then looks up rows in an
 * order that no cache foresees, one at a time, each behind the other; adds to
 * them; and finds all rows of a session with its history. Prints the median
 * of rounds, and what the process grew by.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tarry/reputation.h"

#define ROUNDS 101
#define EACH 20000u
#define NOW 1700000000u

static struct ledger l;
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t
draw(uint32_t count)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * count >> 32);
}

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static size_t
rss_bytes(void)
{
	FILE *in = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (in != NULL) {
		if (fscanf(in, "%*u %lu", &pages) != 1)
			pages = 0;
		(void)fclose(in);
	}
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static struct ledger_key
key_of(uint32_t i)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%u.%u.%u.%u", i >> 24,
			 i >> 16 & 255, i >> 8 & 255, i & 255);

	return ledger_key(&l, LEDGER_CLIENT, text, (size_t)n);
}

static int
by_size(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One round of EACH, in ns for one; keys are made before. */
static double
measure(struct ledger_key *keys, uint32_t rows, char what)
{
	const struct ledger_delta d = {.counts = {[LEDGER_SESSIONS] = 1}};
	struct ledger_row row = {.stamp_s = 0};
	double start;

	for (uint32_t i = 0; i < EACH; i++)
		keys[i] = key_of(draw(rows) * 2654435761u);
	start = now_ns();
	for (uint32_t i = 0; i < EACH; i++) {
		/* The next one is not asked for before this one is there. */
		const uint32_t at = (i + (uint32_t)(row.reserved & 1)) % EACH;

		if (what == 'f')
			(void)ledger_find(&l, &keys[at], NOW + 5, &row);
		else
			(void)ledger_add(&l, &keys[at], &d, NOW + 5);
	}
	return (now_ns() - start) / EACH;
}

static double
measure_session(void)
{
	static struct history h;
	struct history_keys keys;
	struct addr client;
	struct syn syn;
	const uint8_t kinds[] = {2, 4, 8, 1, 3};
	struct signature_texts signature;
	const struct history_names names = {.client = &client,
					    .signature = &signature,
					    .dialect = "EHLO c s n"};
	const uint32_t n = EACH / 4;
	double start;
	unsigned sum = 0;

	memset(&syn, 0, sizeof(syn));
	syn.version = 4;
	syn.ttl = 60;
	syn.mss = 1460;
	syn.window = 64240;
	syn.wscale = 7;
	syn.kinds_count = sizeof(kinds);
	memcpy(syn.kinds, kinds, sizeof(kinds));
	start = now_ns();
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t ip = draw(UINT32_MAX);
		const uint8_t b[4] = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
				      (uint8_t)(ip >> 8), (uint8_t)ip};

		addr_set_v4(&client, b, 25);
		signature_texts_make(&signature, &syn);
		history_keys_make(&keys, &l, &names);
		history_find(&h, &l, &keys, NOW);
		sum += reputation_of(&h).number;
	}
	return sum == 0 ? 0 : (now_ns() - start) / n;
}

static void
print(const char *what, char which, struct ledger_key *keys, uint32_t rows)
{
	double ns[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++)
		ns[i] = which == 's' ? measure_session()
				     : measure(keys, rows, which);
	qsort(ns, ROUNDS, sizeof(ns[0]), by_size);
	printf("%-34s median %7.0f ns, worst round %7.0f ns\n", what,
	       ns[ROUNDS / 2], ns[ROUNDS - 1]);
}

int
main(int argc, char **argv)
{
	const uint32_t rows =
	    argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	const struct ledger_delta d = {
	    .counts = {[LEDGER_SESSIONS] = 1, [LEDGER_GOOD] = 1}};
	/* Room, so that hardly any set is full. */
	const uint32_t capacity = rows + rows / 2;
	const size_t bytes = (ledger_bytes(capacity) + 63) / 64 * 64;
	struct ledger_key *keys = calloc(EACH, sizeof(*keys));
	void *memory = aligned_alloc(64, bytes);
	uint64_t in_use = 0;
	size_t before;

	if (keys == NULL || memory == NULL || rows == 0)
		return 1;
	before = rss_bytes();
	memset(memory, 0, bytes);
	ledger_init(&l, memory, capacity, 604800, 4711);
	for (uint32_t i = 0; i < rows; i++) {
		const struct ledger_key key = key_of(i * 2654435761u);

		(void)ledger_add(&l, &key, &d, NOW);
	}
	for (uint32_t s = 0; s < LEDGER_SHARDS; s++)
		in_use += l.shards[s].rows[LEDGER_CLIENT];
	printf("rows %llu of %u, %.1f bytes a row of the table, RSS %.1f MB\n",
	       (unsigned long long)in_use, ledger_rows(capacity),
	       (double)(rss_bytes() - before) / ledger_rows(capacity),
	       (double)(rss_bytes() - before) / 1e6);
	print("look up one row", 'f', keys, rows);
	print("add to one row", 'a', keys, rows);
	print("a session: names, 9 rows, judgment", 's', keys, rows);
	free(memory);
	free(keys);
	return 0;
}
