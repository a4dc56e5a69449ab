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

/* A page has thousands of pieces: printf() would be most of its cost. */
static void
put_bytes(struct metrics_text *t, const char *text, size_t len)
{
	if (len == 0 || !grow(t, len))
		return;
	memcpy(t->text + t->len, text, len);
	t->len += len;
	t->text[t->len] = '\0';
}

static void
put_text(struct metrics_text *t, const char *text)
{
	put_bytes(t, text, strlen(text));
}

/* The number of a sample, and the line's end. */
static void
put_number(struct metrics_text *t, uint64_t n)
{
	char text[24];
	size_t at = sizeof(text);

	text[--at] = '\n';
	do {
		text[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	text[--at] = ' ';
	put_bytes(t, text + at, sizeof(text) - at);
}

static void
put(struct metrics_text *t, const char *format, ...)
{
	char piece[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(piece, sizeof piece, format, args);
	va_end(args);
	if (n > 0)
		put_bytes(t, piece,
			  (size_t)n < sizeof piece ? (size_t)n
						   : sizeof piece - 1);
}

/* A label's value; names in files may be anything. */
static void
put_quoted(struct metrics_text *t, const char *key, const char *value)
{
	char text[100 * sizeof("\\\\xff")];
	size_t len = 0;

	for (size_t i = 0; i < 100 && value[i] != '\0'; i++) {
		uint8_t c = (uint8_t)value[i];

		if (c < 0x20 || c >= 0x7f) {
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"\\\\x%02x", c);
			continue;
		}
		if (c == '"' || c == '\\')
			text[len++] = '\\';
		text[len++] = (char)c;
	}
	put_text(t, key);
	put_text(t, "=\"");
	put_bytes(t, text, len);
	put_text(t, "\"");
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

/* Of a row that is one sample. */
static void
put_name(struct metrics_text *t, const struct row *row)
{
	put_text(t, row->family);
	if (row->labels[0] == '\0')
		return;
	put_text(t, "{");
	put_text(t, row->labels);
	put_text(t, "}");
}

static void
put_scalar(struct metrics_text *t, const struct metrics_page *page,
	   const struct row *row)
{
	put_name(t, row);
	put_number(t, metrics_scalar_sum(page, (enum metric)row->id));
}

static void
put_value(struct metrics_text *t, const struct metrics_page *page,
	  const struct row *row)
{
	put_name(t, row);
	put(t, " %.16g\n", page->values[row->id]);
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
		put_text(t, row->family);
		put_text(t, "{");
		put_member(t, page, row->dimension, m);
		put_text(t, "}");
		put_number(t, sum);
	}
}

static void
put_label(struct metrics_text *t, const struct row *row, const char *name,
	  uint64_t count)
{
	put_text(t, row->family);
	put_text(t, "{");
	put_quoted(t, "label", name);
	put_text(t, "}");
	put_number(t, count);
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

/* `family_sum{member}`, or with `le`, up to the number. */
static void
put_sample(struct metrics_text *t, const struct row *row, const char *suffix,
	   const struct metrics_text *member, const char *le)
{
	put_text(t, row->family);
	put_text(t, suffix);
	if (member->len == 0 && le == NULL)
		return;
	put_text(t, "{");
	put_bytes(t, member->text, member->len);
	if (le != NULL) {
		put_text(t, member->len > 0 ? ",le=\"" : "le=\"");
		put_text(t, le);
		put_text(t, "\"");
	}
	put_text(t, "}");
}

static void
put_buckets(struct metrics_text *t, const struct metrics_page *page,
	    const struct row *row, size_t member,
	    const struct metrics_text *labels)
{
	const struct metrics_bounds *bounds = &metrics_bounds[row->id];
	uint64_t count = 0;
	uint64_t sum_us = 0;

	for (size_t b = 0; b <= bounds->count; b++) {
		count += metrics_bucket_sum(
		    page, (enum metric_histogram)row->id, member, b);
		put_sample(t, row, "_bucket", labels,
			   b < bounds->count ? bounds->bounds[b].text : "+Inf");
		put_number(t, count);
	}
	for (size_t i = 0; i < page->threads_count; i++)
		sum_us += atomic_load_explicit(
		    &page->threads[i]->histograms[row->id][member].sum_us,
		    memory_order_relaxed);
	put_sample(t, row, "_sum", labels, NULL);
	put(t, " %.6f\n", (double)sum_us / 1e6);
	put_sample(t, row, "_count", labels, NULL);
	put_number(t, count);
}

static void
put_histogram(struct metrics_text *t, const struct metrics_page *page,
	      const struct row *row)
{
	struct metrics_text labels = {0};

	for (size_t m = 0; m < members(page, row->dimension); m++) {
		labels.len = 0;
		put_member(&labels, page, row->dimension, m);
		put_buckets(t, page, row, m, &labels);
	}
	if (labels.error != 0)
		t->error = labels.error;
	free(labels.text);
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
		put_histogram(t, page, row);
		break;
	}
}

/* Length of a name without an ending that it has; else 0. */
static size_t
before(const char *name, size_t len, const char *ending)
{
	size_t cut = strlen(ending);

	return len > cut && memcmp(name + len - cut, ending, cut) == 0
		   ? len - cut
		   : 0;
}

/* OpenMetrics: what a family is called, and the unit it is in. */
static void
put_open_head(struct metrics_text *t, const struct row *row)
{
	static const char *const units[] = {"seconds", "bytes"};
	bool is_counter = strcmp(row->type, "counter") == 0;
	size_t len = strlen(row->family);
	int n;

	if (is_counter && before(row->family, len, "_total") > 0)
		len = before(row->family, len, "_total");
	n = (int)len; /* of a name in metrics.def */
	put(t, "# TYPE %.*s %s\n", n, row->family, row->type);
	for (size_t i = 0; i < COUNT(units); i++) {
		size_t cut = before(row->family, len, units[i]);

		if (cut > 0 && row->family[cut - 1] == '_')
			put(t, "# UNIT %.*s %s\n", n, row->family, units[i]);
	}
	put(t, "# HELP %.*s %s\n", n, row->family, row->help);
}

static void
put_head(struct metrics_text *t, const struct row *row, enum metrics_form form)
{
	if (form == METRICS_OPEN)
		put_open_head(t, row);
	else
		put(t, "# HELP %s %s\n# TYPE %s %s\n", row->family, row->help,
		    row->family, row->type);
}

/* OpenMetrics has a type for what only names things. */
static void
put_build(struct metrics_text *t, const struct metrics_page *page,
	  enum metrics_form form)
{
	const char *head =
	    form == METRICS_OPEN
		? "# TYPE tarry_build info\n"
		  "# HELP tarry_build Build information, constant 1.\n"
		: "# HELP tarry_build_info Build information, constant 1.\n"
		  "# TYPE tarry_build_info gauge\n";

	put_text(t, head);
	put(t, "tarry_build_info{%s} 1\n", page->build);
}

void
metrics_print(const struct metrics_page *page, enum metrics_form form,
	      struct metrics_text *out)
{
	const char *family = "";

	put_build(out, page, form);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (strcmp(family, rows[i].family) != 0) {
			family = rows[i].family;
			put_head(out, &rows[i], form);
		}
		put_row(out, page, &rows[i]);
	}
	if (form == METRICS_OPEN)
		put_text(out, "# EOF\n");
}
