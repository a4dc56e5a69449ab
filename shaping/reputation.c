/*
 * Shares of bad, coarse to fine. See reputation.h for the model.
 *
 * Rejected: a score of weights per fact. Its weights would have to be tuned
 * to some site's mail, and nobody could say what 3.7 means.
 */
#include "tarry/reputation.h"

#include "tarry/evidence.h"
#include "tarry/session.h"

#define PRIOR 8.0	  /* observations that a coarser level is worth */
#define NEUTRAL 0.5	  /* what is expected of what nobody saw */
#define DEVIATIONS_2 2.25 /* 1.5 standard deviations, squared */
#define SHARE_GOOD 0.25
#define SHARE_SUSPECT 0.68
#define SHARE_BAD 0.85
#define MIN_BAD 4.0    /* observations without which nothing is bad */
#define NETWORKS_MIN 4 /* looks of fewer are no source of their own */

/* Looks that carry so much of the delivered mail are no evidence; and so few
 * messages do not tell who carries it. */
#define COMMON_PART 50
#define COMMON_MIN 50.0f

/* A share of bad, and how many observations it rests on. */
struct share {
	double mean;
	double weight;
};

/* Levels of a chain, coarse to fine, and what each is worth at most. */
struct level {
	enum ledger_kind kind;
	double most;
};

static const struct level by_syn[] = {
    {LEDGER_FAMILY, 50}, {LEDGER_STACK, 100}, {LEDGER_SYN, 200}};
static const struct level by_talk[] = {{LEDGER_DIALECT, 100},
				       {LEDGER_JA4, 200}};
static const struct level by_pair[] = {{LEDGER_PAIR, 400}};
static const struct level by_place[] = {{LEDGER_REGION, 8},
					{LEDGER_NETWORK, 24},
					{LEDGER_POOL, 24},
					{LEDGER_CLIENT, 1000}};

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

const char *
reputation_name(enum reputation_standing standing)
{
	static const char *const names[] = {"good", "unknown", "suspect",
					    "bad"};

	return names[standing];
}

/* What was seen at one level. */
struct seen {
	double good;
	double bad;
};

static struct seen
seen_of(const struct ledger_row *row)
{
	const double bad = (double)row->counts[LEDGER_BAD];
	const double left = (double)row->counts[LEDGER_GAVE_UP] / 4;

	return (struct seen){
	    .good = (double)row->counts[LEDGER_GOOD],
	    .bad = bad + (left < bad ? left : bad),
	};
}

static bool
is_seen(const struct ledger_row *row)
{
	return row->counts[LEDGER_GOOD] > 0 || row->counts[LEDGER_BAD] > 0;
}

static double
less(double a, double b)
{
	return a > b ? a - b : 0;
}

/* A level is refined by what it has beyond the finer one, so that nothing is
 * counted at two levels. `finer` may be NULL. */
static struct share
refine(struct share coarser, const struct ledger_row *row,
       const struct ledger_row *finer, double most)
{
	struct seen own = seen_of(row);
	double scale = 1;
	double n;

	if (finer != NULL) {
		const struct seen taken = seen_of(finer);

		own.good = less(own.good, taken.good);
		own.bad = less(own.bad, taken.bad);
	}
	n = own.good + own.bad;
	if (n > most)
		scale = most / n;
	return (struct share){
	    .mean =
		(own.bad * scale + PRIOR * coarser.mean) / (n * scale + PRIOR),
	    .weight = coarser.weight + n * scale,
	};
}

/* The next finer level that was seen, or NULL. */
static const struct ledger_row *
finer_of(const struct history *h, const struct level *levels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_seen(&h->rows[levels[i].kind]))
			return &h->rows[levels[i].kind];
	}
	return NULL;
}

/* True if good senders look like this too, or nobody knows yet. */
static bool
is_common(const struct history *h, const struct ledger_row *row)
{
	const float all = h->rows[LEDGER_ALL].counts[LEDGER_DELIVERED];

	return all < COMMON_MIN ||
	       row->counts[LEDGER_DELIVERED] * COMMON_PART > all;
}

/* The pair is finer than the last of any levels. What came from fewer
 * networks than `least` counts at no level. */
