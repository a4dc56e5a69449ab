/* Rules that do nothing are told, and others are not. */
#include "tests/unit/config_text.h"

#define SLOW "class = slow\n"
#define HEAD LISTEN "[class slow]\ngreet = 1s\n"
#define NEVER " decides whenever it holds; put it in front\n"

/* Lines are counted from HEAD, which has four. */
static const struct {
	const char *label;
	const char *input;
	const char *want;
} rows[] = {
    {"a network within",
     "[rule a]\nnetwork = 10.0.0.0/8\n" SLOW
     "[rule b]\nnetwork = 10.1.0.0/16\nmss = 1400\nclass = pass\n",
     "F:8: warning: [rule b]: is never reached, [rule a] in line 5" NEVER},
    {"a network that is wider",
     "[rule a]\nnetwork = 10.1.0.0/16\n" SLOW
     "[rule b]\nnetwork = 10.0.0.0/8\nclass = pass\n",
     ""},
    {"IPv4 is not within ::/0",
     "[rule a]\nnetwork = ::/0\n" SLOW
     "[rule b]\nnetwork = 10.0.0.0/8\nclass = pass\n",
     ""},
    {"numbers within",
     "[rule a]\nmss = 1000..1500\n" SLOW
     "[rule b]\nmss = 1100..1200\nclass = pass\n",
     "F:8: warning: [rule b]: is never reached, [rule a] in line 5" NEVER},
    {"numbers that overlap",
     "[rule a]\nmss = 1000..1500\n" SLOW
     "[rule b]\nmss = 1400..1600\nclass = pass\n",
     ""},
    {"one that adds decides nothing",
     "[rule a]\nmss = 1000..1500\nadd = 1\n"
     "[rule b]\nmss = 1100\nclass = pass\n",
     ""},
    {"one in shadow decides nothing",
     "[rule a]\nmss = 1000..1500\nmode = shadow\n" SLOW
     "[rule b]\nmss = 1100\nclass = pass\n",
     ""},
    {"a higher score behind a lower one",
     "[rule a]\nscore = 2..\n" SLOW "[rule b]\nscore = 3..\nclass = pass\n",
     "F:8: warning: [rule b]: is never reached, [rule a] in line 5" NEVER},
    {"a finer pattern behind a coarse one",
     "[rule a]\nfamily = 64:*:*\n" SLOW
     "[rule b]\nsyn = *:64:*:1460:*,*:*:*:*\nclass = pass\n",
     "F:8: warning: [rule b]: is never reached, [rule a] in line 5" NEVER},
    {"a dialect within a wildcard",
     "[rule a]\ndialect = EHLO:*\n" SLOW
     "[rule b]\ndialect = EHLO:x\nclass = pass\n",
     "F:8: warning: [rule b]: is never reached, [rule a] in line 5" NEVER},
    {"not of less behind not of more is reached",
     "[rule a]\nnot.mss = 1000..1500\n" SLOW
     "[rule b]\nnot.mss = 1100\nclass = pass\n",
     ""},
    {"not of more behind not of less",
     "[rule a]\nnot.mss = 1100\n" SLOW
     "[rule b]\nnot.mss = 1000..1500\nclass = pass\n",
     "F:8: warning: [rule b]: is never reached, [rule a] in line 5" NEVER},
    {"unknown is not within",
     "[rule a]\nsyn = *:*:*:*:*,*:*:*:*\n" SLOW
     "[rule b]\nsyn = unknown\nclass = pass\n",
     ""},
    {"one and its contrary",
     "[rule a]\nnetwork = 10.1.0.0/16\nnot.network = 10.0.0.0/8\n" SLOW,
     "F:5: warning: [rule a]: never holds: network = 10.1.0.0/16 and "
     "not.network = 10.0.0.0/8 are not true together\n"},
    {"a number and its contrary",
     "[rule a]\nnot.mss = 1000..1500\nmss = 1100\n" SLOW,
     "F:5: warning: [rule a]: never holds: mss = 1100 and not.mss = "
     "1000..1500 are not true together\n"},
    {"one but for a part of it",
     "[rule a]\nnetwork = 10.0.0.0/8\nnot.network = 10.1.0.0/16\n" SLOW, ""},
    {"no SYN and a stack",
     "[rule a]\nsyn = unknown\nstack = *:64:*:*,*:*:*:*\n" SLOW,
     "F:5: warning: [rule a]: never holds: syn = unknown and stack = "
     "*:64:*:*,*:*:*:* are not true together\n"},
    {"two networks apart",
     "[list far]\nnetwork = 192.0.2.0/24\n"
     "[rule a]\nnetwork = 10.0.0.0/8\nlisted = far\n" SLOW,
     "F:7: warning: [rule a]: never holds: network = 10.0.0.0/8 and listed = "
     "192.0.2.0/24 are not true together\n"},
    {"a condition too many",
     "[rule a]\nfamily = 64:*:*\nstack = *:64:*:*,2:*:*:*\n" SLOW,
     "F:5: warning: [rule a]: family = 64:*:* says nothing beside stack = "
     "*:64:*:*,2:*:*:*; it can go\n"},
    {"more points than there are", "[rule a]\nscore = 100..\n" SLOW,
     "F:6: warning: rule a.score: is never reached: [score] and the rules "
     "above give 12 points at most\n"},
    {"as many as there are", "[rule a]\nscore = 12..\n" SLOW, ""},
    {"with those of a rule above",
     "[rule x]\nmss = 1\nadd = 88\n[rule a]\nscore = 100..\n" SLOW, ""},
    {"but not of one in shadow",
     "[rule x]\nmss = 1\nadd = 88\nmode = shadow\n"
     "[rule a]\nscore = 100..\n" SLOW,
     "F:10: warning: rule a.score: is never reached: [score] and the rules "
     "above give 12 points at most\n"},
    {"more sources than there are", "[rule a]\nsources = 5..\n" SLOW,
     "F:6: warning: rule a.sources: is never reached: [score] and the rules "
     "above give 4 sources at most\n"},
    {"a name that nobody asks for", "[rule a]\nptr = none\n" SLOW,
     "F:5: warning: [rule a]: never holds: dns.ptr is no: no name is asked "
     "for\n"},
    {"lists that there are not", "[rule a]\ndnsbl = 1..\n" SLOW,
     "F:5: warning: [rule a]: never holds: there is no [dnsbl NAME]\n"},
    {"a block list that is asked for nothing",
     "[dnsbl z]\nzone = z.test\n[rule a]\nmss = 1400\n" SLOW,
     "F:5: warning: [dnsbl z]: is asked for nothing, expected a rule with "
     "dnsbl = 1.., or one with score and points for dnsbl in [score]\n"},
    {"an allow list that gives no points",
     "[score]\ndnswl = 0\n[dnswl z]\nzone = z.test\n"
     "[rule a]\nscore = 1..\n" SLOW,
     "F:7: warning: [dnswl z]: is asked for nothing, expected a rule with "
     "dnswl = 1.., or one with score and points for dnswl in [score]\n"},
    {"a block list that a rule asks for",
     "[dnsbl z]\nzone = z.test\n[rule a]\ndnsbl = 1..\n" SLOW, ""},
    {"a block list that gives points",
     "[dnsbl z]\nzone = z.test\n[rule a]\nscore = 1..\n" SLOW, ""},
    {"an allow list that sources ask for",
     "[dnswl z]\nzone = z.test\n[rule a]\nsources = 1..\n" SLOW, ""},
    {"a list that nobody uses", "[list far]\nnetwork = 192.0.2.0/24\n",
     "F:5: warning: [list far]: is used by no rule, expected listed = far in "
     "one\n"},
    {"a list that is used beside another",
     "[list far]\nnetwork = 192.0.2.0/24\n[list near]\nnetwork = ::1\n"
     "[rule a]\nlisted = near, far\n" SLOW,
     ""},
};

static void
what_does_nothing_is_told(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[1024];
		char *said;
		int rc;
		struct config *c;

		(void)snprintf(text, sizeof(text), "%s%s", HEAD, rows[i].input);
		c = load(text, NULL, &rc, &said);
		if (rc != 0 || strcmp(said, rows[i].want) != 0) {
			print_error("%s: got\n%s", rows[i].label, said);
			failed++;
		}
		config_free(c);
		free(said);
	}
	assert_int_equal(failed, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_does_nothing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
