/* From rows to a standing: tables of histories and what they say. */
#include "tarry/reputation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/session.h"

#define NOW 1700000000u

/* A row's outcomes. */
struct seen {
	enum ledger_kind kind;
	float good;
	float bad;
	float gave_up;
	uint64_t networks; /* the sketch */
};

#define FEW 0x7
#define MANY 0xf

static const struct {
	const char *label;
	struct seen seen[6];
	uint32_t delivered; /* in this session */
	bool is_behaving_badly;
	enum reputation_standing want;
	uint8_t low; /* of the number */
	uint8_t high;
} rows[] = {
    {"nothing is known",
     {{LEDGER_ALL, 1000}},
     0,
     0,
     REPUTATION_UNKNOWN,
     50,
     50},
    {"one bad session",
     {{LEDGER_ALL, 1000}, {LEDGER_CLIENT, 0, 1}},
     0,
     0,
     REPUTATION_UNKNOWN,
     51,
     60},
    {"a client with good mail",
     {{LEDGER_ALL, 1000}, {LEDGER_CLIENT, 40}},
     0,
     0,
     REPUTATION_GOOD,
     0,
     15},
    {"thin data says what the coarser level says",
     {{LEDGER_ALL, 9000}, {LEDGER_STACK, 0, 300}, {LEDGER_SYN, 1, 0}},
     0,
     0,
     REPUTATION_SUSPECT,
     80,
     92},
    {"much of its own speaks for itself",
     {{LEDGER_ALL, 9000}, {LEDGER_STACK, 0, 300}, {LEDGER_SYN, 100, 0}},
     0,
     0,
     REPUTATION_UNKNOWN,
     2,
     12},
    {"rare looks, all of it bad",
     {{LEDGER_ALL, 9000}, {LEDGER_SYN, 0, 60}},
     0,
     0,
     REPUTATION_SUSPECT,
     85,
     100},
    {"the same, and bad behaviour",
     {{LEDGER_ALL, 9000}, {LEDGER_SYN, 0, 60, 0, MANY}},
     0,
     1,
     REPUTATION_BAD,
     85,
     100},
    {"the same, of three networks: they are one source",
     {{LEDGER_ALL, 9000}, {LEDGER_SYN, 0, 60, 0, FEW}, {LEDGER_NETWORK, 0, 60}},
     0,
     0,
     REPUTATION_SUSPECT,
     85,
     100},
    {"the same of many, and a bad network",
     {{LEDGER_ALL, 9000},
      {LEDGER_SYN, 0, 60, 0, MANY},
      {LEDGER_NETWORK, 0, 60}},
     0,
     0,
     REPUTATION_BAD,
     85,
     100},
    {"the same, and a message was delivered",
     {{LEDGER_ALL, 9000},
      {LEDGER_SYN, 0, 60, 0, MANY},
      {LEDGER_NETWORK, 0, 60}},
     1,
     0,
     REPUTATION_SUSPECT,
     85,
     100},
    {"one network's own, in looks that many networks share",
     {{LEDGER_ALL, 10000},
      {LEDGER_STACK, 100, 50, 0, MANY},
      {LEDGER_PAIR, 0, 50, 0, FEW},
      {LEDGER_CLIENT, 0, 50}},
     0,
     0,
     REPUTATION_SUSPECT,
     85,
     100},
    {"a bad client is one source",
     {{LEDGER_ALL, 9000}, {LEDGER_NETWORK, 0, 60}, {LEDGER_CLIENT, 0, 60}},
     0,
     0,
     REPUTATION_SUSPECT,
     85,
     100},
    {"bad behaviour alone is no history",
     {{LEDGER_ALL, 9000}},
     0,
     1,
     REPUTATION_UNKNOWN,
     50,
     50},
    {"common looks, most of it bad",
     {{LEDGER_ALL, 1000}, {LEDGER_STACK, 21, 5000}},
     0,
     0,
     REPUTATION_UNKNOWN,
     50,
     50},
    {"and a bad network: one source",
     {{LEDGER_ALL, 1000}, {LEDGER_STACK, 21, 5000}, {LEDGER_NETWORK, 0, 99}},
     0,
     0,
     REPUTATION_SUSPECT,
     80,
     100},
    {"just not common",
     {{LEDGER_ALL, 1000}, {LEDGER_STACK, 19, 5000}},
     0,
     0,
     REPUTATION_SUSPECT,
     85,
     100},
    {"who carries the mail is not known yet",
     {{LEDGER_ALL, 49}, {LEDGER_STACK, 0, 500}},
     0,
     0,
     REPUTATION_UNKNOWN,
     50,
     50},
    {"a rare pair of common looks",
     {{LEDGER_ALL, 1000}, {LEDGER_STACK, 500, 500}, {LEDGER_PAIR, 0, 60}},
     0,
     0,
     REPUTATION_SUSPECT,
     85,
     100},
    {"a good pair of bad speakers",
     {{LEDGER_ALL, 9000}, {LEDGER_DIALECT, 9, 300}, {LEDGER_PAIR, 99, 0}},
     0,
     0,
     REPUTATION_UNKNOWN,
     2,
     12},
    {"left a thousand times, nothing else",
     {{LEDGER_ALL, 9000}, {LEDGER_SYN, 0, 0, 1000}, {LEDGER_CLIENT, 0, 0, 99}},
     0,
     0,
     REPUTATION_UNKNOWN,
     50,
     50},
    {"leaving counts as much as the rest at most",
     {{LEDGER_ALL, 9000}, {LEDGER_CLIENT, 10, 1, 1000}},
     0,
     0,
     REPUTATION_UNKNOWN,
     25,
     35},
    {"a forwarder half of whose mail is spam",
     {{LEDGER_ALL, 1000}, {LEDGER_CLIENT, 400, 500}},
     0,
     0,
     REPUTATION_UNKNOWN,
     50,
     60},
    {"a spammer who sends 5 % good mail",
     {{LEDGER_ALL, 9000}, {LEDGER_CLIENT, 5, 95}, {LEDGER_SYN, 5, 95, 0, MANY}},
     0,
     0,
     REPUTATION_BAD,
     88,
     97},
    {"bad neighbours do not outvote a good client",
     {{LEDGER_ALL, 1000},
      {LEDGER_REGION, 0, 9999},
      {LEDGER_NETWORK, 0, 999},
      {LEDGER_CLIENT, 200, 0}},
     0,
     0,
     REPUTATION_GOOD,
     0,
     20},
};

