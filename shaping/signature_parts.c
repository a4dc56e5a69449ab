/*
 * The window's class, and text of the parts that signatures and patterns
 * have in common. No snprintf: stdio stays out of this folder, and a text is
 * made for every session.
 */
#include "signature_parts.h"

#define IP4_TCP_HLEN 40u
#define IP6_TCP_HLEN 60u
#define ETHERNET_MTU 1500u
#define TS_BYTES 12u /* what a timestamp takes of each segment */
#define MSS_LEAST 100u

#define BASES_CAP 10

/* Divisors to try on a window, in p0f's order: MSS-like ones, then MTU-like. */
struct bases {
	uint32_t base[BASES_CAP];
	size_t mss_count;
	size_t count;
};

static void
bases_add(struct bases *b, uint32_t base)
{
	b->base[b->count++] = base;
}

/*
 * The order decides between 1460 * 44 and 1500 * n, so it is p0f's to the
 * letter: a host behind an MSS clamp still has the window it chose for 1460.
 */
static void
bases_fill(struct bases *b, const struct syn *s)
{
	const bool is_v6 = s->version == 6;

	b->count = 0;
	bases_add(b, s->mss);
	if (s->tsval != 0)
		bases_add(b, s->mss - TS_BYTES);
	bases_add(b, ETHERNET_MTU - IP4_TCP_HLEN);
	bases_add(b, ETHERNET_MTU - IP4_TCP_HLEN - TS_BYTES);
	if (is_v6) {
		bases_add(b, ETHERNET_MTU - IP6_TCP_HLEN);
		bases_add(b, ETHERNET_MTU - IP6_TCP_HLEN - TS_BYTES);
	}
	b->mss_count = b->count;
	bases_add(b, s->mss + IP4_TCP_HLEN);
	bases_add(b, (uint32_t)s->mss + s->ip_hlen + s->tcp_hlen);
	if (is_v6)
		bases_add(b, s->mss + IP6_TCP_HLEN);
	bases_add(b, ETHERNET_MTU);
}

/*
 * `largest` asks all MSS-like bases, not the first divisor alone: which MSS
 * a path leaves of a SYN must not change what the window is called.
 */
struct window_class
window_class_of(const struct syn *s)
{
	struct window_class class = {PATTERN_VALUE, 0, false};
	struct bases b;

	if (s->window == 0 || s->mss < MSS_LEAST)
		return class;
	bases_fill(&b, s);
	for (size_t i = 0; i < b.count; i++) {
		const bool is_mss = i < b.mss_count;
		if (s->window % b.base[i] != 0)
			continue;
		const uint32_t count = s->window / b.base[i];
		if (is_mss && count == UINT16_MAX / b.base[i])
			class.is_largest = true;
		if (class.kind == PATTERN_VALUE) {
			class.kind = is_mss ? PATTERN_MSS : PATTERN_MTU;
			class.count = (uint16_t)count;
		}
	}
	return class;
}

uint8_t
signature_scale(const struct syn *s)
{
	/* A scale of 255 that was really sent has set `exws`. */
	if (s->wscale == SYN_WSCALE_ABSENT && (s->quirks & SYN_QUIRK_EXWS) == 0)
		return 0;
	return s->wscale;
}

void
text_out_start(struct text_out *o, char *text, size_t cap)
{
	o->text = text;
	o->cap = cap;
	o->len = 0;
	if (cap != 0)
		text[0] = '\0';
}

void
text_out_char(struct text_out *o, char c)
{
	if (o->len + 1 >= o->cap)
		return;
	o->text[o->len++] = c;
	o->text[o->len] = '\0';
}

void
text_out_string(struct text_out *o, const char *string)
{
	while (*string != '\0')
		text_out_char(o, *string++);
}

void
text_out_number(struct text_out *o, uint32_t n)
{
	char digits[10];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	while (count != 0)
		text_out_char(o, digits[--count]);
}

const char *
option_name(uint8_t kind)
{
	switch (kind) {
	case SYN_OPTION_EOL:
		return "eol";
	case SYN_OPTION_NOP:
		return "nop";
	case SYN_OPTION_MSS:
		return "mss";
	case SYN_OPTION_WS:
		return "ws";
	case SYN_OPTION_SOK:
		return "sok";
	case SYN_OPTION_SACK:
		return "sack";
	case SYN_OPTION_TS:
		return "ts";
	default:
		return NULL;
	}
}

void
text_out_layout(struct text_out *o, const uint8_t *kinds, size_t count,
		uint8_t eol_pad)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = option_name(kinds[i]);
		if (i != 0)
			text_out_char(o, ',');
		text_out_string(o, name != NULL ? name : "?");
		if (name == NULL)
			text_out_number(o, kinds[i]);
		if (kinds[i] != SYN_OPTION_EOL)
			continue;
		text_out_char(o, '+');
		text_out_number(o, eol_pad);
	}
}
