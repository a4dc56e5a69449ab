#include "proxy/config/checks.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/config/config.h"
#include "proxy/config/rule_lint.h"
#include "proxy/config/tree.h"
#include "proxy/config/value.h"

/* Where a client goes that was told nothing else. */
#define SMTP_PORT 25u

/* A limit and the key that sets it. */
struct limit {
	uint32_t ms;
	const char *key;
};

static struct limit
lower_limit(struct limit a, struct limit b)
{
	return b.ms < a.ms ? b : a;
}

static void
warn_of_cut(const struct tree *tree, const struct tree_section *s,
	    const char *key, uint32_t ms, struct limit limit)
{
	const struct tree_entry *e = tree_entry(s, key);
	char is[VALUE_TEXT_CAP];
	char will_be[VALUE_TEXT_CAP];

	if (e == NULL || ms <= limit.ms)
		return;
	value_duration_text(ms, is);
	value_duration_text(limit.ms, will_be);
	tree_note(tree, REPORT_WARNING, s, e, "%s will be cut to %s by %s", is,
		  will_be, limit.key);
}

static void
check_cuts(const struct tree *tree, const struct config *config,
	   const struct tree_section *s, const struct policy_class *class)
{
	struct limit reply = {config->policy.reply_cap_ms, "budget.reply"};
	struct limit session = {config->policy.session_cap_ms,
				"budget.session"};
	struct limit patience = {config->mta.patience_ms, "mta.patience"};

	warn_of_cut(tree, s, "greet", class->greet_ms,
		    lower_limit(reply, session));
	warn_of_cut(tree, s, "reply", class->reply_ms,
		    lower_limit(reply, patience));
	warn_of_cut(tree, s, "error", class->error_ms,
		    lower_limit(reply, patience));
	if (class->data_rate > 0 && class->data_rate < PLAN_DATA_RATE_MIN)
		tree_note(tree, REPORT_WARNING, s, tree_entry(s, "data_rate"),
			  "will be raised to 1k, no upload is slower");
}

static void
check_drip_within(const struct tree *tree, const struct tree_section *s,
		  uint32_t drip_ms, const char *delay, uint32_t delay_ms)
{
	char drip_text[VALUE_TEXT_CAP];
	char delay_text[VALUE_TEXT_CAP];

	if (delay_ms == 0 || drip_ms <= delay_ms)
		return;
	value_duration_text(drip_ms, drip_text);
	value_duration_text(delay_ms, delay_text);
	tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "drip"),
		  "%s is longer than %s = %s, expected at most that, as the "
		  "drip is the last part of a delay",
		  drip_text, delay, delay_text);
}

static void
check_drip(const struct tree *tree, const struct tree_section *s,
	   const struct policy_class *class)
{
	if (class->drip_ms == 0)
		return;
	if (class->greet_ms == 0 && class->reply_ms == 0 &&
	    class->error_ms == 0) {
		tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "drip"),
			  "there is no delay to be its last part, expected "
			  "greet, reply or error too");
		return;
	}
	check_drip_within(tree, s, class->drip_ms, "greet", class->greet_ms);
	check_drip_within(tree, s, class->drip_ms, "reply", class->reply_ms);
	if (class->error_ms != class->reply_ms)
		check_drip_within(tree, s, class->drip_ms, "error",
				  class->error_ms);
}

/* Twice the split, for the half in front of it. */
static void
check_split(const struct tree *tree, const struct tree_section *s,
	    const struct policy_class *class)
{
	const uint32_t delays[] = {class->greet_ms, class->reply_ms};

	if (class->split_ms == 0)
		return;
	if (class->drip_ms > 0)
		tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "split"),
			  "stands beside drip, which goes in pieces anyway, "
			  "expected one of the two");
	if (class->greet_ms == 0 && class->reply_ms == 0)
		tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "split"),
			  "there is no delay to be its last part, expected "
			  "greet or reply too");
	for (size_t i = 0; i < 2; i++) {
		if (delays[i] > 0 && delays[i] / 2 < class->split_ms)
			tree_note(tree, REPORT_MISTAKE, s,
				  tree_entry(s, "split"),
				  "is longer than half of %s, expected at most "
				  "that",
				  i == 0 ? "greet" : "reply");
	}
}

static void
check_classes(const struct tree *tree, const struct config *config)
{
	const struct policy_class *class = config->policy.classes;

	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];
		if (strcmp(s->kind->name, "class") != 0 ||
		    class ==
			config->policy.classes + config->policy.classes_count)
			continue;
		if (!s->is_bad)
			check_drip(tree, s, class);
		if (!s->is_bad)
			check_split(tree, s, class);
		check_cuts(tree, config, s, class);
		if (class->teaser && class->greet_ms == 0 && !s->is_bad)
			tree_note(tree, REPORT_WARNING, s,
				  tree_entry(s, "teaser"),
				  "does nothing without greet");
		class ++;
	}
}

