/*
 * The SYN signature: three texts of one parsed SYN, patterns over them, and
 * labels for people.
 *
 *   syn     L0  ver:ittl:olen:mss:wsize,scale:olayout:quirks:pclass (p0f v3)
 *   stack   L1  ver:ittl:olen:wclass,scale:olayout:quirks:pclass, no MSS
 *   family  L2  ittl:olayout:quirks without df, id+, id-, flow, ecn
 *
 * Policy keys on the raw text; labels never decide by themselves.
 */
#ifndef TARRY_SIGNATURE_H
#define TARRY_SIGNATURE_H

#include "tarry/syn.h"

/* Room for any signature text and the final NUL. */
#define SIGNATURE_TEXT_CAP 384

/* Distances above this are not believed: the initial TTL is then a guess. */
#define SIGNATURE_DISTANCE_MAX 40

/* How fine a text or a pattern is. */
enum signature_level {
	SIGNATURE_SYN,
	SIGNATURE_STACK,
	SIGNATURE_FAMILY,
	SIGNATURE_LEVELS
};

/*
 * Writes the canonical text of a level and a final NUL. In SYN's text the
 * initial TTL stands where p0f shows `observed+distance`; our own quirks
 * (dup, res) are shown, p0f has none; signature.c lists the other few
 * differences. In STACK's text the window is `M` if it is the largest multiple
 * of the MSS that fits 65535 (of the MSS, of it less 12 with timestamps, or
 * of Ethernet's), else `mss*N`, `mtu*N` or the number, as in SYN's. `cap` must
 * be SIGNATURE_TEXT_CAP at least. Returns the length without the NUL.
 */
size_t signature_text(enum signature_level level, const struct syn *s,
		      char *out, size_t cap);

/* All texts of a SYN, by enum signature_level. */
struct signature_texts {
	uint16_t len[SIGNATURE_LEVELS];
	char text[SIGNATURE_LEVELS][SIGNATURE_TEXT_CAP];
};

void signature_texts_make(struct signature_texts *out, const struct syn *s);

/* The initial TTL guessed from the observed one: 32, 64, 128 or 255. */
uint8_t signature_initial_ttl(uint8_t observed);

/* initial TTL - observed TTL. */
uint8_t signature_distance(const struct syn *s);

/* How a pattern wants one number. */
enum pattern_kind {
	PATTERN_ANY,
	PATTERN_VALUE,	/* equal to a */
	PATTERN_RANGE,	/* a..b, both included */
	PATTERN_MOD,	/* %a: a multiple of a (window only) */
	PATTERN_MSS,	/* mss*a (window only) */
	PATTERN_MTU,	/* mtu*a (window only) */
	PATTERN_LARGEST /* M: the largest multiple fitting 65535 (window only)
			 */
};

struct pattern_number {
	enum pattern_kind kind;
	uint16_t a;
	uint16_t b;
};

enum pattern_payload {
	PATTERN_PAYLOAD_NONE,
	PATTERN_PAYLOAD_SOME,
	PATTERN_PAYLOAD_ANY
};

/*
 * One parsed pattern of any level; 92 bytes, copied by value. What a level
 * does not show is "any", so that matching need not ask for the level.
 */
struct signature_pattern {
	enum signature_level level;
	struct pattern_number mss;
	struct pattern_number window;
	struct pattern_number wscale;
	uint32_t quirks;	  /* must be there */
	uint32_t quirks_optional; /* `~q`: may be there */
	uint32_t quirks_care;	  /* others must not; `*`: 0 */
	uint8_t version;	  /* 0: any */
	uint8_t ittl;		  /* 0: any */
	uint8_t ittl_is_max;	  /* `N-`: a tool with random TTLs up to N */
	uint8_t olen_any;
	uint8_t olen;
	uint8_t layout_any;
	uint8_t eol_pad;
	uint8_t kinds_count;
	uint8_t kinds[SYN_OPTIONS_CAP];
	uint8_t payload; /* PATTERN_PAYLOAD_* */
};

