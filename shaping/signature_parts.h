/*
 * What the files signature*.c and label.c share and nobody else needs: the
 * window's class, the tests of single fields, a bounded text writer.
 */
#ifndef SHAPING_SIGNATURE_PARTS_H
#define SHAPING_SIGNATURE_PARTS_H

#include "tarry/signature.h"

#define QUIRKS_ALL ((1u << SYN_QUIRK_COUNT) - 1u)

/* What the path and the IP version change: no part of a family. */
#define QUIRKS_PATH                                                            \
	((uint32_t)(SYN_QUIRK_DF | SYN_QUIRK_ID_PLUS | SYN_QUIRK_ID_MINUS |    \
		    SYN_QUIRK_FLOW | SYN_QUIRK_ECN))
#define QUIRKS_FAMILY (QUIRKS_ALL & ~QUIRKS_PATH)

/* The initial TTLs that stacks use, RFC 1700's 64 and three others. */
#define IS_USUAL_TTL(n) ((n) == 32 || (n) == 64 || (n) == 128 || (n) == 255)

/* A window as p0f sees it: kind is VALUE, MSS or MTU, count its multiplier. */
struct window_class {
	enum pattern_kind kind;
	uint16_t count;
	bool is_largest; /* a multiple of an MSS, and the last below 65536 */
};

struct window_class window_class_of(const struct syn *s);

/* As in texts: the scale of a SYN without WS is 0. */
uint8_t signature_scale(const struct syn *s);

/* ANY, VALUE and RANGE; other kinds never match. */
bool pattern_number_match(struct pattern_number want, uint16_t have);
bool pattern_window_match(struct pattern_number want,
			  const struct window_class *class, uint16_t window);
bool pattern_layout_match(const struct signature_pattern *p,
			  const struct syn *s);
bool pattern_payload_match(const struct signature_pattern *p,
			   const struct syn *s);

/* The pattern's quirks less those that s's IP version cannot have. */
uint32_t pattern_quirks_for(const struct signature_pattern *p,
			    const struct syn *s);

/* Text out, always ending in NUL; what does not fit is left out. */
struct text_out {
	char *text;
	size_t cap;
	size_t len;
};

void text_out_start(struct text_out *o, char *text, size_t cap);
void text_out_char(struct text_out *o, char c);
void text_out_string(struct text_out *o, const char *string);
void text_out_number(struct text_out *o, uint32_t n);
void text_out_layout(struct text_out *o, const uint8_t *kinds, size_t count,
		     uint8_t eol_pad);

/* The name of an option kind in layouts; NULL where it is `?N`. */
const char *option_name(uint8_t kind);

#endif
