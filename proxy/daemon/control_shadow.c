/*
 * The mode of one rule, or of all, changed by hand while tarryd runs, until
 * the configuration is read again. It goes the way that a reload goes, so
 * that sessions in flight are planned again.
 */
#include "proxy/daemon/control_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/admin/escape.h"
#include "proxy/config/keys.h"

#define WHY_CAP 256

/* What is asked for: "on", "off RULE". */
struct wish {
	bool is_shadow;
	const char *rule; /* "": all */
};

static bool
read_wish(const char *text, struct wish *out)
{
	const size_t len = strcspn(text, " ");
	const char *rest = text + len + strspn(text + len, " ");

	*out = (struct wish){.is_shadow = len == 2, .rule = rest};
	return (len == 2 && memcmp(text, "on", 2) == 0) ||
	       (len == 3 && memcmp(text, "off", 3) == 0);
}

static const char *
nearest_rule(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->rules_count; i++)
		if (word_is_near(name, policy->rules[i].name))
			return policy->rules[i].name;
	return NULL;
}

static bool
is_rule(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->rules_count; i++)
		if (strcmp(policy->rules[i].name, name) == 0)
			return true;
	return false;
}

/* *modes with the wish in it; false with why[] if there is no room. */
static bool
add_wish(struct control_modes *modes, const struct wish *w, char why[WHY_CAP])
{
	size_t i = 0;

	while (i < modes->count && strcmp(modes->all[i].rule, w->rule) != 0)
		i++;
	if (i == modes->count) {
		char *name = i < CONTROL_MODES_CAP ? strdup(w->rule) : NULL;

		if (name == NULL) {
			snprintf(why, WHY_CAP,
				 "%d modes are set already: write them into "
				 "the configuration, then tarryctl reload",
				 CONTROL_MODES_CAP);
			return false;
		}
		modes->all[modes->count++].rule = name;
	}
	modes->all[i].is_shadow = w->is_shadow;
	return true;
}

static void
say_why(enum reload_result result, const struct report *report,
	char why[WHY_CAP])
{
	if (result == RELOAD_LATER)
		snprintf(why, WHY_CAP, "a reload is under way: try again");
	else if (result == RELOAD_NEVER)
		snprintf(why, WHY_CAP, "it is shutting down");
	else if (report->mistakes > 0)
		snprintf(why, WHY_CAP,
			 "the configuration is read again for it, and: %s",
			 report->notes[0].text);
	else
		snprintf(why, WHY_CAP,
			 "the configuration, or a file that it names, is not "
			 "what it was when it was read: tarryctl reload, then "
			 "again");
}

/* Puts it in force; false with why[]. */
static bool
set_wish(struct control *c, const struct wish *w, char why[WHY_CAP])
{
	struct control_modes modes = c->modes;
	struct report report = {0};
	enum reload_result result;

	if (!add_wish(&modes, w, why))
		return false;
	result = control_set_modes(c, &modes, &report);
	if (result != RELOAD_TAKEN)
		say_why(result, &report, why);
	report_free(&report);
	if (result == RELOAD_TAKEN)
		return true;
	if (modes.count > c->modes.count)
		free((char *)(uintptr_t)modes.all[modes.count - 1].rule);
	return false;
}

/* As many as there is room for. */
static void
list_rules(const struct policy *policy, const char *name, char why[WHY_CAP])
{
	int len = snprintf(why, WHY_CAP, "there is no rule %.64s:", name);

	for (size_t i = 0; i < policy->rules_count && len < WHY_CAP; i++)
		len += snprintf(why + len, WHY_CAP - (size_t)len, "%s %s",
				i > 0 ? "," : "", policy->rules[i].name);
}

static bool
check_rule(const struct control *c, const struct wish *w, char why[WHY_CAP])
{
	const struct policy *policy = &c->settings.config->policy;
	const char *near;

	if (w->rule[0] == '\0' || is_rule(policy, w->rule))
		return true;
	near = nearest_rule(policy, w->rule);
	if (near != NULL)
		snprintf(why, WHY_CAP, "there is no rule %.64s; is it %.64s?",
			 w->rule, near);
	else
		list_rules(policy, w->rule, why);
	return false;
}

json_t *
control_modes_json(const struct control *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->modes.count; i++) {
		const struct config_mode *m = &c->modes.all[i];

		json_array_append_new(
		    list,
		    json_pack("{so ss}", "rule",
			      m->rule[0] != '\0'
				  ? escape_json(m->rule, strlen(m->rule))
				  : json_null(),
			      "mode", m->is_shadow ? "shadow" : "enforce"));
	}
	return list;
}

void
control_forget_modes(struct control *c)
{
	for (size_t i = 0; i < c->modes.count; i++)
		free((char *)(uintptr_t)c->modes.all[i].rule);
	c->modes.count = 0;
}

static void
say_modes(const struct control *c, struct control_request *r)
{
	const struct policy *policy = &c->settings.config->policy;

	control_request_say(r,
			    json_pack("{ss so}", "mode",
				      policy->is_shadow ? "shadow" : "enforce",
				      "set", control_modes_json(c)));
}

void
control_shadow(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	const char *text = control_request_argument(r);
	char why[WHY_CAP] = "";
	struct wish w;

	if (text[0] == '\0') {
		say_modes(c, r);
		control_request_end(r, NULL);
		return;
	}
	if (!read_wish(text, &w))
		snprintf(why, sizeof(why), "it is neither on nor off");
	else if (check_rule(c, &w, why) && set_wish(c, &w, why)) {
		log_say(LOG_LEVEL_INFO,
			"shadow %s for %s%s by %s, until the next reload",
			w.is_shadow ? "on" : "off",
			w.rule[0] != '\0' ? "rule " : "all rules", w.rule,
			control_request_peer(r));
		say_modes(c, r);
	}
	control_request_end(r, why[0] != '\0' ? why : NULL);
}
