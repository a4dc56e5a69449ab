/* Which names are of one pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/evidence/pool.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void
names_have_pools(void **state)
{
	static const struct {
		const char *label;
		const char *ip;
		const char *name;
		const char *want; /* NULL: none */
	} rows[] = {
	    {"provider", "192.0.2.7", "out-7.mail.example.com", "example.com"},
	    {"another host of it", "192.0.2.8", "b.example.com", "example.com"},
	    {"case and final dot", "192.0.2.7", "A.Example.COM.",
	     "example.com"},
	    {"suffix of two labels", "192.0.2.7", "mx.a.example.co.uk",
	     "example.co.uk"},
	    {"the domain itself", "192.0.2.7", "example.org", "example.org"},
	    {"a suffix is nobody's", "192.0.2.7", "co.uk", NULL},
	    {"hosts of one cloud are not its own", "192.0.2.7",
	     "mx.someone.github.io", "someone.github.io"},
	    {"nobody knows the suffix", "192.0.2.7", "a.b.example.test",
	     "example.test"},
	    {"one label", "192.0.2.7", "localhost", NULL},
	    {"two numbers of it", "54.240.8.55", "a8-55.smtp-out.example.com",
	     "example.com"},
	    {"three", "54.240.8.55", "a240-8-55.smtp-out.example.com", NULL},
	    {"all, backwards", "192.0.2.7", "7.2.0.192.dyn.example.net", NULL},
	    {"all, with zeros", "192.0.2.7", "ip192-000-002-007.example.net",
	     NULL},
	    {"a number counts once", "10.10.10.10", "mx10.example.net",
	     "example.net"},
	    {"a number that is another", "1.2.3.4", "h1234.example.net",
	     "example.net"},
	    {"a number that has no end", "1.2.3.4",
	     "h99999999999999999999.example.net", "example.net"},
	    {"hexadecimal", "192.0.2.7", "xC0000207.pool.example.net", NULL},
	    {"IPv6", "2001:db8::7", "mx-2001-db8-7.example.net", "example.net"},
	    {"nothing", "192.0.2.7", "", NULL},
	    {"a dot", "192.0.2.7", ".", NULL},
	    {"longer than a pool's text", "192.0.2.7",
	     "a.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	     ".net",
	     NULL},
	};
	struct pools *p = pools_open();

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char pool[POOL_TEXT_CAP] = "";
		struct addr a;
		bool got;

		assert_true(addr_parse_ip(&a, rows[i].ip, strlen(rows[i].ip)));
		got = pools_find(p, &a, rows[i].name, pool);
		if (got != (rows[i].want != NULL) ||
		    (got && strcmp(pool, rows[i].want) != 0))
			fail_msg("%s: got %s", rows[i].label,
				 got ? pool : "none");
		assert_false(pools_find(NULL, &a, rows[i].name, pool));
	}
	pools_close(p);
	pools_close(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_have_pools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
