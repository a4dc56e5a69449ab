#include "tests/unit/config_text.h"

/* Each text gets LISTEN in front, 2 lines, if it has no [listen] itself. */
static const struct mistake_row {
	const char *label;
	const char *input;
	const char *want;
} mistakes[] = {
#include "tests/unit/config_mistakes.def"
};

static void
mistakes_are_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
		const struct mistake_row *row = &mistakes[i];
		char text[2000];
		char *said;
		int rc;
		snprintf(text, sizeof(text), "%s%s",
			 strstr(row->input, "[listen") == NULL ? LISTEN : "",
			 row->input);
		config_free(load(text, NULL, &rc, &said));
		if (strcmp(said, row->want) != 0)
			fail_msg("%s: got\n%s", row->label, said);
		if ((rc == 0) !=
		    (*row->want == '\0' || strstr(said, ": warning: ") != NULL))
			fail_msg("%s: rc %d", row->label, rc);
		free(said);
	}
}

static void
values_arrive(void **state)
{
	struct config *c = load_good(
	    "[tarry]\nmax_sessions = 500\nname = mx.example.org\n"
	    "drain_timeout = 1500ms\n"
	    "[listen a]\naddress = 127.0.0.1:25, [::1]:0, [::1]:0\n"
	    "[listen b]\naddress = 127.0.0.1:26\naddress = 127.0.0.1:27\n"
	    "[mta]\naddress = [2001:db8::1]:26\nclient_address = none\n"
	    "max_connections = 7\nconnect_timeout = 3s\npatience = 2s\n"
	    "open_relay_checked = yes\n"
	    "[syn]\nsidecar =\nkernel = no\nlabels = /x\n"
	    "[budget]\nreply = 25s\ndata_reply = 1s\nsession = 5m\n"
	    "[http]\naddress =\n"
	    "[log]\nformat = json\naddresses = none\n");

	(void)state;
	assert_int_equal(c->max_sessions, 500);
	assert_string_equal(c->name, "mx.example.org");
	assert_int_equal(c->drain_timeout_ms, 1500);
	assert_int_equal(c->listeners_count, 2);
	assert_string_equal(c->listeners[0].name, "a");
	assert_int_equal(c->listeners[0].addresses_count, 3);
	assert_int_equal(c->listeners[0].addresses[1].family, 6);
	assert_int_equal(c->listeners[0].addresses[1].port, 0);
	assert_int_equal(c->listeners[1].addresses_count, 2);
	assert_int_equal(c->listeners[1].addresses[1].port, 27);
	assert_int_equal(c->mta.address.family, 6);
	assert_int_equal(c->mta.address.port, 26);
	assert_int_equal(c->mta.client_address, CLIENT_ADDRESS_NONE);
	assert_int_equal(c->mta.max_connections, 7);
	assert_int_equal(c->mta.connect_timeout_ms, 3000);
	assert_int_equal(c->mta.patience_ms, 2000);
	assert_true(c->mta.open_relay_checked);
	assert_string_equal(c->syn.sidecar, "");
	assert_false(c->syn.kernel);
	assert_string_equal(c->syn.labels, "/x");
	assert_int_equal(c->policy.reply_cap_ms, 25000);
	assert_int_equal(c->policy.data_reply_cap_ms, 1000);
	assert_int_equal(c->policy.session_cap_ms, 300000);
	assert_int_equal(c->policy.patience_ms, 2000);
	assert_int_equal(c->http_address.family, 0);
	assert_int_equal(c->log.format, CONFIG_LOG_JSON);
	assert_int_equal(c->log.addresses, CONFIG_LOG_NONE);
	assert_int_equal(c->policy.rules_count, 0);
	config_free(c);
}

/* What looks like a loop and is none. */
static void
mta_on_the_same_port(void **state)
{
	(void)state;
	config_free(load_good("[listen x]\naddress = 0.0.0.0:25\n"
			      "[mta]\naddress = 192.0.2.1:25\n"));
	config_free(load_good("[listen x]\naddress = [::]:25\n"
			      "[mta]\naddress = 127.0.0.1:25\n"));
	config_free(load_good("[listen x]\naddress = 127.0.0.2:25\n"
			      "[mta]\naddress = 127.0.0.1:25\n"));
}

