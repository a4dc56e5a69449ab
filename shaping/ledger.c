/*
 * Sets of eight rows; the tags of a set are one line of the cache.
 *
 * A row's counts are floats: half of 1 is a count too once things decay. They
 * decay in steps of a 4096th of the half-life at least, for a float cannot
 * lose a millionth of itself; what comes within a step is not decayed by it,
 * which is wrong by less than 0.02 %. A count stays at 16.7 million, where a
 * float has no room for one more.
 *
 * Rejected: the least recently used row gives way. Who makes up a signature a
 * session would then own the table within its first round.
 */
#include "tarry/ledger.h"

#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

/* What a row is worth, by its counts: see ledger.h. */
#define WORTH_GOOD 16.0
#define WORTH_SESSION (1.0 / 16)
#define WORTH_PROVEN 64.0

#define DECAY_STEPS 4096u
#define COUNT_MAX 16777215.0f
#define DIGEST_LEN 17 /* `~` and 16 digits */

struct ledger_text {
	uint8_t kind;
	uint8_t len;
	char text[LEDGER_TEXT_CAP];
};

_Static_assert(sizeof(struct ledger_row) == 64, "one line of the cache");
_Static_assert(sizeof(struct ledger_text) == 96, "as ledger.h says");
_Static_assert(LEDGER_SHARDS == 16, "as many as ledger_shard() knows");

const char *
ledger_kind_name(enum ledger_kind kind)
{
	static const char *const names[LEDGER_KINDS] = {
#define LEDGER(id, name, help) [LEDGER_##id] = name,
#include "tarry/ledger.def"
#undef LEDGER
	};

	return kind < LEDGER_KINDS ? names[kind] : "-";
}

const char *
ledger_count_name(enum ledger_count count)
{
	static const char *const names[LEDGER_COUNTS] = {
#define LEDGER_COUNT(id, name, help) [LEDGER_##id] = name,
#include "tarry/ledger_count.def"
#undef LEDGER_COUNT
	};

	return count < LEDGER_COUNTS ? names[count] : "-";
}

static uint32_t
sets_of(uint32_t capacity)
{
	const uint32_t per = LEDGER_SHARDS * LEDGER_WAYS;

	if (capacity > LEDGER_ROWS_MAX)
		capacity = LEDGER_ROWS_MAX;
	return capacity < per ? 1 : (capacity + per - 1) / per;
}

uint32_t
ledger_rows(uint32_t capacity)
{
	return sets_of(capacity) * LEDGER_SHARDS * LEDGER_WAYS;
}

size_t
ledger_bytes(uint32_t capacity)
{
	const size_t rows = ledger_rows(capacity);

	return rows * (sizeof(uint64_t) + sizeof(struct ledger_row) +
		       sizeof(struct ledger_text)) +
	       rows / LEDGER_WAYS;
}

void
ledger_init(struct ledger *l, void *memory, uint32_t capacity,
	    uint32_t half_life_s, uint64_t seed)
{
	const size_t rows = ledger_rows(capacity);

	memset(l, 0, sizeof(*l));
	l->sets = sets_of(capacity);
	l->half_life_s = half_life_s;
	l->seed = seed;
	l->tags = memory;
	l->rows = (struct ledger_row *)(l->tags + rows);
	l->texts = (struct ledger_text *)(l->rows + rows);
	l->dirty = (uint8_t *)(l->texts + rows);
}

/* exp() of a number in -ln 2 .. 0: eleven terms are exact to 1e-9. */
static double
exp_of(double x)
{
	double sum = 1;

	for (int i = 11; i > 0; i--)
		sum = 1 + sum * x / i;
	return sum;
}

double
ledger_decay(uint32_t age_s, uint32_t half_life_s)
{
	const uint32_t halves = age_s / half_life_s;
	const double rest = (double)(age_s % half_life_s) / half_life_s;

	if (halves > 60)
		return 0;
	return exp_of(-0.69314718055994531 * rest) /
	       (double)(UINT64_C(1) << halves);
}

static uint32_t
age_of(const struct ledger_row *row, uint32_t now_s)
{
	return now_s > row->stamp_s ? now_s - row->stamp_s : 0;
}

