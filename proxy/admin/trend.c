#include "proxy/admin/trend.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/admin/metrics_rows.h"

/* Leaves only when it has fallen so far: a line that comes and goes helps
 * nobody. */
#define LEAVE_RANK (2 * TREND_SIGNATURES)

struct trend {
	uint32_t minutes; /* of the ring */
	uint64_t now;	  /* minute; 0: nothing was taken yet */
	struct trend_totals before;
	struct tally_signature
	    signatures[TREND_SIGNATURES]; /* weight 0: free */
	struct trend_span ring[];
};

struct trend *
trend_new(uint32_t minutes)
{
	struct trend *t =
	    calloc(1, sizeof(*t) + minutes * sizeof(struct trend_span));

	if (t != NULL)
		t->minutes = minutes;
	return t;
}

void
trend_free(struct trend *t)
{
	free(t);
}

static struct trend_span *
at(struct trend *t, uint64_t minute)
{
	return &t->ring[minute % t->minutes];
}

/* Minutes that nobody saw are empty, and said to be. */
static void
go_to(struct trend *t, uint64_t minute)
{
	uint64_t from = t->now + 1;

	if (minute <= t->now)
		return;
	if (t->now == 0 || minute - t->now > t->minutes)
		from = minute > t->minutes ? minute - t->minutes + 1 : 0;
	for (uint64_t m = from; m <= minute; m++)
		memset(at(t, m), 0, sizeof(struct trend_span));
	t->now = minute;
}

/* What a count has grown by. One that fell began anew. */
static uint32_t
grown(uint64_t before, uint64_t now)
{
	uint64_t by = now >= before ? now - before : now;

	return by < UINT32_MAX ? (uint32_t)by : UINT32_MAX;
}

void
trend_take(struct trend *t, uint64_t minute, const struct trend_totals *totals)
{
	struct trend_span *span;

	go_to(t, minute);
	span = at(t, t->now);
	span->is_known = true;
	if (totals->held > span->held_most)
		span->held_most = totals->held;
	for (size_t c = 0; c < TREND_CLASSES; c++) {
		for (size_t i = 0; i < TALLY_COUNTS; i++)
			span->classes[c].counts[i] +=
			    grown(t->before.counts[c][i], totals->counts[c][i]);
		for (size_t i = 0; i < METRICS_BUCKETS_CAP; i++)
			span->classes[c].delays[i] +=
			    grown(t->before.delays[c][i], totals->delays[c][i]);
	}
	t->before = *totals;
}

/* One that was kept has no hash: that is another at each start. */
static bool
is_same(const struct tally_signature *a, const struct tally_signature *b)
{
	if (a->weight == 0 || b->weight == 0)
		return false;
	if (a->hash == 0 || b->hash == 0)
		return strcmp(a->text, b->text) == 0;
	return a->hash == b->hash;
}

static const struct tally_signature *
find(const struct tally_signature *rows, uint32_t count,
     const struct tally_signature *wanted)
{
	for (uint32_t i = 0; i < count; i++) {
		if (is_same(&rows[i], wanted))
			return &rows[i];
	}
	return NULL;
}

/* Its counts are among the others' from now on, back to the beginning. */
static void
forget(struct trend *t, uint32_t line)
{
	t->signatures[line] = (struct tally_signature){0};
	for (uint32_t m = 0; m < t->minutes; m++)
		memset(t->ring[m].signatures[line], 0,
		       sizeof(t->ring[m].signatures[line]));
}

static uint64_t
sessions_of(const struct trend *t, uint32_t line)
{
	uint64_t sum = 0;

	for (uint32_t m = 0; m < t->minutes; m++)
		sum += t->ring[m].signatures[line][TALLY_SESSIONS];
	return sum;
}

/*
 * A line for one that had so many sessions: a free one, or that of the least
 * of those that may leave, bits 1 << line, if it had not more. Else
 * TREND_SIGNATURES.
 */
static uint32_t
free_line(struct trend *t, uint32_t may_leave, uint64_t sessions)
{
	uint32_t least = TREND_SIGNATURES;

	for (uint32_t line = 0; line < TREND_SIGNATURES; line++) {
		uint64_t had;

		if (t->signatures[line].weight == 0)
			return line;
		if ((may_leave & 1u << line) == 0)
			continue;
		had = sessions_of(t, line);
		if (least == TREND_SIGNATURES ? had <= sessions
					      : had < sessions) {
			least = line;
			sessions = had;
		}
	}
	if (least < TREND_SIGNATURES)
		forget(t, least);
	return least;
}

/* What came since the last call: of one that was not there, all. */
static void
add_to_line(struct trend *t, uint32_t line, const struct trend_rows *rows,
	    const struct tally_signature *row)
{
	static const struct tally_signature none;
	const struct tally_signature *had =
	    find(rows->before, rows->before_count, row);

	if (had == NULL)
		had = &none;
	for (size_t i = 0; i < TALLY_COUNTS; i++)
		at(t, t->now)->signatures[line][i] +=
		    grown(had->counts[i], row->counts[i]);
	t->signatures[line] = *row;
}