static void
transparency_arrives(void **state)
{
	struct config *c =
	    load_good("[listen a]\naddress = [::]:2500\ntransparent = yes\n"
		      "[mta]\naddress = original\n"
		      "client_address = transparent\n");

	(void)state;
	assert_true(c->listeners[0].is_transparent);
	assert_int_equal(c->listeners[0].addresses_count, 1);
	assert_true(config_is_original(c));
	assert_int_equal(c->mta.client_address, CLIENT_ADDRESS_TRANSPARENT);
	assert_true(config_is_transparent(c));
	config_free(c);
	c = load_good("[listen a]\naddress = 0.0.0.0:25\n"
		      "[mta]\nclient_address = transparent\n");
	assert_false(c->listeners[0].is_transparent);
	assert_false(config_is_original(c));
	assert_true(config_is_transparent(c));
	config_free(c);
	c = load_good("[listen a]\naddress = 0.0.0.0:25, [::]:25\n"
		      "transparent = yes\n");
	assert_true(config_is_transparent(c));
	config_free(c);
	c = load_good(LISTEN);
	assert_false(config_is_transparent(c));
	config_free(c);
}

static void
choices_are_in_the_order_of_their_enums(void **state)
{
	struct config *c = load_good(LISTEN "[mta]\nclient_address = "
					    "proxy_v1\n[log]\naddresses = "
					    "network\n");

	(void)state;
	assert_int_equal(c->mta.client_address, CLIENT_ADDRESS_V1);
	assert_int_equal(c->log.addresses, CONFIG_LOG_NETWORK);
	assert_true(c->policy.is_shadow);
	config_free(c);
	c = load_good(LISTEN "[mta]\nclient_address = proxy_v2\n"
			     "[log]\naddresses = full\nformat = logfmt\n");
	assert_int_equal(c->mta.client_address, CLIENT_ADDRESS_V2);
	assert_int_equal(c->log.addresses, CONFIG_LOG_FULL);
	assert_int_equal(c->log.format, CONFIG_LOG_LOGFMT);
	config_free(c);
}

static void
rules_arrive(void **state)
{
	struct config *c = load_good(
	    LISTEN "[rule a]\nclass = slow\n"
		   "syn = *:128:*:*:8192,*:mss,nop,ws,nop,nop,sok:*:0\n"
		   "syn = unknown\nmss = ..1400\ndistance = 12\n"
		   "label = One, unknown, Two 2\nearly_talker = no\n"
		   "family = 64:*:*\nstack = *:128:*:*,*:*:*:*\n"
		   "network = 192.0.2.1, 2001:db8::/32\nnetwork = 10.0.0.0/8\n"
		   "[class quick]\ngreet = 1s\nreply = 2s\n"
		   "[class slow]\ngreet = 15s\nteaser = yes\nreply = 5s\n"
		   "drip = 2s\nerror = 0\n"
		   "[rule b]\nclass = pass\n");
	const struct policy *p = &c->policy;
	const struct policy_condition *k = p->rules[0].conditions;

	(void)state;
	assert_int_equal(p->classes_count, 2);
	assert_string_equal(p->classes[1].name, "slow");
	assert_int_equal(p->classes[1].greet_ms, 15000);
	assert_true(p->classes[1].teaser);
	assert_int_equal(p->classes[1].reply_ms, 5000);
	assert_int_equal(p->classes[1].drip_ms, 2000);
	assert_int_equal(p->classes[1].error_ms, 0);
	assert_int_equal(p->classes[0].error_ms, 2000); /* as reply */
	assert_int_equal(p->rules_count, 2);
	assert_string_equal(p->rules[0].name, "a");
	assert_int_equal(p->rules[0].class_index, 1);
	assert_int_equal(p->rules[1].class_index, PLAN_CLASS_PASS);
	assert_int_equal(p->rules[1].conditions_count, 0);
	assert_int_equal(p->rules[0].conditions_count, 8);
	assert_int_equal(k[0].kind, EVIDENCE_NETWORK);
	assert_int_equal(k[0].count, 3);
	assert_int_equal(k[0].nets[0].bits, 32);
	assert_int_equal(k[0].nets[1].bits, 104);
	assert_int_equal(k[1].kind, EVIDENCE_SYN);
	assert_int_equal(k[1].count, 1);
	assert_true(k[1].is_unknown);
	assert_int_equal(k[1].patterns[0].ittl, 128);
	assert_int_equal(k[2].patterns[0].level, SIGNATURE_STACK);
	assert_int_equal(k[3].patterns[0].level, SIGNATURE_FAMILY);
	assert_false(k[3].is_unknown);
	assert_int_equal(k[4].count, 2);
	assert_string_equal(k[4].texts[1], "Two 2");
	assert_true(k[4].is_unknown);
	assert_int_equal(k[5].low, 0);
	assert_int_equal(k[5].high, 1400);
	assert_int_equal(k[6].low, 12);
	assert_int_equal(k[6].high, 12);
	assert_int_equal(k[7].kind, EVIDENCE_EARLY_TALKER);
	assert_int_equal(k[7].high, 0);
	config_free(c);
}

