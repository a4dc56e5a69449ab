/*
 * Who tries to make good senders look bad, or the memory forget: a month of
 * sessions against the real ledger, the real model and the shipped rules, in
 * force. What the good are delayed by must stay within the class that is for
 * everybody, `new`.
 */
#include "tarry/reputation.h"
#include "tarry/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/config/config.h"

#define DAY 86400u
#define START 1700000000u
#define ROWS 20000u
#define GOOD_SENDERS 200u

static struct ledger l;
static struct config *shipped;
static struct policy policy; /* its, in force */
static void *memory;
static uint64_t random_state;

/* How one looks: layouts differ in what nobody's path changes. */
struct looks {
	uint16_t window;
	uint8_t wscale;
	const char *dialect;
};

static const struct looks postfix = {64240, 7, "postfix"};
static const struct looks exchange = {65535, 8, "exchange"};

static uint32_t
draw(uint32_t count)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % count;
}

static void
open_world(void)
{
	const size_t bytes = (ledger_bytes(ROWS) + 63) / 64 * 64;

	free(memory);
	memory = aligned_alloc(64, bytes);
	assert_non_null(memory);
	memset(memory, 0, bytes);
	ledger_init(&l, memory, ROWS, 7 * DAY, 42);
	random_state = 0x9e3779b97f4a7c15u;
}

static int
load_shipped(void **state)
{
	struct report report = {0};

	(void)state;
	assert_int_equal(config_load(&shipped, NULL, NULL, &report), 0);
	report_free(&report);
	policy = shipped->policy;
	policy.is_shadow = false;
	assert_in_range(policy.open_rank, 1, policy.classes_count);
	assert_string_equal(policy.classes[policy.open_rank - 1].name, "new");
	return 0;
}

static int
close_world(void **state)
{
	(void)state;
	free(memory);
	memory = NULL;
	config_free(shipped);
	return 0;
}

static void
keys_of(struct history_keys *keys, uint32_t ip, const struct looks *looks)
{
	const uint8_t bytes[4] = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
				  (uint8_t)(ip >> 8), (uint8_t)ip};
	static const uint8_t kinds[] = {2, 4, 8, 1, 3};
	struct syn syn;
	struct signature_texts signature;
	struct addr client;
	struct history_names names = {.client = &client,
				      .signature = &signature,
				      .dialect = looks->dialect};

	memset(&syn, 0, sizeof(syn));
	syn.version = 4;
	syn.ttl = 60;
	syn.mss = 1460;
	syn.window = looks->window;
	syn.wscale = looks->wscale;
	syn.kinds_count = sizeof(kinds);
	memcpy(syn.kinds, kinds, sizeof(kinds));
	signature_texts_make(&signature, &syn);
	addr_set_v4(&client, bytes, 25);
	history_keys_make(keys, &l, &names);
}

static struct reputation
look(uint32_t ip, const struct looks *looks, uint32_t now_s)
{
	struct history_keys keys;
	struct history h = {.delivered = 0};

	keys_of(&keys, ip, looks);
	history_find(&h, &l, &keys, now_s);
	return reputation_of(&h);
}

/* True if it is delayed by more than class `new` is. */
static bool
is_slowed(const struct reputation *r)
{
	const struct policy_class *open = &policy.classes[policy.open_rank - 1];
	struct evidence e;
	struct plan p;

	memset(&e, 0, sizeof(e));
	reputation_tell(r, &e);
	p = plan_make(&policy, &e, NULL, NULL);
	return p.greet_ms > open->greet_ms || p.reply_ms > open->reply_ms ||
	       p.error_ms > open->error_ms || p.data_rate > 0;
}

static void
deliver(uint32_t ip, const struct looks *looks, uint32_t now_s)
{
	struct history_keys keys;
	struct ledger_delta d;
	struct session s;

	memset(&s, 0, sizeof(s));
	s.counts.messages = 1;
	reputation_session(&s, &d);
	keys_of(&keys, ip, looks);
	history_add(&l, &keys, &d, now_s);
}

