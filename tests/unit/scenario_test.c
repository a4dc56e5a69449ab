#include "proxy/simulate/scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/reputation.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define BOTS "[kind bots]\nper_minute = 60\nnetwork = 192.0.2.0/24\n"
#define CLIENTS "clients = 100\n"
#define LINUX "4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0"

struct read {
	struct arena *arena;
	struct scenario scenario;
	struct report report;
	bool is_well;
};

static void
read_bytes(struct read *r, const char *text, size_t len)
{
	/* fmemopen() takes no empty text */
	FILE *in = fmemopen(NULL, len + 1, "w+");

	assert_non_null(in);
	assert_int_equal(fwrite(text, 1, len, in), len);
	rewind(in);
	memset(&r->report, 0, sizeof(r->report));
	r->arena = arena_new();
	assert_non_null(r->arena);
	r->is_well =
	    scenario_read(&r->scenario, in, "s.ini", r->arena, &r->report);
	assert_int_equal(r->is_well, r->report.mistakes == 0);
	(void)fclose(in);
}

static void
forget(struct read *r)
{
	report_free(&r->report);
	arena_free(r->arena);
}

/* All mistakes, a line each. */
static char *
said(const struct report *report)
{
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	report_print(report, out);
	(void)fclose(out);
	return text;
}