static void
acts_and_shapes_arrive(void **state)
{
	struct config *c = load_good(
	    LISTEN "[tarry]\nmode = enforce\nworkers = 64\n"
		   "[mta]\nreserve = 90%\n"
		   "[score]\nearly_talker = -3\n"
		   "[journal]\npath = /j\nsize = 1M\nfiles = 3\n"
		   "[class slow]\ngreet = 1s\ndata_rate = 16k\n"
		   "client_sessions = 2\nnetwork_sessions = 10\n"
		   "stack_sessions = 200\n[class free]\ndata_rate = 0\n"
		   "[rule a]\nadd = -2\nmode = shadow\n"
		   "[rule b]\nclass = defer\nmss = 1\nmode = enforce\n"
		   "[rule c]\nadd = 7\nmss = 2\n"
		   "[rule d]\nclass = slow\nmode = shadow\n"
		   "[rule e]\nclass = slow\n");
	const struct policy *p = &c->policy;

	(void)state;
	assert_false(p->is_shadow);
	assert_int_equal(c->workers, 64);
	assert_int_equal(c->mta.reserve_percent, 90);
	assert_int_equal(p->score.early_talker, -3);
	assert_string_equal(c->journal.path, "/j");
	assert_int_equal(c->journal.size_bytes, 1 << 20);
	assert_int_equal(c->journal.files, 3);
	assert_int_equal(p->classes[0].data_rate, 16384);
	assert_int_equal(p->classes[0].caps[PLAN_CAP_CLIENT], 2);
	assert_int_equal(p->classes[0].caps[PLAN_CAP_NETWORK], 10);
	assert_int_equal(p->classes[0].caps[PLAN_CAP_STACK], 200);
	assert_int_equal(p->classes[1].data_rate, 0);
	assert_int_equal(p->classes[1].caps[PLAN_CAP_CLIENT], 0);
	assert_int_equal(p->classes[1].id, 1);
	assert_true(p->rules[0].is_add && p->rules[0].is_shadow);
	assert_int_equal(p->rules[0].points, -2);
	assert_int_equal(p->rules[1].class_index, PLAN_CLASS_DEFER);
	assert_false(p->rules[1].is_add || p->rules[1].is_shadow);
	assert_int_equal(p->rules[2].points, 7);
	assert_int_equal(p->rules[3].id, 3);
	assert_int_equal(p->open_rank, 1); /* of e, for d is in shadow */
	assert_false(p->counts_matter);
	assert_non_null(p->index);
	config_free(c);
}

/* The first that decides for everyone, and is not in shadow. */
static void
open_rank(void **state)
{
	static const struct {
		const char *text;
		uint8_t want;
	} rows[] = {
	    {"", 0},
	    {"[rule x]\nadd = 1\n", 0},
	    {"[rule x]\nmss = 1\nclass = a\n", 0},
	    {"[rule x]\nadd = 1\n[rule y]\nclass = b\n", 2},
	    {"[rule x]\nmode = shadow\nclass = a\n[rule y]\nclass = b\n", 2},
	    {"[rule x]\nclass = b\n[rule y]\nclass = a\n", 2},
	    {"[rule x]\nclass = pass\n[rule y]\nclass = a\n", 0},
	    {"[rule x]\nclass = defer\n", PLAN_RANK_DEFER},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[200];
		char *said;
		int rc;
		snprintf(text, sizeof(text), LISTEN "[class a]\n[class b]\n%s",
			 rows[i].text);
		struct config *c = load(text, NULL, &rc, &said);
		if (c == NULL || c->policy.open_rank != rows[i].want)
			fail_msg("%s%s", rows[i].text, said);
		config_free(c);
		free(said);
	}
}

