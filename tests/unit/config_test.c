#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/config/config.h"
#include "proxy/config/keys.h"
#include "proxy/config/value.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define LISTEN "[listen smtp]\naddress = 127.0.0.1:2500\n"

/* A file with this text. unlink() and free() it. */
static char *
write_file(const char *text)
{
	char *path = strdup("/tmp/config_test.XXXXXX");
	int fd;

	assert_non_null(path);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

/* Loads a text; rc in *rc, the report as text, in which `F` is the file. */
static struct config *
load(const char *text, const struct config_options *options, int *rc,
     char **said)
{
	struct report report = {0};
	struct config *config;
	char *path = write_file(text);
	size_t said_len;
	FILE *out = open_memstream(said, &said_len);

	*rc = config_load(&config, path, options, &report);
	assert_int_equal(*rc == 0, report.mistakes == 0);
	assert_int_equal(*rc == 0, config != NULL);
	for (size_t i = 0; i < report.count; i++) {
		const char *note = report.notes[i].text;
		size_t len = strlen(path);
		if (strncmp(note, path, len) == 0)
			fprintf(out, "F%s\n", note + len);
		else
			fprintf(out, "%s\n", note);
	}
	fclose(out);
	report_free(&report);
	unlink(path);
	free(path);
	return config;
}

/* A text that must load without a word. */
static struct config *
load_good(const char *text)
{
	char *said;
	int rc;
	struct config *config = load(text, NULL, &rc, &said);

	if (rc != 0 || *said != '\0')
		fail_msg("%s", said);
	free(said);
	return config;
}

static struct config *
load_built_in(void)
{
	struct report report = {0};
	struct config *config;

	if (config_load(&config, NULL, NULL, &report) != 0)
		fail_msg("%s", report.notes[0].text);
	assert_int_equal(report.count, 0);
	return config;
}

/* What config_print_effective() prints; free() it. */
static char *
effective(const struct config *config)
{
	FILE *out = tmpfile();
	char *text;
	long len;

	assert_non_null(out);
	config_print_effective(config, out);
	len = ftell(out);
	assert_true(len > 0);
	text = calloc(1, (size_t)len + 1);
	assert_non_null(text);
	rewind(out);
	assert_int_equal(fread(text, 1, (size_t)len, out), len);
	fclose(out);
	return text;
}

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
		if ((rc == 0) != (strstr(said, ": warning: ") != NULL))
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
choices_are_in_the_order_of_their_enums(void **state)
{
	struct config *c = load_good(LISTEN "[mta]\nclient_address = "
					    "proxy_v1\n[log]\naddresses = "
					    "network\n");

	(void)state;
	assert_int_equal(c->mta.client_address, CLIENT_ADDRESS_V1);
	assert_int_equal(c->log.addresses, CONFIG_LOG_NETWORK);
	assert_int_equal(c->mode, CONFIG_ENFORCE);
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
		   "family = 64:*:*\nstack = *:64:*:*,*:*:*:*\n"
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
	assert_int_equal(p->rules[0].class_id, 1);
	assert_int_equal(p->rules[1].class_id, PLAN_CLASS_PASS);
	assert_int_equal(p->rules[1].conditions_count, 0);
	assert_int_equal(p->rules[0].conditions_count, EVIDENCE_COUNT);
	assert_int_equal(k[0].kind, EVIDENCE_NETWORK);
	assert_int_equal(k[0].count, 3);
	assert_int_equal(k[0].nets[1].bits, 32);
	assert_int_equal(k[0].nets[2].bits, 104);
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
	assert_int_equal(c->policy.rules[0].conditions[0].count, 6);
	assert_int_equal(c->policy.rules[0].conditions[0].nets[4].bits, 128);
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
	assert_int_equal(c->policy.rules_count, 2);
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
			    "port, expected 10.0.0.1:25");
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

/* The line of a key in an effective text, without `\n`; free() it. */
static char *
line_of(const char *text, const struct key *key)
{
	char want[64];
	const char *at;

	snprintf(want, sizeof(want), "\n[%s]\n", key->section);
	at = strstr(text, want);
	assert_non_null(at);
	snprintf(want, sizeof(want), "\n%s = ", key->name);
	at = strstr(at + 1, want);
	assert_non_null(at);
	return strndup(at + 1, strcspn(at + 1, "\n"));
}

/* The shipped file has every key with a default, and that default. */
static void
shipped_file_holds_the_defaults(void **state)
{
	struct config *shipped = load_built_in();
	struct config *bare = load_good(LISTEN);
	char *shipped_text = effective(shipped);
	char *bare_text = effective(bare);
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < keys_count; i++) {
		const struct key *k = &keys[i];
		if (!k->is_built ||
		    section_find(k->section)->naming != SECTION_ONE)
			continue;
		char *a = line_of(shipped_text, k);
		char *b = line_of(bare_text, k);
		size_t a_len = strlen(a) - strlen("  ; built-in");
		size_t b_len = strlen(b) - strlen("  ; built-in default");
		if (a_len != b_len || strncmp(a, b, a_len) != 0 ||
		    strcmp(a + a_len, "  ; built-in") != 0 ||
		    strcmp(b + b_len, "  ; built-in default") != 0)
			fail_msg("%s.%s: %s, default %s", k->section, k->name,
				 a, b);
		free(a);
		free(b);
		seen++;
	}
	assert_true(seen >= 20);
	free(shipped_text);
	free(bare_text);
	config_free(shipped);
	config_free(bare);
}

