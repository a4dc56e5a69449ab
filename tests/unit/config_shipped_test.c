#include "tests/unit/config_text.h"

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
	struct evidence e = {.present = evidence_bit(EVIDENCE_EARLY_TALKER),
			     .early_talker = true};
	struct plan plan = plan_make(p, &e, NULL, NULL);

	(void)state;
	assert_string_equal(policy_class_name(p, plan.class_id), "watch");
	assert_string_equal(policy_rule_name(p, plan.rule_id), "odd");
	e.present = 0;
	plan = plan_make(p, &e, NULL, NULL);
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
	    "[tarry]\nmode = enforce\nworkers = 3\nmax_sessions = 500\nname = "
	    "mx.example.org\n"
	    "drain_timeout = 90s\n"
	    "[listen a]\naddress = 127.0.0.1:25, [::1]:0\n"
	    "[listen b]\naddress = 127.0.0.1:27\n"
	    "[mta]\nclient_address = none\nopen_relay_checked = yes\n"
	    "patience = 2500ms\nreserve = 7%\n"
	    "[syn]\nsidecar =\nkernel = no\n[budget]\nreply = 0\n"
	    "[rule x]\nsyn = *:128:*:*:8192,*:mss,nop,ws,nop,nop,sok:*:0\n"
	    "syn = unknown\nclass = two\nmss = ..1400\n"
	    "[class two]\nerror = 1s\ndata_rate = 1500\nclient_sessions = 3\n"
	    "[class one]\ndata_rate = 2M\n[score]\nearly_talker = -7\n"
	    "[journal]\npath = /j\nsize = 65537\nfiles = 2\n"
	    "[rule p]\nadd = -5\nmode = shadow\nnot.client.rate = 3..\n"
	    "[rule d]\nclass = defer\nsession.errors = 2\n"
	    "[rule y]\nclass = pass\n[http]\naddress =\n[log]\n"
	    "format = json\n",
	    "[listen a]\naddress = [::]:2500\ntransparent = yes\n"
	    "[mta]\naddress = original\nclient_address = transparent\n",
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
		if (!keys[i].is_condition || keys[i].is_not ||
		    key_is_many(&keys[i]))
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
		if (!k->is_built || k->is_not)
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shipped_file_holds_the_defaults),
	    cmocka_unit_test(shipped_policy),
	    cmocka_unit_test(effective_text_loads_to_the_same),
	    cmocka_unit_test(sessions_that_fit),
	    cmocka_unit_test(conditions_are_the_evidence),
	    cmocka_unit_test(man_page_has_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
