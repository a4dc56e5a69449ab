/*
 * The last day by minutes, the last month by hours, and more than a year by
 * days, for charts: so that they need no other program. A ring each, in
 * memory, of fixed size.
 *
 * It is fed with what the process has counted since its start and keeps the
 * differences. No clock and no locks: one thread, and it is told which minute
 * it is, or hour, or day: below, all of them are a minute.
 */
#ifndef PROXY_ADMIN_TREND_H
#define PROXY_ADMIN_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/admin/metrics.h"
#include "proxy/admin/tally.h"

#define TREND_MINUTES 1440u
#define TREND_HOURS 768u
#define TREND_DAYS 400u
/* By member of metrics' class dimension; those behind share the last. */
#define TREND_CLASSES 10u
/* Signatures that have a line of their own, at once. */
#define TREND_SIGNATURES 12u

struct trend_class {
	uint32_t counts[TALLY_COUNTS];
	uint32_t
	    delays[METRICS_BUCKETS_CAP]; /* as METRIC_HISTOGRAM_ADDED_DELAY */
};

/* What was counted in a minute, or in several. */
struct trend_span {
	bool is_known;	    /* it ran then, for some of the time at least */
	uint32_t held_most; /* at any look */
	struct trend_class classes[TREND_CLASSES];
	/* Those of today: one that was not yet among them has no counts. */
	uint32_t signatures[TREND_SIGNATURES][TALLY_COUNTS];
};

/* Since the start; only grow. */
struct trend_totals {
	uint64_t counts[TREND_CLASSES][TALLY_COUNTS];
	uint64_t delays[TREND_CLASSES][METRICS_BUCKETS_CAP];
	uint32_t held; /* at this moment */
};

struct trend;

/* Empty, from zero on, with room for so many; NULL: no memory. */
struct trend *trend_new(uint32_t minutes);
void trend_free(struct trend *t);

/* Puts what came since the last call into the minute (since 1970), which is
 * never before the last one's: such a one counts as that. */
void trend_take(struct trend *t, uint64_t minute,
		const struct trend_totals *totals);

/* Signatures, heaviest first, and what they were at the last call. */
struct trend_rows {
	const struct tally_signature *now;
	const struct tally_signature *before;
	uint32_t count;
	uint32_t before_count;
};

/* The same of signatures; those that are heavy now take the place of those
 * that no longer are, if they have more sessions than these have in the ring;
 * what they had before stays among the others'. After trend_take(). */
void trend_take_signatures(struct trend *t, const struct trend_rows *rows);

/* Adds up the minutes first .. first + count - 1 into *out. */
void trend_sum(const struct trend *t, uint64_t first, uint32_t count,
	       struct trend_span *out);

/* What was kept of a minute, before the first is taken; those that fell out
 * are overlooked. A signature that is not among the heaviest is, too. */
void trend_put(struct trend *t, uint64_t minute, uint32_t held_most);
void trend_put_class(struct trend *t, uint64_t minute, size_t class,
		     const struct trend_class *counts);
void trend_put_signature(struct trend *t, uint64_t minute, const char *text,
			 const uint32_t counts[TALLY_COUNTS]);

/* The one that has line `i` < TREND_SIGNATURES, or NULL. */
const struct tally_signature *trend_signature(const struct trend *t,
					      uint32_t i);

/* The last minute that was taken; 0: none. */
uint64_t trend_now(const struct trend *t);

/*
 * In what time, in seconds, `share` (0..1) of those in the buckets were
 * through: the upper bound of the bucket, and the last finite one for +Inf.
 * 0 where there are none. `delays` are METRICS_BUCKETS_CAP.
 */
double trend_quantile(const uint32_t *delays, double share);

/* One line: what so many minutes, of all rings together, take. */
void trend_print_size(uint32_t minutes, FILE *out);

#endif
