/*
 * Filing: each rule under one condition, the one that fewest clients meet.
 *
 * Everything is gathered as (key, item) pairs, sorted, and cut into slices;
 * sorting is what a load of 100,000 networks costs. Items of a slice ascend,
 * so that rules come out in file order.
 */
#include "proxy/config/rule_index.h"

#include <stdlib.h>
#include <string.h>

#include "tarry/policy_index.h"

/* Fewer patterns than this are walked as quickly. */
#define PATTERNS_FEW 8
/* Fewer networks than this are searched as quickly without a table. */
#define NETS_FEW 1024
/* Keys of rules that are filed under no fact's value. */
#define UNDER_LATE (EVIDENCE_COUNT + 1)

struct pair {
	uint64_t high; /* the key; of a network its address */
	uint64_t low;
	uint32_t item;
	uint8_t bits;
};

/* Pairs so far, and where they go. */
struct filing {
	struct arena *arena;
	struct pair *pairs;
	size_t count;
	uint32_t *items;
	uint32_t items_count;
};

static int
compare_nets(const void *left, const void *right)
{
	return policy_net_compare(left, right);
}

static int
compare_texts(const void *left, const void *right)
{
	return policy_text_compare(*(const char *const *)left,
				   *(const char *const *)right);
}

static bool
lies_within(const struct net *inner, const struct net *outer)
{
	struct addr first = {.family = (uint8_t)policy_net_family(inner)};

	memcpy(first.ip, inner->ip, sizeof(first.ip));
	return inner->bits >= outer->bits && net_has(outer, &first);
}

static size_t
drop_inner_nets(struct net *nets, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || !lies_within(&nets[i], &nets[kept - 1]))
			nets[kept++] = nets[i];
	}
	return kept;
}

static int
compare_pairs(const void *left, const void *right)
{
	const struct pair *a = left;
	const struct pair *b = right;

	if (a->high != b->high)
		return a->high < b->high ? -1 : 1;
	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	if (a->bits != b->bits)
		return a->bits < b->bits ? -1 : 1;
	return a->item < b->item ? -1 : a->item > b->item;
}

static bool
is_same_key(const struct pair *a, const struct pair *b)
{
	return a->high == b->high && a->low == b->low && a->bits == b->bits;
}

/* Room for the pairs of so many items. */
static bool
filing_start(struct filing *f, struct arena *arena, size_t cap)
{
	*f = (struct filing){.arena = arena};
	f->pairs = calloc(cap, sizeof(*f->pairs));
	f->items = arena_take(arena, cap * sizeof(*f->items));
	return f->pairs != NULL && f->items != NULL;
}

static void
filing_end(struct filing *f)
{
	free(f->pairs);
}

static void
file_under(struct filing *f, uint64_t key, uint32_t item)
{
	f->pairs[f->count++] = (struct pair){.high = key, .item = item};
}

/*
 * Takes the pairs that share the key of pairs[*at], as a slice of items, each
 * once; *at is then behind them.
 */
static struct index_slice
take_slice(struct filing *f, size_t *at)
{
	struct index_slice slice = {.first = f->items_count};
	const struct pair *first = &f->pairs[*at];

	for (; *at < f->count && is_same_key(first, &f->pairs[*at]); ++*at) {
		const uint32_t item = f->pairs[*at].item;
		if (slice.count > 0 && f->items[f->items_count - 1] == item)
			continue;
		f->items[f->items_count++] = item;
		slice.count++;
	}
	return slice;
}

static void
sort_pairs(struct filing *f)
{
	if (f->count > 1)
		qsort(f->pairs, f->count, sizeof(*f->pairs), compare_pairs);
}

static void
put_entry(struct index_entry *entries, uint32_t mask, uint64_t key,
	  struct index_slice slice)
{
	uint32_t i = (uint32_t)key & mask;

	while (entries[i].slice.count > 0)
		i = (i + 1) & mask;
	entries[i] = (struct index_entry){.key = key, .slice = slice};
}

/* All pairs as a hash table at most half full; the pairs are used up. */
static void
build_table(struct filing *f, struct index_table *table)
{
	uint32_t size = 2;
	struct index_entry *entries;

	if (f->count == 0)
		return;
	while (size < 2 * f->count)
		size *= 2;
	entries = arena_take(f->arena, size * sizeof(*entries));
	if (entries == NULL)
		return;
	sort_pairs(f);
	for (size_t at = 0; at < f->count;) {
		const uint64_t key = f->pairs[at].high;
		put_entry(entries, size - 1, key, take_slice(f, &at));
	}
	table->entries = entries;
	table->mask = size - 1;
	f->count = 0;
}

