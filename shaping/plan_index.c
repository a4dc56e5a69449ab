/*
 * Which rules can hold for a client, without a look at the others.
 *
 * What is found for a client are slices, each a list of rules in file order:
 * one for each network around it, for each mask of patterns, for its label;
 * they are merged as they are read. So a decision costs by how much fits the
 * client, not by how much stands in the file.
 *
 * The hash has no seed: who chooses a SYN can choose which slice is found,
 * but not what stands in it, and the rules are the operator's.
 */
#include "plan_parts.h"

#define XXH_INLINE_ALL
#include "xxhash.h"

#include "signature_parts.h"

/* What a SYN or a pattern has in the fields of a mask. */
struct pattern_values {
	uint64_t layout;
	uint32_t multiple;
	uint16_t mss;
	uint16_t scale;
	uint16_t ttl;
	uint16_t window;
};

static uint64_t
mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static uint64_t
layout_key(const uint8_t *kinds, size_t count, uint8_t eol_pad)
{
	return XXH3_64bits_withSeed(kinds, count, eol_pad);
}

static uint32_t
multiple_key(enum pattern_kind unit, uint16_t count)
{
	return (unit == PATTERN_MSS ? 1u : 2u) << 16 | count;
}

static uint64_t
values_key(const struct pattern_values *v, uint8_t mask)
{
	uint64_t key = mix(mask, 0);

	if ((mask & PATTERN_FIELD_LAYOUT) != 0)
		key = mix(key, v->layout);
	if ((mask & PATTERN_FIELD_MSS) != 0)
		key = mix(key, v->mss);
	if ((mask & PATTERN_FIELD_SCALE) != 0)
		key = mix(key, v->scale);
	if ((mask & PATTERN_FIELD_TTL) != 0)
		key = mix(key, v->ttl);
	if ((mask & PATTERN_FIELD_WINDOW) != 0)
		key = mix(key, v->window);
	if ((mask & PATTERN_FIELD_MULTIPLE) != 0)
		key = mix(key, v->multiple);
	return key;
}

uint8_t
pattern_index_mask(const struct signature_pattern *p)
{
	unsigned mask = 0;

	if (!p->layout_any)
		mask |= PATTERN_FIELD_LAYOUT;
	if (p->mss.kind == PATTERN_VALUE)
		mask |= PATTERN_FIELD_MSS;
	if (p->wscale.kind == PATTERN_VALUE)
		mask |= PATTERN_FIELD_SCALE;
	if (IS_USUAL_TTL(p->ittl) && !p->ittl_is_max)
		mask |= PATTERN_FIELD_TTL;
	if (p->window.kind == PATTERN_VALUE)
		mask |= PATTERN_FIELD_WINDOW;
	if (p->window.kind == PATTERN_MSS || p->window.kind == PATTERN_MTU)
		mask |= PATTERN_FIELD_MULTIPLE;
	return (uint8_t)mask;
}

uint64_t
pattern_index_key(const struct signature_pattern *p)
{
	const struct pattern_values v = {
	    .layout = layout_key(p->kinds, p->kinds_count, p->eol_pad),
	    .multiple = multiple_key(p->window.kind, p->window.a),
	    .mss = p->mss.a,
	    .scale = p->wscale.a,
	    .ttl = p->ittl,
	    .window = p->window.a,
	};

	return values_key(&v, pattern_index_mask(p));
}

/* The window's class takes a dozen divisions, and is asked for if it must. */
static struct pattern_values
values_of(const struct syn *s, const struct pattern_index *index)
{
	struct pattern_values v = {
	    .layout = layout_key(s->kinds, s->kinds_count, s->eol_pad),
	    .mss = s->mss,
	    .scale = signature_scale(s),
	    .ttl = signature_initial_ttl(s->ttl),
	    .window = s->window,
	};
	unsigned all = 0;

	for (size_t i = 0; i < index->masks_count; i++)
		all |= index->masks[i];
	if ((all & PATTERN_FIELD_MULTIPLE) != 0) {
		const struct window_class class = window_class_of(s);
		if (class.kind == PATTERN_MSS || class.kind == PATTERN_MTU)
			v.multiple = multiple_key(class.kind, class.count);
	}
	return v;
}

uint64_t
label_index_key(const char *label)
{
	uint64_t key = 0;

	for (; *label != '\0'; label++)
		key = mix(key, text_lower(*label));
	return mix(key, 0);
}

/* An empty slice if there is none; a table without entries has none. */
static struct index_slice
table_find(const struct index_table *t, uint64_t key)
{
	struct index_slice none = {0, 0};

	if (t->entries == NULL)
		return none;
	for (uint32_t i = (uint32_t)key & t->mask;; i = (i + 1) & t->mask) {
		const struct index_entry *e = &t->entries[i];
		if (e->slice.count == 0)
			return none;
		if (e->key == key)
			return e->slice;
	}
}