static void
shipped_policy(void **state)
{
	struct config *c = load_built_in();
	const struct policy *p = &c->policy;
	struct evidence e = {.present = 1u << EVIDENCE_EARLY_TALKER,
			     .early_talker = true};
	struct plan plan = plan_make(p, &e, NULL);

	(void)state;
	assert_string_equal(policy_class_name(p, plan.class_id), "watch");
	assert_string_equal(policy_rule_name(p, plan.rule_id), "early");
	e.present = 0;
	plan = plan_make(p, &e, NULL);
	assert_string_equal(policy_class_name(p, plan.class_id), "new");
	assert_int_equal(plan.greet_ms, 3000);
	assert_true(plan.teaser);
	assert_int_equal(p->classes_count, 4);
	assert_string_equal(p->classes[3].name, "tarpit");
	config_free(c);
}

/* What stands in front of the origins, which differ. */
static char *
without_origins(const char *text)
{
	char *out = strdup(text);
	char *to = out;

	assert_non_null(out);
	while (*text != '\0') {
		if (strncmp(text, "  ; ", 4) == 0)
			text += strcspn(text, "\n");
		else
			*to++ = *text++;
	}
	*to = '\0';
	return out;
}

static void
effective_text_loads_to_the_same(void **state)
{
	static const char *const texts[] = {
	    NULL,
	    "[tarry]\nmax_sessions = 500\nname = mx.example.org\n"
	    "drain_timeout = 90s\n"
	    "[listen a]\naddress = 127.0.0.1:25, [::1]:0\n"
	    "[listen b]\naddress = 127.0.0.1:27\n"
	    "[mta]\nclient_address = none\nopen_relay_checked = yes\n"
	    "patience = 2500ms\n"
	    "[syn]\nsidecar =\nkernel = no\n[budget]\nreply = 0\n"
	    "[rule x]\nsyn = *:128:*:*:8192,*:mss,nop,ws,nop,nop,sok:*:0\n"
	    "syn = unknown\nclass = two\nmss = ..1400\n"
	    "[class two]\nerror = 1s\n[class one]\n"
	    "[rule y]\nclass = pass\n[http]\naddress =\n[log]\n"
	    "format = json\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		char *said;
		int rc = 0;
		struct config *c = load_built_in();
		if (texts[i] != NULL) {
			config_free(c);
			c = load(texts[i], NULL, &rc, &said);
			free(said);
		}
		assert_non_null(c);
		char *first = effective(c);
		config_free(c);
		c = load(first, NULL, &rc, &said);
		if (c == NULL)
			fail_msg("%s", said);
		char *second = effective(c);
		char *a = without_origins(first);
		char *b = without_origins(second);
		assert_string_equal(a, b);
		config_free(c);
		free(said);
		free(first);
		free(second);
		free(a);
		free(b);
	}
}

static void
sessions_that_fit(void **state)
{
	static const struct {
		const char *label;
		const char *max_sessions;
		uint64_t nofile;
		uint32_t want;
	} rows[] = {
	    {"1024", "auto", 1024, 653},
	    {"20000", "auto", 20000, 18680},
	    {"none", "auto", 336, 0},
	    {"fewer", "auto", 10, 0},
	    {"one and a half", "auto", 338, 1},
	    {"no limit", "auto", UINT64_MAX, UINT32_MAX},
	    {"asked for less", "100", 1024, 100},
	    {"asked for more", "5000", 1024, 653},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[200];
		snprintf(text, sizeof(text),
			 LISTEN "[tarry]\nmax_sessions = %s\n",
			 rows[i].max_sessions);
		struct config *c = load_good(text);
		uint32_t got = config_max_sessions(c, rows[i].nofile);
		if (got != rows[i].want)
			fail_msg("%s: got %" PRIu32, rows[i].label, got);
		config_free(c);
	}
}

