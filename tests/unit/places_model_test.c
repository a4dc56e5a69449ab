/*
 * Places against a model of them. Random sessions do random things; after
 * each, both must agree in every answer and count, and the promises must hold
 * in the model itself.
 */
#include "tests/unit/places_model.h"

#include <stdio.h>

/* Presence. */

static uint32_t
rate(const struct model *m, uint64_t client)
{
	uint64_t minute = m->now_ms / 60000;
	uint64_t left_ms = 60000 - m->now_ms % 60000;
	uint64_t here = 0;
	uint64_t before = 0;
	uint32_t i;

	for (i = 0; i < m->arrivals_count[client]; i++) {
		here += m->arrivals[client][i] / 60000 == minute;
		before += m->arrivals[client][i] / 60000 + 1 == minute;
	}
	return (uint32_t)(here + (before * left_ms + 30000) / 60000);
}

static void
check_counts(struct model *m, unsigned i)
{
	const struct one *s = &m->s[i];
	struct place_counts got;
	unsigned kind;
	unsigned k;

	places_look(m->p, &m->w[i], m->now_ms, &got);
	for (kind = 0; kind < PLAN_CAPS; kind++) {
		uint32_t want = 0;

		for (k = 0; k < SESSIONS; k++)
			want += m->s[k].is_in && s->key[kind] != 0 &&
				m->s[k].key[kind] == s->key[kind];
		if (got.sessions[kind] != want)
			BROKEN(m, "a presence is wrong");
	}
	if (got.client_rate != (s->key[0] != 0 ? rate(m, s->key[0]) : 0))
		BROKEN(m, "a rate is wrong");
	if (got.slot_stress != m->is_stress)
		BROKEN(m, "stress is wrong");
}

/* The one that came last was let in by its own limit, if none other's. */
static bool
is_cap_kept(const struct model *m, const struct one *of, unsigned kind)
{
	uint32_t count = cap_count(m, of, kind);
	uint32_t limit = 0;
	unsigned i;

	for (i = 0; i < SESSIONS; i++) {
		const struct one *s = &m->s[i];

		if (is_cap_of(s, of, kind) && s->caps >= HAS_GRANT &&
		    s->limits[kind] > limit)
			limit = s->limits[kind];
	}
	return count <= limit;
}

/* The promises, as seen in the model. */
static void
check_promises(struct model *m)
{
	unsigned i;
	unsigned kind;

	if (slots_used(m, false) > m->slots || slots_used(m, true) > m->share)
		BROKEN(m, "too many slots are used");
	if (next_for_slot(m) != NULL)
		BROKEN(m, "a slot is idle");
	for (i = 0; i < SESSIONS; i++) {
		const struct one *s = &m->s[i];

		if (s->caps == HAS_WAIT && obstacle(m, s) == PLAN_CAPS)
			BROKEN(m, "one waits, and could go on");
		for (kind = 0; kind < PLAN_CAPS && s->caps >= HAS_GRANT; kind++)
			if (s->limits[kind] != 0 && !is_cap_kept(m, s, kind))
				BROKEN(m, "a cap is exceeded");
	}
}

static void
check(struct model *m)
{
	struct places_totals want = {0};
	struct places_totals got;
	uint32_t used = slots_used(m, false);
	unsigned i;

	if (used * 10 >= m->slots * 9)
		m->is_stress = true;
	if (used * 10 <= m->slots * 7)
		m->is_stress = false;
	for (i = 0; i < SESSIONS; i++) {
		if (!m->s[i].is_in)
			continue;
		want.sessions++;
		want.slots_waiting += m->s[i].slot == HAS_WAIT;
		want.caps_waiting += m->s[i].caps == HAS_WAIT;
		want.caps_held += m->s[i].caps >= HAS_GRANT;
		check_counts(m, i);
	}
	want.slots_used = used;
	want.slots_shared = slots_used(m, true);
	places_totals(m->p, &got);
	if (memcmp(&got, &want, sizeof(got)) != 0)
		BROKEN(m, "the totals are wrong");
	check_promises(m);
	if (places_woken(m->p) != m->woken)
		BROKEN(m, "a wake-up is lost, or one too many");
	m->woken = 0;
}

/* One step of one session, in both worlds. */

static void
step_enter(struct model *m, unsigned i)
{
	struct one *s = &m->s[i];
	struct place_keys keys;
	struct place_counts counts;
	unsigned kind;

	memset(s, 0, sizeof(*s));
	s->is_in = true;
	s->owner = below(m, OWNERS);
	for (kind = 0; kind < PLAN_CAPS; kind++)
		keys.key[kind] = s->key[kind] = below(m, KEYS + 1);
	m->arrivals[s->key[0]][m->arrivals_count[s->key[0]]++] = m->now_ms;
	places_enter(m->p, &m->w[i], s->owner, &keys, m->now_ms, &counts);
}

static void
step_exit(struct model *m, unsigned i)
{
	struct one *s = &m->s[i];

	if (s->caps != HAS_NONE)
		model_give_caps(m, s);
	if (s->slot != HAS_NONE)
		model_give_slot(m, s);
	memset(s, 0, sizeof(*s));
	places_exit(m->p, &m->w[i]);
}

