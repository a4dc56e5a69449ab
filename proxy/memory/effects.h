/*
 * What delays did: one table for all threads, behind one lock, which is held
 * while one session is added or one row copied.
 *
 * Of all sessions that were slowed, or would have been but for the holdout,
 * by the rule that slowed them first and by stack signature: the two arms
 * (tarry/effect.h), and who left after how long (tarry/patience.h). Fixed
 * memory. A name that has no row takes that of the fewest sessions; counts
 * that are only for this choice are halved now and then, so that who comes no
 * more gives way too, and made-up signatures displace each other.
 *
 * For good and bad senders there is a curve too. Who is which is what was
 * known before the session: what it did in it depends on whether it left.
 */
#ifndef PROXY_MEMORY_EFFECTS_H
#define PROXY_MEMORY_EFFECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tarry/effect.h"
#include "tarry/patience.h"
#include "tarry/signature.h"

#define EFFECTS_RULES 256
#define EFFECTS_STACKS 256

struct effects;

/* A client, as it was known before. */
enum effects_sort {
	EFFECTS_BAD, /* suspect or worse */
	EFFECTS_UNKNOWN,
	EFFECTS_GOOD,
	EFFECTS_ALL,
	EFFECTS_SORTS
};

/* By one wait, and by the sum of all. */
enum effects_curve { EFFECTS_WAIT, EFFECTS_SUM, EFFECTS_CURVES };

/* A session that is over. */
struct effects_session {
	uint16_t rule_id;  /* that slowed it first, or would have */
	const char *stack; /* SIGNATURE_STACK's text */
	enum effect_arm arm;
	uint64_t network; /* holdout_network() */
	unsigned facts;	  /* bits of enum effect_fact */
	bool is_blind;	  /* nothing was seen of its mail */
	/* If it was held at all: */
	bool was_held;
	bool has_left;
	uint32_t longest_ms;
	uint32_t sum_ms;
	enum effects_sort sort; /* not ALL */
};

struct effects_rule {
	uint32_t sessions; /* of late; 0: the row is free */
	uint16_t id;
	struct effect effect;
};

struct effects_stack {
	uint32_t sessions; /* of late; 0: the row is free */
	char text[SIGNATURE_TEXT_CAP];
	struct effect effect;
	struct patience curves[EFFECTS_CURVES];
};

struct effects_all {
	struct effect effect;
	struct patience curves[EFFECTS_SORTS][EFFECTS_CURVES];
	uint64_t blind[EFFECT_ARMS]; /* sessions */
	uint64_t replaced;	     /* rows */
};

/* NULL: no memory. */
struct effects *effects_new(void);
void effects_free(struct effects *e);

/* Any thread. */
void effects_add(struct effects *e, const struct effects_session *s);

/* Copies. False if the row, 0 .. EFFECTS_RULES - 1 and so on, is free. */
bool effects_rule(struct effects *e, size_t row, struct effects_rule *out);
bool effects_stack(struct effects *e, size_t row, struct effects_stack *out);
void effects_all(struct effects *e, struct effects_all *out);

/* For the store: likewise, but false too if the row is as it was when it was
 * last asked for so. */
bool effects_rule_changed(struct effects *e, size_t row,
			  struct effects_rule *out);
bool effects_stack_changed(struct effects *e, size_t row,
			   struct effects_stack *out);
bool effects_all_changed(struct effects *e, struct effects_all *out);
/* All of it counts as changed. */
void effects_touch(struct effects *e);

/* What was kept, before the first session is added. A name that has a row
 * keeps it: false. */
bool effects_put_rule(struct effects *e, size_t row,
		      const struct effects_rule *in);
bool effects_put_stack(struct effects *e, size_t row,
		       const struct effects_stack *in);
void effects_put_all(struct effects *e, const struct effects_all *in);

/* A line of what it takes. */
void effects_print_size(FILE *out);

#endif
