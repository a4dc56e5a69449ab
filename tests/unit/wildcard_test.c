#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/relay/tls_ja4.h"
#include "tarry/wildcard.h"

static const struct {
	const char *pattern;
	const char *text;
	bool want;
} rows[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"*", "", true},
    {"*", "abc", true},
    {"**", "abc", true},
    {"abc", "abc", true},
    {"abc", "abcd", false},
    {"abcd", "abc", false},
    {"abc", "aBc", false},
    {"a*", "abc", true},
    {"a*", "bac", false},
    {"*c", "abc", true},
    {"*c", "abcd", false},
    {"a*c", "ac", true},
    {"a*c", "abcbc", true},
    {"a*c", "abcb", false},
    {"*b*", "abc", true},
    {"*b*", "ac", false},
    {"*ab*abc", "ababababc", true},
    {"*aab", "aaaaab", true},
    {"*aab*", "aaaaaxab", false},
    {"a*b*c*d", "a_b_c_d", true},
    {"a*b*c*d", "a_c_b_d", false},
    {"t13d*_8daaf6152771_*", "t13d1516h2_8daaf6152771_e5627efa2ab1", true},
    {"t13d*_8daaf6152771_*", "t13i1516h2_8daaf6152771_e5627efa2ab1", false},
    {"t*,c014,*_*", "t12i0202_c013,c014,c02f_0005", true},
    {"t*,c014,*_*", "t12i0202_c014,c02f_0005", false},
};

static void
wildcards(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (wildcard_match(rows[i].pattern, rows[i].text) !=
		    rows[i].want)
			fail_msg("%s, %s", rows[i].pattern, rows[i].text);
	}
}

/* Texts and hashes that JA4's authors print, and what has no list to hash. */
static const struct {
	const char *raw;
	const char *want;
} hashes[] = {
    {"t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,"
     "c030,cca8,cca9_0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,"
     "0033,4469,ff01_0403,0804,0401,0503,0805,0501,0806,0601",
     "t13d1516h2_8daaf6152771_e5627efa2ab1"},
    {"t12i010000_002f_", "t12i010000_ba72b8082249_000000000000"},
    {"t12i000000__", "t12i000000_000000000000_000000000000"},
    {"t12i000100__0017", "t12i000100_000000000000_1ca028f07214"},
};

static void
hashes_of_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		char text[JA4_CAP];

		tls_ja4(hashes[i].raw, text);
		assert_string_equal(text, hashes[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wildcards),
	    cmocka_unit_test(hashes_of_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
