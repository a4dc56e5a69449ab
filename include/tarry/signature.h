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

enum signature_level { SIGNATURE_SYN, SIGNATURE_STACK, SIGNATURE_FAMILY };

/*
 * Writes the canonical text of a level and a final NUL. `cap` must be
 * SIGNATURE_TEXT_CAP at least. Returns the length without the NUL.
 */
size_t signature_text(enum signature_level level, const struct syn *s,
		      char *out, size_t cap);

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
	PATTERN_LARGEST /* M: the largest multiple fitting 65535 (window only) */
};

struct pattern_number {
	enum pattern_kind kind;
	uint16_t a;
	uint16_t b;
};

/* One parsed pattern of any level; 96 bytes, copied by value. */
struct signature_pattern {
	enum signature_level level;
	struct pattern_number mss;
	struct pattern_number window;
	struct pattern_number wscale;
	uint32_t quirks;	  /* must be there */
	uint32_t quirks_optional; /* `~q`: may be there */
	uint32_t quirks_care;	  /* `*`: 0, any others are fine; else all */
	uint8_t version;	  /* 0: any */
	uint8_t ittl;		  /* 0: any */
	uint8_t ittl_is_max;	  /* `N-`: a tool with random TTLs up to N */
	uint8_t olen_any;
	uint8_t olen;
	uint8_t layout_any;
	uint8_t eol_pad;
	uint8_t kinds_count;
	uint8_t kinds[SYN_OPTIONS_CAP];
	uint8_t payload; /* 0 none, 1 some, 2 any */
};

/*
 * Parses pattern text (any field may be `*`). A text printed by
 * signature_text() is a pattern that matches what it was printed from.
 * Returns true; or false with *error a static sentence saying what is wrong
 * and what was expected, and *error_at the offset of the offending byte.
 */
bool signature_pattern_parse(struct signature_pattern *p,
			     enum signature_level level, const char *text,
			     size_t len, const char **error, size_t *error_at);

/* Writes the canonical text of a pattern; like signature_text(). */
size_t signature_pattern_text(const struct signature_pattern *p, char *out,
			      size_t cap);

/* True if the pattern matches, every field. No penalties: this is for rules. */
bool signature_pattern_match(const struct signature_pattern *p,
			     const struct syn *s);

/* How sure a label is. */
enum label_quality {
	LABEL_NONE,
	LABEL_FAMILY,
	LABEL_SOFT,
	LABEL_EXACT
};

/* One line of a label file. `name` is owned by the caller's table. */
struct label {
	const char *name; /* "Linux 4.20 or newer" */
	struct signature_pattern pattern;
	bool specific; /* else generic */
};

/*
 * The best label of labels[0..count) for a SYN, by the score of the design
 * (section 6): specificity less penalties; ties go to specific before
 * generic, then to the later line. Returns its index, or -1 with *quality
 * LABEL_NONE. Never allocates; linear in `count`.
 */
int label_find(const struct label *labels, size_t count, const struct syn *s,
	       enum label_quality *quality);

#endif
