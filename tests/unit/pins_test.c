/* Pins: what is one, which holds of several, when it ends, how many fit. */
#include "proxy/memory/pins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1000000u

static struct pin
pin_of(const char *who, enum reputation_standing standing, uint64_t until_ms)
{
	struct pin pin;

	assert_true(pin_read(&pin, who));
	pin.standing = standing;
	pin.until_ms = until_ms;
	return pin;
}

static void
put(struct pins *p, const char *who, enum reputation_standing standing)
{
	const struct pin pin = pin_of(who, standing, NOW + 1000);

	assert_true(pins_set(p, &pin, NOW));
}

/* What holds of that client, at that time; -1: nothing. */
static int
found(struct pins *p, const char *client, const struct syn *syn, uint64_t now)
{
	struct addr addr;
	enum reputation_standing standing;

	assert_true(addr_parse_ip(&addr, client, strlen(client)));
	if (!pins_find(p, &addr, syn, now, &standing))
		return -1;
	return (int)standing;
}

static void
what_is_a_pin(void **state)
{
	static const char *const good[] = {
	    "192.0.2.1", "192.0.2.0/24", "2001:db8::/32",
	    "64:*:", "4:64:0:M,10:mss,sok,ts,nop,ws:df,id+:0"};
	static const char *const bad[] = {"",		"moon", "192.0.2.1/24",
					  "192.0.2.1 ", "1:2",	"*"};
	char lengthy[SIGNATURE_TEXT_CAP + 1];
	struct pin pin;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!pin_read(&pin, good[i]))
			fail_msg("%s is one", good[i]);
		assert_string_equal(pin.who, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (pin_read(&pin, bad[i]))
			fail_msg("\"%s\" is none", bad[i]);
	}
	memset(lengthy, '*', SIGNATURE_TEXT_CAP);
	lengthy[SIGNATURE_TEXT_CAP] = '\0';
	assert_false(pin_read(&pin, lengthy));
}

static void
the_nearest_holds(void **state)
{
	struct pins *p = pins_new();
	const struct syn syn = {.version = 4, .ttl = 64};

	(void)state;
	assert_int_equal(found(p, "192.0.2.1", &syn, NOW), -1);
	put(p, "*:*:*", REPUTATION_BAD);
	put(p, "192.0.2.0/24", REPUTATION_SUSPECT);
	put(p, "192.0.2.1", REPUTATION_GOOD);
	put(p, "192.0.0.0/16", REPUTATION_BAD);
	assert_int_equal(found(p, "192.0.2.1", &syn, NOW), REPUTATION_GOOD);
	assert_int_equal(found(p, "192.0.2.2", &syn, NOW), REPUTATION_SUSPECT);
	assert_int_equal(found(p, "192.0.3.1", &syn, NOW), REPUTATION_BAD);
	assert_int_equal(found(p, "10.0.0.1", &syn, NOW), REPUTATION_BAD);
	assert_int_equal(found(p, "10.0.0.1", NULL, NOW), -1);
	assert_true(pins_unset(p, "192.0.2.1", NOW));
	assert_false(pins_unset(p, "192.0.2.1", NOW));
	assert_int_equal(found(p, "192.0.2.1", &syn, NOW), REPUTATION_SUSPECT);
	pins_free(p);
}

static void
its_time_ends_it(void **state)
{
	struct pins *p = pins_new();
	static struct pin all[PINS_CAP];

	(void)state;
	put(p, "192.0.2.1", REPUTATION_BAD);
	assert_int_equal(found(p, "192.0.2.1", NULL, NOW + 999),
			 REPUTATION_BAD);
	assert_int_equal(found(p, "192.0.2.1", NULL, NOW + 1000), -1);
	assert_int_equal(pins_list(p, NOW + 999, all), 1);
	assert_int_equal(pins_list(p, NOW + 1000, all), 0);
	assert_false(pins_unset(p, "192.0.2.1", NOW));
	pins_free(p);
}

/* Those that are over make room, and one more for the same text takes none. */
static void
so_many_fit(void **state)
{
	struct pins *p = pins_new();
	char who[32];
	struct pin pin;

	(void)state;
	for (unsigned i = 0; i < PINS_CAP; i++) {
		snprintf(who, sizeof(who), "10.0.%u.0/24", i);
		put(p, who, REPUTATION_BAD);
	}
	pin = pin_of("192.0.2.1", REPUTATION_BAD, NOW + 5000);
	assert_false(pins_set(p, &pin, NOW));
	put(p, "10.0.7.0/24", REPUTATION_GOOD);
	assert_int_equal(found(p, "10.0.7.1", NULL, NOW), REPUTATION_GOOD);
	assert_true(pins_set(p, &pin, NOW + 1000));
	pins_free(p);
}

/* Who writes them down is to know when. */
static void
changes_are_counted(void **state)
{
	struct pins *p = pins_new();
	uint32_t before = pins_changes(p);

	(void)state;
	put(p, "192.0.2.1", REPUTATION_BAD);
	assert_int_not_equal(pins_changes(p), before);
	before = pins_changes(p);
	assert_false(pins_unset(p, "192.0.2.2", NOW));
	assert_int_equal(pins_changes(p), before);
	assert_true(pins_unset(p, "192.0.2.1", NOW));
	assert_int_not_equal(pins_changes(p), before);
	pins_free(p);
}

static void
good_is_proven(void **state)
{
	struct reputation r;

	(void)state;
	pin_apply(&r, REPUTATION_GOOD);
	assert_true(r.is_proven && r.is_pinned);
	pin_apply(&r, REPUTATION_BAD);
	assert_true(!r.is_proven && r.is_pinned);
	assert_int_equal(r.standing, REPUTATION_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_a_pin),
	    cmocka_unit_test(the_nearest_holds),
	    cmocka_unit_test(its_time_ends_it),
	    cmocka_unit_test(so_many_fit),
	    cmocka_unit_test(changes_are_counted),
	    cmocka_unit_test(good_is_proven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
