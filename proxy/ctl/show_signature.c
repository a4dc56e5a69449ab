/*
 * `tarryctl signature`: what a SYN is called, and which rules of a file ask
 * for it. Needs no tarryd.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proxy/config/condition_text.h"
#include "proxy/config/config.h"
#include "proxy/config/labels.h"
#include "proxy/ctl/capture_file.h"
#include "proxy/ctl/syn_facts.h"
#include "proxy/ctl/verbs.h"
#include "tarry/explain.h"

/* An IPv4 header and a TCP one. */
#define HEX_LEAST 40u

/* Fields of the levels, less 1. */
#define FAMILY_COLONS 2u
#define STACK_COLONS 6u

struct signature_verb {
	const struct ctl *ctl;
	struct config *config;
	struct labels *labels;
	size_t shown;
};

/* What is told of the client's path; a text says nothing of it. */
static const enum evidence_kind syn_facts[] = {
    EVIDENCE_SYN,   EVIDENCE_STACK, EVIDENCE_FAMILY,
    EVIDENCE_LABEL, EVIDENCE_MSS,   EVIDENCE_DISTANCE,
};

static bool
is_about_syn(enum evidence_kind kind)
{
	for (size_t i = 0; i < sizeof(syn_facts) / sizeof(syn_facts[0]); i++) {
		if (syn_facts[i] == kind)
			return true;
	}
	return false;
}

static bool
is_about_address(enum evidence_kind kind)
{
	return kind == EVIDENCE_NETWORK || kind == EVIDENCE_LISTED;
}

/*
 * A rule that asks for the SYN and is satisfied with this one: its object,
 * with the conditions that a session will show. NULL: it is not such a rule.
 */
static json_t *
rule_object(const struct explain *x, const struct policy_rule *rule,
	    const char *const *lists)
{
	char text[CONDITION_TEXT_CAP];
	json_t *open = json_array();
	bool asks = false;

	for (size_t i = 0; i < rule->conditions_count; i++) {
		const struct policy_condition *c = &rule->conditions[i];
		enum explain_says says = explain_condition(x, c);
		bool is_syn = is_about_syn(c->kind);

		if (says == EXPLAIN_FAILS &&
		    (is_syn || is_about_address(c->kind)))
			goto none;
		if (says == EXPLAIN_ABSENT && is_syn &&
		    c->kind != EVIDENCE_DISTANCE)
			goto none;
		asks = asks || (is_syn && says == EXPLAIN_HOLDS);
		if (is_syn && says == EXPLAIN_HOLDS)
			continue;
		if (is_about_address(c->kind) && says == EXPLAIN_HOLDS)
			continue;
		condition_text(c, lists, text);
		json_array_append_new(open, json_string(text));
	}
	if (asks)
		return json_pack("{ss sb so}", "rule", rule->name, "shadow",
				 (int)rule->is_shadow, "if", open);
none:
	json_decref(open);
	return NULL;
}

/* What the rule does, in words of the file. */
static void
put_effect(json_t *object, const struct policy *policy,
	   const struct policy_rule *rule)
{
	const char *class = "pass";

	if (rule->is_add) {
		json_object_set_new(object, "add", json_integer(rule->points));
		return;
	}
	if (rule->class_index == PLAN_CLASS_DEFER)
		class = "defer";
	else if (rule->class_index < policy->classes_count)
		class = policy->classes[rule->class_index].name;
	json_object_set_new(object, "class", json_string(class));
}

static json_t *
rules_of(const struct signature_verb *v, const struct evidence *e)
{
	const struct policy *policy = &v->config->policy;
	json_t *list = json_array();
	struct explain x;

	explain_start(&x, policy, e);
	for (size_t i = 0; i < policy->rules_count; i++) {
		json_t *object =
		    rule_object(&x, &policy->rules[i], v->config->dns.names);

		if (object == NULL)
			continue;
		put_effect(object, policy, &policy->rules[i]);
		json_array_append_new(list, object);
	}
	return list;
}