static void
negations_and_counters_arrive(void **state)
{
	static const char *const names[] = {
#define EVIDENCE(id, name, type, help) name,
#include "tarry/evidence.def"
#undef EVIDENCE
	};
	char *said;
	int rc;
	struct config *c =
	    load(LISTEN "[rule a]\nclass = pass\nsession.unknown_users = 5..\n"
			"not.syn = unknown\nsyn = *:64:*:*:*,*:*:*:*\n"
			"not.client.rate = ..3\nclient.rate = 2..9\n"
			"not.listener = smtp\n",
		 NULL, &rc, &said);
	const struct policy_rule *rule = &c->policy.rules[0];

	(void)state;
	assert_string_equal(
	    said, "F:3: warning: [rule a]: not.syn = unknown says nothing "
		  "beside syn = *:64:*:*:*,*:*:*:*; it can go\n");
	free(said);
	assert_true(c->policy.counts_matter);
	assert_int_equal(rule->conditions_count, 6);
	for (size_t i = 0; i < rule->conditions_count; i++) {
		const struct policy_condition *k = &rule->conditions[i];
		switch (k->is_not ? k->kind + 100 : k->kind) {
		case EVIDENCE_SYN:
			assert_int_equal(k->count, 1);
			assert_false(k->is_unknown);
			break;
		case EVIDENCE_SYN + 100:
			assert_int_equal(k->count, 0);
			assert_true(k->is_unknown);
			break;
		case EVIDENCE_CLIENT_RATE:
			assert_int_equal(k->low, 2);
			assert_int_equal(k->high, 9);
			break;
		case EVIDENCE_CLIENT_RATE + 100:
			assert_int_equal(k->low, 0);
			assert_int_equal(k->high, 3);
			break;
		case EVIDENCE_LISTENER + 100:
			assert_string_equal(k->texts[0], "smtp");
			break;
		case EVIDENCE_SESSION_UNKNOWN_USERS:
			assert_int_equal(k->low, 5);
			break;
		default:
			fail_msg("%s", names[k->kind]);
		}
	}
	config_free(c);
}

/* One more class than a plan's rank can tell. */
static void
too_many_classes(void **state)
{
	char text[4000] = LISTEN;
	char *said;
	int rc;

	(void)state;
	for (int i = 0; i <= PLAN_CLASSES_CAP; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "[class c%d]\n", i);
	assert_null(load(text, NULL, &rc, &said));
	assert_string_equal(said, "F:65: [class c62]: is one class too many, "
				  "expected at most 62\n");
	free(said);
}

static void
lists_from_files(void **state)
{
	char *path =
	    write_file("# friends\n192.0.2.0/24 ; office\n\n"
		       "10.0.0.0/8, 10.1.2.3 # two\n  2001:db8::1\r\n");
	char *bad = write_file("192.0.2.0/24\nexample.org\n");
	char text[600];
	char want[600];
	char *said;
	int rc;

	(void)state;
	snprintf(text, sizeof(text),
		 LISTEN "[rule a]\nnetwork = 1.2.3.4, @%s, 5.6.7.8\n"
			"class = pass\n",
		 path);
	struct config *c = load_good(text);
	/* In order, IPv6 first, and 10.1.2.3 is in 10.0.0.0/8 already. */
	const struct policy_condition *k = c->policy.rules[0].conditions;
	assert_true(k->is_sorted);
	assert_int_equal(k->count, 5);
	assert_int_equal(k->nets[0].bits, 128);
	assert_int_equal(k->nets[0].ip[0], 0x20);
	assert_int_equal(k->nets[2].ip[12], 5);
	assert_int_equal(k->nets[3].bits, 104);
	assert_int_equal(k->nets[4].bits, 120);
	config_free(c);

	snprintf(text, sizeof(text),
		 LISTEN "[rule a]\nnetwork = @%s\nclass = pass\n", bad);
	snprintf(want, sizeof(want),
		 "%s:2: rule a.network: \"example.org\" is no network, "
		 "expected one such as 192.0.2.0/24, 2001:db8::/32 or an "
		 "address\n",
		 bad);
	assert_null(load(text, NULL, &rc, &said));
	assert_string_equal(said, want);
	free(said);
	unlink(path);
	unlink(bad);
	free(path);
	free(bad);
}