static void
fill(struct history *h, const struct seen *seen, size_t n)
{
	memset(h, 0, sizeof(*h));
	h->now_s = NOW;
	for (size_t i = 0; i < n; i++) {
		struct ledger_row *row = &h->rows[seen[i].kind];

		row->counts[LEDGER_GOOD] = seen[i].good;
		row->counts[LEDGER_DELIVERED] = seen[i].good;
		row->counts[LEDGER_BAD] = seen[i].bad;
		row->counts[LEDGER_GAVE_UP] = seen[i].gave_up;
		row->sketch[0] = seen[i].networks;
	}
}

static void
histories_say(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct history h;
		struct reputation r;

		fill(&h, rows[i].seen, 6);
		if (rows[i].seen[0].kind != LEDGER_ALL)
			fail_msg("%s", rows[i].label);
		/* The unused places of a list are its `all`, zeroed. */
		h.rows[LEDGER_ALL].counts[LEDGER_DELIVERED] =
		    rows[i].seen[0].good;
		h.delivered = rows[i].delivered;
		h.is_behaving_badly = rows[i].is_behaving_badly;
		r = reputation_of(&h);
		if (r.standing == rows[i].want && r.number >= rows[i].low &&
		    r.number <= rows[i].high)
			continue;
		wrong++;
		print_error("%s: %s %u, wanted %s %u..%u\n", rows[i].label,
			    reputation_name(r.standing), r.number,
			    reputation_name(rows[i].want), rows[i].low,
			    rows[i].high);
	}
	assert_int_equal(wrong, 0);
}

/* No number of sessions is a cliff: one more moves the number by little. */
static void
there_is_no_cliff(void **state)
{
	int before = 50;

	(void)state;
	for (int n = 0; n < 300; n++) {
		const struct seen seen[] = {{LEDGER_ALL, 9000},
					    {LEDGER_SYN, 0, (float)n}};
		struct history h;
		struct reputation r;

		fill(&h, seen, 2);
		r = reputation_of(&h);
		assert_in_range(r.number, before, before + 6);
		before = r.number;
	}
	assert_in_range(before, 97, 99);
}

