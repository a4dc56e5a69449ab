#include "proxy/admin/metrics_rows.h"

size_t
metrics_class_member(uint16_t id)
{
	if (id == PLAN_CLASS_PASS)
		return MEMBER_DEFAULT;
	if (id == PLAN_CLASS_DEFER)
		return MEMBER_DEFER;
	return MEMBER_FIRST_CLASS +
	       (id < NAMES_CLASSES_CAP ? id : NAMES_CLASSES_CAP - 1u);
}

size_t
metrics_rule_member(uint16_t id)
{
	if (id == PLAN_NO_RULE)
		return MEMBER_DEFAULT;
	return id + MEMBER_FIRST_RULE < MEMBER_OTHER_RULE
		   ? id + MEMBER_FIRST_RULE
		   : MEMBER_OTHER_RULE;
}

size_t
metrics_classes(const struct metrics_page *page)
{
	return MEMBER_FIRST_CLASS + names_classes_count(page->names);
}

size_t
metrics_rules(const struct metrics_page *page)
{
	size_t members = MEMBER_FIRST_RULE + names_rules_count(page->names);

	return members < METRICS_RULES_CAP ? members : METRICS_RULES_CAP;
}

const char *
metrics_class_name(const struct metrics_page *page, size_t member)
{
	if (member == MEMBER_DEFAULT)
		return "pass";
	if (member == MEMBER_DEFER)
		return "defer";
	return names_class(page->names,
			   (uint16_t)(member - MEMBER_FIRST_CLASS));
}

const char *
metrics_rule_name(const struct metrics_page *page, size_t member)
{
	if (member == MEMBER_DEFAULT)
		return "none";
	if (member == MEMBER_OTHER_RULE)
		return "other";
	return names_rule(page->names, (uint16_t)(member - MEMBER_FIRST_RULE));
}

static uint64_t
load(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

uint64_t
metrics_scalar_sum(const struct metrics_page *page, enum metric which)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < page->threads_count; i++)
		sum += load(&page->threads[i]->scalars[which]);
	return sum;
}

uint64_t
metrics_vector_sum(const struct metrics_page *page, enum metric_vector which,
		   size_t member)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < page->threads_count; i++)
		sum += load(&page->threads[i]->vectors[which][member]);
	return sum;
}

uint64_t
metrics_bucket_sum(const struct metrics_page *page, enum metric_histogram which,
		   size_t member, size_t bucket)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < page->threads_count; i++)
		sum += load(&page->threads[i]
				 ->histograms[which][member]
				 .buckets[bucket]);
	return sum;
}

uint64_t
metrics_label_count(const struct metrics *m, size_t member)
{
	return load(&m->vectors[METRIC_VECTOR_SIGNATURE_CONNECTIONS][member]);
}