static void
spam(uint32_t ip, const struct looks *looks, uint32_t now_s)
{
	struct history_keys keys;
	struct ledger_delta d;
	struct session s;

	memset(&s, 0, sizeof(s));
	s.counts.outcomes[OUTCOME_SPAM] = 1;
	reputation_session(&s, &d);
	keys_of(&keys, ip, looks);
	history_add(&l, &keys, &d, now_s);
}

static uint32_t
good_ip(uint32_t i)
{
	return 0xc0000000u + i * 0x10101u;
}

static const struct looks *
good_looks(uint32_t i)
{
	return i % 3 == 0 ? &exchange : &postfix;
}

/* Each good sender writes so often; all are asked about first. */
static uint32_t
a_good_day(uint32_t day, uint32_t each)
{
	uint32_t slowed = 0;

	for (uint32_t n = 0; n < GOOD_SENDERS * each; n++) {
		const uint32_t i = draw(GOOD_SENDERS);
		const uint32_t now_s = START + day * DAY + n;
		const struct reputation r =
		    look(good_ip(i), good_looks(i), now_s);

		slowed += is_slowed(&r);
		deliver(good_ip(i), good_looks(i), now_s);
	}
	return slowed;
}

/* And some who never wrote before, with the same looks. */
static uint32_t
newcomers(uint32_t day)
{
	uint32_t slowed = 0;

	for (uint32_t n = 0; n < 50; n++) {
		const struct reputation r =
		    look(0xb0000000u + draw(0x0fffffff), good_looks(n),
			 START + day * DAY);

		slowed += is_slowed(&r);
	}
	return slowed;
}

/* A bot that is Linux and Postfix to the last byte, twenty times as many
 * sessions as all good senders, each from elsewhere. */
static void
a_perfect_copy_hurts_nobody(void **state)
{
	uint32_t slowed = 0;

	(void)state;
	open_world();
	for (uint32_t day = 0; day < 30; day++) {
		for (uint32_t n = 0; n < 4000; n++)
			spam(draw(0x60000000u), &postfix,
			     START + day * DAY + n);
		slowed += a_good_day(day, 1);
		slowed += newcomers(day);
	}
	assert_int_equal(slowed, 0);
}

/* One network sends bad mail, a twentieth of it good: it is found out, and
 * nobody else who looks like it is. */
static void
five_percent_good_mail_buys_nothing(void **state)
{
	uint32_t slowed = 0;
	struct reputation r;

	(void)state;
	open_world();
	for (uint32_t day = 0; day < 30; day++) {
		for (uint32_t n = 0; n < 400; n++) {
			const uint32_t ip = 0x0a0a0a00u + draw(200);
			const uint32_t now_s = START + day * DAY + n;

			if (n % 20 == 0)
				deliver(ip, &postfix, now_s);
			else
				spam(ip, &postfix, now_s);
		}
		slowed += a_good_day(day, 2);
		slowed += newcomers(day);
		if (day == 0)
			continue;
		r = look(0x0a0a0a01, &postfix, START + day * DAY);
		assert_int_equal(r.standing, REPUTATION_SUSPECT);
		assert_false(r.is_proven);
		assert_true(is_slowed(&r));
	}
	assert_int_equal(slowed, 0);
}

/* Half of what a mailing list's host forwards is refused as spam. */
static void
a_forwarder_is_not_its_spam(void **state)
{
	uint32_t slowed = 0;

	(void)state;
	open_world();
	for (uint32_t day = 0; day < 30; day++) {
		for (uint32_t n = 0; n < 300; n++) {
			const uint32_t now_s = START + day * DAY + n;
			const struct reputation r =
			    look(0x0b0b0b0b, &postfix, now_s);

			slowed += is_slowed(&r);
			if (draw(10) < 5)
				deliver(0x0b0b0b0b, &postfix, now_s);
			else
				spam(0x0b0b0b0b, &postfix, now_s);
		}
		slowed += a_good_day(day, 1);
	}
	assert_int_equal(slowed, 0);
}

/* Nine tenths are: then it is slowed itself, by delays that its queue waits
 * for, but nobody else is who looks like it. */
