#include "proxy/admin/tally.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proxy/daemon/session_report.h"
#include "tarry/session.h"
#include "tarry/signature.h"

#define FADE_SHARE 1024u

struct tally {
	uv_mutex_t lock;
	uint64_t seed;
	uint32_t count;
	/* Beside the rows, so that a look at all of them is a few lines of the
	 * cache. */
	uint64_t hashes[TALLY_SIGNATURES];
	uint32_t weights[TALLY_SIGNATURES];
	struct tally_signature rows[TALLY_SIGNATURES];
};

struct tally *
tally_new(uint64_t seed)
{
	struct tally *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	if (uv_mutex_init(&t->lock) != 0) {
		free(t);
		return NULL;
	}
	t->seed = seed;
	return t;
}

void
tally_free(struct tally *t)
{
	if (t == NULL)
		return;
	uv_mutex_destroy(&t->lock);
	free(t);
}

/* A place for a newcomer; what it weighs already is its predecessor's. */
static uint32_t
make_room(struct tally *t)
{
	uint32_t least = 0;

	if (t->count < TALLY_SIGNATURES)
		return t->count++;
	for (uint32_t i = 1; i < TALLY_SIGNATURES; i++) {
		if (t->weights[i] < t->weights[least])
			least = i;
	}
	return least;
}

static uint32_t
find_or_make(struct tally *t, const char *text, size_t len)
{
	uint64_t hash = XXH3_64bits_withSeed(text, len, t->seed);
	uint32_t place;

	for (uint32_t i = 0; i < t->count; i++) {
		if (t->hashes[i] == hash)
			return i;
	}
	place = make_room(t);
	t->hashes[place] = hash;
	t->rows[place] = (struct tally_signature){.hash = hash};
	memcpy(t->rows[place].text, text,
	       len < TALLY_TEXT_CAP ? len : TALLY_TEXT_CAP - 1);
	return place;
}

static void
add(struct tally_signature *row, const struct session_report *report)
{
	const struct session *s = report->session;

	row->counts[TALLY_SESSIONS]++;
	row->counts[TALLY_GAVE_UP] += s->reason == REASON_GAVE_UP;
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		row->counts[TALLY_OUTCOMES + i] += s->counts.outcomes[i];
	if (report->label != NULL) {
		memset(row->label, 0, sizeof(row->label));
		memcpy(row->label, report->label,
		       strnlen(report->label, TALLY_LABEL_CAP - 1));
	}
}

void
tally_session(struct tally *t, const struct signature_texts *signature,
	      const struct session_report *report)
{
	const char *text = "unknown";
	size_t len = strlen(text);
	uint32_t place;

	if (t == NULL)
		return;
	if (signature != NULL) {
		text = signature->text[SIGNATURE_STACK];
		len = signature->len[SIGNATURE_STACK];
	}
	uv_mutex_lock(&t->lock);
	place = find_or_make(t, text, len);
	if (t->weights[place] < UINT32_MAX)
		t->weights[place]++;
	add(&t->rows[place], report);
	uv_mutex_unlock(&t->lock);
}

uint32_t
tally_copy(struct tally *t, struct tally_signature *out)
{
	uint32_t count;

	uv_mutex_lock(&t->lock);
	count = t->count;
	memcpy(out, t->rows, count * sizeof(*out));
	for (uint32_t i = 0; i < count; i++)
		out[i].weight = t->weights[i];
	uv_mutex_unlock(&t->lock);
	return count;
}

void
tally_fade(struct tally *t)
{
	uv_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < t->count; i++)
		t->weights[i] -= t->weights[i] / FADE_SHARE;
	uv_mutex_unlock(&t->lock);
}

static int
by_hash(const void *a, const void *b)
{
	const struct tally_signature *x = a;
	const struct tally_signature *y = b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

static int
by_weight(const void *a, const void *b)
{
	const struct tally_signature *x = a;
	const struct tally_signature *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return by_hash(a, b);
}

uint32_t
tally_merge(struct tally_signature *rows, uint32_t count)
{
	uint32_t kept = 0;

	qsort(rows, count, sizeof(*rows), by_hash);
	for (uint32_t i = 0; i < count; i++) {
		struct tally_signature *last = &rows[kept > 0 ? kept - 1 : 0];

		if (kept == 0 || last->hash != rows[i].hash) {
			rows[kept++] = rows[i];
			continue;
		}
		last->weight += rows[i].weight;
		for (unsigned n = 0; n < TALLY_COUNTS; n++)
			last->counts[n] += rows[i].counts[n];
	}
	qsort(rows, kept, sizeof(*rows), by_weight);
	return kept;
}

void
tally_print_size(uint32_t count, FILE *out)
{
	fprintf(out, "signatures counted: %u tables of %u, %.1f KiB\n", count,
		TALLY_SIGNATURES,
		(double)(count * sizeof(struct tally)) / 1024.0);
}
