/*
 * What delays did, for the dashboard: the same as `tarryctl effect` and
 * `tarryctl patience` say, in one answer.
 */
#include "proxy/daemon/control_state.h"

#include <stdlib.h>
#include <string.h>

#define RULES_SHOWN 20u

static json_t *
effect_json(const struct effect *e, json_t *name)
{
	struct effect_change c;

	(void)effect_of(e, EFFECT_SPAM, &c);
	return json_pack("{so sI sI so so so}", "name", name, "shaped",
			 (json_int_t)c.sessions[EFFECT_SHAPED], "held_out",
			 (json_int_t)c.sessions[EFFECT_HELD_OUT], "spam",
			 control_fact_json(e, EFFECT_SPAM), "good",
			 control_fact_json(e, EFFECT_GOOD), "late",
			 control_fact_json(e, EFFECT_DELAYED));
}

static json_t *
rules_json(const struct control *c)
{
	json_t *list = json_array();
	struct effects_rule row;

	for (uint32_t i = 0;
	     i < EFFECTS_RULES && json_array_size(list) < RULES_SHOWN; i++) {
		const char *name;

		if (!effects_rule(c->effects, i, &row))
			continue;
		name = names_rule(c->names, row.id);
		json_array_append_new(
		    list,
		    effect_json(&row.effect, escape_json(name, strlen(name))));
	}
	return list;
}

/* The share that had left by the end of each bin; null: nobody waited so
 * long. */
static json_t *
curve_json(const struct patience *p)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < PATIENCE_BINS; i++) {
		const uint32_t ms = i * p->width_ms;

		json_array_append_new(list,
				      patience_waited(p, ms) > 0
					  ? json_real(patience_gone(p, ms))
					  : json_null());
	}
	return json_pack("{sI so}", "sessions",
			 (json_int_t)patience_waited(p, 0), "gone", list);
}

json_t *
control_effect_json(struct control *c)
{
	const struct config *config = c->settings.config;
	struct effects_all *all = malloc(sizeof(*all));
	json_t *out;

	if (all == NULL)
		return NULL;
	effects_all(c->effects, all);
	out = json_pack(
	    "{si sb so so si so so so}", "holdout",
	    (int)config->learn.holdout_percent, "shadow",
	    (int)config->policy.is_shadow, "all",
	    effect_json(&all->effect, json_string("all")), "rules",
	    rules_json(c), "width_ms",
	    (int)all->curves[EFFECTS_BAD][EFFECTS_SUM].width_ms, "bad",
	    curve_json(&all->curves[EFFECTS_BAD][EFFECTS_SUM]), "unknown",
	    curve_json(&all->curves[EFFECTS_UNKNOWN][EFFECTS_SUM]), "good",
	    curve_json(&all->curves[EFFECTS_GOOD][EFFECTS_SUM]));
	free(all);
	return out;
}
