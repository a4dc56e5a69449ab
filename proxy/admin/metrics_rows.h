/*
 * What counting, printing and charts share: where a member of a dimension
 * stands, what it is called, and sums over all threads.
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

/* How many members of CLASS and RULE there are by now, and their names. */
size_t metrics_classes(const struct metrics_page *page);
size_t metrics_rules(const struct metrics_page *page);
const char *metrics_class_name(const struct metrics_page *page, size_t member);
const char *metrics_rule_name(const struct metrics_page *page, size_t member);

/* Sums over all threads. */
uint64_t metrics_scalar_sum(const struct metrics_page *page, enum metric which);
uint64_t metrics_vector_sum(const struct metrics_page *page,
			    enum metric_vector which, size_t member);
uint64_t metrics_bucket_sum(const struct metrics_page *page,
			    enum metric_histogram which, size_t member,
			    size_t bucket);

/* Sessions of one thread's label, by metrics_find_label(). */
uint64_t metrics_label_count(const struct metrics *m, size_t member);

/* The member of a class or rule, by its id. */
size_t metrics_class_member(uint16_t id);
size_t metrics_rule_member(uint16_t id);

#endif
