#include "proxy/daemon/settings.h"

#include <stdio.h>
#include <string.h>

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
