/*
 * `tarryctl effect` and `tarryctl patience`: what delays did.
 */
#include "proxy/daemon/control_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/value.h"

/* Of each kind, those with the most sessions. */
#define ROWS_SAID 40
#define BAD_USUAL 90
#define GOOD_USUAL 100

static json_t *
text_json(const char *text)
{
	return escape_json(text, strlen(text));
}

json_t *
control_fact_json(const struct effect *e, enum effect_fact fact)
{
	struct effect_change c;
	bool is_known = effect_of(e, fact, &c);

	return json_pack("{sf sf sb sf sf sf}", "shaped",
			 c.shares[EFFECT_SHAPED], "held_out",
			 c.shares[EFFECT_HELD_OUT], "known", (int)is_known,
			 "change", c.change, "low", c.low, "high", c.high);
}

static void
say_effect(struct control_request *r, const char *kind, json_t *name,
	   const struct effect *e)
{
	struct effect_change c;

	(void)effect_of(e, EFFECT_SPAM, &c);
	control_request_say(
	    r, json_pack("{ss so sI sI so so so}", "kind", kind, "name", name,
			 "shaped", (json_int_t)c.sessions[EFFECT_SHAPED],
			 "held_out", (json_int_t)c.sessions[EFFECT_HELD_OUT],
			 "spam", control_fact_json(e, EFFECT_SPAM), "good",
			 control_fact_json(e, EFFECT_GOOD), "late",
			 control_fact_json(e, EFFECT_DELAYED)));
}

/* Rows by how many sessions they have had of late. */
struct order {
	uint32_t sessions;
	uint32_t row;
};

static int
by_sessions(const void *a, const void *b)
{
	const struct order *x = a;
	const struct order *y = b;

	return (x->sessions < y->sessions) - (x->sessions > y->sessions);
}

static size_t
most_said(struct order *order, size_t count)
{
	qsort(order, count, sizeof(*order), by_sessions);
	return count < ROWS_SAID ? count : ROWS_SAID;
}

/* The rules, or the one of that name; returns how many. */
static size_t
say_rules(struct control *c, struct control_request *r, const char *wanted)
{
	struct order order[EFFECTS_RULES];
	struct effects_rule row;
	size_t count = 0;

	for (uint32_t i = 0; i < EFFECTS_RULES; i++) {
		if (!effects_rule(c->effects, i, &row) ||
		    (wanted[0] != '\0' &&
		     strcmp(names_rule(c->names, row.id), wanted) != 0))
			continue;
		order[count++] = (struct order){row.sessions, i};
	}
	count = most_said(order, count);
	for (size_t i = 0; i < count; i++) {
		if (effects_rule(c->effects, order[i].row, &row))
			say_effect(r, "rule",
				   text_json(names_rule(c->names, row.id)),
				   &row.effect);
	}
	return count;
}

static void
say_stacks(struct control *c, struct control_request *r,
	   struct effects_stack *row)
{
	struct order order[EFFECTS_STACKS];
	size_t count = 0;

	for (uint32_t i = 0; i < EFFECTS_STACKS; i++) {
		if (effects_stack(c->effects, i, row))
			order[count++] = (struct order){row->sessions, i};
	}
	count = most_said(order, count);
	for (size_t i = 0; i < count; i++) {
		if (effects_stack(c->effects, order[i].row, row))
			say_effect(r, "signature", text_json(row->text),
				   &row->effect);
	}
}

/* Too large for a stack. */
struct copies {
	struct effects_all all;
	struct effects_stack stack;
};

static void
say_about(const struct control *c, struct control_request *r,
	  const struct effects_all *all)
{
	const struct config *config = c->settings.config;

	control_request_say(
	    r,
	    json_pack("{ss sI sb sI sI sI}", "kind", "about", "holdout",
		      (json_int_t)config->learn.holdout_percent, "shadow",
		      (int)config->policy.is_shadow, "shaped_blind",
		      (json_int_t)all->blind[EFFECT_SHAPED], "held_out_blind",
		      (json_int_t)all->blind[EFFECT_HELD_OUT], "replaced",
		      (json_int_t)all->replaced));
}

void
control_say_effect(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	const char *wanted = control_request_argument(r);
	struct copies *copies;

	if (wanted[0] != '\0') {
		control_request_end(r, say_rules(c, r, wanted) > 0
					   ? NULL
					   : "no session was slowed first by "
					     "a rule of that name");
		return;
	}
	copies = malloc(sizeof(*copies));
	if (copies == NULL) {
		control_request_end(r, "out of memory");
		return;
	}
	effects_all(c->effects, &copies->all);
	say_about(c, r, &copies->all);
	say_effect(r, "all", json_string("all"), &copies->all.effect);
	(void)say_rules(c, r, "");
	say_stacks(c, r, &copies->stack);
	free(copies);
	control_request_end(r, NULL);
}

/* Bins in which anything happened: [ms, at risk, left, share gone]. */
static json_t *
bins_json(const struct patience *p)
{
	json_t *bins = json_array();

	for (uint32_t i = 0; i < PATIENCE_BINS; i++) {
		const uint32_t ms = i * p->width_ms;

		if (p->left[i] == 0 && p->stayed[i] == 0)
			continue;
		(void)json_array_append_new(
		    bins,
		    json_pack("[I I I f]", (json_int_t)ms,
			      (json_int_t)patience_waited(p, ms),
			      (json_int_t)p->left[i], patience_gone(p, ms)));
	}
	return bins;
}