/* The networks of the half-life before are kept until the next is over. */
static void
turn_sketch(struct ledger_row *row, uint32_t half_life_s, uint32_t now_s)
{
	const uint32_t turns = now_s / half_life_s - row->stamp_s / half_life_s;

	if (turns == 0)
		return;
	row->sketch[1] = turns == 1 ? row->sketch[0] : 0;
	row->sketch[0] = 0;
}

static void
decay_row(struct ledger_row *row, uint32_t half_life_s, uint32_t now_s)
{
	const uint32_t age_s = age_of(row, now_s);
	double factor;

	if (age_s <= half_life_s / DECAY_STEPS)
		return;
	factor = ledger_decay(age_s, half_life_s);
	for (size_t i = 0; i < LEDGER_COUNTS; i++)
		row->counts[i] = (float)((double)row->counts[i] * factor);
	turn_sketch(row, half_life_s, now_s);
	row->stamp_s = now_s;
}

static size_t
bound_text(const char *text, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t digest;

	if (len <= LEDGER_TEXT_CAP) {
		memcpy(out, text, len);
		return len;
	}
	digest = XXH3_64bits(text, len);
	memcpy(out, text, LEDGER_TEXT_CAP - DIGEST_LEN);
	out[LEDGER_TEXT_CAP - DIGEST_LEN] = '~';
	for (size_t i = 1; i < DIGEST_LEN; i++) {
		out[LEDGER_TEXT_CAP - i] = digits[digest & 15];
		digest >>= 4;
	}
	return LEDGER_TEXT_CAP;
}

struct ledger_key
ledger_key(const struct ledger *l, enum ledger_kind kind, const char *text,
	   size_t len)
{
	struct ledger_key key;

	key.kind = (uint8_t)kind;
	key.len = (uint8_t)bound_text(text, len, key.text);
	key.hash =
	    XXH3_64bits_withSeed(key.text, key.len, l->seed + (uint64_t)kind);
	if (key.hash == 0)
		key.hash = 1; /* 0 is an empty slot */
	return key;
}

/* The first slot of a hash's set. */
static size_t
set_of(const struct ledger *l, uint64_t hash)
{
	const uint64_t set = (hash & UINT32_MAX) * l->sets >> 32;

	return ((hash >> 60) * l->sets + set) * LEDGER_WAYS;
}

void
ledger_prefetch(const struct ledger *l, const struct ledger_key *key)
{
	__builtin_prefetch(&l->tags[set_of(l, key->hash)]);
}

/* The hash's slot, or SIZE_MAX. */
static size_t
slot_of(const struct ledger *l, uint64_t hash)
{
	const size_t first = set_of(l, hash);

	for (size_t i = 0; i < LEDGER_WAYS; i++) {
		if (l->tags[first + i] == hash)
			return first + i;
	}
	return SIZE_MAX;
}

bool
ledger_find(const struct ledger *l, const struct ledger_key *key,
	    uint32_t now_s, struct ledger_row *out)
{
	const size_t slot = slot_of(l, key->hash);

	if (slot == SIZE_MAX) {
		memset(out, 0, sizeof(*out));
		return false;
	}
	*out = l->rows[slot];
	decay_row(out, l->half_life_s, now_s);
	return true;
}

bool
ledger_is_proven(const struct ledger_row *row, uint32_t now_s)
{
	if (row->proof_messages < LEDGER_PROOF_MESSAGES ||
	    row->proof_sessions < LEDGER_PROOF_SESSIONS)
		return false;
	if (now_s > row->proof_s && now_s - row->proof_s >= LEDGER_PROOF_S)
		return false;
	return row->counts[LEDGER_BAD] * 19 <= row->counts[LEDGER_GOOD];
}

static double
worth(const struct ledger_row *row, uint32_t half_life_s, uint32_t now_s)
{
	const double factor = ledger_decay(age_of(row, now_s), half_life_s);
	const double sum = (double)row->counts[LEDGER_GOOD] * WORTH_GOOD +
			   (double)row->counts[LEDGER_BAD] +
			   (double)row->counts[LEDGER_SESSIONS] * WORTH_SESSION;

	return sum * factor + (ledger_is_proven(row, now_s) ? WORTH_PROVEN : 0);
}