static struct share
refine_looks(const struct history *h, struct share s, unsigned least,
	     const struct level *levels, size_t count)
{
	const struct ledger_row *pair = &h->rows[LEDGER_PAIR];

	for (size_t i = 0; i < count; i++) {
		const struct ledger_row *row = &h->rows[levels[i].kind];
		const struct ledger_row *finer =
		    finer_of(h, levels + i + 1, count - i - 1);

		if (!is_seen(row) || ledger_networks(row) < least)
			continue;
		if (finer == NULL && row != pair && is_seen(pair))
			finer = pair;
		s = refine(s, row, finer, levels[i].most);
		if (s.mean > NEUTRAL && is_common(h, row))
			s.mean = NEUTRAL;
	}
	return s;
}

/* By the SYN and by the way it speaks; the worse of both, then both. */
static struct share
looks_of(const struct history *h, unsigned least)
{
	const struct share none = {.mean = NEUTRAL};
	const struct share syn =
	    refine_looks(h, none, least, by_syn, LEN(by_syn));
	const struct share talk =
	    refine_looks(h, none, least, by_talk, LEN(by_talk));
	const struct share worse =
	    talk.weight > 0 && (syn.weight <= 0 || talk.mean > syn.mean) ? talk
									 : syn;

	return refine_looks(h, worse, least, by_pair, LEN(by_pair));
}

static struct share
place_of(const struct history *h, struct share s)
{
	for (size_t i = 0; i < LEN(by_place); i++) {
		const struct ledger_row *row = &h->rows[by_place[i].kind];

		if (is_seen(row))
			s = refine(s, row,
				   finer_of(h, by_place + i + 1,
					    LEN(by_place) - i - 1),
				   by_place[i].most);
	}
	return s;
}

/* The variance of the mean of a beta distribution. */
static double
variance(struct share s)
{
	return s.mean * (1 - s.mean) / (s.weight + PRIOR + 1);
}

static bool
is_surely_above(struct share s, double limit)
{
	const double more = s.mean - limit;

	return more > 0 && more * more > DEVIATIONS_2 * variance(s);
}

static bool
is_surely_below(struct share s, double limit)
{
	const double less = limit - s.mean;

	return less > 0 && less * less > DEVIATIONS_2 * variance(s);
}

/* How many of the sources that do not depend on each other say bad. Looks that
 * came from a few networks say no more than those do. */
static unsigned
bad_sources(const struct history *h)
{
	const struct share looks = looks_of(h, NETWORKS_MIN);
	const struct share place = place_of(h, (struct share){.mean = NEUTRAL});
	unsigned n = h->is_behaving_badly ? 1 : 0;

	if (looks.weight >= MIN_BAD && is_surely_above(looks, SHARE_SUSPECT))
		n++;
	if (place.weight >= MIN_BAD && is_surely_above(place, SHARE_SUSPECT))
		n++;
	return n;
}

static enum reputation_standing
judge(const struct history *h, struct share looks, struct share s)
{
	const double own = s.weight - looks.weight;

	if (own >= 1 && is_surely_below(s, SHARE_GOOD))
		return REPUTATION_GOOD;
	if (!is_surely_above(s, SHARE_SUSPECT))
		return REPUTATION_UNKNOWN;
	if (s.mean >= SHARE_BAD && bad_sources(h) >= 2)
		return REPUTATION_BAD;
	return REPUTATION_SUSPECT;
}

static enum ledger_kind
finest(const struct history *h)
{
	static const enum ledger_kind order[] = {
	    LEDGER_CLIENT, LEDGER_POOL,	   LEDGER_NETWORK, LEDGER_PAIR,
	    LEDGER_JA4,	   LEDGER_DIALECT, LEDGER_SYN,	   LEDGER_STACK,
	    LEDGER_FAMILY, LEDGER_REGION};

	for (size_t i = 0; i < LEN(order); i++) {
		if (is_seen(&h->rows[order[i]]))
			return order[i];
	}
	return LEDGER_ALL;
}

static bool
find_proof(const struct history *h, struct reputation *r)
{
	static const enum ledger_kind order[] = {LEDGER_CLIENT, LEDGER_POOL,
						 LEDGER_NETWORK};

	for (size_t i = 0; i < LEN(order); i++) {
		if (!ledger_is_proven(&h->rows[order[i]], h->now_s))
			continue;
		r->is_proven = true;
		r->level = (uint8_t)order[i];
		r->standing = REPUTATION_GOOD;
		return true;
	}
	return false;
}

