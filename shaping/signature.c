/*
 * The three texts of a SYN, and the initial TTL.
 *
 * Invariant: a text is a pattern that matches the SYN it was printed from,
 * and two SYNs that differ in what a level shows have different texts.
 *
 * L0 is p0f 3.09b's raw_sig with these differences, on purpose:
 *  - the initial TTL in place of `observed+distance`: keys must not depend
 *    on the route;
 *  - `ack+` for any acknowledgment number (p0f looks at one bit of it), and
 *    `opt+` when only the last byte behind EOL is not zero (p0f misses it);
 *  - our quirks `dup` and `res`, because they are raw facts; of two MSS or WS
 *    options the first is shown, p0f shows the last;
 *  - up to 40 options (p0f stops at 24 and calls the SYN bad);
 *  - olen of IPv6 is the bytes of its extension headers (p0f drops those).
 */
#include "signature_parts.h"

static void
put_quirks(struct text_out *o, uint32_t quirks)
{
	const char *comma = "";

	for (unsigned bit = 0; bit < SYN_QUIRK_COUNT; bit++) {
		if ((quirks >> bit & 1u) == 0)
			continue;
		text_out_string(o, comma);
		text_out_string(o, syn_quirk_name((enum syn_quirk)bit));
		comma = ",";
	}
}

static void
put_field(struct text_out *o, uint32_t n)
{
	text_out_number(o, n);
	text_out_char(o, ':');
}

static void
put_window(struct text_out *o, enum signature_level level, const struct syn *s)
{
	const struct window_class class = window_class_of(s);

	if (level == SIGNATURE_STACK && class.is_largest) {
		text_out_char(o, 'M');
		return;
	}
	if (class.kind == PATTERN_VALUE) {
		text_out_number(o, s->window);
		return;
	}
	text_out_string(o, class.kind == PATTERN_MSS ? "mss*" : "mtu*");
	text_out_number(o, class.count);
}

size_t
signature_text(enum signature_level level, const struct syn *s, char *out,
	       size_t cap)
{
	const bool is_family = level == SIGNATURE_FAMILY;
	struct text_out o;

	text_out_start(&o, out, cap);
	if (!is_family)
		put_field(&o, s->version);
	put_field(&o, signature_initial_ttl(s->ttl));
	if (!is_family)
		put_field(&o, s->ip_olen);
	if (level == SIGNATURE_SYN)
		put_field(&o, s->mss);
	if (!is_family) {
		put_window(&o, level, s);
		text_out_char(&o, ',');
		put_field(&o, signature_scale(s));
	}
	text_out_layout(&o, s->kinds, s->kinds_count, s->eol_pad);
	text_out_char(&o, ':');
	put_quirks(&o, s->quirks & (is_family ? QUIRKS_FAMILY : QUIRKS_ALL));
	if (!is_family)
		text_out_string(&o, s->payload_bytes != 0 ? ":+" : ":0");
	return o.len;
}

void
signature_texts_make(struct signature_texts *out, const struct syn *s)
{
	for (size_t i = 0; i < SIGNATURE_LEVELS; i++)
		out->len[i] = (uint16_t)signature_text((enum signature_level)i,
						       s, out->text[i],
						       sizeof(out->text[i]));
}

uint8_t
signature_initial_ttl(uint8_t observed)
{
	if (observed <= 32)
		return 32;
	if (observed <= 64)
		return 64;
	return observed <= 128 ? 128 : 255;
}

uint8_t
signature_distance(const struct syn *s)
{
	return (uint8_t)(signature_initial_ttl(s->ttl) - s->ttl);
}
