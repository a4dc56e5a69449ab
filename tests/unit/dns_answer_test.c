/* What answers say; whole, cut at every byte, and against a guard page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "proxy/config/lists.h"
#include "proxy/evidence/dns_answer.h"

/* An answer with these A records; returns its length. */
static size_t
make_answer(uint8_t out[512], const uint8_t (*ips)[4], size_t count,
	    uint32_t ttl_s)
{
	static const uint8_t head[] = {0, 1, 0x81, 0x80, 0,   1, 0, 0, 0, 0, 0,
				       0, 1, 'x',  1,	 'y', 0, 0, 1, 0, 1};
	size_t len = sizeof(head);

	memcpy(out, head, sizeof(head));
	out[7] = (uint8_t)count;
	for (size_t i = 0; i < count; i++) {
		const uint8_t row[] = {0xc0,
				       12,
				       0,
				       1,
				       0,
				       1,
				       (uint8_t)(ttl_s >> 24),
				       (uint8_t)(ttl_s >> 16),
				       (uint8_t)(ttl_s >> 8),
				       (uint8_t)ttl_s,
				       0,
				       4};
		memcpy(out + len, row, sizeof(row));
		memcpy(out + len + sizeof(row), ips[i], 4);
		len += sizeof(row) + 4;
	}
	return len;
}

static struct config_list
make_list(const char *zone)
{
	struct config_list list = {.name = "x"};
	struct value_why why;
	char domain[200];

	assert_true(lists_zone(zone, &list, domain, sizeof(domain), &why));
	return list;
}

static void
records_are_judged(void **state)
{
	static const struct {
		const char *label;
		const char *zone;
		bool is_allow;
		size_t count;
		uint8_t ips[2][4];
		enum dns_kind want;
	} rows[] = {
	    {"any", "a.b", false, 1, {{127, 0, 0, 2}}, DNS_LISTED},
	    {"any, far", "a.b", false, 1, {{127, 9, 8, 7}}, DNS_LISTED},
	    {"none", "a.b", false, 0, {{0}}, DNS_CLEAR},
	    {"in the set",
	     "a.b=127.0.0.[2..4;9]",
	     false,
	     1,
	     {{127, 0, 0, 9}},
	     DNS_LISTED},
	    {"end of the range",
	     "a.b=127.0.0.[2..4;9]",
	     false,
	     1,
	     {{127, 0, 0, 4}},
	     DNS_LISTED},
	    {"beside it",
	     "a.b=127.0.0.[2..4;9]",
	     false,
	     1,
	     {{127, 0, 0, 5}},
	     DNS_CLEAR},
	    {"one of two",
	     "a.b=127.0.0.4",
	     false,
	     2,
	     {{127, 0, 0, 5}, {127, 0, 0, 4}},
	     DNS_LISTED},
	    {"outside", "a.b", false, 1, {{192, 0, 2, 1}}, DNS_ODD},
	    {"outside too",
	     "a.b",
	     false,
	     2,
	     {{127, 0, 0, 2}, {1, 2, 3, 4}},
	     DNS_ODD},
	    {"outside first",
	     "a.b",
	     false,
	     2,
	     {{1, 2, 3, 4}, {127, 0, 0, 2}},
	     DNS_ODD},
	    {"wrong zone",
	     "a.b",
	     false,
	     1,
	     {{127, 255, 255, 252}},
	     DNS_BLOCKED},
	    {"public resolver",
	     "a.b",
	     false,
	     1,
	     {{127, 255, 255, 254}},
	     DNS_BLOCKED},
	    {"too many",
	     "a.b=127.0.0.2",
	     false,
	     2,
	     {{127, 0, 0, 2}, {127, 255, 255, 255}},
	     DNS_BLOCKED},
	    {"255 of a block list",
	     "a.b",
	     false,
	     1,
	     {{127, 0, 0, 255}},
	     DNS_LISTED},
	    {"255 of an allow list",
	     "a.b",
	     true,
	     1,
	     {{127, 0, 0, 255}},
	     DNS_BLOCKED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_list list = make_list(rows[i].zone);
		uint8_t msg[512];
		uint32_t ttl_s;
		size_t len = make_answer(msg, rows[i].ips, rows[i].count, 77);

		list.is_allow = rows[i].is_allow;
		if (dns_judge_list(&list, msg, len, &ttl_s) != rows[i].want)
			fail_msg("%s", rows[i].label);
		assert_int_equal(ttl_s, rows[i].count > 0 ? 77 : 0);
	}
}

/* A part of an answer never lists anybody, and nothing is read behind it. */
static void
cut_answers_list_nobody(void **state)
{
	static const uint8_t ips[2][4] = {{127, 0, 0, 2}, {127, 0, 0, 3}};
	struct config_list list = make_list("a.b");
	uint8_t msg[512];
	uint32_t ttl_s;
	size_t len = make_answer(msg, ips, 2, 60);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		const uint8_t *end = guard_copy(msg, cut);
		if (dns_judge_list(&list, end, cut, &ttl_s) == DNS_LISTED)
			fail_msg("cut at %zu", cut);
	}
}

static void
addresses_are_reversed(void **state)
{
	static const uint8_t v4[4] = {192, 0, 2, 1};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x1f};
	char name[DNS_NAME_CAP];
	struct addr a;

	(void)state;
	addr_set_v4(&a, v4, 25);
	dns_reverse(&a, "zen.test", name);
	assert_string_equal(name, "1.2.0.192.zen.test");
	dns_arpa(&a, name);
	assert_string_equal(name, "1.2.0.192.in-addr.arpa");
	addr_set_v6(&a, v6, 25);
	dns_arpa(&a, name);
	assert_string_equal(name,
			    "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
			    "8.b.d.0.1.0.0.2.ip6.arpa");
}

static void
names_lead_back(void **state)
{
	static const uint8_t ips[2][4] = {{192, 0, 2, 9}, {192, 0, 2, 1}};
	uint8_t msg[512];
	uint32_t ttl_s;
	struct addr a;
	size_t len = make_answer(msg, ips, 2, 60);

	(void)state;
	addr_set_v4(&a, ips[1], 0);
	assert_int_equal(dns_judge_name(&a, msg, len, &ttl_s), DNS_CONFIRMED);
	len = make_answer(msg, ips, 1, 60);
	assert_int_equal(dns_judge_name(&a, msg, len, &ttl_s), DNS_UNCONFIRMED);
	assert_int_equal(dns_judge_name(&a, msg, len - 2, &ttl_s), DNS_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_are_judged),
	    cmocka_unit_test(cut_answers_list_nobody),
	    cmocka_unit_test(addresses_are_reversed),
	    cmocka_unit_test(names_lead_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