static void
mark(struct ledger *l, size_t slot, bool is_dirty)
{
	struct ledger_shard *shard =
	    &l->shards[ledger_slot_shard(l, (uint32_t)slot)];
	uint8_t *byte = &l->dirty[slot / LEDGER_WAYS];
	const uint8_t bit = (uint8_t)(1u << slot % LEDGER_WAYS);

	if (((*byte & bit) != 0) == is_dirty)
		return;
	*byte ^= bit;
	if (is_dirty)
		shard->dirty++;
	else
		shard->dirty--;
}

/* The slot of a set that is worth least; an empty one is worth nothing. */
static size_t
least_worth(const struct ledger *l, size_t first, uint32_t now_s, double *least)
{
	size_t at = first;

	*least = -1;
	for (size_t i = 0; i < LEDGER_WAYS; i++) {
		double w;

		if (l->tags[first + i] == 0)
			return first + i;
		w = worth(&l->rows[first + i], l->half_life_s, now_s);
		if (*least < 0 || w < *least) {
			*least = w;
			at = first + i;
		}
	}
	return at;
}

/* Room for a newcomer that brings `row`, or SIZE_MAX. */
static size_t
make_room(struct ledger *l, const struct ledger_key *key,
	  const struct ledger_row *row, uint32_t now_s)
{
	struct ledger_shard *shard = &l->shards[ledger_shard(key)];
	double least;
	const size_t slot = least_worth(l, set_of(l, key->hash), now_s, &least);
	struct ledger_text *text = &l->texts[slot];

	if (l->tags[slot] != 0) {
		if (l->rows[slot].counts[LEDGER_GOOD] > 0 &&
		    least > worth(row, l->half_life_s, now_s)) {
			shard->refused++;
			return SIZE_MAX;
		}
		shard->replaced++;
		shard->rows[text->kind]--;
	}
	l->tags[slot] = key->hash;
	memset(&l->rows[slot], 0, sizeof(l->rows[slot]));
	l->rows[slot].stamp_s = now_s;
	text->kind = key->kind;
	text->len = key->len;
	memcpy(text->text, key->text, key->len);
	shard->rows[key->kind]++;
	return slot;
}

static uint8_t
sum_small(uint8_t count, int8_t more)
{
	const int sum = count + more;

	if (sum < 0)
		return 0;
	return (uint8_t)(sum > UINT8_MAX ? UINT8_MAX : sum);
}

static void
add_proof(struct ledger_row *row, const struct ledger_delta *d, uint32_t now_s)
{
	const bool is_over =
	    now_s > row->proof_s && now_s - row->proof_s >= LEDGER_PROOF_S;

	if (d->proof_messages > 0 && is_over) {
		row->proof_messages = 0;
		row->proof_sessions = 0;
	}
	row->proof_messages = sum_small(row->proof_messages, d->proof_messages);
	row->proof_sessions = sum_small(row->proof_sessions, d->proof_sessions);
	if (d->proof_messages > 0 && now_s > row->proof_s)
		row->proof_s = now_s;
}

static void
add_delta(struct ledger_row *row, const struct ledger_delta *d, uint32_t now_s)
{
	for (size_t i = 0; i < LEDGER_COUNTS; i++) {
		float sum = row->counts[i] + d->counts[i];

		if (!(sum > 0)) /* nor what is no number */
			sum = 0;
		row->counts[i] = sum < COUNT_MAX ? sum : COUNT_MAX;
	}
	add_proof(row, d, now_s);
	if (d->network != 0)
		row->sketch[0] |= UINT64_C(1)
				  << (d->network * 0x9e3779b97f4a7c15u >> 58);
}

static void
add_at(struct ledger *l, size_t slot, const struct ledger_delta *delta,
       uint32_t now_s)
{
	struct ledger_row *row = &l->rows[slot];

	decay_row(row, l->half_life_s, now_s);
	add_delta(row, delta, now_s);
	mark(l, slot, true);
}

bool
ledger_add(struct ledger *l, const struct ledger_key *key,
	   const struct ledger_delta *delta, uint32_t now_s)
{
	size_t slot = slot_of(l, key->hash);

	if (slot == SIZE_MAX) {
		struct ledger_row fresh = {.stamp_s = now_s};

		add_delta(&fresh, delta, now_s);
		slot = make_room(l, key, &fresh, now_s);
		if (slot == SIZE_MAX)
			return false;
	}
	add_at(l, slot, delta, now_s);
	return true;
}