static const struct {
	const char *label;
	const char *text;
	const char *want;
} bad[] = {
    {"nothing", "", "s.ini: has no [kind NAME]: nobody comes\n"},
    {"comments alone", "; one\n\n # two\n",
     "s.ini: has no [kind NAME]: nobody comes\n"},
    {"no kinds", "[scenario]\nfor = 1m\n",
     "s.ini: has no [kind NAME]: nobody comes\n"},
    {"key in front", "for = 1m\n" BOTS CLIENTS,
     "s.ini:1: stands in front of the first [section]\n"},
    {"no key", BOTS CLIENTS "hello\n",
     "s.ini:5: cannot be read, expected \"key = value\" or \"[section]\"\n"},
    {"indented", BOTS " clients = 7\n" CLIENTS,
     "s.ini:4: starts with a blank, expected keys and sections in the first "
     "column (a long list repeats its key)\n"},
    {"no bracket", "[kind bots\n",
     "s.ini:1: section without ], expected [NAME]\n"},
    {"behind the bracket", "[mta] x\n" BOTS CLIENTS,
     "s.ini:1: text behind ], expected nothing or a comment\n"},
    {"unknown section", "[storms]\n",
     "s.ini:1: [storms]: unknown section, expected [scenario], [mta] or "
     "[kind NAME]\n"},
    {"section misspelt", "[kinds bots]\n",
     "s.ini:1: [kinds bots]: unknown section, did you mean [kind NAME]?\n"},
    {"section misspelt, of one", "[scenarion]\n",
     "s.ini:1: [scenarion]: unknown section, did you mean [scenario]?\n"},
    {"kind without a name", "[kind]\n",
     "s.ini:1: [kind ]: expected [kind NAME], a name of letters, digits, - "
     "and _, 32 at most\n"},
    {"kind of odd letters", "[kind b\x1bots]\n",
     "s.ini:1: [kind b?ots]: expected [kind NAME], a name of letters, "
     "digits, - and _, 32 at most\n"},
    {"kind twice", BOTS CLIENTS "[kind bots]\n",
     "s.ini:5: [kind bots]: stands there a second time, first in line 1\n"},
    {"mta twice", "[mta]\n[mta]\n" BOTS CLIENTS,
     "s.ini:2: [mta]: stands there a second time, first in line 1\n"},
    {"mta with a name", "[mta one]\n" BOTS CLIENTS,
     "s.ini:1: [mta one]: has a name, expected [mta]\n"},
    {"unknown key", "[mta]\nbanner = 1s\n" BOTS CLIENTS,
     "s.ini:2: mta.banner: unknown key, expected one of greeting, reply, "
     "dot, max_connections\n"},
    {"key misspelt", BOTS CLIENTS "patiense = 1s\n",
     "s.ini:5: bots.patiense: unknown key, did you mean \"patience\"?\n"},
    {"key of another section", "[mta]\nrtt = 1s\n" BOTS CLIENTS,
     "s.ini:2: mta.rtt: unknown key, expected one of greeting, reply, dot, "
     "max_connections\n"},
    {"key twice", BOTS CLIENTS "clients = 4\n",
     "s.ini:5: bots.clients: stands there a second time, first in line 4\n"},
    {"no rate", "[kind a]\nnetwork = 10.0.0.0/8\n",
     "s.ini:1: a.per_minute: is missing, expected sessions that begin, on "
     "average\n"},
    {"no network", "[kind a]\nper_minute = 1\nclients = 1\n",
     "s.ini:1: a.network: is missing, expected where they come from\n"},
    {"rate of nobody", "[kind a]\nper_minute = 0\nnetwork = 10.0.0.0/8\n",
     "s.ini:2: a.per_minute: 0 is out of bounds, expected 1 to 100000000\n"},
    {"rate with a unit", "[kind a]\nper_minute = 3/s\nnetwork = 10.0.0.0/8\n",
     "s.ini:2: a.per_minute: \"3/s\" is no number, expected 1 to "
     "100000000\n"},
    {"duration without a unit", BOTS CLIENTS "patience = 10\n",
     "s.ini:5: bots.patience: \"10\" has no unit, expected a duration such as "
     "10s (ms, s, m, h, d)\n"},
    {"range without an end", BOTS CLIENTS "patience = 10s..\n", NULL},
    {"range without a beginning", BOTS CLIENTS "patience = ..10s\n", NULL},
    {"range backwards", BOTS CLIENTS "patience = 10s..5s\n",
     "s.ini:5: bots.patience: \"10s..5s\" ends before it begins, expected the "
     "smaller value first\n"},
    {"three dots", BOTS CLIENTS "patience = 1s...5s\n", NULL},
    {"range where none may be", BOTS CLIENTS "retry = 1m..5m\n", NULL},
    {"huge number", BOTS CLIENTS "messages = 99999999999999999999\n", NULL},
    {"too many recipients", BOTS CLIENTS "recipients = 9\n", NULL},
    {"no percent", BOTS CLIENTS "early = 30\n", NULL},
    {"too much percent", BOTS CLIENTS "early = 101%\n", NULL},
    {"no word", BOTS CLIENTS "arrivals = often\n", NULL},
    {"no standing", BOTS CLIENTS "reputation = superb\n", NULL},
    {"flag", BOTS CLIENTS "proven = maybe\n", NULL},
    {"no address", "[kind a]\nper_minute = 1\nnetwork = here\n",
     "s.ini:3: a.network: \"here\" is no network, expected one such as "
     "192.0.2.0/24, 2001:db8::/32 or an address\n"},
    {"bits behind the prefix",
     "[kind a]\nper_minute = 1\nnetwork = 10.0.0.1/8\n",
     "s.ini:3: a.network: \"10.0.0.1/8\" has bits behind its prefix, "
     "expected 10.0.0.0/8\n"},
    {"no room", BOTS "clients = 257\n",
     "s.ini:1: bots.clients: 257 do not fit into its network, which has 256 "
     "addresses\n"},
    {"no room for those that are not named", BOTS,
     "s.ini:1: bots.clients: 1000 do not fit into its network, which has 256 "
     "addresses\n"},
    {"no signature", BOTS CLIENTS "syn = linux\n", NULL},
    {"a pattern", BOTS CLIENTS "syn = *:64:0:*:*,*:mss:*:0\n",
     "s.ini:5: bots.syn: \"*:64:0:*:*,*:mss:*:0\" names more than one SYN, "
     "expected one as the log shows it\n"},
    {"over before it begins", BOTS CLIENTS "from = 5m\nuntil = 1m\n",
     "s.ini:1: bots.until: is not behind from, so nobody comes\n"},
    {"two mistakes", BOTS CLIENTS "early = x\nrtt = y\n", NULL},
};

