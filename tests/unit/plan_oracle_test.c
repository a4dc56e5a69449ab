/*
 * The compiled rules decide as the plain loop does: random files, random
 * clients, the same plan and the same trace. The plain loop reads the same
 * rules without any index, its lists one item after the other.
 */
#include "tests/unit/config_text.h"

#include "tarry/explain.h"

#define FILES_COUNT 1000
#define CLIENTS_COUNT 100 /* a file: 100,000 cases */

static uint64_t random_state;

static uint32_t
draw(uint32_t count)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % count;
}

#define PICK(array) ((array)[draw(COUNT_OF(array))])

static const char *const nets[] = {
    "0.0.0.0/0",     "10.0.0.0/8",	"10.1.0.0/16",
    "10.1.2.0/24",   "10.1.2.3",	"10.1.2.4",
    "10.2.0.0/16",   "192.0.2.0/24",	"192.0.2.7",
    "::/0",	     "::/80",		"::/96",
    "2001:db8::/32", "2001:db8:1::/48", "2001:db8::1",
    "8000::/1",	     "10.1.2.0/31",	"2001:db8:0:1::/64",
};
static const char *const labels[] = {"Linux", "LINUX",	 "Windows 10",
				     "BSD",   "linux 2", "a"};
static const char *const layouts[] = {
    "*", "mss", "mss,nop,ws,nop,nop,sok", "mss,sok,ts,nop,ws", "mss,eol+1", ""};
static const char *const ttls[] = {"*", "64", "128", "32", "60", "64-", "255"};
static const char *const sizes[] = {"*", "1460", "1400", "1300-1450", "0"};
static const char *const windows[] = {"*",     "8192",	 "mss*2",  "mtu*2", "M",
				      "%1024", "1-9000", "mss*44", "64240"};
static const char *const scales[] = {"*", "7", "0", "0-9"};
static const char *const dialect_patterns[] = {
    "unknown", "EHLO:*", "HELO:*", "*:mail.FROM<:*", "*:DATA:-", "*"};
static const char *const ja4_patterns[] = {
    "t13i*",
    "t13d31*",
    "*_c66346c74e42_*",
    "t*_1301,*",
    "*,c014,*_*",
    "*",
    "t13i871000_c66346c74e42_24695f2957a7"};
static const char *const lists[] = {"few", "many", "none"};
static const char *const networks[] = {"1, 3", "2..", "unknown", "unknown, 2"};
static const char *const zones[] = {"dnsbl", "dnsbl.a", "dnsbl.b", "dnswl.c"};
static const char *const numbers[] = {"mss",
				      "distance",
				      "syn_retransmits",
				      "session.errors",
				      "session.recipients",
				      "session.messages",
				      "session.unknown_users",
				      "client.sessions",
				      "network.sessions",
				      "stack.sessions",
				      "client.rate",
				      "score",
				      "sources"};

static void
put_pattern(FILE *out)
{
	static const char *const kinds[] = {"syn", "stack", "family"};
	const uint32_t key = draw(3);

	fprintf(out, "%s%s = ", draw(4) == 0 ? "not." : "", kinds[key]);
	if (draw(8) == 0) {
		fputs("unknown\n", out);
		return;
	}
	if (key == 2) {
		fprintf(out, "%s:%s:*\n", PICK(ttls), PICK(layouts));
		return;
	}
	fprintf(out, "%s:%s:*:", draw(3) == 0 ? "4" : "*", PICK(ttls));
	if (key == 0)
		fprintf(out, "%s:", PICK(sizes));
	fprintf(out, "%s,%s:%s:*:*\n", PICK(windows), PICK(scales),
		PICK(layouts));
}

static void
put_list(FILE *out, const char *key, const char *const *items, uint32_t count)
{
	fprintf(out, "%s%s = %s", draw(4) == 0 ? "not." : "", key,
		items[draw(count)]);
	for (int i = 0; i < 8 && draw(3) > 0; i++)
		fprintf(out, ", %s", items[draw(count)]);
	fputc('\n', out);
}

