/*
 * Does a pattern match a SYN? Yes or no, for rules; label.c has the score.
 *
 * Cheapest test first: nearly every pattern of a list fails on its layout.
 */
#include "signature_parts.h"

#include <string.h>

/*
 * Quirks that are everyday facts of one IP version and do not exist in the
 * other. Not 0+: no stack sets it, who asks for it wants IPv4.
 */
#define QUIRKS_OF_V4                                                           \
	((uint32_t)(SYN_QUIRK_DF | SYN_QUIRK_ID_PLUS | SYN_QUIRK_ID_MINUS))
#define QUIRKS_OF_V6 ((uint32_t)SYN_QUIRK_FLOW)

bool
pattern_number_match(struct pattern_number want, uint16_t have)
{
	switch (want.kind) {
	case PATTERN_ANY:
		return true;
	case PATTERN_VALUE:
		return have == want.a;
	case PATTERN_RANGE:
		return have >= want.a && have <= want.b;
	case PATTERN_MOD:
	case PATTERN_MSS:
	case PATTERN_MTU:
	case PATTERN_LARGEST:
		return false;
	}
	return false;
}

bool
pattern_window_match(struct pattern_number want,
		     const struct window_class *class, uint16_t window)
{
	switch (want.kind) {
	case PATTERN_ANY:
	case PATTERN_VALUE:
	case PATTERN_RANGE:
		return pattern_number_match(want, window);
	case PATTERN_MOD:
		return window % want.a == 0;
	case PATTERN_MSS:
	case PATTERN_MTU:
		return class->kind == want.kind && class->count == want.a;
	case PATTERN_LARGEST:
		return class->is_largest;
	}
	return false;
}

bool
pattern_layout_match(const struct signature_pattern *p, const struct syn *s)
{
	return p->layout_any ||
	       (p->kinds_count == s->kinds_count && p->eol_pad == s->eol_pad &&
		memcmp(p->kinds, s->kinds, s->kinds_count) == 0);
}

bool
pattern_payload_match(const struct signature_pattern *p, const struct syn *s)
{
	const bool wants_some = p->payload == PATTERN_PAYLOAD_SOME;

	return p->payload == PATTERN_PAYLOAD_ANY ||
	       wants_some == (s->payload_bytes != 0);
}

uint32_t
pattern_quirks_for(const struct signature_pattern *p, const struct syn *s)
{
	return p->quirks & ~(s->version == 4 ? QUIRKS_OF_V6 : QUIRKS_OF_V4);
}

static bool
ittl_match(const struct signature_pattern *p, uint8_t ttl)
{
	if (p->ittl == 0)
		return true;
	if (!p->ittl_is_max && IS_USUAL_TTL(p->ittl))
		return signature_initial_ttl(ttl) == p->ittl;
	if (ttl > p->ittl)
		return false;
	return p->ittl_is_max || p->ittl - ttl <= SIGNATURE_DISTANCE_MAX;
}

static bool
quirks_match(const struct signature_pattern *p, const struct syn *s)
{
	const uint32_t want = pattern_quirks_for(p, s);
	const uint32_t odd = s->quirks & p->quirks_care;

	return (s->quirks & want) == want &&
	       (odd & ~(want | p->quirks_optional)) == 0;
}

/* The window comes last, its class takes a dozen divisions. */
static bool
window_match(const struct signature_pattern *p, const struct syn *s)
{
	if (p->window.kind == PATTERN_ANY)
		return true;
	const struct window_class class = window_class_of(s);
	return pattern_window_match(p->window, &class, s->window);
}

bool
signature_pattern_match(const struct signature_pattern *p, const struct syn *s)
{
	return pattern_layout_match(p, s) &&
	       (p->version == 0 || p->version == s->version) &&
	       (p->olen_any || p->olen == s->ip_olen) &&
	       pattern_payload_match(p, s) && ittl_match(p, s->ttl) &&
	       quirks_match(p, s) && pattern_number_match(p->mss, s->mss) &&
	       pattern_number_match(p->wscale, signature_scale(s)) &&
	       window_match(p, s);
}

static bool
number_covers(struct pattern_number a, struct pattern_number b)
{
	if (a.kind == PATTERN_ANY)
		return true;
	if (a.kind == PATTERN_RANGE && b.kind == PATTERN_VALUE)
		return b.a >= a.a && b.a <= a.b;
	return a.kind == b.kind && a.a == b.a && a.b == b.b;
}

static bool
quirks_cover(const struct signature_pattern *a,
	     const struct signature_pattern *b)
{
	if (a->quirks_care == 0)
		return (a->quirks & ~b->quirks) == 0;
	return a->quirks == b->quirks && a->quirks_care == b->quirks_care &&
	       (b->quirks_optional & ~a->quirks_optional) == 0;
}

static bool
layout_covers(const struct signature_pattern *a,
	      const struct signature_pattern *b)
{
	return a->layout_any ||
	       (!b->layout_any && a->kinds_count == b->kinds_count &&
		a->eol_pad == b->eol_pad &&
		memcmp(a->kinds, b->kinds, a->kinds_count) == 0);
}

bool
signature_pattern_covers(const struct signature_pattern *a,
			 const struct signature_pattern *b)
{
	return layout_covers(a, b) &&
	       (a->version == 0 || a->version == b->version) &&
	       (a->ittl == 0 ||
		(a->ittl == b->ittl && a->ittl_is_max == b->ittl_is_max)) &&
	       (a->olen_any || (!b->olen_any && a->olen == b->olen)) &&
	       (a->payload == PATTERN_PAYLOAD_ANY ||
		a->payload == b->payload) &&
	       quirks_cover(a, b) && number_covers(a->mss, b->mss) &&
	       number_covers(a->wscale, b->wscale) &&
	       number_covers(a->window, b->window);
}