static void
a_forwarder_full_of_spam_hurts_nobody_else(void **state)
{
	uint32_t slowed = 0;
	uint32_t own = 0;

	(void)state;
	open_world();
	for (uint32_t day = 0; day < 30; day++) {
		for (uint32_t n = 0; n < 300; n++) {
			const uint32_t now_s = START + day * DAY + n;
			const struct reputation r =
			    look(0x0b0b0b0b, &postfix, now_s);

			own += is_slowed(&r);
			if (draw(10) == 0)
				deliver(0x0b0b0b0b, &postfix, now_s);
			else
				spam(0x0b0b0b0b, &postfix, now_s);
		}
		slowed += a_good_day(day, 1);
		slowed += newcomers(day);
	}
	print_message("of its own sessions slowed: %.1f %%\n",
		      100.0 * own / (30 * 300));
	assert_int_equal(slowed, 0);
	assert_true(own > 0);
}

/* Another signature and another address for each session, as many a day as
 * there are rows: who delivered stays known, and the way they speak, which
 * they do not change, is found out. */
static void
made_up_signatures_drown_themselves(void **state)
{
	uint32_t forgotten = 0;
	uint32_t slowed = 0;
	uint32_t rows = 0;
	struct looks bot = {.dialect = "bot"};

	(void)state;
	open_world();
	for (uint32_t day = 0; day < 10; day++) {
		slowed += a_good_day(day, 5);
		for (uint32_t n = 0; n < ROWS; n++) {
			bot.window = (uint16_t)draw(65536);
			bot.wscale = (uint8_t)draw(15);
			spam(draw(0x60000000u), &bot, START + day * DAY + n);
		}
		slowed += newcomers(day);
		for (uint32_t i = 0; day >= 2 && i < GOOD_SENDERS; i++)
			forgotten +=
			    !look(good_ip(i), good_looks(i), START + day * DAY)
				 .is_proven;
	}
	assert_int_equal(slowed, 0);
	assert_int_equal(forgotten, 0);
	for (uint32_t s = 0; s < LEDGER_SHARDS; s++) {
		for (uint32_t k = 0; k < LEDGER_KINDS; k++)
			rows += l.shards[s].rows[k];
	}
	assert_true(rows <= ledger_rows(ROWS));
	bot.window = 12345;
	assert_int_equal(look(0x01020304, &bot, START + 10 * DAY).standing,
			 REPUTATION_SUSPECT);
}

/* How many of its own sessions a new bot's looks need to be suspect. */
static void
a_new_bot_is_soon_suspect(void **state)
{
	const struct looks bot = {8192, 2, "cutwail"};
	uint32_t n = 0;

	(void)state;
	open_world();
	(void)a_good_day(0, 5);
	while (n < 200 &&
	       look(0x05000000u + n * 0x1001u, &bot, START + DAY).standing <
		   REPUTATION_SUSPECT) {
		spam(0x05000000u + n * 0x1001u, &bot, START + DAY);
		n++;
	}
	print_message("suspect after %u of its sessions\n", n);
	assert_in_range(n, 5, 50);
}

/* The sixteenth address of a provider's network, never seen before. */
static void
a_pool_is_proven_as_one(void **state)
{
	(void)state;
	open_world();
	for (uint32_t n = 0; n < 15; n++)
		deliver(0x0c0c0c00u + n, &postfix, START + n);
	assert_true(look(0x0c0c0c0fu, &postfix, START + DAY).is_proven);
	assert_false(look(0x0c0c0d0fu, &postfix, START + DAY).is_proven);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_perfect_copy_hurts_nobody),
	    cmocka_unit_test(five_percent_good_mail_buys_nothing),
	    cmocka_unit_test(a_forwarder_is_not_its_spam),
	    cmocka_unit_test(a_forwarder_full_of_spam_hurts_nobody_else),
	    cmocka_unit_test(made_up_signatures_drown_themselves),
	    cmocka_unit_test(a_new_bot_is_soon_suspect),
	    cmocka_unit_test(a_pool_is_proven_as_one),
	};

	return cmocka_run_group_tests(tests, load_shipped, close_world);
}