/* A rule's conditions as one text, whatever their order in the file. */
struct conditions {
	const struct tree_section *section;
	const struct tree_entry **entries; /* sorted, without the act */
	size_t count;
	size_t adds_above; /* if they read the score: it changes there */
	bool decides;	   /* and is not in shadow: none like it follows */
};

static int
compare_entries(const struct tree_entry *a, const struct tree_entry *b)
{
	int by_key = strcmp(a->key->name, b->key->name);

	return by_key != 0 ? by_key : strcmp(a->value, b->value);
}

static int
sort_entries(const void *left, const void *right)
{
	return compare_entries(*(const struct tree_entry *const *)left,
			       *(const struct tree_entry *const *)right);
}

static int
compare_conditions(const struct conditions *a, const struct conditions *b)
{
	size_t count = a->count < b->count ? a->count : b->count;

	if (a->adds_above != b->adds_above)
		return a->adds_above < b->adds_above ? -1 : 1;
	for (size_t i = 0; i < count; i++) {
		int order = compare_entries(a->entries[i], b->entries[i]);
		if (order != 0)
			return order;
	}
	return a->count < b->count ? -1 : a->count > b->count;
}

/* Same conditions stand together, as they stand in the file. */
static int
sort_conditions(const void *left, const void *right)
{
	const struct conditions *a = left;
	const struct conditions *b = right;
	int order = compare_conditions(a, b);

	if (order != 0)
		return order;
	return a->section < b->section ? -1 : a->section > b->section;
}

static bool
reads(const struct tree_section *rule, enum evidence_kind kind)
{
	for (size_t i = 0; i < rule->entries_count; i++) {
		const struct key *key = rule->entries[i].key;
		if (key->is_condition && key->evidence == kind)
			return true;
	}
	return false;
}

static bool
reads_score(const struct tree_section *rule)
{
	return reads(rule, EVIDENCE_SCORE) || reads(rule, EVIDENCE_SOURCES);
}

static bool
is_in_shadow(const struct tree_section *rule)
{
	const struct tree_entry *e = tree_entry(rule, "mode");

	return e != NULL && strcmp(e->value, "shadow") == 0;
}

static bool
gives_points(const struct tree_section *rule)
{
	return tree_entry(rule, "add") != NULL && !is_in_shadow(rule);
}

static bool
gather_conditions(const struct tree *tree, const struct tree_section *s,
		  struct conditions *c)
{
	c->section = s;
	c->count = 0;
	c->decides = tree_entry(s, "add") == NULL && !is_in_shadow(s);
	c->adds_above = 0;
	c->entries =
	    arena_take(tree->arena, s->entries_count * sizeof(*c->entries));
	if (c->entries == NULL)
		return false;
	for (size_t i = 0; i < s->entries_count; i++) {
		if (s->entries[i].key->is_condition)
			c->entries[c->count++] = &s->entries[i];
	}
	if (c->count > 1)
		qsort(c->entries, c->count, sizeof(*c->entries), sort_entries);
	return true;
}

/*
 * Warns of rules behind one without conditions, and gathers the others; their
 * number. *all is NULL without memory.
 */
static size_t
reachable_rules(const struct tree *tree, struct conditions **all)
{
	const struct tree_section *open = NULL;
	size_t adds = 0;
	size_t count = 0;

	*all = arena_take(tree->arena, tree->sections_count * sizeof(**all));
	for (size_t i = 0; *all != NULL && i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];
		if (strcmp(s->kind->name, "rule") != 0 || s->is_bad)
			continue;
		if (open != NULL) {
			tree_note(tree, REPORT_WARNING, s, NULL,
				  "is never reached, [%s] in line %u has no "
				  "conditions",
				  open->title, open->line);
			continue;
		}
		if (!gather_conditions(tree, s, &(*all)[count]))
			return 0;
		if (reads_score(s))
			(*all)[count].adds_above = adds;
		if (gives_points(s))
			adds++;
		if ((*all)[count].decides && (*all)[count].count == 0)
			open = s;
		count++;
	}
	return count;
}

static void
check_unreachable(const struct tree *tree)
{
	struct conditions *all;
	size_t count = reachable_rules(tree, &all);
	size_t first = 0; /* of the same conditions, the rule that decides */

	if (count < 2)
		return;
	qsort(all, count, sizeof(*all), sort_conditions);
	for (size_t i = 1; i < count; i++) {
		if (!all[first].decides ||
		    compare_conditions(&all[first], &all[i]) != 0) {
			first = i;
			continue;
		}
		tree_note(tree, REPORT_WARNING, all[i].section, NULL,
			  "is never reached, [%s] in line %u has the same "
			  "conditions",
			  all[first].section->title, all[first].section->line);
	}
}

/* Warns of points that come too late for a rule above. */
static void
check_late_points(const struct tree *tree)
{
	const struct tree_section *reader = NULL;

	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];
		const struct tree_entry *add = tree_entry(s, "add");
		if (strcmp(s->kind->name, "rule") != 0 || s->is_bad)
			continue;
		if (gives_points(s) && reader != NULL)
			tree_note(tree, REPORT_WARNING, s, add,
				  "comes too late for [%s] in line %u, which "
				  "reads the score",
				  reader->title, reader->line);
		if (reader == NULL && reads_score(s))
			reader = s;
	}
}

