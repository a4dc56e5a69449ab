/*
 * What counting and printing share; for metrics.c and metrics_print.c alone.
 */
#ifndef PROXY_ADMIN_METRICS_ROWS_H
#define PROXY_ADMIN_METRICS_ROWS_H

#include "proxy/admin/metrics.h"

/* Members of CLASS, RULE and LABEL: those without an id come first. */
#define MEMBER_DEFAULT 0u
#define MEMBER_DEFER 1u	      /* of CLASS */
#define MEMBER_FIRST_CLASS 2u /* id 0 */
#define MEMBER_FIRST_RULE 1u
#define MEMBER_OTHER_RULE (METRICS_RULES_CAP - 1)
#define MEMBER_OTHER_LABEL (METRICS_LABELS_CAP + 1)

/* An upper bound in us, and as it is printed. */
struct metrics_bound {
	uint64_t us;
	const char *text;
};

struct metrics_bounds {
	const struct metrics_bound *bounds;
	size_t count;
};

extern const struct metrics_bounds metrics_bounds[METRIC_HISTOGRAM_COUNT];

/* The member of a label in this thread's list, or 0 if it is not there. */
size_t metrics_find_label(const struct metrics *m, const char *label);

#endif