static void
empty_list_file_is_warned_of(void **state)
{
	char *path = write_file("; nobody yet\n\n");
	char text[300];
	char *said;
	int rc;

	(void)state;
	snprintf(text, sizeof(text),
		 LISTEN "[rule a]\nnetwork = @%s\nclass = pass\n", path);
	config_free(load(text, NULL, &rc, &said));
	assert_int_equal(rc, 0);
	assert_string_equal(said, "F:4: warning: rule a.network: its list is "
				  "empty, the rule never holds\n");
	free(said);
	unlink(path);
	free(path);
}

static void
listener_is_needed(void **state)
{
	char *said;
	int rc;

	(void)state;
	assert_null(load("[log]\n", NULL, &rc, &said));
	assert_string_equal(said, "F: there is no [listen NAME], expected "
				  "one, such as [listen smtp] with address = "
				  "0.0.0.0:25\n");
	free(said);
}

static void
options_replace_the_file(void **state)
{
	struct config_options options = {.listen = "127.0.0.1:0,[::1]:0",
					 .mta = "127.0.0.1:26",
					 .client_address = "none",
					 .open_relay_checked = "yes"};
	struct report report = {0};
	struct config *c;
	char *text;

	(void)state;
	assert_int_equal(config_load(&c, NULL, &options, &report), 0);
	assert_int_equal(c->listeners_count, 1);
	assert_int_equal(c->listeners[0].addresses_count, 2);
	assert_int_equal(c->mta.address.port, 26);
	assert_int_equal(c->mta.client_address, CLIENT_ADDRESS_NONE);
	assert_int_equal(c->policy.rules_count, 5);
	text = effective(c);
	assert_non_null(strstr(text, "\n[listen smtp]\naddress = "
				     "127.0.0.1:0,[::1]:0  ; command line\n"));
	assert_non_null(
	    strstr(text, "\nclient_address = none  ; command line\n"));
	assert_non_null(strstr(text, "\nworkers = 1  ; built-in\n"));
	assert_non_null(strstr(text, "\nerror = 2s  ; built-in default\n"));
	free(text);
	config_free(c);

	int rc;
	c = load("[listen a]\naddress = 127.0.0.1:1\n"
		 "[listen b]\naddress = 127.0.0.1:2\n",
		 &options, &rc, &text);
	assert_string_equal(text, "");
	assert_int_equal(c->listeners_count, 1);
	assert_string_equal(c->listeners[0].name, "smtp");
	free(text);
	config_free(c);

	options = (struct config_options){.mta = "10.0.0.1"};
	assert_int_equal(config_load(&c, NULL, &options, &report), -EINVAL);
	assert_int_equal(report.count, 1);
	assert_string_equal(report.notes[0].text,
			    "command line: mta.address: \"10.0.0.1\" has no "
			    "port, expected 10.0.0.1:PORT");
	report_free(&report);
}

static void
files_that_cannot_be_read(void **state)
{
	struct report report = {0};
	struct config *c;

	(void)state;
	assert_int_equal(config_load(&c, "/nonexistent", NULL, &report),
			 -ENOENT);
	assert_null(c);
	assert_string_equal(
	    report.notes[0].text,
	    "/nonexistent: cannot be opened: No such file or directory");
	report_free(&report);
	assert_int_equal(config_load(&c, "/", NULL, &report), -EISDIR);
	assert_string_equal(report.notes[0].text,
			    "/: cannot be read: Is a directory");
	report_free(&report);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mistakes_are_told),
	    cmocka_unit_test(values_arrive),
	    cmocka_unit_test(mta_on_the_same_port),
	    cmocka_unit_test(transparency_arrives),
	    cmocka_unit_test(choices_are_in_the_order_of_their_enums),
	    cmocka_unit_test(rules_arrive),
	    cmocka_unit_test(acts_and_shapes_arrive),
	    cmocka_unit_test(open_rank),
	    cmocka_unit_test(negations_and_counters_arrive),
	    cmocka_unit_test(too_many_classes),
	    cmocka_unit_test(lists_from_files),
	    cmocka_unit_test(empty_list_file_is_warned_of),
	    cmocka_unit_test(listener_is_needed),
	    cmocka_unit_test(options_replace_the_file),
	    cmocka_unit_test(files_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
