#include "proxy/daemon/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

#include "proxy/config/tree.h"
#include "proxy/evidence/asn.h"
#include "proxy/relay/tls_context.h"

/* Names for signatures: for people, so nothing fails for want of them. */
static struct labels *
load_labels(const struct config *config, labels_report *say, void *user)
{
	char message[400];
	struct labels *labels;
	int rc;

	if (config->syn.labels[0] == '\0')
		return NULL;
	labels = labels_new();
	if (labels == NULL)
		return NULL;
	rc = labels_load(labels, config->syn.labels, say, user);
	if (rc >= 0 || say == NULL)
		return labels;
	snprintf(message, sizeof message,
		 "no names for signatures: %s: %s (syn.labels names the file)",
		 config->syn.labels, strerror(-rc));
	say(user, LABELS_WARNING, message);
	return labels;
}

/* A label that nothing has: a rule that asks for it waits in vain, and one with
 * `not.` holds for all. */
static void
check_names(const struct settings *s, const struct policy_rule *rule,
	    const struct policy_condition *c, struct report *report)
{
	const struct config *config = s->config;
	const char *key = c->is_not ? "not.label" : "label";
	const struct tree_entry *e =
	    tree_entry(tree_section(config->tree, "rule", rule->name), key);

	for (size_t i = 0; i < c->count; i++) {
		if (labels_has(s->labels, c->texts[i]))
			continue;
		report_add(report, REPORT_WARNING,
			   e != NULL ? e->file : TREE_BUILT_IN,
			   e != NULL ? e->line : 0,
			   "rule %s.%s: no signature is called \"%s\" in the "
			   "file of syn.labels (%s)",
			   rule->name, key, c->texts[i],
			   config->syn.labels[0] != '\0' ? config->syn.labels
							 : "none");
	}
}

static void
check_labels(const struct settings *s, struct report *report)
{
	const struct policy *policy = &s->config->policy;

	for (size_t i = 0; i < policy->rules_count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		for (size_t k = 0; k < rule->conditions_count; k++)
			if (rule->conditions[k].kind == EVIDENCE_LABEL)
				check_names(s, rule, &rule->conditions[k],
					    report);
	}
}

/* Mail goes on without: a warning, where the file says it. */
static struct asn *
load_asn(const struct config *config, struct report *report)
{
	const struct tree_entry *e =
	    tree_entry(tree_section(config->tree, "asn", ""), "database");
	struct asn *asn = NULL;
	char why[100];

	if (config->asn.database[0] == '\0')
		return NULL;
	if (asn_open(&asn, config->asn.database, why, sizeof why) != 0)
		report_add(report, REPORT_WARNING,
			   e != NULL ? e->file : TREE_BUILT_IN,
			   e != NULL ? e->line : 0,
			   "asn.database: %s: %s; no network has a number",
			   config->asn.database, why);
	return asn;
}

void
settings_free(struct settings *settings)
{
	labels_free(settings->labels);
	asn_close(settings->asn);
	tls_context_let_go(settings->tls);
	config_free(settings->config);
	*settings = (struct settings){0};
}

int
settings_load(struct settings *out, const struct options *options,
	      struct report *report, labels_report *say, void *user)
{
	int rc = config_load(&out->config, options->config_path,
			     &options->overrides, report);

	out->labels = NULL;
	out->asn = NULL;
	out->tls = NULL;
	if (rc == 0)
		rc = tls_context_load(&out->tls, out->config, report);
	if (rc != 0) {
		settings_free(out);
		return rc;
	}
	out->labels = load_labels(out->config, say, user);
	check_labels(out, report);
	out->asn = load_asn(out->config, report);
	return 0;
}

static void
add_file(XXH3_state_t *state, const char *path)
{
	char bytes[2048];
	FILE *in = fopen(path, "re");
	size_t n;

	if (in == NULL)
		return;
	while ((n = fread(bytes, 1, sizeof bytes, in)) > 0)
		XXH3_128bits_update(state, bytes, n);
	fclose(in);
}

/* The files in a value: `192.0.2.0/24, @/etc/tarry/friends.list`. */
static void
add_files(XXH3_state_t *state, const char *value)
{
	for (const char *at = strchr(value, '@'); at != NULL;
	     at = strchr(at + 1, '@')) {
		char path[1024];
		size_t len = strcspn(at + 1, ", \t");

		if (at > value && strchr(", \t", at[-1]) == NULL)
			continue;
		snprintf(path, sizeof path, "%.*s", (int)len, at + 1);
		add_file(state, path);
	}
}

static void
add_lists(XXH3_state_t *state, const struct tree *tree)
{
	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];

		for (size_t k = 0; k < s->entries_count; k++)
			add_files(state, s->entries[k].value);
	}
}

/* The effective configuration, less the comments that say where from. */
static void
add_values(XXH3_state_t *state, char *text)
{
	char *rest;

	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *comment = strstr(line, "  ; ");
		size_t len = strlen(line);

		if (comment != NULL)
			len = (size_t)(comment - line);
		XXH3_128bits_update(state, line, len);
		XXH3_128bits_update(state, "\n", 1);
	}
}

void
settings_hash(const struct settings *settings, char out[SETTINGS_HASH_CAP])
{
	XXH3_state_t *state = XXH3_createState();
	char *text = NULL;
	size_t len;
	FILE *print = open_memstream(&text, &len);
	XXH128_hash_t hash;

	out[0] = '\0';
	if (print != NULL) {
		config_print_effective(settings->config, print);
		fclose(print);
	}
	if (state != NULL && text != NULL) {
		XXH3_128bits_reset(state);
		add_values(state, text);
		add_lists(state, settings->config->tree);
		hash = XXH3_128bits_digest(state);
		snprintf(out, SETTINGS_HASH_CAP, "%016llx%016llx",
			 (unsigned long long)hash.high64,
			 (unsigned long long)hash.low64);
	}
	free(text);
	XXH3_freeState(state);
}