/* Each condition of a rule is a row of evidence.def, in its order. */
static void
conditions_are_the_evidence(void **state)
{
	static const char *const names[] = {
#define EVIDENCE(id, name, type, help) name,
#include "tarry/evidence.def"
#undef EVIDENCE
	};
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < keys_count; i++) {
		if (!keys[i].is_condition)
			continue;
		assert_int_equal(keys[i].evidence, seen);
		assert_string_equal(keys[i].name, names[seen]);
		seen++;
	}
	assert_int_equal(seen, EVIDENCE_COUNT);
}

static char *
read_file(const char *path)
{
	char *text = NULL;
	size_t cap = 0;
	FILE *in = fopen(path, "re");

	if (in == NULL)
		fail_msg("%s cannot be opened", path);
	assert_true(getdelim(&text, &cap, '\0', in) > 0);
	fclose(in);
	return text;
}

/*
 * The man page has a part for each section, and in it an item for each key
 * with its default and its help, which are the words of keys.def.
 */
static void
man_page_has_every_key(void **state)
{
	char *page = read_file("docs/tarry.ini.5");
	const char *part = page;
	char want[400];

	(void)state;
	for (size_t i = 0; i < keys_count; i++) {
		const struct key *k = &keys[i];
		if (!k->is_built)
			continue;
		if (i == 0 || strcmp(k->section, keys[i - 1].section) != 0) {
			snprintf(
			    want, sizeof(want), "\n.Ss \\&[%s%s]\n", k->section,
			    section_find(k->section)->naming == SECTION_NAMED
				? " NAME"
				: "");
			part = strstr(page, want);
			if (part == NULL)
				fail_msg("no %s", want);
		}
		snprintf(want, sizeof(want), "\n.It Ic %s = Ar ", k->name);
		const char *item = strstr(part, want);
		const char *end = strstr(part + 1, "\n.Ss ");
		if (item == NULL || (end != NULL && item > end))
			fail_msg("[%s] has no item %s", k->section, k->name);
		if (*k->fallback == '\0')
			continue;
		snprintf(want, sizeof(want), "\nDefault:\n.Ql %s .\n",
			 k->fallback);
		const char *fallback = strstr(item + 1, want);
		end = strstr(item + 1, "\n.It ");
		if (fallback == NULL || (end != NULL && fallback > end))
			fail_msg("%s.%s: no default %s", k->section, k->name,
				 k->fallback);
	}
	free(page);
}