static void
put_number(FILE *out, const char *key)
{
	uint32_t low = draw(4);

	fprintf(out, "%s%s = ", draw(3) == 0 ? "not." : "", key);
	if (strcmp(key, "mss") == 0)
		low = draw(2) * 1460;
	if (draw(2) == 0)
		fprintf(out, "%" PRIu32 "..\n", low);
	else
		fprintf(out, "%" PRIu32 "..%" PRIu32 "\n", low, low + draw(3));
}

/* Conditions of one key at most, as the file wants it; lists may repeat. */
static void
put_conditions(FILE *out)
{
	const uint32_t patterns = draw(3) == 0 ? 1 + draw(14) : 0;

	for (uint32_t i = 0; i < patterns; i++)
		put_pattern(out);
	while (draw(3) == 0)
		put_list(out, "network", nets, COUNT_OF(nets));
	while (draw(5) == 0)
		put_list(out, "listed", lists, COUNT_OF(lists));
	if (draw(6) == 0)
		put_number(out, PICK(zones));
	if (draw(9) == 0)
		fprintf(out, "%sasn = %s\n", draw(2) ? "not." : "",
			PICK(networks));
	if (draw(4) == 0)
		put_list(out, "label", labels, COUNT_OF(labels));
	if (draw(20) == 0)
		fputs("label = unknown\n", out);
	if (draw(3) == 0)
		put_number(out, PICK(numbers));
	if (draw(8) == 0)
		fputs("early_talker = yes\n", out);
	if (draw(8) == 0)
		fputs("pipelining = yes\n", out);
	if (draw(8) == 0)
		fputs("not.non_smtp = no\n", out);
	if (draw(8) == 0)
		fputs("ja4 = unknown\n", out);
	for (uint32_t i = draw(6) == 0 ? 1 + draw(3) : 0; i > 0; i--)
		fprintf(out, "ja4 = %s\n", PICK(ja4_patterns));
	for (uint32_t i = draw(6) == 0 ? 1 + draw(3) : 0; i > 0; i--)
		fprintf(out, "dialect = %s\n", PICK(dialect_patterns));
	if (draw(20) == 0)
		fprintf(out, "not.dialect = %s\n", PICK(dialect_patterns));
	if (draw(20) == 0)
		fprintf(out, "not.ja4 = %s\n", PICK(ja4_patterns));
	if (draw(10) == 0)
		fprintf(out, "%slistener = %s\n", draw(2) ? "not." : "",
			draw(2) ? "smtp" : "two");
}

static char *
random_file(void)
{
	static const char *const classes[] = {"a", "b", "c", "pass", "defer"};
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const uint32_t count = draw(draw(4) == 0 ? 60 : 12);

	assert_non_null(out);
	fprintf(out,
		LISTEN "[listen two]\naddress = 127.0.0.1:2501\n"
		       "[tarry]\nmode = %s\n[class a]\ngreet = 1s\n"
		       "[class b]\ngreet = 9s\nreply = 3s\n"
		       "data_rate = 1\n[class c]\nerror = 4s\n"
		       "[list few]\nnetwork = 10.1.2.3, 2001:db8::/32\n"
		       "[list many]\nnetwork = 10.0.0.0/8, 10.1.2.0/31\n"
		       "network = 192.0.2.0/24, 9000::/16, ::1\n"
		       "[list none]\nnetwork = 203.0.113.1\n"
		       "[dnsbl a]\nzone = a.test\n"
		       "[dnsbl b]\nzone = b.test*3\n"
		       "[dnswl c]\nzone = c.test\n",
		draw(2) ? "shadow" : "enforce");
	for (uint32_t i = 0; i < count; i++) {
		fprintf(out, "[rule r%" PRIu32 "]\n", i);
		put_conditions(out);
		if (draw(3) == 0)
			fprintf(out, "add = %d\n", (int)draw(7) - 2);
		else
			fprintf(out, "class = %s\n", PICK(classes));
		if (draw(4) == 0)
			fputs("mode = shadow\n", out);
	}
	fclose(out);
	return text;
}

