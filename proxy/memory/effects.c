/*
 * See effects.h. Looking for a row is a walk over 256 hashes, 2 KiB: a tenth
 * of a microsecond, once for each session that was slowed.
 */
#include "proxy/memory/effects.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

/* So often the counts that say who gives way are halved. */
#define AGE_EVERY 65536u

struct effects {
	pthread_mutex_t mutex;
	uint32_t age;
	uint32_t hand; /* of equals, the rows behind it give way first */
	struct effects_all all;
	/* Of the rows, what is walked over: together, for the cache. */
	uint64_t rule_hashes[EFFECTS_RULES];
	uint64_t stack_hashes[EFFECTS_STACKS];
	uint32_t rule_sessions[EFFECTS_RULES];
	uint32_t stack_sessions[EFFECTS_STACKS];
	/* Since the store looked: */
	bool rule_changed[EFFECTS_RULES];
	bool stack_changed[EFFECTS_STACKS];
	bool all_changed;
	struct effects_rule rules[EFFECTS_RULES];
	struct effects_stack stacks[EFFECTS_STACKS];
};

static void
init_curves(struct patience curves[EFFECTS_CURVES])
{
	patience_init(&curves[EFFECTS_WAIT], PATIENCE_WAIT_MS);
	patience_init(&curves[EFFECTS_SUM], PATIENCE_SUM_MS);
}

struct effects *
effects_new(void)
{
	struct effects *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	for (size_t i = 0; i < EFFECTS_SORTS; i++)
		init_curves(e->all.curves[i]);
	(void)pthread_mutex_init(&e->mutex, NULL);
	return e;
}

void
effects_free(struct effects *e)
{
	if (e == NULL)
		return;
	(void)pthread_mutex_destroy(&e->mutex);
	free(e);
}

static size_t
find(const uint64_t *hashes, size_t count, uint64_t hash)
{
	for (size_t i = 0; i < count; i++) {
		if (hashes[i] == hash)
			return i;
	}
	return count;
}

/* The row with the fewest sessions. */
static size_t
least(struct effects *e, const uint32_t *sessions, size_t count)
{
	size_t at = e->hand++ % count;

	for (size_t n = 0, i = at; n < count; n++, i++) {
		if (sessions[i % count] < sessions[at])
			at = i % count;
	}
	return at;
}

/* The row of that rule; a new one is made of the least. */
static size_t
rule_row(struct effects *e, uint16_t id)
{
	const uint64_t hash = id + UINT64_C(1); /* 0: a free row */
	size_t at = find(e->rule_hashes, EFFECTS_RULES, hash);

	if (at < EFFECTS_RULES)
		return at;
	at = least(e, e->rule_sessions, EFFECTS_RULES);
	e->all.replaced += e->rule_hashes[at] != 0;
	e->rule_hashes[at] = hash;
	e->rule_sessions[at] = 0;
	memset(&e->rules[at], 0, sizeof(e->rules[at]));
	e->rules[at].id = id;
	return at;
}

static uint64_t
stack_hash(const char *text)
{
	return XXH3_64bits(text, strlen(text)) | 1;
}

static size_t
stack_row(struct effects *e, const char *text)
{
	const uint64_t hash = stack_hash(text);
	size_t at = find(e->stack_hashes, EFFECTS_STACKS, hash);
	struct effects_stack *row;

	if (at < EFFECTS_STACKS)
		return at;
	at = least(e, e->stack_sessions, EFFECTS_STACKS);
	row = &e->stacks[at];
	e->all.replaced += e->stack_hashes[at] != 0;
	e->stack_hashes[at] = hash;
	e->stack_sessions[at] = 0;
	memset(row, 0, sizeof(*row));
	(void)strncat(row->text, text, sizeof(row->text) - 1);
	init_curves(row->curves);
	return at;
}

/* A row that was seen once keeps that much, or it would be free. */
static uint32_t
halved(uint32_t sessions)
{
	return sessions > 1 ? sessions / 2 : sessions;
}

static void
age(struct effects *e)
{
	if (++e->age < AGE_EVERY)
		return;
	e->age = 0;
	for (size_t i = 0; i < EFFECTS_RULES; i++)
		e->rule_sessions[i] = halved(e->rule_sessions[i]);
	for (size_t i = 0; i < EFFECTS_STACKS; i++)
		e->stack_sessions[i] = halved(e->stack_sessions[i]);
}

static void
add_curves(struct patience curves[EFFECTS_CURVES],
	   const struct effects_session *s)
{
	void (*const add)(struct patience *, uint32_t) =
	    s->has_left ? patience_add_left : patience_add_stayed;

	add(&curves[EFFECTS_WAIT], s->longest_ms);
	add(&curves[EFFECTS_SUM], s->sum_ms);
}

