#include "proxy/relay/compare.h"

#include "proxy/daemon/session_report.h"
#include "proxy/memory/effects.h"
#include "proxy/relay/worker_state.h"
#include "tarry/holdout.h"

static unsigned
facts_of(const struct session *s)
{
	const uint16_t *outcomes = s->counts.outcomes;
	unsigned facts = 0;

	if (outcomes[OUTCOME_SPAM] > 0)
		facts |= 1u << EFFECT_SPAM;
	if (outcomes[OUTCOME_DELIVERED] == 0)
		return facts;
	facts |= 1u << EFFECT_GOOD;
	if (s->counts.held_ms > 0)
		facts |= 1u << EFFECT_DELAYED;
	return facts;
}

static enum effects_sort
sort_of(const struct session_report *report)
{
	if (!report->has_reputation)
		return EFFECTS_UNKNOWN;
	switch (report->standing_before) {
	case REPUTATION_GOOD:
		return EFFECTS_GOOD;
	case REPUTATION_UNKNOWN:
		break;
	case REPUTATION_SUSPECT:
	case REPUTATION_BAD:
		return EFFECTS_BAD;
	}
	return EFFECTS_UNKNOWN;
}

void
compare_learn(const struct conn *c, const struct evidence *e,
	      const struct session_report *report)
{
	const struct worker *w = worker_of(c);
	const struct session *s = &c->session;
	struct effects_session told;

	if (s->slowed_by == 0 || w->options.effects == NULL)
		return;
	told = (struct effects_session){
	    .rule_id = (uint16_t)(s->slowed_by - 1),
	    .stack =
		e->texts != NULL ? e->texts->text[SIGNATURE_STACK] : "unknown",
	    .arm = s->is_held_out ? EFFECT_HELD_OUT : EFFECT_SHAPED,
	    .network = holdout_network(w->options.holdout_salt, &s->client),
	    .facts = facts_of(s),
	    .is_blind = s->is_opaque && !s->is_lost,
	    .was_held = !s->is_held_out && s->counts.longest_ms > 0,
	    .has_left = s->counts.gave_up_ms > 0,
	    .longest_ms = s->counts.longest_ms,
	    .sum_ms = s->counts.gave_up_ms > 0 ? s->counts.gave_up_ms
					       : s->counts.held_ms,
	    .sort = sort_of(report),
	};
	effects_add(w->options.effects, &told);
	metrics_compared(w->options.metrics, told.arm, told.facts);
}