static uint64_t
number_at(const uint8_t *bytes)
{
	uint64_t n = 0;

	for (size_t i = 0; i < 8; i++)
		n = n << 8 | bytes[i];
	return n;
}

static bool
is_around(const struct index_net *outer, const struct index_net *inner)
{
	uint64_t high = outer->high ^ inner->high;
	uint64_t low = outer->low ^ inner->low;

	if (outer->bits <= 64)
		return outer->bits == 0 || high >> (64 - outer->bits) == 0;
	return high == 0 && low >> (128 - outer->bits) == 0;
}

/* Sorted, IPv4 stands together, behind all of ::/96 that is below it. */
static void
build_v4(struct arena *arena, struct policy_index *index)
{
	uint32_t *starts;
	uint32_t at = 0;

	if (index->nets_count < NETS_FEW)
		return;
	starts = arena_take(arena, (INDEX_V4 + 1) * sizeof(*starts));
	if (starts == NULL)
		return;
	for (uint64_t i = 0; i <= INDEX_V4; i++) {
		const uint64_t low = 0xffff00000000u + (i << 16);
		while (at < index->nets_count && index->nets[at].high == 0 &&
		       index->nets[at].low < low)
			at++;
		starts[i] = at;
	}
	index->v4 = starts;
}

/* All pairs as networks, each with the one around it; they are used up. */
static void
build_nets(struct filing *f, struct policy_index *index)
{
	struct index_net *nets;
	size_t count = 0;

	if (f->count == 0)
		return;
	nets = arena_take(f->arena, f->count * sizeof(*nets));
	if (nets == NULL)
		return;
	sort_pairs(f);
	for (size_t at = 0; at < f->count;) {
		struct index_net *n = &nets[count];
		const struct pair *p = &f->pairs[at];
		*n = (struct index_net){.high = p->high,
					.low = p->low,
					.bits = p->bits,
					.parent = (uint32_t)count};
		n->slice = take_slice(f, &at);
		while (n->parent > 0 && !is_around(&nets[n->parent - 1], n))
			n->parent = nets[n->parent - 1].parent;
		count++;
	}
	index->nets = nets;
	index->nets_count = count;
	build_v4(f->arena, index);
	f->count = 0;
}

static void
note_mask(struct pattern_index *index, uint8_t mask)
{
	for (size_t i = 0; i < index->masks_count; i++) {
		if (index->masks[i] == mask)
			return;
	}
	index->masks[index->masks_count++] = mask; /* < PATTERN_MASKS kinds */
}

static const struct pattern_index *
index_patterns(struct arena *arena, const struct policy_condition *c)
{
	struct pattern_index *index = arena_take(arena, sizeof(*index));
	struct filing f;

	if (index == NULL)
		return NULL;
	if (!filing_start(&f, arena, c->count)) {
		filing_end(&f);
		return NULL;
	}
	for (size_t i = 0; i < c->count; i++) {
		note_mask(index, pattern_index_mask(&c->patterns[i]));
		file_under(&f, pattern_index_key(&c->patterns[i]), (uint32_t)i);
	}
	build_table(&f, &index->table);
	filing_end(&f);
	index->items = f.items;
	return index->table.entries != NULL ? index : NULL;
}

void
rule_index_sort(struct arena *arena, struct policy_condition *c,
		struct net *nets, const char **texts)
{
	if (nets != NULL) {
		qsort(nets, c->count, sizeof(*nets), compare_nets);
		c->count = drop_inner_nets(nets, c->count);
		c->is_sorted = true;
	}
	if (texts != NULL && c->kind == EVIDENCE_LABEL) {
		qsort(texts, c->count, sizeof(*texts), compare_texts);
		c->is_sorted = true;
	}
	if (c->patterns != NULL && c->count > PATTERNS_FEW)
		c->index = index_patterns(arena, c);
}

/* How well a condition selects: 0 not at all. */
static unsigned
grade(const struct policy_condition *c)
{
	if (c->is_not)
		return 0;
	/* The other one is tested again: candidate_holds(). */
	if (c->kind == EVIDENCE_NETWORK)
		return 7;
	if (c->kind == EVIDENCE_LISTED)
		return 6;
	if (c->kind == EVIDENCE_SYN)
		return 5;
	if (c->kind == EVIDENCE_STACK)
		return 4;
	if (c->kind == EVIDENCE_FAMILY)
		return 3;
	if (c->kind == EVIDENCE_LABEL)
		return 2;
	return c->kind == EVIDENCE_JA4 || c->kind == EVIDENCE_DIALECT ? 1 : 0;
}

/* The condition that a rule is filed under, or NULL. */
static const struct policy_condition *
select_condition(const struct policy_rule *rule)
{
	const struct policy_condition *best = NULL;

	for (size_t i = 0; i < rule->conditions_count; i++) {
		const struct policy_condition *c = &rule->conditions[i];
		if (grade(c) > (best == NULL ? 0 : grade(best)))
			best = c;
	}
	return best;
}