/* A client that is in many of the networks, and has much of the patterns. */
static struct evidence
random_client(void)
{
	static const char *const ips[] = {
	    "10.1.2.3",	   "10.1.2.4", "10.1.2.1",	"10.1.9.9",
	    "10.2.0.1",	   "10.9.9.9", "192.0.2.7",	"9.9.9.9",
	    "2001:db8::1", "::1",      "2001:db8:1::5", "2001:db8:0:1::1",
	    "9000::1",	   "192.0.2.8"};
	static const uint16_t windows_seen[] = {8192, 2920,  3000, 64240,
						1000, 65535, 4096};
	static const char kinds[][7] = {"\x02", "\x02\x01\x03\x01\x01\x04",
					"\x02\x04\x08\x01\x03", "\x02\x00", ""};
	static const uint8_t weights[][3] = {{0, 0, 0}, {1, 0, 1}, {0, 3, 2}};
	static const uint8_t kinds_counts[] = {1, 6, 5, 2, 0};
	const uint64_t any =
	    (uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX);
	struct evidence e = {.present = draw(3) == 0 ? any : UINT64_MAX};
	const char *ip = PICK(ips);
	const uint32_t layout = draw(COUNT_OF(kinds_counts));

	assert_true(addr_parse_ip(&e.client, ip, strlen(ip)));
	e.label = draw(5) == 0 ? NULL : PICK(labels);
	e.listener = draw(2) ? "smtp" : "two";
	if (draw(3) > 0) {
		e.dialect = draw(2) ? "EHLO:fqdn:MAIL.FROM<:-:SIZE:-:w---:-:-"
				    : "HELO:ip:mail.FROM<:rcpt.TO<:none:none:"
				      "www-:DATA:-";
	}
	if (draw(3) > 0) {
		e.ja4 = draw(2) ? "t13i871000_c66346c74e42_24695f2957a7"
				: "t13d311000_e8f1e7e78f70_1f22a2ca17c4";
		e.ja4_raw = draw(2) ? "t13i020100_1301,c014_000a"
				    : "t13d020100_002f,c014,c030_000a";
	}
	e.early_talker = draw(2);
	e.pipelining = draw(2);
	e.non_smtp = draw(2);
	e.bare_newline = draw(2);
	e.syn.version = draw(3) == 0 ? 6 : 4;
	e.syn.ttl = (uint8_t)(20 + draw(120));
	e.syn.mss = (uint16_t)(draw(4) == 0 ? 0 : draw(2) ? 1460 : 1400);
	e.syn.window = PICK(windows_seen);
	e.syn.wscale = (uint8_t)(draw(3) == 0 ? SYN_WSCALE_ABSENT : 7);
	e.syn.eol_pad = layout == 3 ? 1 : SYN_EOL_ABSENT;
	e.syn.kinds_count = kinds_counts[layout];
	memcpy(e.syn.kinds, kinds[layout], kinds_counts[layout]);
	e.syn_retransmits = draw(4);
	e.session_errors = draw(5);
	e.session_recipients = draw(5);
	e.session_messages = draw(5);
	e.session_unknown_users = draw(5);
	e.client_sessions = draw(5);
	e.network_sessions = draw(5);
	e.stack_sessions = draw(5);
	e.client_rate = draw(5);
	e.asn = draw(5);
	e.dnsbl = draw(4);
	e.dnswl = draw(4);
	e.lists_known = (uint16_t)draw(8);
	e.list_weights = weights[draw(COUNT_OF(weights))];
	return e;
}

/* The same rules, with nothing sorted or filed; free_plain() it. */
static struct policy
plain_policy(const struct policy *p)
{
	struct policy plain = *p;
	struct policy_rule *rules = calloc(p->rules_count + 1, sizeof(*rules));

	assert_non_null(rules);
	for (size_t i = 0; i < p->rules_count; i++) {
		const size_t count = p->rules[i].conditions_count;
		struct policy_condition *c = calloc(count + 1, sizeof(*c));
		assert_non_null(c);
		rules[i] = p->rules[i];
		for (size_t k = 0; k < count; k++) {
			c[k] = p->rules[i].conditions[k];
			c[k].is_sorted = false;
			c[k].index = NULL;
		}
		rules[i].conditions = c;
	}
	plain.rules = rules;
	plain.index = NULL;
	return plain;
}