struct reputation
reputation_of(const struct history *h)
{
	const struct share looks = looks_of(h, 0);
	const struct share s = place_of(h, looks);
	const enum reputation_standing standing = judge(h, looks, s);
	const bool is_better = h->delivered > 0 && standing > REPUTATION_GOOD;
	struct reputation r = {
	    .standing = (uint8_t)(is_better ? standing - 1 : standing),
	    .number = (uint8_t)(s.mean * 100 + 0.5),
	    .confidence = (uint8_t)(100 * s.weight / (s.weight + PRIOR)),
	    .level = (uint8_t)finest(h),
	};

	/* A client that is bad itself is not saved by its neighbours, nor by
	 * what it has just delivered. */
	if (standing != REPUTATION_BAD)
		(void)find_proof(h, &r);
	return r;
}

/* One observation at most, shared as the session's outcomes were. */
static void
share_out(struct ledger_delta *d, double good, double bad)
{
	const double sum = good + bad;
	const double part = sum > 1 ? 1 / sum : 1;

	d->counts[LEDGER_GOOD] = (float)(good * part);
	d->counts[LEDGER_BAD] = (float)(bad * part);
}

static int8_t
small(uint32_t n)
{
	return (int8_t)(n < INT8_MAX ? n : INT8_MAX);
}

struct reputation_tally
reputation_tally(const struct session *s)
{
	struct reputation_tally t = {
	    .messages = s->counts.messages,
	    .misdeeds =
		(uint32_t)s->is_early + s->is_pipelining + s->is_non_smtp,
	};

	for (size_t i = 0; i < OUTCOME_COUNT; i++)
		t.outcomes[i] = s->counts.outcomes[i];
	return t;
}

static void
count(const struct reputation_tally *t, struct ledger_delta *delta)
{
	const uint32_t *out = t->outcomes;
	const uint32_t halves = out[OUTCOME_UNKNOWN_USER] + out[OUTCOME_RELAY] +
				out[OUTCOME_AUTH_FAILURE] + t->misdeeds;

	*delta = (struct ledger_delta){
	    .proof_messages = small(t->messages),
	    .proof_sessions = t->messages > 0 ? 1 : 0,
	};
	delta->counts[LEDGER_DELIVERED] = (float)t->messages;
	delta->counts[LEDGER_SPAM] = (float)out[OUTCOME_SPAM];
	delta->counts[LEDGER_UNKNOWN_USERS] = (float)out[OUTCOME_UNKNOWN_USER];
	delta->counts[LEDGER_DEFERRED] = (float)out[OUTCOME_NEUTRAL];
	share_out(delta, t->messages, out[OUTCOME_SPAM] + halves / 2.0);
}

void
reputation_session(const struct session *s, struct ledger_delta *delta)
{
	const struct reputation_tally t = reputation_tally(s);

	count(&t, delta);
	delta->counts[LEDGER_SESSIONS] = 1;
	delta->counts[LEDGER_GAVE_UP] = s->reason == REASON_GAVE_UP ? 1 : 0;
	delta->counts[LEDGER_EARLY] = s->is_early ? 1 : 0;
}

void
reputation_change(const struct reputation_tally *before,
		  const struct reputation_tally *after,
		  struct ledger_delta *delta)
{
	struct ledger_delta counted;

	count(before, &counted);
	count(after, delta);
	for (size_t i = 0; i < LEDGER_COUNTS; i++)
		delta->counts[i] -= counted.counts[i];
	delta->proof_messages =
	    (int8_t)(delta->proof_messages - counted.proof_messages);
	delta->proof_sessions =
	    (int8_t)(delta->proof_sessions - counted.proof_sessions);
}

void
reputation_tell(const struct reputation *r, struct evidence *e)
{
	e->is_proven = r->is_proven;
	e->present |= evidence_bit(EVIDENCE_PROVEN);
	if (r->confidence > 0) {
		e->reputation_number = r->number;
		e->present |= evidence_bit(EVIDENCE_REPUTATION_NUMBER);
	}
	/* Unknown is the absence of a reputation. */
	if (r->standing == REPUTATION_UNKNOWN)
		return;
	e->reputation = reputation_name((enum reputation_standing)r->standing);
	e->present |= evidence_bit(EVIDENCE_REPUTATION);
}