bool
pattern_index_match(const struct pattern_index *index,
		    const struct signature_pattern *patterns,
		    const struct syn *syn)
{
	const struct pattern_values v = values_of(syn, index);

	for (size_t i = 0; i < index->masks_count; i++) {
		const struct index_slice found =
		    table_find(&index->table, values_key(&v, index->masks[i]));
		const uint32_t *items = index->items + found.first;
		for (uint32_t k = 0; k < found.count; k++) {
			if (signature_pattern_match(&patterns[items[k]], syn))
				return true;
		}
	}
	return false;
}

static void
add(struct candidates *c, struct index_slice slice)
{
	if (slice.count > 0)
		c->lists[c->lists_count++] = slice;
}

static uint64_t
number_at(const uint8_t *bytes)
{
	uint64_t n = 0;

	for (size_t i = 0; i < 8; i++)
		n = n << 8 | bytes[i];
	return n;
}

/* 1 + the place of the last network that does not begin behind the address. */
static size_t
last_net(const struct policy_index *index, uint64_t high, uint64_t low)
{
	const struct index_net *nets = index->nets;
	const bool is_v4 = high == 0 && low >> 32 == 0xffff;
	size_t from = 0;
	size_t to = index->nets_count;

	if (is_v4 && index->v4 != NULL) {
		from = index->v4[low >> 16 & 0xffff];
		to = index->v4[(low >> 16 & 0xffff) + 1];
	}
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		const struct index_net *n = &nets[middle];
		if (n->high > high || (n->high == high && n->low > low))
			to = middle;
		else
			from = middle + 1;
	}
	return from;
}

static uint64_t
mask_of(unsigned bits)
{
	if (bits == 0)
		return 0;
	return bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
}

static bool
is_within(const struct index_net *n, uint64_t high, uint64_t low)
{
	unsigned low_bits = n->bits > 64 ? n->bits - 64u : 0;

	return ((high ^ n->high) & mask_of(n->bits)) == 0 &&
	       ((low ^ n->low) & mask_of(low_bits)) == 0;
}

/* The networks around an address, and none else: rule_holds() relies on it.
 * What is around ::ffff:0:0/96 is around no IPv4 client. */
static void
add_nets(struct candidates *c, const struct addr *client)
{
	const struct policy_index *index = c->policy->index;
	const uint64_t high = number_at(client->ip);
	const uint64_t low = number_at(client->ip + 8);
	const uint8_t bits_min = client->family == 4 ? 96 : 0;
	size_t at = last_net(index, high, low);

	while (at > 0) {
		const struct index_net *n = &index->nets[at - 1];
		if (n->bits < bits_min)
			break;
		if (is_within(n, high, low))
			add(c, n->slice);
		at = n->parent;
	}
}

static void
add_patterns(struct candidates *c, const struct syn *syn)
{
	const struct pattern_index *index = &c->policy->index->patterns;

	if (index->masks_count == 0)
		return;
	const struct pattern_values v = values_of(syn, index);
	for (size_t i = 0; i < index->masks_count; i++)
		add(c,
		    table_find(&index->table, values_key(&v, index->masks[i])));
}

void
candidates_start(struct candidates *c, const struct policy *policy,
		 const struct evidence *e)
{
	const struct policy_index *index = policy->index;

	c->policy = policy;
	c->next = 0;
	c->lists_count = 0;
	if (index == NULL)
		return;
	add(c, index->always);
	if (evidence_tells(e, EVIDENCE_NETWORK) && e->client.family != 0)
		add_nets(c, &e->client);
	if (evidence_tells(e, EVIDENCE_SYN) ||
	    evidence_tells(e, EVIDENCE_STACK) ||
	    evidence_tells(e, EVIDENCE_FAMILY))
		add_patterns(c, &e->syn);
	if (evidence_tells(e, EVIDENCE_LABEL))
		add(c, table_find(&index->labels, label_index_key(e->label)));
	if (evidence_tells(e, EVIDENCE_JA4) ||
	    evidence_tells(e, EVIDENCE_DIALECT))
		add(c, index->late);
	for (unsigned kind = 0; kind < EVIDENCE_COUNT; kind++) {
		if (index->unknown[kind].count > 0 &&
		    !evidence_tells(e, (enum evidence_kind)kind))
			add(c, index->unknown[kind]);
	}
}

/* Drops what the list has before c->next; false if that was all. */
static bool
catch_up(const struct candidates *c, struct index_slice *list)
{
	const uint32_t *items = c->policy->index->items;

	while (list->count > 0 && items[list->first] < c->next) {
		list->first++;
		list->count--;
	}
	return list->count > 0;
}

uint32_t
candidates_next(struct candidates *c)
{
	uint32_t best = (uint32_t)c->policy->rules_count; /* < PLAN_NO_RULE */
	uint32_t i = 0;

	if (c->policy->index == NULL)
		return c->next < best ? c->next++ : best;
	while (i < c->lists_count) {
		if (!catch_up(c, &c->lists[i])) {
			c->lists[i] = c->lists[--c->lists_count];
			continue;
		}
		const uint32_t head =
		    c->policy->index->items[c->lists[i++].first];
		best = head < best ? head : best;
	}
	c->next = best + 1;
	return best;
}