void
trend_take_signatures(struct trend *t, const struct trend_rows *rows)
{
	uint32_t may_leave = 0;

	for (uint32_t line = 0; line < TREND_SIGNATURES; line++) {
		const struct tally_signature *row =
		    find(rows->now, rows->count, &t->signatures[line]);

		if (row == NULL || row - rows->now >= LEAVE_RANK)
			may_leave |= 1u << line;
		if (row != NULL)
			add_to_line(t, line, rows, row);
	}
	for (uint32_t i = 0; i < rows->count && i < TREND_SIGNATURES; i++) {
		const struct tally_signature *row = &rows->now[i];
		uint32_t line = TREND_SIGNATURES;

		if (find(t->signatures, TREND_SIGNATURES, row) == NULL)
			line = free_line(t, may_leave,
					 row->counts[TALLY_SESSIONS]);
		if (line == TREND_SIGNATURES)
			continue;
		may_leave &= ~(1u << line);
		add_to_line(t, line, rows, row);
	}
}

/* The place of a minute that was kept, or NULL. */
static struct trend_span *
kept(struct trend *t, uint64_t minute)
{
	if (minute > t->now)
		go_to(t, minute);
	if (minute + t->minutes <= t->now)
		return NULL;
	at(t, minute)->is_known = true;
	return at(t, minute);
}

void
trend_put(struct trend *t, uint64_t minute, uint32_t held_most)
{
	struct trend_span *span = kept(t, minute);

	if (span != NULL && held_most > span->held_most)
		span->held_most = held_most;
}

static void
add_class(struct trend_class *sum, const struct trend_class *one)
{
	for (size_t i = 0; i < TALLY_COUNTS; i++)
		sum->counts[i] += one->counts[i];
	for (size_t i = 0; i < METRICS_BUCKETS_CAP; i++)
		sum->delays[i] += one->delays[i];
}

void
trend_put_class(struct trend *t, uint64_t minute, size_t class,
		const struct trend_class *counts)
{
	struct trend_span *span = kept(t, minute);

	if (span != NULL)
		add_class(&span->classes[class], counts);
}

void
trend_put_signature(struct trend *t, uint64_t minute, const char *text,
		    const uint32_t counts[TALLY_COUNTS])
{
	const uint32_t all = (1u << TREND_SIGNATURES) - 1;
	struct trend_span *span = kept(t, minute);
	struct tally_signature row = {.weight = 1};
	uint32_t line = 0;

	if (span == NULL)
		return;
	(void)strncat(row.text, text, sizeof(row.text) - 1);
	while (line < TREND_SIGNATURES && !is_same(&t->signatures[line], &row))
		line++;
	if (line == TREND_SIGNATURES) {
		line = free_line(t, all, counts[TALLY_SESSIONS]);
		if (line == TREND_SIGNATURES)
			return;
		t->signatures[line] = row;
	}
	for (size_t i = 0; i < TALLY_COUNTS; i++)
		span->signatures[line][i] += counts[i];
}

static void
add_span(struct trend_span *sum, const struct trend_span *one)
{
	sum->is_known |= one->is_known;
	if (one->held_most > sum->held_most)
		sum->held_most = one->held_most;
	for (size_t c = 0; c < TREND_CLASSES; c++)
		add_class(&sum->classes[c], &one->classes[c]);
	for (size_t s = 0; s < TREND_SIGNATURES; s++) {
		for (size_t i = 0; i < TALLY_COUNTS; i++)
			sum->signatures[s][i] += one->signatures[s][i];
	}
}

void
trend_sum(const struct trend *t, uint64_t first, uint32_t count,
	  struct trend_span *out)
{
	memset(out, 0, sizeof(*out));
	for (uint64_t m = first; m < first + count; m++) {
		if (m <= t->now && m + t->minutes > t->now)
			add_span(out, &t->ring[m % t->minutes]);
	}
}

const struct tally_signature *
trend_signature(const struct trend *t, uint32_t i)
{
	return t->signatures[i].weight > 0 ? &t->signatures[i] : NULL;
}

uint64_t
trend_now(const struct trend *t)
{
	return t->now;
}

double
trend_quantile(const uint32_t *delays, double share)
{
	const struct metrics_bounds *b =
	    &metrics_bounds[METRIC_HISTOGRAM_ADDED_DELAY];
	uint64_t count = 0;
	uint64_t seen = 0;
	size_t i = 0;

	for (size_t n = 0; n < METRICS_BUCKETS_CAP; n++)
		count += delays[n];
	if (count == 0)
		return 0;
	while (i + 1 < b->count &&
	       (double)(seen + delays[i]) < share * (double)count)
		seen += delays[i++];
	return (double)b->bounds[i].us / 1e6;
}

void
trend_print_size(uint32_t minutes, FILE *out)
{
	fprintf(out,
		"charts: %u times of %u classes and %u signatures, %.1f MiB\n",
		minutes, TREND_CLASSES, TREND_SIGNATURES,
		(double)(minutes * sizeof(struct trend_span)) / 1048576.0);
}
