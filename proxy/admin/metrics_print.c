/*
 * See metrics.h: printing. What a row means is in metrics.def; this file
 * knows only the four kinds of rows and the dimensions.
 */
#include "proxy/admin/metrics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/admin/metrics_rows.h"

#define TEXT_FIRST_CAP 65536

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum dimension {
	NONE,
	CLASS,
	CLASS_END,
	CLASS_OUTCOME,
	RULE,
	RULE_SHADOW,
	LABEL,
	STAGE
};
enum row_kind { ROW_SCALAR, ROW_VECTOR, ROW_HISTOGRAM, ROW_VALUE };

struct row {
	enum row_kind kind;
	unsigned id;
	const char *family;
	const char *type;
	const char *labels; /* SCALAR and VALUE */
	const char *help;
	enum dimension dimension;
};

static const struct row rows[] = {
#define SCALAR(id, family, type, labels, help)                                 \
	{ROW_SCALAR, METRIC_##id, family, #type, labels, help, NONE},
#define VECTOR(id, family, dimension, help)                                    \
	{ROW_VECTOR, METRIC_VECTOR_##id, family, "counter", "",                \
	 help,	     dimension},
#define HISTOGRAM(id, family, dimension, buckets, help)                        \
	{ROW_HISTOGRAM, METRIC_HISTOGRAM_##id, family, "histogram", "", help,  \
	 dimension},
#define VALUE(id, family, type, labels, help)                                  \
	{ROW_VALUE, METRIC_VALUE_##id, family, #type, labels, help, NONE},
#include "tarry/metrics.def"
};

/* Makes room for `more` bytes and a NUL; false if there is none. */
static bool
grow(struct metrics_text *t, size_t more)
{
	size_t cap = t->cap > 0 ? t->cap : TEXT_FIRST_CAP;
	char *text;

	if (t->error != 0)
		return false;
	while (cap < t->len + more + 1)
		cap *= 2;
	if (cap == t->cap)
		return true;
	text = realloc(t->text, cap);
	if (text == NULL) {
		t->error = -ENOMEM;
		return false;
	}
	t->text = text;
	t->cap = cap;
	return true;
}

static void put(struct metrics_text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
put(struct metrics_text *t, const char *format, ...)
{
	char piece[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(piece, sizeof piece, format, args);
	va_end(args);
	if (n < 0 || !grow(t, (size_t)n))
		return;
	if ((size_t)n >= sizeof piece)
		n = sizeof piece - 1;
	memcpy(t->text + t->len, piece, (size_t)n + 1);
	t->len += (size_t)n;
}

/* A label's value; names in files may be anything. */
static void
put_quoted(struct metrics_text *t, const char *key, const char *value)
{
	put(t, "%s=\"", key);
	for (size_t i = 0; i < 100 && value[i] != '\0'; i++) {
		uint8_t c = (uint8_t)value[i];

		if (c < 0x20 || c >= 0x7f)
			put(t, "\\\\x%02x", c);
		else if (c == '"' || c == '\\')
			put(t, "\\%c", c);
		else
			put(t, "%c", c);
	}
	put(t, "\"");
}

static size_t
members(const struct metrics_page *page, enum dimension dimension)
{
	size_t classes = metrics_classes(page);

	switch (dimension) {
	case NONE:
		return 1;
	case CLASS:
		return classes;
	case CLASS_END:
		return classes * REASON_COUNT;
	case CLASS_OUTCOME:
		return classes * OUTCOME_COUNT;
	case RULE:
	case RULE_SHADOW:
		return metrics_rules(page);
	case LABEL: /* see put_labels() */
		break;
	case STAGE:
		return PHASE_COUNT;
	}
	return 0;
}

static void
put_member(struct metrics_text *t, const struct metrics_page *page,
	   enum dimension dimension, size_t member)
{
	switch (dimension) {
	case NONE:
		break;
	case CLASS:
		put_quoted(t, "class", metrics_class_name(page, member));
		break;
	case CLASS_END:
		put_quoted(t, "class",
			   metrics_class_name(page, member / REASON_COUNT));
		put(t, ",");
		put_quoted(t, "end",
			   session_reason_name(
			       (enum session_reason)(member % REASON_COUNT)));
		break;
	case CLASS_OUTCOME:
		put_quoted(t, "class",
			   metrics_class_name(page, member / OUTCOME_COUNT));
		put(t, ",");
		put_quoted(
		    t, "outcome",
		    outcome_name((enum outcome)(member % OUTCOME_COUNT)));
		break;
	case RULE:
	case RULE_SHADOW:
		put_quoted(t, "rule", metrics_rule_name(page, member));
		put(t, ",mode=\"%s\"",
		    dimension == RULE ? "enforce" : "shadow");
		break;
	case LABEL: /* see put_labels() */
		break;
	case STAGE:
		put_quoted(t, "stage",
			   session_phase_name((enum session_phase)member));
		break;
	}
}

static void
put_scalar(struct metrics_text *t, const struct metrics_page *page,
	   const struct row *row)
{
	put(t, row->labels[0] != '\0' ? "%s{%s} " : "%s%s ", row->family,
	    row->labels);
	put(t, "%llu\n",
	    (unsigned long long)metrics_scalar_sum(page, (enum metric)row->id));
}

static void
put_value(struct metrics_text *t, const struct metrics_page *page,
	  const struct row *row)
{
	put(t, row->labels[0] != '\0' ? "%s{%s} " : "%s%s ", row->family,
	    row->labels);
	put(t, "%.16g\n", page->values[row->id]);
}

static uint64_t
vector_count(const struct metrics *m, const struct row *row, size_t member)
{
	return atomic_load_explicit(&m->vectors[row->id][member],
				    memory_order_relaxed);
}

static void
put_vector(struct metrics_text *t, const struct metrics_page *page,
	   const struct row *row)
{
	for (size_t m = 0; m < members(page, row->dimension); m++) {
		uint64_t sum =
		    metrics_vector_sum(page, (enum metric_vector)row->id, m);

		if (row->dimension == CLASS_END &&
		    m % REASON_COUNT == REASON_NONE)
			continue;
		put(t, "%s{", row->family);
		put_member(t, page, row->dimension, m);
		put(t, "} %llu\n", (unsigned long long)sum);
	}
}

static void
put_label(struct metrics_text *t, const struct row *row, const char *name,
	  uint64_t count)
{
	put(t, "%s{", row->family);
	put_quoted(t, "label", name);
	put(t, "} %llu\n", (unsigned long long)count);
}

/* A member that stands at the same place in each thread's list. */
static void
put_fixed_label(struct metrics_text *t, const struct metrics_page *page,
		const struct row *row, const char *name, size_t member)
{
	put_label(
	    t, row, name,
	    metrics_vector_sum(page, (enum metric_vector)row->id, member));
}

/* True if a thread before this one has met the name: it is printed. */
static bool
is_printed(const struct metrics_page *page, size_t thread, const char *name)
{
	for (size_t i = 0; i < thread; i++) {
		if (metrics_find_label(page->threads[i], name) > 0)
			return true;
	}
	return false;
}

/* Each thread met labels in its own order. */
static void
put_labels(struct metrics_text *t, const struct metrics_page *page,
	   const struct row *row)
{
	put_fixed_label(t, page, row, "unknown", MEMBER_DEFAULT);
	put_fixed_label(t, page, row, "other", MEMBER_OTHER_LABEL);
	for (size_t i = 0; i < page->threads_count; i++) {
		const struct metrics *m = page->threads[i];
		uint32_t count = atomic_load_explicit(&m->labels_count,
						      memory_order_acquire);

		for (uint32_t n = 0; n < count; n++) {
			uint64_t sum = 0;

			if (is_printed(page, i, m->labels[n]))
				continue;
			for (size_t j = i; j < page->threads_count; j++) {
				size_t at = metrics_find_label(page->threads[j],
							       m->labels[n]);

				if (at > 0)
					sum += vector_count(page->threads[j],
							    row, at);
			}
			put_label(t, row, m->labels[n], sum);
		}
	}
}

/* `family_sum{member} `, up to the number. */
static void
put_sample(struct metrics_text *t, const struct metrics_page *page,
	   const struct row *row, size_t member, const char *suffix)
{
	put(t, "%s%s", row->family, suffix);
	if (row->dimension != NONE) {
		put(t, "{");
		put_member(t, page, row->dimension, member);
		put(t, "}");
	}
	put(t, " ");
}

static void
put_buckets(struct metrics_text *t, const struct metrics_page *page,
	    const struct row *row, size_t member)
{
	const struct metrics_bounds *bounds = &metrics_bounds[row->id];
	uint64_t count = 0;
	uint64_t sum_us = 0;

	for (size_t b = 0; b <= bounds->count; b++) {
		count += metrics_bucket_sum(
		    page, (enum metric_histogram)row->id, member, b);
		put(t, "%s_bucket{", row->family);
		put_member(t, page, row->dimension, member);
		put(t, "%sle=\"%s\"} %llu\n", row->dimension != NONE ? "," : "",
		    b < bounds->count ? bounds->bounds[b].text : "+Inf",
		    (unsigned long long)count);
	}
	for (size_t i = 0; i < page->threads_count; i++)
		sum_us += atomic_load_explicit(
		    &page->threads[i]->histograms[row->id][member].sum_us,
		    memory_order_relaxed);
	put_sample(t, page, row, member, "_sum");
	put(t, "%.6f\n", (double)sum_us / 1e6);
	put_sample(t, page, row, member, "_count");
	put(t, "%llu\n", (unsigned long long)count);
}

static void
put_row(struct metrics_text *t, const struct metrics_page *page,
	const struct row *row)
{
	switch (row->kind) {
	case ROW_SCALAR:
		put_scalar(t, page, row);
		break;
	case ROW_VALUE:
		put_value(t, page, row);
		break;
	case ROW_VECTOR:
		if (row->dimension == LABEL)
			put_labels(t, page, row);
		else
			put_vector(t, page, row);
		break;
	case ROW_HISTOGRAM:
		for (size_t m = 0; m < members(page, row->dimension); m++)
			put_buckets(t, page, row, m);
		break;
	}
}

void
metrics_print(const struct metrics_page *page, struct metrics_text *out)
{
	const char *family = "";

	put(out, "# HELP tarry_build_info Build information, constant 1.\n"
		 "# TYPE tarry_build_info gauge\n");
	put(out, "tarry_build_info{%s} 1\n", page->build);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (strcmp(family, rows[i].family) != 0) {
			family = rows[i].family;
			put(out, "# HELP %s %s\n# TYPE %s %s\n", family,
			    rows[i].help, family, rows[i].type);
		}
		put_row(out, page, &rows[i]);
	}
}