static void
free_plain(struct policy *plain)
{
	for (size_t i = 0; i < plain->rules_count; i++)
		free((void *)(uintptr_t)plain->rules[i].conditions);
	free((void *)(uintptr_t)plain->rules);
}

static bool
is_same_plan(const struct plan *a, const struct plan *b)
{
	return a->greet_ms == b->greet_ms && a->reply_ms == b->reply_ms &&
	       a->error_ms == b->error_ms && a->rule_id == b->rule_id &&
	       a->class_id == b->class_id && a->rank == b->rank &&
	       a->shadow_rule_id == b->shadow_rule_id &&
	       a->is_shadow == b->is_shadow && a->data_rate == b->data_rate;
}

static bool
is_same_trace(const struct plan_trace *a, const struct plan_trace *b)
{
	return a->rules_tried == b->rules_tried &&
	       a->held_count == b->held_count &&
	       memcmp(a->held, b->held, sizeof(a->held)) == 0 &&
	       a->rule == b->rule && a->score == b->score &&
	       a->sources == b->sources;
}

/* How often each of these happened, so that it is known to be tested. */
static struct {
	unsigned decided, passed, shadowed, added, negative;
} seen;

static void
count_seen(const struct plan *plan, const struct plan_trace *trace)
{
	seen.decided += trace->rule != PLAN_NO_RULE;
	seen.passed += trace->rule == PLAN_NO_RULE;
	seen.shadowed += plan->shadow_rule_id != PLAN_NO_RULE;
	seen.added += trace->sources > 1;
	seen.negative += trace->score < 0;
}

/* The walk for people comes to the same end. */
static void
explain_it(const struct policy *policy, const struct evidence *e,
	   const struct plan_trace *want, const char *text)
{
	struct explain x;
	uint32_t held = 0;

	explain_start(&x, policy, e);
	while (x.next < policy->rules_count) {
		const struct policy_rule *rule = &policy->rules[x.next];
		bool all = true;
		for (size_t i = 0; i < rule->conditions_count; i++)
			all = all &&
			      explain_condition(&x, &rule->conditions[i]) ==
				  EXPLAIN_HOLDS;
		if (explain_rule(&x) != all)
			fail_msg("rule %s of\n%s", rule->name, text);
		held += all;
		if (all && !rule->is_add && !rule->is_shadow) {
			assert_int_equal(x.next - 1, want->rule);
			break;
		}
	}
	assert_int_equal(held, want->held_count);
	assert_int_equal(x.next, want->rules_tried);
	assert_int_equal(x.so_far.score, want->score);
	assert_int_equal(x.so_far.sources, want->sources);
}

static void
compare(const struct policy *policy, const struct policy *plain,
	const char *text)
{
	for (int i = 0; i < CLIENTS_COUNT; i++) {
		const struct evidence e = random_client();
		const struct stress stress = {draw(4) == 0, draw(4) == 0};
		struct plan_trace got_trace;
		struct plan_trace want_trace;
		struct plan got = plan_make(policy, &e, &stress, &got_trace);
		struct plan want = plan_make(plain, &e, &stress, &want_trace);
		if (!is_same_plan(&got, &want) ||
		    !is_same_trace(&got_trace, &want_trace))
			fail_msg("rule %d, want %d, client %d of\n%s",
				 got_trace.rule, want_trace.rule, i, text);
		explain_it(policy, &e, &want_trace, text);
		count_seen(&got, &got_trace);
	}
}

static void
index_decides_as_the_plain_loop(void **state)
{
	(void)state;
	random_state = 0x9e3779b97f4a7c15u;
	for (int i = 0; i < FILES_COUNT; i++) {
		char *text = random_file();
		char *said;
		int rc;
		struct config *c = load(text, NULL, &rc, &said);
		if (c == NULL)
			fail_msg("%s\n%s", said, text);
		assert_non_null(c->policy.index);
		struct policy plain = plain_policy(&c->policy);
		compare(&c->policy, &plain, text);
		free_plain(&plain);
		config_free(c);
		free(said);
		free(text);
	}
	assert_true(seen.decided > 10000 && seen.passed > 1000);
	assert_true(seen.shadowed > 10000 && seen.added > 1000);
	assert_true(seen.negative > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(index_decides_as_the_plain_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
