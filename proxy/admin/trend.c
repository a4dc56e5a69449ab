#include "proxy/admin/trend.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/admin/metrics_rows.h"

/* Leaves only when it has fallen so far: a line that comes and goes helps
 * nobody. */
#define LEAVE_RANK (2 * TREND_SIGNATURES)

struct trend {
	uint64_t now; /* minute; 0: nothing was taken yet */
	struct trend_totals before;
	struct tally_signature
	    signatures[TREND_SIGNATURES]; /* weight 0: free */
	struct trend_span ring[TREND_MINUTES];
};

struct trend *
trend_new(void)
{
	return calloc(1, sizeof(struct trend));
}

void
trend_free(struct trend *t)
{
	free(t);
}

static struct trend_span *
at(struct trend *t, uint64_t minute)
{
	return &t->ring[minute % TREND_MINUTES];
}

/* Minutes that nobody saw are empty, and said to be. */
static void
go_to(struct trend *t, uint64_t minute)
{
	uint64_t from = t->now + 1;

	if (minute <= t->now)
		return;
	if (t->now == 0 || minute - t->now > TREND_MINUTES)
		from = minute > TREND_MINUTES ? minute - TREND_MINUTES + 1 : 0;
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

static const struct tally_signature *
find(const struct tally_signature *rows, uint32_t count, uint64_t hash)
{
	for (uint32_t i = 0; i < count; i++) {
		if (rows[i].weight > 0 && rows[i].hash == hash)
			return &rows[i];
	}
	return NULL;
}

/* Its counts are among the others' from now on, back to the beginning. */
static void
forget(struct trend *t, uint32_t line)
{
	t->signatures[line] = (struct tally_signature){0};
	for (uint32_t m = 0; m < TREND_MINUTES; m++)
		memset(t->ring[m].signatures[line], 0,
		       sizeof(t->ring[m].signatures[line]));
}

static void
admit(struct trend *t, const struct tally_signature *row)
{
	for (uint32_t line = 0; line < TREND_SIGNATURES; line++) {
		if (t->signatures[line].weight > 0)
			continue;
		t->signatures[line] = *row;
		for (size_t i = 0; i < TALLY_COUNTS; i++)
			at(t, t->now)->signatures[line][i] += row->counts[i];
		return;
	}
}

static void
add_to_line(struct trend *t, uint32_t line, const struct tally_signature *row)
{
	struct tally_signature *had = &t->signatures[line];

	for (size_t i = 0; i < TALLY_COUNTS; i++)
		at(t, t->now)->signatures[line][i] +=
		    grown(had->counts[i], row->counts[i]);
	*had = *row;
}

void
trend_take_signatures(struct trend *t, const struct tally_signature *rows,
		      uint32_t count)
{
	for (uint32_t line = 0; line < TREND_SIGNATURES; line++) {
		const struct tally_signature *row =
		    find(rows, count, t->signatures[line].hash);

		if (t->signatures[line].weight == 0)
			continue;
		if (row == NULL || row - rows >= LEAVE_RANK)
			forget(t, line);
		else
			add_to_line(t, line, row);
	}
	for (uint32_t i = 0; i < count && i < TREND_SIGNATURES; i++) {
		if (find(t->signatures, TREND_SIGNATURES, rows[i].hash) == NULL)
			admit(t, &rows[i]);
	}
}

static void
add_span(struct trend_span *sum, const struct trend_span *one)
{
	sum->is_known |= one->is_known;
	if (one->held_most > sum->held_most)
		sum->held_most = one->held_most;
	for (size_t c = 0; c < TREND_CLASSES; c++) {
		for (size_t i = 0; i < TALLY_COUNTS; i++)
			sum->classes[c].counts[i] += one->classes[c].counts[i];
		for (size_t i = 0; i < METRICS_BUCKETS_CAP; i++)
			sum->classes[c].delays[i] += one->classes[c].delays[i];
	}
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
		if (m <= t->now && m + TREND_MINUTES > t->now)
			add_span(out, &t->ring[m % TREND_MINUTES]);
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
trend_print_size(FILE *out)
{
	fprintf(out,
		"charts: %u minutes of %u classes and %u signatures, "
		"%.1f MiB\n",
		TREND_MINUTES, TREND_CLASSES, TREND_SIGNATURES,
		(double)sizeof(struct trend) / 1048576.0);
}
