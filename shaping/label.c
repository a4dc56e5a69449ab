/*
 * Labels: the name people give a SYN. They never decide by themselves, so a
 * near miss may have a name; rules ask signature_pattern_match() instead.
 *
 * Rejected: first match in file order, as p0f has it. There an early broad
 * line hides every finer one behind it, and nobody is told.
 */
#include "signature_parts.h"

#include <limits.h>

/* Quirks that paths and host settings change. */
#define QUIRKS_SOFT QUIRKS_PATH

#define REJECT INT_MAX
#define TTL_FAR 35
#define TTL_TOO_FAR 64
#define PENALTY_WEIGHT 4

/* What is the same for every line of the table. */
struct probe {
	const struct syn *syn;
	struct window_class window;
};

static int
bits_count(uint32_t bits)
{
	int count = 0;

	for (; bits != 0; bits &= bits - 1)
		count++;
	return count;
}

static int
ittl_penalty(const struct signature_pattern *p, uint8_t ttl)
{
	if (p->ittl == 0)
		return 0;
	if (ttl > p->ittl)
		return REJECT;
	if (p->ittl_is_max)
		return 0;
	const int distance = p->ittl - ttl;
	const bool has_nearer = signature_initial_ttl(ttl) < p->ittl;
	if (distance > TTL_TOO_FAR ||
	    (distance > SIGNATURE_DISTANCE_MAX && has_nearer))
		return REJECT;
	return distance > TTL_FAR ? 1 : 0;
}

static int
quirks_penalty(const struct signature_pattern *p, const struct syn *s)
{
	const uint32_t want = pattern_quirks_for(p, s);
	uint32_t extra = s->quirks & p->quirks_care & ~want;

	extra &= ~(p->quirks_optional | (uint32_t)SYN_QUIRK_FLOW);
	const uint32_t differ = (want & ~s->quirks) | extra;
	if ((differ & ~QUIRKS_SOFT) != 0)
		return REJECT;
	return bits_count(differ);
}

static int
scale_penalty(const struct label *label, const struct syn *s)
{
	if (pattern_number_match(label->pattern.wscale, signature_scale(s)))
		return 0;
	return label->wscale_soft ? 2 : REJECT;
}

static bool
hard_fields_match(const struct signature_pattern *p, const struct probe *probe)
{
	const struct syn *s = probe->syn;

	return pattern_layout_match(p, s) &&
	       (p->version == 0 || p->version == s->version) &&
	       (p->olen_any || p->olen == s->ip_olen) &&
	       pattern_payload_match(p, s) &&
	       pattern_number_match(p->mss, s->mss) &&
	       pattern_window_match(p->window, &probe->window, s->window);
}

/* The sum of penalties, or REJECT. */
static int
label_penalty(const struct label *label, const struct probe *probe)
{
	const struct signature_pattern *p = &label->pattern;

	if (!hard_fields_match(p, probe))
		return REJECT;
	const int ittl = ittl_penalty(p, probe->syn->ttl);
	const int quirks = quirks_penalty(p, probe->syn);
	const int scale = scale_penalty(label, probe->syn);
	if (ittl == REJECT || quirks == REJECT || scale == REJECT)
		return REJECT;
	return ittl + quirks + scale;
}

static int
number_weight(struct pattern_number n, int literal)
{
	switch (n.kind) {
	case PATTERN_ANY:
		return 0;
	case PATTERN_VALUE:
		return literal;
	case PATTERN_RANGE:
	case PATTERN_MOD:
		return 1;
	case PATTERN_MSS:
	case PATTERN_MTU:
	case PATTERN_LARGEST:
		return 3;
	}
	return 0;
}

int
label_specificity(const struct label *label)
{
	const struct signature_pattern *p = &label->pattern;

	return number_weight(p->window, 4) + number_weight(p->mss, 3) +
	       number_weight(p->wscale, 2) + (p->version != 0 ? 1 : 0) +
	       2 * bits_count(p->quirks & ~QUIRKS_SOFT);
}

/* A candidate for the best label. */
struct standing {
	int index; /* -1: nobody yet */
	bool is_family;
	bool is_specific;
	int score;
	int penalty;
};

/* Called in file order, so that an equal newcomer is the later line. */
static bool
standing_is_beaten(const struct standing *best, const struct standing *next)
{
	if (best->index < 0)
		return true;
	if (best->is_family != next->is_family)
		return best->is_family;
	if (best->score != next->score)
		return next->score > best->score;
	return next->is_specific || !best->is_specific;
}

static enum label_quality
standing_quality(const struct standing *best)
{
	if (best->index < 0)
		return LABEL_NONE;
	if (best->is_family)
		return LABEL_FAMILY;
	return best->penalty == 0 ? LABEL_EXACT : LABEL_SOFT;
}

int
label_find(const struct label *labels, size_t count, const struct syn *s,
	   enum label_quality *quality)
{
	const struct probe probe = {s, window_class_of(s)};
	struct standing best = {.index = -1};

	for (size_t i = 0; i < count; i++) {
		const struct label *l = &labels[i];
		const int penalty = label_penalty(l, &probe);
		if (penalty == REJECT)
			continue;
		const struct standing next = {
		    .index = (int)i,
		    .is_family = l->pattern.level == SIGNATURE_FAMILY,
		    .is_specific = l->specific,
		    .score = label_specificity(l) - PENALTY_WEIGHT * penalty,
		    .penalty = penalty,
		};
		if (standing_is_beaten(&best, &next))
			best = next;
	}
	*quality = standing_quality(&best);
	return best.index;
}

const char *
label_quality_name(enum label_quality quality)
{
	switch (quality) {
	case LABEL_NONE:
		return "none";
	case LABEL_FAMILY:
		return "family";
	case LABEL_SOFT:
		return "soft";
	case LABEL_EXACT:
		return "exact";
	}
	return "none";
}