static void
check_mta(const struct tree *tree, const struct config *config)
{
	const struct tree_section *s = tree_section(tree, "mta", "");

	if (config->mta.client_address != CLIENT_ADDRESS_NONE ||
	    config->mta.open_relay_checked || s->is_bad)
		return;
	tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "client_address"),
		  "with none the MTA takes every client for Tarry's own "
		  "address and may relay for it; expected proxy_v1 or "
		  "proxy_v2, or open_relay_checked = yes once that was tried");
}

/* STARTTLS is asked of the MTA when a client of ours asked for it. */
static void
check_mta_tls(const struct tree *tree, const struct config *config)
{
	const struct tree_section *s = tree_section(tree, "mta", "");
	const struct tree_entry *e = tree_entry(s, "tls");

	if (config->mta.tls == CONFIG_MTA_CLEAR)
		return;
	if (config->tls.mode != CONFIG_TLS_TERMINATE) {
		tree_note(tree, REPORT_MISTAKE, s, e,
			  "starttls is for TLS that ends here, expected mode = "
			  "terminate in [tls]; with mode = pass the client's "
			  "TLS ends at the MTA anyway");
		return;
	}
	for (size_t i = 0; i < config->listeners_count; i++) {
		if (config->listeners[i].tls == CONFIG_LISTEN_IMPLICIT)
			tree_note(tree, REPORT_WARNING, s, e,
				  "clients of [listen %s] say no STARTTLS: "
				  "their mail goes to the MTA in the clear",
				  config->listeners[i].name);
	}
}

/* Where the client was going only a transparent listener knows. */
static void
check_original_of(const struct tree *tree, const struct config_listener *l)
{
	const struct tree_section *s = tree_section(tree, "mta", "");
	const struct tree_entry *e = tree_entry(s, "address");

	if (!l->is_transparent)
		tree_note(tree, REPORT_MISTAKE, s, e,
			  "original leads back to Tarry for clients of "
			  "[listen %s], expected transparent = yes there",
			  l->name);
	if (l->tls == CONFIG_LISTEN_IMPLICIT)
		tree_note(tree, REPORT_MISTAKE, s, e,
			  "clients of [listen %s] were going to a port for "
			  "TLS, and Tarry speaks to an MTA in the clear; "
			  "expected an address",
			  l->name);
	for (size_t i = 0; i < l->addresses_count; i++) {
		if (l->addresses[i].port != SMTP_PORT)
			continue;
		tree_note(tree, REPORT_WARNING, s, e,
			  "[listen %s] is on port %u: whoever was going to "
			  "that port of another host is taken for one who "
			  "came to Tarry itself; another port is wanted, such "
			  "as 2500",
			  l->name, SMTP_PORT);
		return;
	}
}

static void
check_original(const struct tree *tree, const struct config *config)
{
	const struct tree_section *s = tree_section(tree, "mta", "");

	if (!config_is_original(config) || s->is_bad)
		return;
	for (size_t i = 0; i < config->listeners_count; i++)
		check_original_of(tree, &config->listeners[i]);
	if (config->mta.client_address == CLIENT_ADDRESS_V1 ||
	    config->mta.client_address == CLIENT_ADDRESS_V2)
		tree_note(tree, REPORT_MISTAKE, s, tree_entry(s, "address"),
			  "an MTA that is not known before its first client "
			  "cannot be tested, and one that does not expect the "
			  "PROXY header bounces mail; expected "
			  "client_address = transparent");
}

/* A connection has one family: that of its MTA, and of its client. */
static void
check_families(const struct tree *tree, const struct config *config)
{
	const struct tree_section *s = tree_section(tree, "mta", "");
	uint8_t family = config->mta.address.family;

	if (config->mta.client_address != CLIENT_ADDRESS_TRANSPARENT ||
	    config_is_original(config) || s->is_bad)
		return;
	for (size_t i = 0; i < config->listeners_count; i++) {
		const struct config_listener *l = &config->listeners[i];
		for (size_t k = 0; k < l->addresses_count; k++) {
			if (l->addresses[k].family == family)
				continue;
			tree_note(tree, REPORT_MISTAKE, s,
				  tree_entry(s, "client_address"),
				  "clients of [listen %s] come over IPv%u and "
				  "cannot be shown to an MTA over IPv%u; "
				  "expected proxy_v2, or address = original",
				  l->name, l->addresses[k].family, family);
			return;
		}
	}
}

void
checks_run(const struct tree *tree, const struct config *config)
{
	check_mta(tree, config);
	check_mta_tls(tree, config);
	check_original(tree, config);
	check_families(tree, config);
	check_classes(tree, config);
	check_unreachable(tree);
	check_late_points(tree);
	rule_lint(tree, config);
}
