#include "proxy/simulate/who.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *network;
	uint32_t clients;
	uint32_t number;
	const char *want;
} rows[] = {
    {"192.0.2.7", 1, 0, "192.0.2.7:0"},
    {"192.0.2.0/24", 256, 0, "192.0.2.0:0"},
    {"192.0.2.0/24", 256, 255, "192.0.2.255:0"},
    {"192.0.2.0/24", 2, 0, "192.0.2.64:0"},
    {"192.0.2.0/24", 2, 1, "192.0.2.192:0"},
    {"10.0.0.0/8", 65536, 65535, "10.255.255.128:0"},
    {"2001:db8::/32", 2, 1, "[2001:db8:c000::]:0"},
    {"2001:db8::/126", 4, 3, "[2001:db8::3]:0"},
};

static void
set_network(struct scenario_kind *k, const char *text)
{
	memset(k, 0, sizeof(*k));
	assert_true(net_parse(&k->network, text, strlen(text)));
}

static void
addresses_are_spread(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[ADDR_TEXT_CAP];
		struct scenario_kind k;
		struct addr a;

		set_network(&k, rows[i].network);
		k.clients = rows[i].clients;
		who_address(&k, rows[i].number, &a);
		assert_true(net_has(&k.network, &a));
		a.port = 0;
		addr_text(&a, text, sizeof(text));
		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s, %u of %u: got %s, wanted %s",
				 rows[i].network, (unsigned)rows[i].number,
				 (unsigned)rows[i].clients, text, rows[i].want);
	}
}

static void
no_two_are_one(void **state)
{
	struct scenario_kind k;
	uint8_t seen[256] = {0};

	(void)state;
	set_network(&k, "192.0.2.0/24");
	k.clients = 200;
	for (uint32_t i = 0; i < k.clients; i++) {
		struct addr a;

		who_address(&k, i, &a);
		assert_int_equal(seen[a.ip[15]], 0);
		seen[a.ip[15]] = 1;
	}
}

static void
room_is_told(void **state)
{
	struct scenario_kind k;

	(void)state;
	set_network(&k, "192.0.2.7");
	assert_int_equal(who_room(&k.network), 1);
	set_network(&k, "192.0.2.0/24");
	assert_int_equal(who_room(&k.network), 256);
	set_network(&k, "::/0");
	assert_int_equal(who_room(&k.network), UINT32_MAX);
}

/* Neighbours share a network and nothing else. */
static void
counted_as_tarryd_counts(void **state)
{
	struct scenario_kind k;
	struct place_keys one;
	struct place_keys two;
	struct addr a;

	(void)state;
	set_network(&k, "192.0.2.0/24");
	k.clients = 256;
	who_address(&k, 1, &a);
	who_keys(&k, &a, &one);
	who_address(&k, 2, &a);
	who_keys(&k, &a, &two);
	assert_true(one.key[PLAN_CAP_CLIENT] != two.key[PLAN_CAP_CLIENT]);
	assert_true(one.key[PLAN_CAP_NETWORK] == two.key[PLAN_CAP_NETWORK]);
	assert_int_equal(one.key[PLAN_CAP_STACK], 0);
	set_network(&k, "2001:db8::/47");
	k.clients = 4;
	who_address(&k, 0, &a);
	who_keys(&k, &a, &one);
	who_address(&k, 1, &a);
	who_keys(&k, &a, &two);
	assert_true(one.key[PLAN_CAP_NETWORK] == two.key[PLAN_CAP_NETWORK]);
	who_address(&k, 3, &a);
	who_keys(&k, &a, &two);
	assert_true(one.key[PLAN_CAP_NETWORK] != two.key[PLAN_CAP_NETWORK]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_are_spread),
	    cmocka_unit_test(no_two_are_one),
	    cmocka_unit_test(room_is_told),
	    cmocka_unit_test(counted_as_tarryd_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