/* It is a step better for what it delivers, never good by its neighbours. */
static void
neighbours_do_not_save_who_is_bad(void **state)
{
	static const struct seen seen[] = {{LEDGER_ALL, 9000},
					   {LEDGER_SYN, 0, 60, 0, MANY},
					   {LEDGER_NETWORK, 1900, 60},
					   {LEDGER_CLIENT, 0, 60}};
	static const enum reputation_standing want[] = {REPUTATION_BAD,
							REPUTATION_SUSPECT};

	(void)state;
	for (uint32_t delivered = 0; delivered < 2; delivered++) {
		struct history h;
		struct reputation r;

		fill(&h, seen, 4);
		h.rows[LEDGER_NETWORK].proof_messages = 3;
		h.rows[LEDGER_NETWORK].proof_sessions = 2;
		h.rows[LEDGER_NETWORK].proof_s = NOW;
		h.delivered = delivered;
		r = reputation_of(&h);
		assert_int_equal(r.standing, want[delivered]);
		assert_false(r.is_proven);
	}
}

static void
proof_is_by_client_pool_or_network(void **state)
{
	static const enum ledger_kind kinds[] = {LEDGER_CLIENT, LEDGER_POOL,
						 LEDGER_NETWORK};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const struct seen seen[] = {{LEDGER_ALL, 9000},
					    {kinds[i], 3, 0}};
		struct history h;
		struct reputation r;

		fill(&h, seen, 2);
		h.rows[kinds[i]].proof_messages = 3;
		h.rows[kinds[i]].proof_sessions = 2;
		h.rows[kinds[i]].proof_s = NOW - LEDGER_PROOF_S + 1;
		r = reputation_of(&h);
		assert_true(r.is_proven);
		assert_int_equal(r.standing, REPUTATION_GOOD);
		assert_int_equal(r.level, kinds[i]);
		h.now_s++;
		r = reputation_of(&h);
		assert_false(r.is_proven);
	}
}

static void
a_session_is_one_observation(void **state)
{
	static const struct {
		const char *label;
		uint32_t messages;
		uint16_t spam;
		uint16_t unknown;
		uint16_t neutral;
		bool is_early;
		float good;
		float bad;
	} sessions[] = {
	    {"nothing", 0, 0, 0, 0, 0, 0, 0},
	    {"a message", 1, 0, 0, 0, 0, 1, 0},
	    {"a hundred messages", 100, 0, 0, 0, 0, 1, 0},
	    {"one and one", 1, 1, 0, 0, 0, 0.5f, 0.5f},
	    {"a stale recipient", 0, 0, 1, 0, 0, 0, 0.5f},
	    {"a harvester", 0, 0, 60000, 0, 0, 0, 1},
	    {"greylisted", 0, 0, 0, 5, 0, 0, 0},
	    {"spoke early and left", 0, 0, 0, 0, 1, 0, 0.5f},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
		struct session s;
		struct ledger_delta d;

		memset(&s, 0, sizeof(s));
		s.counts.messages = sessions[i].messages;
		s.counts.outcomes[OUTCOME_SPAM] = sessions[i].spam;
		s.counts.outcomes[OUTCOME_UNKNOWN_USER] = sessions[i].unknown;
		s.counts.outcomes[OUTCOME_NEUTRAL] = sessions[i].neutral;
		s.is_early = sessions[i].is_early;
		reputation_session(&s, &d);
		if (d.counts[LEDGER_GOOD] != sessions[i].good ||
		    d.counts[LEDGER_BAD] != sessions[i].bad)
			fail_msg("%s: %g %g", sessions[i].label,
				 (double)d.counts[LEDGER_GOOD],
				 (double)d.counts[LEDGER_BAD]);
		assert_true(d.counts[LEDGER_SESSIONS] == 1);
		assert_int_equal(d.proof_sessions, sessions[i].messages > 0);
	}
}

