/*
 * What delays did outlives the process: the two arms and the curves, as notes
 * of the state file. A row keeps its slot, so one that gave way leaves the
 * file too. Rules are found by name, for ids are given anew at each start; one
 * that the config no longer has is left out.
 *
 * Not for `dump` and `load`: who adds up the same sessions twice believes
 * them twice, and the holdout of another site drew other networks.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALL "effect"
#define RULE "effect of rule"
#define STACK "effect of signature"

/* As many words as they are numbers. */
#define WORDS(type) (sizeof(type) / sizeof(uint32_t))
#define EFFECT_WORDS WORDS(struct effect)
#define CURVES_WORDS (EFFECTS_CURVES * WORDS(struct patience))
#define RULE_WORDS (1 + EFFECT_WORDS)
#define STACK_WORDS (1 + EFFECT_WORDS + CURVES_WORDS)
/* Of `blind`, the lower and the upper half. */
#define BLIND_WORDS ((size_t)EFFECT_ARMS * 2)
#define ALL_WORDS                                                              \
	(BLIND_WORDS + EFFECT_WORDS + (size_t)EFFECTS_SORTS * CURVES_WORDS)

_Static_assert(EFFECT_WORDS ==
		       EFFECT_ARMS * EFFECT_GROUPS * (1 + EFFECT_FACTS) &&
		   WORDS(struct patience) == 1 + 2 * PATIENCE_BINS,
	       "an effect and a curve are numbers without gaps");
_Static_assert(ALL_WORDS <= STATE_NOTE_NUMBERS, "all of it is one note");

/* One at a time: in the thread of the pool, and at the start. */
struct control_keep {
	struct effects_all all;
	struct effects_rule rule;
	struct effects_stack stack;
	uint32_t words[ALL_WORDS];
};

static int
put(struct state_file *f, const struct control_keep *k,
    const struct state_note *where, size_t count)
{
	struct state_note note = *where;

	note.numbers = k->words;
	note.count = count;
	return state_file_put_note(f, &note);
}

static int
put_rule(const struct control *c, struct state_file *f, uint32_t row)
{
	struct control_keep *k = c->keep;
	struct state_note note = {.kind = RULE, .slot = row};

	if (!effects_rule_changed(c->effects, row, &k->rule))
		return 0;
	note.name = names_rule(c->names, k->rule.id);
	k->words[0] = k->rule.sessions;
	memcpy(k->words + 1, &k->rule.effect, sizeof(k->rule.effect));
	return put(f, k, &note, RULE_WORDS);
}

static int
put_stack(const struct control *c, struct state_file *f, uint32_t row)
{
	struct control_keep *k = c->keep;
	const struct state_note note = {
	    .kind = STACK, .slot = row, .name = k->stack.text};

	if (!effects_stack_changed(c->effects, row, &k->stack))
		return 0;
	k->words[0] = k->stack.sessions;
	memcpy(k->words + 1, &k->stack.effect, sizeof(k->stack.effect));
	memcpy(k->words + 1 + EFFECT_WORDS, k->stack.curves,
	       sizeof(k->stack.curves));
	return put(f, k, &note, STACK_WORDS);
}

static int
put_all(const struct control *c, struct state_file *f)
{
	struct control_keep *k = c->keep;
	const struct state_note note = {.kind = ALL, .name = "all"};

	if (!effects_all_changed(c->effects, &k->all))
		return 0;
	for (size_t i = 0; i < EFFECT_ARMS; i++) {
		k->words[2 * i] = (uint32_t)k->all.blind[i];
		k->words[2 * i + 1] = (uint32_t)(k->all.blind[i] >> 32);
	}
	memcpy(k->words + BLIND_WORDS, &k->all.effect, sizeof(k->all.effect));
	memcpy(k->words + BLIND_WORDS + EFFECT_WORDS, k->all.curves,
	       sizeof(k->all.curves));
	return put(f, k, &note, ALL_WORDS);
}

static int
put_effects(void *ctx, struct state_file *f)
{
	const struct control *c = ctx;
	int rc = put_all(c, f);

	for (uint32_t i = 0; i < EFFECTS_RULES && rc == 0; i++)
		rc = put_rule(c, f, i);
	for (uint32_t i = 0; i < EFFECTS_STACKS && rc == 0; i++)
		rc = put_stack(c, f, i);
	return rc;
}

static void
put_effects_again(void *ctx)
{
	struct control *c = ctx;

	effects_touch(c->effects);
}

/* Bins of another width say something else. */
static bool
fits(const struct patience curves[EFFECTS_CURVES])
{
	return curves[EFFECTS_WAIT].width_ms == PATIENCE_WAIT_MS &&
	       curves[EFFECTS_SUM].width_ms == PATIENCE_SUM_MS;
}

static void
take_rule(struct control *c, const struct state_note *note)
{
	struct effects_rule *rule = &c->keep->rule;

	if (note->count != RULE_WORDS)
		return;
	rule->sessions = note->numbers[0];
	memcpy(&rule->effect, note->numbers + 1, sizeof(rule->effect));
	for (size_t i = 0; i < names_rules_count(c->names); i++) {
		rule->id = (uint16_t)i;
		if (strcmp(names_rule(c->names, rule->id), note->name) == 0) {
			(void)effects_put_rule(c->effects, note->slot, rule);
			return;
		}
	}
}

static void
take_stack(struct control *c, const struct state_note *note)
{
	struct effects_stack *stack = &c->keep->stack;

	if (note->count != STACK_WORDS ||
	    strlen(note->name) >= sizeof(stack->text))
		return;
	memset(stack, 0, sizeof(*stack));
	strcpy(stack->text, note->name);
	stack->sessions = note->numbers[0];
	memcpy(&stack->effect, note->numbers + 1, sizeof(stack->effect));
	memcpy(stack->curves, note->numbers + 1 + EFFECT_WORDS,
	       sizeof(stack->curves));
	if (fits(stack->curves))
		(void)effects_put_stack(c->effects, note->slot, stack);
}

static void
take_all(struct control *c, const struct state_note *note)
{
	struct effects_all *all = &c->keep->all;

	if (note->count != ALL_WORDS)
		return;
	memset(all, 0, sizeof(*all));
	for (size_t i = 0; i < EFFECT_ARMS; i++)
		all->blind[i] = note->numbers[2 * i] |
				(uint64_t)note->numbers[2 * i + 1] << 32;
	memcpy(&all->effect, note->numbers + BLIND_WORDS, sizeof(all->effect));
	memcpy(all->curves, note->numbers + BLIND_WORDS + EFFECT_WORDS,
	       sizeof(all->curves));
	for (size_t i = 0; i < EFFECTS_SORTS; i++) {
		if (!fits(all->curves[i]))
			return;
	}
	effects_put_all(c->effects, all);
}

static void
take_effects(void *ctx, const struct state_note *note)
{
	struct control *c = ctx;

	if (strcmp(note->kind, RULE) == 0)
		take_rule(c, note);
	else if (strcmp(note->kind, STACK) == 0)
		take_stack(c, note);
	else
		take_all(c, note);
}

int
control_keep_effects(struct control *c)
{
	static const char *const kinds[] = {ALL, RULE, STACK, NULL};
	const struct store_keeper keeper = {.kinds = kinds,
					    .ctx = c,
					    .take = take_effects,
					    .put = put_effects,
					    .put_again = put_effects_again};

	c->keep = calloc(1, sizeof(*c->keep));
	if (c->keep == NULL)
		return -ENOMEM;
	store_keep(c->store, &keeper);
	return 0;
}