/*
 * Parses pattern text: the level's fields, in which stand
 *   ver      4 6 *
 *   ittl     N, N+D (their sum), N- (a tool with random TTLs up to N), *
 *   olen     N *
 *   mss      N A-B *
 *   wsize    N A-B %N mss*N mtu*N M *
 *   scale    N A-B *
 *   olayout  list of nop mss ws sok sack ts ?KIND eol+N (last), or *
 *   quirks   list of quirks, ~quirk (may be there), * (others may be there)
 *   pclass   0 + *
 * A text printed by signature_text() is a pattern that matches what it was
 * printed from.
 * Returns true; or false with *error a static sentence saying what was
 * expected, and *error_at the offset of the offending byte (0..len).
 */
bool signature_pattern_parse(struct signature_pattern *p,
			     enum signature_level level, const char *text,
			     size_t len, const char **error, size_t *error_at);

/* Writes the canonical text of a pattern; like signature_text(). */
size_t signature_pattern_text(const struct signature_pattern *p, char *out,
			      size_t cap);

/*
 * True if the pattern matches, every field. No penalties: this is for rules.
 *  - ittl 32, 64, 128 and 255 match if signature_initial_ttl() guesses just
 *    that; any other N if the observed TTL is N at most and N - 40 at least;
 *    `N-` if it is N at most.
 *  - Quirks that the SYN's IP version cannot have are not asked for (df, id+
 *    and id- of IPv6, flow of IPv4), as in p0f. `*:...:df,id+,flow:0` serves
 *    both versions; without `flow` or `~flow` it fails on modern IPv6.
 *  - `mss*N` and `mtu*N` match if p0f's search for a divisor ends with that
 *    unit and that N. A missing MSS or WS is 0.
 */
bool signature_pattern_match(const struct signature_pattern *p,
			     const struct syn *s);

/*
 * True if all that `b` matches is matched by `a` too. May say false where
 * that is hard to see. For finding lines that can never win.
 */
bool signature_pattern_covers(const struct signature_pattern *a,
			      const struct signature_pattern *b);

/* How sure a label is. */
enum label_quality {
	LABEL_NONE,
	LABEL_FAMILY, /* by a family pattern only */
	LABEL_SOFT,   /* something small differs */
	LABEL_EXACT
};

/* The quality as text: "none", "family", "soft", "exact". Static. */
const char *label_quality_name(enum label_quality quality);

/* One line of a label file. `name` is owned by the caller's table. */
struct label {
	const char *name; /* "Linux 4.20 or newer" */
	struct signature_pattern pattern;
	bool specific;	  /* else generic */
	bool wscale_soft; /* the stack's scale follows its memory */
};

/*
 * How much a label's pattern asks for: a literal window 4, `M` or a multiple
 * 3, a literal MSS 3, a literal scale 2, an IP version 1, a range or %N 1,
 * each quirk that no path changes 2.
 */
int label_specificity(const struct label *label);

/*
 * The best label of labels[0..count) for a SYN. Layout, olen, payload, MSS,
 * window and IP version must match as for rules. Penalties:
 *  - 1 for a TTL more than 35 below ittl. It may be 40 below, and up to 64 if
 *    no other usual initial TTL lies between;
 *  - 1 for each of df, id+, id-, ecn, flow that is missing or too much (a
 *    flow label that the pattern does not name is none); other quirks must
 *    match;
 *  - 2 for another scale, if the label is wscale_soft.
 * The highest of specificity - 4 * penalties wins; ties go to specific before
 * generic, then to the later line. Lines with a family pattern are only asked
 * if no other line matches. Quality: EXACT without penalties, else SOFT;
 * FAMILY for a family pattern.
 * Returns its index, or -1 with *quality LABEL_NONE. Never allocates; linear
 * in `count`, a few ns for each line with another layout.
 */
int label_find(const struct label *labels, size_t count, const struct syn *s,
	       enum label_quality *quality);

#endif