static void
mistakes_are_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct read r;
		char *text;

		read_bytes(&r, bad[i].text, strlen(bad[i].text));
		text = said(&r.report);
		if (r.is_well)
			fail_msg("%s: nothing was said", bad[i].label);
		/* Where nothing is said of the words: the line is told. */
		if (bad[i].want == NULL ? strstr(text, "s.ini:5: bots.") == NULL
					: strcmp(text, bad[i].want) != 0)
			fail_msg("%s: said %s", bad[i].label, text);
		free(text);
		forget(&r);
	}
}

static void
a_nul_byte_is_told(void **state)
{
	static const char text[] = BOTS CLIENTS "early\0 = 3%\n";
	struct read r;

	(void)state;
	read_bytes(&r, text, sizeof(text) - 1);
	assert_false(r.is_well);
	forget(&r);
}

static void
too_many_kinds_are_told(void **state)
{
	static char text[SCENARIO_KINDS_CAP * 64 + 64];
	size_t len = 0;
	struct read r;
	char *words;

	(void)state;
	for (int i = 0; i <= SCENARIO_KINDS_CAP; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"[kind k%d]\nper_minute = 1\n"
					"network = 10.0.0.0/8\n",
					i);
	read_bytes(&r, text, len);
	words = said(&r.report);
	assert_string_equal(words, "s.ini:193: [kind k64]: one too many, "
				   "expected at most 64\n");
	free(words);
	forget(&r);
}

/* Every prefix of a good file is read without harm. */
static void
a_file_may_end_anywhere(void **state)
{
	static const char text[] =
	    "[scenario]\nfor = 1m\nseed = 4\n[mta]\ndot = 1s..2s\n" BOTS CLIENTS
	    "syn = " LINUX "\npatience = 5s..9s\nreputation = bad\n";
	struct read r;

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		read_bytes(&r, text, len);
		forget(&r);
	}
}

static void
values_are_read(void **state)
{
	static const char text[] =
	    "[scenario]\nfor = 1m ; a while\nmax_sessions = 70\n"
	    "[mta]\ndot = 1s..2s\nmax_connections = 9\n" BOTS CLIENTS
	    "syn = " LINUX "\npatience = 5s..9s\nreputation = bad\n"
	    "ptr = none\nproven = yes\nsize = 1k..4k\nearly = 30%\n"
	    "arrivals = even\nlabel = a b\n";
	const struct scenario_kind *k;
	struct read r;

	(void)state;
	read_bytes(&r, text, strlen(text));
	assert_true(r.is_well);
	assert_int_equal(r.scenario.for_ms, 60000);
	assert_int_equal(r.scenario.seed, 1);
	assert_int_equal(r.scenario.max_sessions, 70);
	assert_int_equal(r.scenario.greeting_ms.low, 20);
	assert_int_equal(r.scenario.greeting_ms.high, 20);
	assert_int_equal(r.scenario.dot_ms.low, 1000);
	assert_int_equal(r.scenario.dot_ms.high, 2000);
	assert_int_equal(r.scenario.max_connections, 9);
	assert_int_equal(r.scenario.kinds_count, 1);
	k = &r.scenario.kinds[0];
	assert_string_equal(k->name, "bots");
	assert_int_equal(k->patience_ms.high, 9000);
	assert_int_equal(k->reputation, REPUTATION_BAD);
	assert_int_equal(k->ptr, EVIDENCE_PTR_NONE);
	assert_int_equal(k->arrivals, ARRIVALS_EVEN);
	assert_int_equal(k->size_bytes.high, 4096);
	assert_int_equal(k->early, 30);
	assert_true(k->is_proven);
	assert_true(k->has_syn);
	assert_string_equal(k->syn_texts.text[SIGNATURE_SYN], LINUX);
	assert_string_equal(k->label, "a b");
	forget(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mistakes_are_told),
	    cmocka_unit_test(a_nul_byte_is_told),
	    cmocka_unit_test(too_many_kinds_are_told),
	    cmocka_unit_test(a_file_may_end_anywhere),
	    cmocka_unit_test(values_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
