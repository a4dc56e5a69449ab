/*
 * Who is counted together and who is not.
 */
#include "proxy/relay/place_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/syn_packets.h"

struct row {
	const char *label;
	const char *a;
	const char *b;
	bool same_client;
	bool same_network;
};

static const struct row rows[] = {
    {"itself", "192.0.2.1", "192.0.2.1", true, true},
    {"a neighbour", "192.0.2.1", "192.0.2.200", false, true},
    {"the next /24", "192.0.2.1", "192.0.3.1", false, false},
    {"of one /64", "2001:db8::1", "2001:db8::ffff:1", true, true},
    {"of one /48", "2001:db8:0:1::1", "2001:db8:0:2::1", false, true},
    {"the next /48", "2001:db8:1::1", "2001:db8:2::1", false, false},
    {"the other family", "192.0.2.1", "2001:db8::1", false, false},
};

static struct place_keys
keys_of(const char *text, const struct signature_texts *t)
{
	struct place_keys keys;
	struct addr a;

	assert_true(addr_parse_ip(&a, text, strlen(text)));
	place_keys_make(&keys, &a, t);
	return keys;
}

static void
clients_and_networks(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct place_keys a = keys_of(rows[i].a, NULL);
		struct place_keys b = keys_of(rows[i].b, NULL);

		if ((a.key[PLAN_CAP_CLIENT] == b.key[PLAN_CAP_CLIENT]) !=
			rows[i].same_client ||
		    (a.key[PLAN_CAP_NETWORK] == b.key[PLAN_CAP_NETWORK]) !=
			rows[i].same_network)
			fail_msg("%s", rows[i].label);
		assert_true(a.key[PLAN_CAP_CLIENT] != 0);
		assert_true(a.key[PLAN_CAP_NETWORK] != 0);
		assert_true(a.key[PLAN_CAP_CLIENT] != a.key[PLAN_CAP_NETWORK]);
	}
}

/* The stack is what the path cannot change: not the MSS, not the distance. */
static void
stacks(void **state)
{
	const struct packet near = {"near", .ttl = 64, .window = 64240,
				    .options = LINUX("07")};
	const struct packet far = {"far", .ttl = 50, .window = 64240,
				   .options = LINUX("07")};
	const struct packet other = {"other", .ttl = 128, .window = 64240,
				     .options = WINDOWS("08")};
	static struct signature_texts texts[3];
	struct syn syns[3];
	uint64_t key[3];
	size_t i;

	(void)state;
	syns[0] = packet_syn(&near);
	syns[1] = packet_syn(&far);
	syns[2] = packet_syn(&other);
	for (i = 0; i < 3; i++) {
		signature_texts_make(&texts[i], &syns[i]);
		key[i] = keys_of("192.0.2.1", &texts[i]).key[PLAN_CAP_STACK];
	}
	assert_true(key[0] == key[1]);
	assert_true(key[0] != key[2]);
	assert_true(key[0] != 0 && key[0] == place_keys_stack(&texts[0]));
	assert_true(keys_of("192.0.2.1", NULL).key[PLAN_CAP_STACK] == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clients_and_networks),
	    cmocka_unit_test(stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
