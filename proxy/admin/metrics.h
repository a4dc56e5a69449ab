/*
 * Numbers about everything, for Prometheus.
 *
 * Each thread that counts owns one `struct metrics`; nobody else writes it.
 * So a count is a plain load and store (relaxed atomics, no lock prefix), and
 * whoever prints adds up the threads. The rows are in metrics.def.
 */
#ifndef PROXY_ADMIN_METRICS_H
#define PROXY_ADMIN_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/config/names.h"
#include "proxy/daemon/session_report.h"
#include "tarry/effect.h"
#include "tarry/session.h"

enum metric {
#define SCALAR(id, family, type, labels, help) METRIC_##id,
#include "tarry/metrics.def"
	METRIC_COUNT
};

enum metric_vector {
#define VECTOR(id, family, dimension, help) METRIC_VECTOR_##id,
#include "tarry/metrics.def"
	METRIC_VECTOR_COUNT
};

enum metric_histogram {
#define HISTOGRAM(id, family, dimension, buckets, help) METRIC_HISTOGRAM_##id,
#include "tarry/metrics.def"
	METRIC_HISTOGRAM_COUNT
};

enum metric_value {
#define VALUE(id, family, type, labels, help) METRIC_VALUE_##id,
#include "tarry/metrics.def"
	METRIC_VALUE_COUNT
};

/* Members of a dimension; what does not fit is counted as "other". */
#define METRICS_CLASSES_CAP (NAMES_CLASSES_CAP + 2) /* and pass, defer */
#define METRICS_RULES_CAP 1000
#define METRICS_LABELS_CAP 62 /* and unknown, other */
#define METRICS_LABEL_TEXT_CAP 64
#define METRICS_VECTOR_CAP (METRICS_CLASSES_CAP * REASON_COUNT)
/* Finite bounds of the longest bucket list, and +Inf. */
#define METRICS_BUCKETS_CAP 15

struct metrics_histogram {
	_Atomic uint64_t buckets[METRICS_BUCKETS_CAP]; /* not cumulative */
	_Atomic uint64_t sum_us;
};

/* One thread's counts. Zeroed is the beginning. */
struct metrics {
	/* Labels as they were met: the file's names, so a closed set. Copies,
	 * because a label table may be replaced. */
	_Atomic uint32_t labels_count;
	char labels[METRICS_LABELS_CAP][METRICS_LABEL_TEXT_CAP];
	_Atomic uint64_t scalars[METRIC_COUNT];
	_Atomic uint64_t vectors[METRIC_VECTOR_COUNT][METRICS_VECTOR_CAP];
	struct metrics_histogram histograms[METRIC_HISTOGRAM_COUNT]
					   [METRICS_CLASSES_CAP];
};

/* Counts n more. Owner of `m` alone. */
static inline void
metrics_add(struct metrics *m, enum metric which, uint64_t n)
{
	uint64_t was =
	    atomic_load_explicit(&m->scalars[which], memory_order_relaxed);

	atomic_store_explicit(&m->scalars[which], was + n,
			      memory_order_relaxed);
}

/* Says what a gauge stands at; threads add up. Owner of `m` alone. */
static inline void
metrics_set(struct metrics *m, enum metric which, uint64_t value)
{
	atomic_store_explicit(&m->scalars[which], value, memory_order_relaxed);
}

/* Counts one time in a histogram without members. Owner of `m` alone. */
void metrics_time(struct metrics *m, enum metric_histogram which, uint64_t us);

/*
 * Counts a session that is over: all there is to count of it, by class, rule,
 * label, reason and phase. Owner of `m` alone. Never blocks or allocates.
 */
void metrics_session(struct metrics *m, const struct session_report *report);

/* Counts one that was slowed or left unslowed, by what it brought: bits of
 * enum effect_fact. Owner of `m` alone. */
void metrics_compared(struct metrics *m, enum effect_arm arm, unsigned facts);

/* A growing text. Zeroed is empty; free(text) is the owner's. */
struct metrics_text {
	char *text;
	size_t len;
	size_t cap;
	int error; /* -ENOMEM once there was no room; text then is a part */
};

/* What is printed beside the counts. */
struct metrics_page {
	const struct metrics *const *threads;
	size_t threads_count;
	const struct names *names; /* of classes and rules */
	const char *build;	   /* labels of tarry_build_info */
	double values[METRIC_VALUE_COUNT];
};

/* Text format 0.0.4, or OpenMetrics 1.0.0: the same numbers under the same
 * names and labels, but for tarry_build_info, which is a family of its own
 * kind there. */
enum metrics_form { METRICS_TEXT, METRICS_OPEN, METRICS_FORMS };

/*
 * Prints all families behind what is in `out`. OpenMetrics gets no `_created`
 * samples: Prometheus would keep each as a series, and all of them would say
 * tarry_start_time_seconds.
 */
void metrics_print(const struct metrics_page *page, enum metrics_form form,
		   struct metrics_text *out);

#endif