static void
put_text(json_t *object, const char *key, enum signature_level level,
	 const struct syn *s)
{
	char text[SIGNATURE_TEXT_CAP];

	signature_text(level, s, text, sizeof(text));
	json_object_set_new(object, key, json_string(text));
}

static json_t *
syn_object(const struct signature_verb *v, const struct syn *s, bool has_path)
{
	char client[ADDR_TEXT_CAP];
	enum label_quality quality = LABEL_NONE;
	json_t *object = json_object();
	struct evidence e;

	syn_facts_gather(v->labels, s, has_path, &e, &quality);
	if (has_path) {
		addr_text(&s->src, client, sizeof(client));
		json_object_set_new(object, "client", json_string(client));
		json_object_set_new(object, "distance",
				    json_integer(signature_distance(s)));
	}
	put_text(object, "syn", SIGNATURE_SYN, s);
	put_text(object, "stack", SIGNATURE_STACK, s);
	put_text(object, "family", SIGNATURE_FAMILY, s);
	if (e.label != NULL) {
		json_object_set_new(object, "label", json_string(e.label));
		json_object_set_new(object, "label_quality",
				    json_string(label_quality_name(quality)));
	}
	json_object_set_new(object, "rules", rules_of(v, &e));
	return object;
}

static const char *
member(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void
print_rule(const json_t *rule)
{
	const json_t *open = json_object_get(rule, "if");
	const json_t *add = json_object_get(rule, "add");
	const json_t *text;
	size_t i;

	printf("  rule    %s: ", member(rule, "rule"));
	if (add != NULL)
		printf("add %lld", (long long)json_integer_value(add));
	else
		printf("class %s", member(rule, "class"));
	if (json_is_true(json_object_get(rule, "shadow")))
		printf(" (shadow)");
	json_array_foreach(open, i, text)
	{
		printf("%s%s", i == 0 ? ", if " : " and ",
		       json_string_value(text));
	}
	printf("\n");
}

static void
print_person(const json_t *object)
{
	static const char *const keys[] = {"syn", "stack", "family"};
	const json_t *rules = json_object_get(object, "rules");
	const json_t *rule;
	size_t i;

	if (member(object, "client") != NULL)
		printf("%s, %lld hops\n", member(object, "client"),
		       (long long)json_integer_value(
			   json_object_get(object, "distance")));
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		printf("  %-7s %s\n", keys[i], member(object, keys[i]));
	if (member(object, "label") != NULL)
		printf("  label   %s (%s)\n", member(object, "label"),
		       member(object, "label_quality"));
	else
		printf("  label   none\n");
	json_array_foreach(rules, i, rule)
	{
		print_rule(rule);
	}
	if (json_array_size(rules) == 0)
		printf("  no rule asks for it\n");
}

static void
show(struct signature_verb *v, const struct syn *s, bool has_path)
{
	json_t *object = syn_object(v, s, has_path);

	v->shown++;
	if (v->ctl->is_json) {
		(void)json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_person(object);
	}
	json_decref(object);
}

/* What is no SYN of TCP is passed over; what might be one is told. */
static void
take_packet(void *ctx, const uint8_t *ip, size_t len)
{
	struct syn s;
	const int used = syn_parse(&s, ip, len);

	if (used > 0)
		show(ctx, &s, true);
	else if (used != SYN_BAD_NOT_SYN && used != SYN_BAD_NOT_TCP &&
		 used != SYN_BAD_VERSION && used != SYN_BAD_EMPTY)
		fprintf(stderr, "tarryctl: a packet is malformed: %s\n",
			syn_malformed_name(used));
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes of hex digits, blanks between them or not; 0: it is something else. */
static size_t
read_hex(const char *text, uint8_t raw[SYN_RAW_CAP])
{
	size_t digits = 0;

	for (; *text != '\0'; text++) {
		int value = digit(*text);

		if (isspace((unsigned char)*text))
			continue;
		if (value < 0)
			return 0;
		if (digits / 2 >= SYN_RAW_CAP)
			break; /* payload */
		raw[digits / 2] =
		    (uint8_t)(digits % 2 == 0 ? value << 4
					      : raw[digits / 2] | value);
		digits++;
	}
	return digits >= 2 * HEX_LEAST ? digits / 2 : 0;
}

static enum ctl_exit
take_hex(struct signature_verb *v, const uint8_t *raw, size_t len)
{
	struct syn s;
	const int used = syn_parse(&s, raw, len);

	if (used <= 0) {
		fprintf(stderr,
			"tarryctl: these bytes are no SYN: %s; they begin with "
			"the IP header\n",
			syn_malformed_name(used));
		return CTL_REFUSED;
	}
	show(v, &s, true);
	return CTL_FINE;
}

/* A pattern that is no single SYN has a canonical form, and that is all. */
static void
show_pattern(const struct signature_verb *v, const struct signature_pattern *p)
{
	static const char *const names[] = {"syn", "stack", "family"};
	char text[SIGNATURE_TEXT_CAP];
	json_t *object;

	signature_pattern_text(p, text, sizeof(text));
	if (!v->ctl->is_json) {
		printf("  %-7s %s\n  a pattern, which names more than one "
		       "SYN: labels and rules are told for one\n",
		       names[p->level], text);
		return;
	}
	object = json_pack("{ss sb}", names[p->level], text, "pattern", 1);
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

static enum signature_level
level_of(const char *text)
{
	size_t colons = 0;

	for (; *text != '\0'; text++)
		colons += *text == ':';
	if (colons <= FAMILY_COLONS)
		return SIGNATURE_FAMILY;
	return colons <= STACK_COLONS ? SIGNATURE_STACK : SIGNATURE_SYN;
}

static enum ctl_exit
take_text(struct signature_verb *v, const char *text)
{
	struct signature_pattern p;
	const char *error;
	struct syn s;
	size_t at;

	if (!signature_pattern_parse(&p, level_of(text), text, strlen(text),
				     &error, &at)) {
		fprintf(stderr,
			"tarryctl: \"%.100s\", byte %zu: %s\n(it is neither a "
			"file nor the hex digits of an IP packet)\n",
			text, at + 1, error);
		return CTL_REFUSED;
	}
	if (explain_syn(&p, &s))
		show(v, &s, false);
	else
		show_pattern(v, &p);
	return CTL_FINE;
}

static enum ctl_exit
take_file(struct signature_verb *v, const char *path)
{
	if (capture_file_read(path, take_packet, v) != 0)
		return CTL_REFUSED;
	if (v->shown > 0)
		return CTL_FINE;
	fprintf(stderr, "tarryctl: %s: there is no SYN in it\n", path);
	return CTL_REFUSED;
}

/* The rules and the names; false, and has said why. */
static bool
load(struct signature_verb *v)
{
	struct report report = {0};
	int rc = config_load(&v->config, v->ctl->config, NULL, &report);

	if (rc != 0)
		report_print(&report, stderr);
	report_free(&report);
	if (rc != 0)
		return false;
	v->labels = syn_facts_labels(v->config);
	return v->labels != NULL;
}

static bool
is_file(const char *path)
{
	struct stat st;

	return strcmp(path, "-") == 0 ||
	       (stat(path, &st) == 0 && !S_ISDIR(st.st_mode));
}

enum ctl_exit
verb_signature(const struct ctl *ctl, int argc, char **argv)
{
	struct signature_verb v = {.ctl = ctl};
	enum ctl_exit status = CTL_REFUSED;
	uint8_t raw[SYN_RAW_CAP];
	size_t len;

	(void)argc;
	if (load(&v)) {
		if (is_file(argv[0]))
			status = take_file(&v, argv[0]);
		else if ((len = read_hex(argv[0], raw)) > 0)
			status = take_hex(&v, raw, len);
		else
			status = take_text(&v, argv[0]);
	}
	labels_free(v.labels);
	config_free(v.config);
	return status;
}