/* What the MTA accepted and a filter behind it calls spam is taken back. */
static void
a_verdict_takes_back(void **state)
{
	static _Alignas(64) uint8_t memory[64 * 1024];
	struct reputation_tally before;
	struct reputation_tally after;
	struct session s;
	struct ledger_delta d;
	struct ledger l;
	struct ledger_key key;
	struct ledger_row row;

	(void)state;
	assert_true(ledger_bytes(128) <= sizeof(memory));
	ledger_init(&l, memory, 128, 86400, 1);
	key = ledger_key(&l, LEDGER_CLIENT, "c", 1);
	memset(&s, 0, sizeof(s));
	s.counts.messages = 1;
	reputation_session(&s, &d);
	assert_true(ledger_add(&l, &key, &d, NOW));
	before = reputation_tally(&s);
	after = before;
	after.messages = 0;
	after.outcomes[OUTCOME_SPAM] = 1;
	reputation_change(&before, &after, &d);
	assert_true(ledger_amend(&l, key.hash, &d, NOW));
	assert_true(ledger_find(&l, &key, NOW, &row));
	assert_true(row.counts[LEDGER_GOOD] == 0);
	assert_true(row.counts[LEDGER_BAD] == 1);
	assert_true(row.counts[LEDGER_DELIVERED] == 0);
	assert_true(row.counts[LEDGER_SPAM] == 1);
	assert_true(row.counts[LEDGER_SESSIONS] == 1);
	assert_int_equal(row.proof_messages, 0);
	assert_int_equal(row.proof_sessions, 0);
	/* And given back, when that was a mistake. */
	reputation_change(&after, &before, &d);
	assert_true(ledger_amend(&l, key.hash, &d, NOW));
	assert_true(ledger_find(&l, &key, NOW, &row));
	assert_true(row.counts[LEDGER_GOOD] == 1);
	assert_true(row.counts[LEDGER_BAD] == 0);
	assert_true(row.counts[LEDGER_DELIVERED] == 1);
	assert_true(row.counts[LEDGER_SPAM] == 0);
	assert_int_equal(row.proof_messages, 1);
	assert_int_equal(row.proof_sessions, 1);
	assert_false(ledger_amend(&l, key.hash ^ 1, &d, NOW));
}

static void
names_are_rows(void **state)
{
	static _Alignas(64) uint8_t memory[64 * 1024];
	static const struct {
		const char *address;
		const char *client;
		const char *network;
		const char *region;
	} places[] = {
	    {"192.0.2.17", "192.0.2.17", "192.0.2.0/24", "192.0.0.0/16"},
	    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48",
	     "2001:db8::/32"},
	};
	struct history_keys keys;
	struct ledger l;

	(void)state;
	ledger_init(&l, memory, 128, 86400, 1);
	for (size_t i = 0; i < 2; i++) {
		struct addr a;
		const struct history_names names = {
		    .client = &a, .dialect = "d", .pool = "example.org"};

		assert_true(addr_parse_ip(&a, places[i].address,
					  strlen(places[i].address)));
		history_keys_make(&keys, &l, &names);
		assert_int_equal(
		    keys.known, 1u << LEDGER_ALL | 1u << LEDGER_CLIENT |
				    1u << LEDGER_NETWORK | 1u << LEDGER_REGION |
				    1u << LEDGER_DIALECT | 1u << LEDGER_POOL);
		const struct {
			enum ledger_kind kind;
			const char *want;
		} texts[] = {{LEDGER_CLIENT, places[i].client},
			     {LEDGER_NETWORK, places[i].network},
			     {LEDGER_REGION, places[i].region},
			     {LEDGER_DIALECT, "d"},
			     {LEDGER_POOL, "example.org"}};
		for (size_t k = 0; k < 5; k++) {
			const struct ledger_key *key =
			    &keys.keys[texts[k].kind];

			assert_int_equal(key->len, strlen(texts[k].want));
			assert_memory_equal(key->text, texts[k].want, key->len);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(histories_say),
	    cmocka_unit_test(there_is_no_cliff),
	    cmocka_unit_test(neighbours_do_not_save_who_is_bad),
	    cmocka_unit_test(proof_is_by_client_pool_or_network),
	    cmocka_unit_test(a_session_is_one_observation),
	    cmocka_unit_test(a_verdict_takes_back),
	    cmocka_unit_test(names_are_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
