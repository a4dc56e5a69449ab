/* See tarry/explain.h. */
#include "tarry/explain.h"

#include <string.h>

#include "plan_parts.h"
#include "signature_parts.h"

void
explain_start(struct explain *x, const struct policy *policy,
	      const struct evidence *e)
{
	*x = (struct explain){.policy = policy, .evidence = e};
	x->so_far.rule = PLAN_NO_RULE;
	plan_add_facts(&x->so_far, &policy->score, e);
}

enum explain_says
explain_condition(const struct explain *x, const struct policy_condition *c)
{
	if (condition_holds(c, x->evidence, &x->so_far))
		return EXPLAIN_HOLDS;
	return condition_is_told(c, x->evidence) ? EXPLAIN_FAILS
						 : EXPLAIN_ABSENT;
}

bool
explain_rule(struct explain *x)
{
	const struct policy_rule *rule = &x->policy->rules[x->next++];

	if (!rule_holds(rule, x->evidence, &x->so_far))
		return false;
	if (rule->is_add && !rule->is_shadow)
		plan_add_points(&x->so_far, rule->points);
	return true;
}

const char *
explain_says_name(enum explain_says says)
{
	static const char *const names[] = {
	    [EXPLAIN_FAILS] = "fails",
	    [EXPLAIN_HOLDS] = "holds",
	    [EXPLAIN_ABSENT] = "absent",
	};

	return names[says];
}

/* No field that leaves a choice, but for the window's unit. */
static bool
is_single(const struct signature_pattern *p)
{
	return p->level == SIGNATURE_SYN && p->version != 0 && p->ittl != 0 &&
	       !p->ittl_is_max && IS_USUAL_TTL(p->ittl) && !p->olen_any &&
	       p->mss.kind == PATTERN_VALUE &&
	       p->wscale.kind == PATTERN_VALUE && !p->layout_any &&
	       p->quirks_optional == 0 && p->quirks_care != 0 &&
	       p->payload != PATTERN_PAYLOAD_ANY;
}

static void
fill(const struct signature_pattern *p, struct syn *out)
{
	size_t options = 0;

	*out = (struct syn){
	    .version = p->version,
	    .ttl = p->ittl,
	    .ip_olen = p->olen,
	    .mss = p->mss.a,
	    .window = p->window.a,
	    .wscale = (uint8_t)p->wscale.a, /* 255 at most */
	    .quirks = p->quirks,
	    .eol_pad = p->eol_pad,
	    .kinds_count = p->kinds_count,
	    .payload_bytes = p->payload == PATTERN_PAYLOAD_SOME ? 1 : 0,
	    .flags = 2,
	};
	memcpy(out->kinds, p->kinds, sizeof(out->kinds));
	out->src.family = p->version;
	out->dst.family = p->version;
	for (uint8_t i = 0; i < p->kinds_count; i++) {
		const uint8_t kind = p->kinds[i];

		/* What a SYN without the quirk surely has. */
		if (kind == SYN_OPTION_TS &&
		    (p->quirks & SYN_QUIRK_TS1_MINUS) == 0)
			out->tsval = 1;
		options += kind == SYN_OPTION_TS    ? 10
			   : kind == SYN_OPTION_MSS ? 4
			   : kind == SYN_OPTION_WS  ? 3
			   : kind == SYN_OPTION_SOK ? 2
						    : 1;
	}
	out->ip_hlen = (uint8_t)((p->version == 6 ? 40 : 20) + p->olen);
	out->tcp_hlen = (uint8_t)(20 + (options + 3) / 4 * 4);
}

/* True if the SYN's own text is the pattern's. */
static bool
is_same(const char *want, const struct syn *s)
{
	char text[SIGNATURE_TEXT_CAP];

	signature_text(SIGNATURE_SYN, s, text, sizeof(text));
	return strcmp(text, want) == 0;
}

/*
 * A window of `count` units. Of which unit only the text tells: a stack that
 * takes all that fits is likelier than another with the same text.
 */
static bool
find_window(uint16_t count, const char *want, struct syn *out)
{
	uint32_t found = 0;

	for (uint32_t w = count; count > 0 && w <= UINT16_MAX; w += count) {
		out->window = (uint16_t)w;
		if (!is_same(want, out))
			continue;
		found = w;
		if (window_class_of(out).is_largest)
			break;
	}
	out->window = (uint16_t)found;
	return found > 0;
}

bool
explain_syn(const struct signature_pattern *p, struct syn *out)
{
	char want[SIGNATURE_TEXT_CAP];

	if (!is_single(p))
		return false;
	fill(p, out);
	signature_pattern_text(p, want, sizeof(want));
	if (p->window.kind == PATTERN_VALUE)
		return is_same(want, out);
	if (p->window.kind != PATTERN_MSS && p->window.kind != PATTERN_MTU)
		return false;
	return find_window(p->window.a, want, out);
}