static void
value_texts(void **state)
{
	static const struct {
		const char *label;
		char kind; /* d, s, %, n, r */
		const char *text;
		bool is_good;
		uint32_t want;
		uint32_t want_high;
	} rows[] = {
	    {"ms", 'd', "500ms", true, 500, 0},
	    {"s", 'd', "5s", true, 5000, 0},
	    {"m", 'd', "2m", true, 120000, 0},
	    {"h", 'd', "1h", true, 3600000, 0},
	    {"d", 'd', "7d", true, 604800000, 0},
	    {"zero", 'd', "0", true, 0, 0},
	    {"zeros", 'd', "00s", true, 0, 0},
	    {"bare", 'd', "5", false, 0, 0},
	    {"unit alone", 'd', "s", false, 0, 0},
	    {"unit in capitals", 'd', "5S", false, 0, 0},
	    {"two", 'd', "1h30m", false, 0, 0},
	    {"negative", 'd', "-5s", false, 0, 0},
	    {"overflow", 'd', "99999999999999999999d", false, 0, 0},
	    {"49 days", 'd', "49d", true, 4233600000u, 0},
	    {"50 days", 'd', "50d", false, 0, 0},
	    {"bytes", 's', "4096", true, 4096, 0},
	    {"k", 's', "64k", true, 65536, 0},
	    {"M", 's', "1M", true, 1048576, 0},
	    {"G", 's', "3G", true, 3221225472u, 0},
	    {"too many G", 's', "4G", false, 0, 0},
	    {"K", 's', "64K", false, 0, 0},
	    {"no size", 's', "k", false, 0, 0},
	    {"percent", '%', "50%", true, 50, 0},
	    {"all", '%', "100%", true, 100, 0},
	    {"more than all", '%', "101%", false, 0, 0},
	    {"bare percent", '%', "50", false, 0, 0},
	    {"count", 'n', "4294967295", true, UINT32_MAX, 0},
	    {"count above", 'n', "4294967296", false, 0, 0},
	    {"count with blank", 'n', "4 ", false, 0, 0},
	    {"range", 'r', "3..7", true, 3, 7},
	    {"range up", 'r', "3..", true, 3, UINT32_MAX},
	    {"range down", 'r', "..7", true, 0, 7},
	    {"range of one", 'r', "7", true, 7, 7},
	    {"range upside down", 'r', "7..3", false, 0, 0},
	    {"range of nothing", 'r', "..", false, 0, 0},
	    {"range empty", 'r', "", false, 0, 0},
	    {"range of three dots", 'r', "3...7", false, 0, 0},
	    {"range of two", 'r', "1..2..3", false, 0, 0},
	    {"range with a dash", 'r', "3-7", false, 0, 0},
	    {"range above", 'r', "0..4294967296", false, 0, 0},
	};
	const uint32_t max = UINT32_MAX;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *text = rows[i].text;
		struct value_why why = {""};
		uint32_t a = 0;
		uint32_t b = 0;
		bool is_good =
		    rows[i].kind == 'd' ? value_duration(text, 0, max, &a, &why)
		    : rows[i].kind == 's' ? value_size(text, 0, max, &a, &why)
		    : rows[i].kind == '%' ? value_percent(text, &a, &why)
		    : rows[i].kind == 'n'
			? value_count(text, 0, max, &a, &why)
			: value_range(text, 0, max, &a, &b, &why);
		if (is_good != rows[i].is_good ||
		    (is_good && (a != rows[i].want || b != rows[i].want_high)))
			fail_msg("%s: got %d %" PRIu32 " %" PRIu32 " %s",
				 rows[i].label, is_good, a, b, why.text);
		assert_int_equal(is_good, why.text[0] == '\0');
	}
}

static void
word_distances(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		unsigned want;
	} rows[] = {
	    {"", "", 0},
	    {"abc", "abc", 0},
	    {"abc", "abd", 1},
	    {"abc", "ac", 1},
	    {"ac", "abc", 1},
	    {"abc", "acb", 1},
	    {"kitten", "sitting", 3},
	    {"", "abc", 3},
	    {"abcd", "badc", 2},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (word_distance(rows[i].a, rows[i].b) != rows[i].want)
			fail_msg("%s %s: got %u", rows[i].a, rows[i].b,
				 word_distance(rows[i].a, rows[i].b));
	}
}

static void
report_is_bounded(void **state)
{
	struct report report = {0};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (unsigned i = 0; i < REPORT_NOTES_CAP + 7; i++)
		report_add(&report, REPORT_MISTAKE, "f", 1000 - i, "x\x1by");
	report_sort(&report);
	assert_int_equal(report.count, REPORT_NOTES_CAP);
	assert_int_equal(report.mistakes, REPORT_NOTES_CAP + 7);
	assert_string_equal(report.notes[0].text, "f:801: x?y");
	report_print(&report, out);
	fclose(out);
	assert_non_null(strstr(text, "f:1000: x?y\nand 7 more\n"));
	free(text);
	report_free(&report);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mistakes_are_told),
	    cmocka_unit_test(values_arrive),
	    cmocka_unit_test(mta_on_the_same_port),
	    cmocka_unit_test(choices_are_in_the_order_of_their_enums),
	    cmocka_unit_test(rules_arrive),
	    cmocka_unit_test(lists_from_files),
	    cmocka_unit_test(empty_list_file_is_warned_of),
	    cmocka_unit_test(listener_is_needed),
	    cmocka_unit_test(options_replace_the_file),
	    cmocka_unit_test(files_that_cannot_be_read),
	    cmocka_unit_test(shipped_file_holds_the_defaults),
	    cmocka_unit_test(shipped_policy),
	    cmocka_unit_test(effective_text_loads_to_the_same),
	    cmocka_unit_test(sessions_that_fit),
	    cmocka_unit_test(conditions_are_the_evidence),
	    cmocka_unit_test(man_page_has_every_key),
	    cmocka_unit_test(value_texts),
	    cmocka_unit_test(word_distances),
	    cmocka_unit_test(report_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