static void
file_nets(struct filing *f, const struct policy_condition *c, uint32_t rule)
{
	for (size_t i = 0; i < c->count; i++)
		f->pairs[f->count++] =
		    (struct pair){.high = number_at(c->nets[i].ip),
				  .low = number_at(c->nets[i].ip + 8),
				  .bits = c->nets[i].bits,
				  .item = rule};
}

static void
file_patterns(struct filing *f, struct policy_index *index,
	      const struct policy_condition *c, uint32_t rule)
{
	for (size_t i = 0; i < c->count; i++) {
		note_mask(&index->patterns,
			  pattern_index_mask(&c->patterns[i]));
		file_under(f, pattern_index_key(&c->patterns[i]), rule);
	}
}

static void
file_labels(struct filing *f, const struct policy_condition *c, uint32_t rule)
{
	for (size_t i = 0; i < c->count; i++)
		file_under(f, label_index_key(c->texts[i]), rule);
}

/* What is filed in one go. */
enum drawer { DRAWER_NETS, DRAWER_PATTERNS, DRAWER_LABELS };

static bool
is_in_drawer(const struct policy_condition *c, enum drawer drawer)
{
	if (c == NULL)
		return false;
	switch (drawer) {
	case DRAWER_NETS:
		return c->kind == EVIDENCE_NETWORK ||
		       c->kind == EVIDENCE_LISTED;
	case DRAWER_PATTERNS:
		return c->patterns != NULL;
	case DRAWER_LABELS:
		return c->kind == EVIDENCE_LABEL;
	}
	return false;
}

static void
fill_drawer(struct filing *f, const struct policy *policy,
	    struct policy_index *index, enum drawer drawer)
{
	for (size_t i = 0; i < policy->rules_count; i++) {
		const struct policy_condition *c =
		    select_condition(&policy->rules[i]);
		if (!is_in_drawer(c, drawer))
			continue;
		if (drawer == DRAWER_NETS)
			file_nets(f, c, (uint32_t)i);
		else if (drawer == DRAWER_PATTERNS)
			file_patterns(f, index, c, (uint32_t)i);
		else
			file_labels(f, c, (uint32_t)i);
	}
}

/* Rules that are filed under nothing, or under a fact's absence. */
static void
file_others(struct filing *f, const struct policy *policy,
	    struct policy_index *index)
{
	size_t at = 0;

	for (size_t i = 0; i < policy->rules_count; i++) {
		const struct policy_condition *c =
		    select_condition(&policy->rules[i]);
		if (c == NULL)
			file_under(f, EVIDENCE_COUNT, (uint32_t)i);
		else if (c->is_unknown)
			file_under(f, c->kind, (uint32_t)i);
		if (c != NULL &&
		    (c->kind == EVIDENCE_JA4 || c->kind == EVIDENCE_DIALECT))
			file_under(f, UNDER_LATE, (uint32_t)i);
	}
	sort_pairs(f);
	while (at < f->count) {
		const uint64_t kind = f->pairs[at].high;
		const struct index_slice slice = take_slice(f, &at);
		if (kind == EVIDENCE_COUNT)
			index->always = slice;
		else if (kind == UNDER_LATE)
			index->late = slice;
		else
			index->unknown[kind] = slice;
	}
	f->count = 0;
}

/* How many pairs all rules make at most. */
static size_t
count_pairs(const struct policy *policy)
{
	size_t count = 1;

	/* Under a value each, under its absence, or under its presence. */
	for (size_t i = 0; i < policy->rules_count; i++) {
		const struct policy_condition *c =
		    select_condition(&policy->rules[i]);
		count += 2 + (c == NULL ? 0 : c->count);
	}
	return count;
}

static void
file_rules(struct filing *f, struct policy *policy, struct policy_index *index)
{
	fill_drawer(f, policy, index, DRAWER_NETS);
	build_nets(f, index);
	fill_drawer(f, policy, index, DRAWER_PATTERNS);
	build_table(f, &index->patterns.table);
	fill_drawer(f, policy, index, DRAWER_LABELS);
	build_table(f, &index->labels);
	file_others(f, policy, index);
	index->items = f->items;
	index->patterns.items = f->items;
	if (!arena_has_failed(f->arena))
		policy->index = index;
}

void
rule_index_build(struct arena *arena, struct policy *policy)
{
	struct policy_index *index = arena_take(arena, sizeof(*index));
	struct filing f;

	if (index == NULL)
		return;
	if (filing_start(&f, arena, count_pairs(policy)))
		file_rules(&f, policy, index);
	filing_end(&f);
}