static void
step_claim_caps(struct model *m, unsigned i)
{
	struct plan plan = {.rank = (uint8_t)below(m, RANKS)};
	enum caps_wish wish = below(m, 4) == 0 ? CAPS_TRY : CAPS_WAIT;

	memcpy(plan.caps, m->limits[plan.rank], sizeof(plan.caps));
	/* As if the file was changed meanwhile. */
	if (below(m, 8) == 0)
		plan.caps[below(m, PLAN_CAPS)] = (uint16_t)below(m, 5);
	if (places_claim_caps(m->p, &m->w[i], &plan, wish) !=
	    model_claim_caps(m, &m->s[i], &plan, wish))
		BROKEN(m, "another answer to a claim of caps");
}

static void
step_claim_slot(struct model *m, unsigned i)
{
	static const uint32_t ranks[RANKS] = {0, 1, 2, 3, 5, 31, 63};
	static const enum slot_wish wishes[] = {SLOT_ANY,     SLOT_ANY,
						SLOT_SHARE,   SLOT_SHARE,
						SLOT_RESERVE, SLOT_INTO_SHARE};
	enum slot_wish wish = wishes[below(m, 6)];
	uint32_t rank = ranks[below(m, RANKS)];

	if (places_claim_slot(m->p, &m->w[i], wish, rank) !=
	    model_claim_slot(m, &m->s[i], wish, rank))
		BROKEN(m, "another answer to a claim of a slot");
}

static void
step_learn(struct model *m, unsigned i)
{
	struct one *s = &m->s[i];
	uint64_t key = below(m, KEYS + 1);

	places_learn(m->p, &m->w[i], PLAN_CAP_STACK, key);
	if (s->key[PLAN_CAP_STACK] == 0)
		s->key[PLAN_CAP_STACK] = key;
}

static void
step_tell(struct model *m)
{
	uint32_t owner = below(m, OWNERS);
	struct one *first = NULL;
	enum places_grant what;
	const struct place *got = places_next_granted(m->p, owner, &what);
	unsigned i;

	for (i = 0; i < SESSIONS; i++) {
		struct one *s = &m->s[i];

		if (s->is_in && s->owner == owner &&
		    (s->caps == HAS_GRANT || s->slot == HAS_GRANT) &&
		    (first == NULL || s->granted < first->granted))
			first = s;
	}
	if (got != (first != NULL ? &m->w[first - m->s] : NULL))
		BROKEN(m, "another one is told of its grant");
	if (first == NULL)
		return;
	if (what !=
	    (first->caps == HAS_GRANT ? PLACES_GRANT_CAPS : PLACES_GRANT_SLOT))
		BROKEN(m, "told of something else");
	*(first->caps == HAS_GRANT ? &first->caps : &first->slot) = HAS_IT;
}

static void
step_give(struct model *m, unsigned i)
{
	if (below(m, 2) == 0) {
		places_give_caps(m->p, &m->w[i]);
		if (m->s[i].caps != HAS_NONE)
			model_give_caps(m, &m->s[i]);
	} else {
		places_give_slot(m->p, &m->w[i]);
		if (m->s[i].slot != HAS_NONE)
			model_give_slot(m, &m->s[i]);
	}
}

static void
step_any(struct model *m)
{
	unsigned i = below(m, SESSIONS);
	uint32_t what = below(m, 16);

	m->now_ms += below(m, 4) == 0 ? below(m, 20000) : 0;
	if (what < 2)
		step_tell(m);
	else if (!m->s[i].is_in)
		step_enter(m, i);
	else if (what < 4)
		step_exit(m, i);
	else if (what < 8)
		step_claim_caps(m, i);
	else if (what < 12)
		step_claim_slot(m, i);
	else if (what < 13)
		step_learn(m, i);
	else
		step_give(m, i);
}

static void
run_sequence(struct model *m, void *memory, size_t bytes)
{
	struct places_options o = {.seats = SESSIONS};
	unsigned i;

	m->slots = o.slots = 1 + below(m, 12);
	o.reserve = below(m, o.slots + 1);
	m->share = o.slots - o.reserve;
	for (i = 0; i < RANKS * PLAN_CAPS; i++)
		m->limits[i / PLAN_CAPS][i % PLAN_CAPS] =
		    (uint16_t)below(m, 5); /* 0: no cap */
	m->now_ms = below(m, 100000);
	memset(memory, 0, bytes);
	m->p = places_init(memory, &o);
	for (m->step = 0; m->step < STEPS; m->step++) {
		step_any(m);
		check(m);
	}
	for (i = 0; i < SESSIONS; i++, m->step++) {
		if (m->s[i].is_in)
			step_exit(m, i);
		check(m);
	}
}

static void
places_and_model_agree(void **state)
{
	unsigned long count = rounds(20000);
	size_t bytes = places_bytes(SESSIONS);
	void *memory = malloc(bytes);
	struct model *m = calloc(1, sizeof(*m));
	uint64_t i;

	(void)state;
	assert_non_null(memory);
	assert_non_null(m);
	for (i = 0; i < count; i++) {
		memset(m, 0, sizeof(*m));
		m->sequence = i;
		m->random = (i + 1) * 0x9e3779b97f4a7c15u;
		run_sequence(m, memory, bytes);
	}
	print_message("%lu sequences of %u steps\n", count, STEPS);
	free(m);
	free(memory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(places_and_model_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