bool
ledger_amend(struct ledger *l, uint64_t hash, const struct ledger_delta *delta,
	     uint32_t now_s)
{
	const size_t slot = slot_of(l, hash);

	if (slot == SIZE_MAX)
		return false;
	add_at(l, slot, delta, now_s);
	return true;
}

static struct ledger_row
put_right(const struct ledger_row *row, uint32_t now_s)
{
	struct ledger_row right = *row;

	for (size_t i = 0; i < LEDGER_COUNTS; i++) {
		if (!(right.counts[i] > 0))
			right.counts[i] = 0;
		if (right.counts[i] > COUNT_MAX)
			right.counts[i] = COUNT_MAX;
	}
	if (right.stamp_s > now_s)
		right.stamp_s = now_s;
	if (right.proof_s > now_s)
		right.proof_s = now_s;
	right.reserved = 0;
	return right;
}

bool
ledger_put(struct ledger *l, const struct ledger_key *key,
	   const struct ledger_row *row, uint32_t now_s)
{
	const struct ledger_row right = put_right(row, now_s);
	size_t slot = slot_of(l, key->hash);

	if (slot == SIZE_MAX)
		slot = make_room(l, key, &right, now_s);
	if (slot == SIZE_MAX)
		return false;
	l->rows[slot] = right;
	mark(l, slot, false);
	return true;
}

uint32_t
ledger_slot_shard(const struct ledger *l, uint32_t slot)
{
	return slot / (l->sets * LEDGER_WAYS);
}

uint32_t
ledger_slot(const struct ledger *l, const struct ledger_key *key)
{
	const size_t slot = slot_of(l, key->hash);

	return slot == SIZE_MAX ? LEDGER_NO_SLOT : (uint32_t)slot;
}

void
ledger_touch(struct ledger *l, uint32_t slot)
{
	if (l->tags[slot] != 0)
		mark(l, slot, true);
}

bool
ledger_at(const struct ledger *l, uint32_t slot, struct ledger_entry *out)
{
	const struct ledger_text *text = &l->texts[slot];

	if (l->tags[slot] == 0)
		return false;
	out->slot = slot;
	out->kind = text->kind;
	out->len = text->len;
	memcpy(out->text, text->text, text->len);
	out->text[text->len] = '\0';
	out->row = l->rows[slot];
	return true;
}

enum ledger_scan
ledger_dirty_next(struct ledger *l, uint32_t shard, uint32_t *cursor,
		  struct ledger_entry *out)
{
	const uint32_t first = shard * l->sets;
	uint32_t looked = 0;

	if (l->shards[shard].dirty == 0)
		return LEDGER_SCAN_DONE;
	for (; *cursor < l->sets; ++*cursor) {
		const uint32_t set = first + *cursor;

		if (l->dirty[set] != 0) {
			const uint32_t slot =
			    set * LEDGER_WAYS +
			    (uint32_t)__builtin_ctz(l->dirty[set]);

			(void)ledger_at(l, slot, out);
			mark(l, slot, false);
			return LEDGER_SCAN_ROW;
		}
		if (++looked == LEDGER_SCAN_SETS)
			return LEDGER_SCAN_PAUSE;
	}
	return LEDGER_SCAN_DONE;
}

uint32_t
ledger_networks(const struct ledger_row *row)
{
	/* 64 * ln(64 / z), z bits of 64 being 0; and for none. */
	static const uint16_t counts[65] = {
	    330, 266, 222, 196, 177, 163, 151, 142, 133, 126, 119, 113, 107,
	    102, 97,  93,  89,	85,  81,  78,  74,  71,	 68,  65,  63,	60,
	    58,	 55,  53,  51,	48,  46,  44,  42,  40,	 39,  37,  35,	33,
	    32,	 30,  28,  27,	25,  24,  23,  21,  20,	 18,  17,  16,	15,
	    13,	 12,  11,  10,	9,   7,	  6,   5,   4,	 3,   2,   1,	0};

	int zeros = 64;

	for (uint64_t bits = row->sketch[0] | row->sketch[1]; bits != 0;
	     bits &= bits - 1)
		zeros--;
	return counts[zeros];
}