void
effects_add(struct effects *e, const struct effects_session *s)
{
	struct effects_rule *rule;
	struct effects_stack *stack;
	size_t at;

	(void)pthread_mutex_lock(&e->mutex);
	at = rule_row(e, s->rule_id);
	rule = &e->rules[at];
	e->rule_sessions[at]++;
	e->rule_changed[at] = true;
	at = stack_row(e, s->stack);
	stack = &e->stacks[at];
	e->stack_sessions[at]++;
	e->stack_changed[at] = true;
	e->all_changed = true;
	effect_add(&rule->effect, s->arm, s->network, s->facts);
	effect_add(&stack->effect, s->arm, s->network, s->facts);
	effect_add(&e->all.effect, s->arm, s->network, s->facts);
	e->all.blind[s->arm] += s->is_blind;
	if (s->was_held) {
		add_curves(stack->curves, s);
		add_curves(e->all.curves[s->sort], s);
		add_curves(e->all.curves[EFFECTS_ALL], s);
	}
	age(e);
	(void)pthread_mutex_unlock(&e->mutex);
}

bool
effects_rule(struct effects *e, size_t row, struct effects_rule *out)
{
	(void)pthread_mutex_lock(&e->mutex);
	*out = e->rules[row];
	out->sessions = e->rule_sessions[row];
	(void)pthread_mutex_unlock(&e->mutex);
	return out->sessions > 0;
}

bool
effects_stack(struct effects *e, size_t row, struct effects_stack *out)
{
	(void)pthread_mutex_lock(&e->mutex);
	*out = e->stacks[row];
	out->sessions = e->stack_sessions[row];
	(void)pthread_mutex_unlock(&e->mutex);
	return out->sessions > 0;
}

void
effects_all(struct effects *e, struct effects_all *out)
{
	(void)pthread_mutex_lock(&e->mutex);
	*out = e->all;
	(void)pthread_mutex_unlock(&e->mutex);
}

/* What it was, and no longer is. */
static bool
clear(struct effects *e, bool *mark)
{
	bool was;

	(void)pthread_mutex_lock(&e->mutex);
	was = *mark;
	*mark = false;
	(void)pthread_mutex_unlock(&e->mutex);
	return was;
}

bool
effects_rule_changed(struct effects *e, size_t row, struct effects_rule *out)
{
	return clear(e, &e->rule_changed[row]) && effects_rule(e, row, out);
}

bool
effects_stack_changed(struct effects *e, size_t row, struct effects_stack *out)
{
	return clear(e, &e->stack_changed[row]) && effects_stack(e, row, out);
}

bool
effects_all_changed(struct effects *e, struct effects_all *out)
{
	if (!clear(e, &e->all_changed))
		return false;
	effects_all(e, out);
	return true;
}

void
effects_touch(struct effects *e)
{
	(void)pthread_mutex_lock(&e->mutex);
	memset(e->rule_changed, true, sizeof(e->rule_changed));
	memset(e->stack_changed, true, sizeof(e->stack_changed));
	e->all_changed = true;
	(void)pthread_mutex_unlock(&e->mutex);
}

bool
effects_put_rule(struct effects *e, size_t row, const struct effects_rule *in)
{
	const uint64_t hash = in->id + UINT64_C(1);

	if (row >= EFFECTS_RULES || in->sessions == 0 ||
	    e->rule_hashes[row] != 0 ||
	    find(e->rule_hashes, EFFECTS_RULES, hash) < EFFECTS_RULES)
		return false;
	e->rule_hashes[row] = hash;
	e->rule_sessions[row] = in->sessions;
	e->rules[row] = *in;
	return true;
}

bool
effects_put_stack(struct effects *e, size_t row, const struct effects_stack *in)
{
	const uint64_t hash = stack_hash(in->text);

	if (row >= EFFECTS_STACKS || in->sessions == 0 ||
	    e->stack_hashes[row] != 0 ||
	    find(e->stack_hashes, EFFECTS_STACKS, hash) < EFFECTS_STACKS)
		return false;
	e->stack_hashes[row] = hash;
	e->stack_sessions[row] = in->sessions;
	e->stacks[row] = *in;
	return true;
}

void
effects_put_all(struct effects *e, const struct effects_all *in)
{
	e->all = *in;
}

void
effects_print_size(FILE *out)
{
	fprintf(out, "effect of delays: %.1f MB\n",
		(double)sizeof(struct effects) / 1e6);
}