static void
say_curve(struct control_request *r, const char *who, enum effects_curve which,
	  const struct patience *p)
{
	control_request_say(
	    r,
	    json_pack("{ss ss ss si sI so}", "kind", "curve", "who", who, "by",
		      which == EFFECTS_WAIT ? "wait" : "sum", "width_ms",
		      (int)p->width_ms, "sessions",
		      (json_int_t)patience_waited(p, 0), "bins", bins_json(p)));
}

static const char *
answer_name(enum patience_answer answer)
{
	switch (answer) {
	case PATIENCE_FOUND:
		return "found";
	case PATIENCE_STAY:
		return "stay";
	case PATIENCE_GOOD_LEAVE:
		return "good_leave";
	case PATIENCE_TOO_FEW:
		return "too_few";
	}
	return "?";
}

static void
say_delay(struct control_request *r, enum effects_curve which,
	  const struct patience *bad, const struct patience *good,
	  const struct patience_wish *wish)
{
	uint32_t ms = 0;
	enum patience_answer answer = patience_delay(bad, good, wish, &ms);

	control_request_say(
	    r, json_pack("{ss ss sI sI ss sI sI}", "kind", "delay", "by",
			 which == EFFECTS_WAIT ? "wait" : "sum", "bad_percent",
			 (json_int_t)wish->bad_percent, "good_ppm",
			 (json_int_t)wish->good_ppm, "answer",
			 answer_name(answer), "ms", (json_int_t)ms,
			 "good_waited", (json_int_t)patience_waited(good, ms)));
}

/* False if no such signature has a row. */
static bool
say_stack(struct control *c, struct control_request *r, const char *text,
	  struct copies *copies, const struct patience_wish *wish)
{
	struct effects_stack *row = &copies->stack;

	for (size_t i = 0; i < EFFECTS_STACKS; i++) {
		if (!effects_stack(c->effects, i, row) ||
		    strcmp(row->text, text) != 0)
			continue;
		for (unsigned k = 0; k < EFFECTS_CURVES; k++)
			say_curve(r, "signature", k, &row->curves[k]);
		for (unsigned k = 0; k < EFFECTS_CURVES; k++)
			say_delay(r, k, &row->curves[k],
				  &copies->all.curves[EFFECTS_GOOD][k], wish);
		return true;
	}
	return false;
}

static void
say_everybody(struct control_request *r, const struct effects_all *all,
	      const struct patience_wish *wish)
{
	static const char *const sorts[EFFECTS_SORTS] = {
	    [EFFECTS_BAD] = "bad",
	    [EFFECTS_UNKNOWN] = "unknown",
	    [EFFECTS_GOOD] = "good",
	    [EFFECTS_ALL] = "all",
	};

	for (unsigned i = 0; i < EFFECTS_SORTS; i++) {
		for (unsigned k = 0; k < EFFECTS_CURVES; k++)
			say_curve(r, sorts[i], k, &all->curves[i][k]);
	}
	for (unsigned k = 0; k < EFFECTS_CURVES; k++)
		say_delay(r, k, &all->curves[EFFECTS_BAD][k],
			  &all->curves[EFFECTS_GOOD][k], wish);
}

/* "SIGNATURE|- [BAD [GOOD]]"; false if it is not that. */
static bool
read_wish(const char *argument, char stack[SIGNATURE_TEXT_CAP],
	  struct patience_wish *wish)
{
	char text[SIGNATURE_TEXT_CAP + 64];
	char *words[4] = {NULL};
	size_t count = 0;
	struct value_why why;
	char *rest;

	*wish = (struct patience_wish){BAD_USUAL, GOOD_USUAL};
	(void)snprintf(text, sizeof(text), "%s", argument);
	for (char *word = strtok_r(text, " ", &rest); word != NULL && count < 4;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	(void)snprintf(stack, SIGNATURE_TEXT_CAP, "%s",
		       count > 0 ? words[0] : "-");
	return count < 4 &&
	       (count < 2 ||
		value_count(words[1], 1, 100, &wish->bad_percent, &why)) &&
	       (count < 3 ||
		value_count(words[2], 1, 1000000, &wish->good_ppm, &why));
}

void
control_say_patience(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	struct copies *copies = malloc(sizeof(*copies));
	char stack[SIGNATURE_TEXT_CAP];
	struct patience_wish wish;
	const char *error = NULL;

	if (copies == NULL) {
		control_request_end(r, "out of memory");
		return;
	}
	effects_all(c->effects, &copies->all);
	if (!read_wish(control_request_argument(r), stack, &wish))
		error = "expected SIGNATURE or -, then 1 to 100 percent of the "
			"bad, then 1 to 1000000 of a million good ones";
	else if (strcmp(stack, "-") == 0)
		say_everybody(r, &copies->all, &wish);
	else if (!say_stack(c, r, stack, copies, &wish))
		error = "no session with that stack signature was slowed; "
			"`tarryctl effect` names those that were";
	free(copies);
	control_request_end(r, error);
}
