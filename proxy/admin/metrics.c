/*
 * See metrics.h. What a row means is in metrics.def; this file knows only the
 * four kinds of rows and the dimensions.
 */
#include "proxy/admin/metrics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FIRST_CAP 65536

/* Members of CLASS and RULE: the one without an id comes first. */
#define MEMBER_DEFAULT 0u

enum dimension { NONE, CLASS, CLASS_END, RULE, LABEL, STAGE };
enum row_kind { ROW_SCALAR, ROW_VECTOR, ROW_HISTOGRAM, ROW_VALUE };

/* Upper bounds in us, and as they are printed. */
struct bound {
	uint64_t us;
	const char *text;
};

static const struct bound delay_bounds[] = {
    {5000,	   "0.005"},
	{50000,	"0.05" },
    {250000,     "0.25" },
    {1000000,    "1"	 },
	{2500000,	  "2.5"  },
    {5000000,	"5"	   },
    {10000000,   "10"   },
	{20000000,   "20"   },
    {30000000,	 "30"   },
    {60000000,   "60"   },
	{120000000,  "120"	 },
    {300000000,  "300"  },
    {600000000,	"600"  },
	{1800000000, "1800" },
};

static const struct bound latency_bounds[] = {
    {500,	  "0.0005"},
    {1000,    "0.001" },
	{2500,    "0.0025"},
	  {5000,	 "0.005" },
    {10000,   "0.01"  },
    {25000,   "0.025" },
	{50000,	"0.05"  },
	  {100000,  "0.1"	},
    {250000,  "0.25"  },
    {1000000, "1"	   },
	{5000000, "5"     },
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
_Static_assert(COUNT(delay_bounds) < METRICS_BUCKETS_CAP, "room for +Inf");
_Static_assert(COUNT(latency_bounds) < METRICS_BUCKETS_CAP, "room for +Inf");
_Static_assert(METRICS_VECTOR_CAP >= METRICS_NAMES_CAP, "room for names");
_Static_assert(METRICS_CLASSES_CAP >= PHASE_COUNT, "room for stages");

#define BOUNDS_DELAY delay_bounds, COUNT(delay_bounds)
#define BOUNDS_LATENCY latency_bounds, COUNT(latency_bounds)

struct row {
	enum row_kind kind;
	unsigned id;
	const char *family;
	const char *type;
	const char *labels; /* SCALAR and VALUE */
	const char *help;
	enum dimension dimension;
	const struct bound *bounds;
	size_t bounds_count;
};

static const struct row rows[] = {
#define SCALAR(id, family, type, labels, help)                                 \
	{ROW_SCALAR, METRIC_##id, family, #type, labels, help, NONE, NULL, 0},
#define VECTOR(id, family, dimension, help)                                    \
	{ROW_VECTOR, METRIC_VECTOR_##id, family, "counter", "",                \
	 help,	     dimension,		 NULL,	 0},
#define HISTOGRAM(id, family, dimension, buckets, help)                        \
	{ROW_HISTOGRAM, METRIC_HISTOGRAM_##id, family, "histogram", "", help,  \
	 dimension,	BOUNDS_##buckets},
#define VALUE(id, family, type, labels, help)                                  \
	{                                                                      \
	    ROW_VALUE, METRIC_VALUE_##id,                                      \
	    family,    #type,                                                  \
	    labels,    help,                                                   \
	    NONE,      NULL,                                                   \
	    0},
#include "tarry/metrics.def"
};

/* The bounds again, by histogram, for counting. */
static const struct {
	const struct bound *bounds;
	size_t count;
} histogram_bounds[] = {
#define HISTOGRAM(id, family, dimension, buckets, help) {BOUNDS_##buckets},
#include "tarry/metrics.def"
};

static void
bump(_Atomic uint64_t *count, uint64_t n)
{
	uint64_t was = atomic_load_explicit(count, memory_order_relaxed);

	atomic_store_explicit(count, was + n, memory_order_relaxed);
}

static void
observe(struct metrics *m, enum metric_histogram which, size_t member,
	uint64_t us)
{
	struct metrics_histogram *h = &m->histograms[which][member];
	size_t i = 0;

	while (i < histogram_bounds[which].count &&
	       us > histogram_bounds[which].bounds[i].us)
		i++;
	bump(&h->buckets[i], 1);
	bump(&h->sum_us, us);
}

void
metrics_time(struct metrics *m, enum metric_histogram which, uint64_t us)
{
	observe(m, which, 0, us);
}

/* The member of an id: behind the default one, the last one is "other". */
static size_t
member_of(uint16_t id, uint16_t none, size_t cap)
{
	if (id == none)
		return MEMBER_DEFAULT;
	return id + 1u < cap - 1 ? id + 1u : cap - 1;
}

static size_t
member_of_label(const struct metrics_names *names, const char *label)
{
	if (label == NULL)
		return MEMBER_DEFAULT;
	for (size_t i = 0; names != NULL && i < names->count; i++) {
		if (strcmp(names->names[i], label) == 0)
			return i + 1;
	}
	return METRICS_NAMES_CAP - 1;
}

void
metrics_names_add(struct metrics_names *names, const char *name)
{
	if (names->count >= COUNT(names->names))
		return;
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->names[i], name) == 0)
			return;
	}
	names->names[names->count++] = name;
}

static void
count_times(struct metrics *m, const struct session_report *r, size_t class)
{
	const struct session *s = r->session;
	const struct session_counts *c = &s->counts;

	observe(m, METRIC_HISTOGRAM_DURATION, class, r->duration_ms * 1000);
	observe(m, METRIC_HISTOGRAM_ADDED_DELAY, class,
		(uint64_t)c->held_ms * 1000);
	if (s->is_greeted)
		observe(m, METRIC_HISTOGRAM_BANNER_WAIT, class,
			(uint64_t)c->greet_ms * 1000);
	if (s->reason == REASON_GAVE_UP)
		observe(m, METRIC_HISTOGRAM_GIVE_UP, r->phase,
			(uint64_t)c->gave_up_ms * 1000);
}

static enum metric
syn_metric(enum syn_source source)
{
	switch (source) {
	case SYN_FROM_SIDECAR:
		return METRIC_SYN_SIDECAR;
	case SYN_FROM_KERNEL:
		return METRIC_SYN_KERNEL;
	case SYN_FROM_NOWHERE:
		break;
	}
	return METRIC_SYN_NOWHERE;
}

void
metrics_session(struct metrics *m, const struct session_report *r)
{
	const struct session *s = r->session;
	const struct session_counts *c = &s->counts;
	size_t class =
	    member_of(s->plan.class_id, PLAN_CLASS_PASS, METRICS_CLASSES_CAP);
	size_t rule =
	    member_of(s->plan.rule_id, PLAN_NO_RULE, METRICS_NAMES_CAP);

	bump(&m->vectors[METRIC_VECTOR_CLOSED]
			[class * REASON_COUNT + (size_t)s->reason],
	     1);
	bump(&m->vectors[METRIC_VECTOR_RULE_MATCHES][rule], 1);
	bump(&m->vectors[METRIC_VECTOR_SIGNATURE_CONNECTIONS]
			[member_of_label(m->labels, r->label)],
	     1);
	count_times(m, r, class);
	metrics_add(m, syn_metric(r->syn_source), 1);
	metrics_add(m, METRIC_BYTES_TO_MTA, c->bytes[SIDE_CLIENT]);
	metrics_add(m, METRIC_BYTES_TO_CLIENT, c->bytes[SIDE_MTA]);
	metrics_add(m, METRIC_EARLY_TALKERS, s->is_early);
	metrics_add(m, METRIC_REPLIES_HELD, c->replies_held);
	metrics_add(m, METRIC_MESSAGES_ACCEPTED, c->messages);
	metrics_add(m, METRIC_MESSAGES_REFUSED, c->messages_refused);
	metrics_add(m, METRIC_RECIPIENTS_ACCEPTED, c->recipients);
	metrics_add(m, METRIC_RECIPIENTS_REFUSED, c->recipients_refused);
	metrics_add(m, METRIC_ERROR_REPLIES, c->errors);
	metrics_add(m, METRIC_OBSERVER_LOST, s->is_lost);
}

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
	for (size_t i = 0; value[i] != '\0' && i < 100; i++) {
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

/* How many members a list of so many names makes. */
static size_t
members_of_names(size_t names, size_t cap)
{
	return names + 1 < cap ? names + 1 : cap;
}

static size_t
members(const struct metrics_page *page, enum dimension dimension)
{
	size_t classes =
	    members_of_names(page->policy->classes_count, METRICS_CLASSES_CAP);

	switch (dimension) {
	case NONE:
		return 1;
	case CLASS:
		return classes;
	case CLASS_END:
		return classes * REASON_COUNT;
	case RULE:
		return members_of_names(page->policy->rules_count,
					METRICS_NAMES_CAP);
	case LABEL:
		return METRICS_NAMES_CAP;
	case STAGE:
		return PHASE_COUNT;
	}
	return 0;
}

static const char *
class_name(const struct metrics_page *page, size_t member)
{
	if (member == MEMBER_DEFAULT)
		return "pass";
	if (member == METRICS_CLASSES_CAP - 1)
		return "other";
	return page->policy->classes[member - 1].name;
}

static const char *
rule_name(const struct metrics_page *page, size_t member)
{
	if (member == MEMBER_DEFAULT)
		return "none";
	if (member == METRICS_NAMES_CAP - 1)
		return "other";
	return page->policy->rules[member - 1].name;
}

static const char *
label_name(const struct metrics_page *page, size_t member)
{
	if (member == MEMBER_DEFAULT)
		return "unknown";
	if (member == METRICS_NAMES_CAP - 1)
		return "other";
	return page->labels->names[member - 1];
}

/* True for members that name nothing: no line for them. */
static bool
is_void(const struct metrics_page *page, enum dimension dimension,
	size_t member)
{
	size_t labels = page->labels != NULL ? page->labels->count : 0;

	if (dimension == CLASS_END)
		return member % REASON_COUNT == REASON_NONE;
	if (dimension == LABEL)
		return member > labels && member != METRICS_NAMES_CAP - 1;
	return false;
}

static void
put_member(struct metrics_text *t, const struct metrics_page *page,
	   enum dimension dimension, size_t member)
{
	switch (dimension) {
	case NONE:
		break;
	case CLASS:
		put_quoted(t, "class", class_name(page, member));
		break;
	case CLASS_END:
		put_quoted(t, "class", class_name(page, member / REASON_COUNT));
		put(t, ",");
		put_quoted(t, "end",
			   session_reason_name(
			       (enum session_reason)(member % REASON_COUNT)));
		break;
	case RULE:
		put_quoted(t, "rule", rule_name(page, member));
		put(t, ",mode=\"enforce\"");
		break;
	case LABEL:
		put_quoted(t, "label", label_name(page, member));
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
	uint64_t sum = 0;

	for (size_t i = 0; i < page->threads_count; i++)
		sum += atomic_load_explicit(&page->threads[i]->scalars[row->id],
					    memory_order_relaxed);
	put(t, row->labels[0] != '\0' ? "%s{%s} " : "%s%s ", row->family,
	    row->labels);
	put(t, "%llu\n", (unsigned long long)sum);
}

static void
put_value(struct metrics_text *t, const struct metrics_page *page,
	  const struct row *row)
{
	put(t, row->labels[0] != '\0' ? "%s{%s} " : "%s%s ", row->family,
	    row->labels);
	put(t, "%.16g\n", page->values[row->id]);
}

static void
put_vector(struct metrics_text *t, const struct metrics_page *page,
	   const struct row *row)
{
	for (size_t m = 0; m < members(page, row->dimension); m++) {
		uint64_t sum = 0;

		if (is_void(page, row->dimension, m))
			continue;
		for (size_t i = 0; i < page->threads_count; i++)
			sum += atomic_load_explicit(
			    &page->threads[i]->vectors[row->id][m],
			    memory_order_relaxed);
		put(t, "%s{", row->family);
		put_member(t, page, row->dimension, m);
		put(t, "} %llu\n", (unsigned long long)sum);
	}
}

/* `family_bucket{member,le="x"}` up to and including the space. */
static void
put_sample(struct metrics_text *t, const struct metrics_page *page,
	   const struct row *row, size_t member, const char *suffix)
{
	put(t, "%s%s{", row->family, suffix);
	put_member(t, page, row->dimension, member);
}

static void
put_buckets(struct metrics_text *t, const struct metrics_page *page,
	    const struct row *row, size_t member)
{
	uint64_t count = 0;
	uint64_t sum_us = 0;

	for (size_t b = 0; b <= row->bounds_count; b++) {
		for (size_t i = 0; i < page->threads_count; i++)
			count += atomic_load_explicit(
			    &page->threads[i]
				 ->histograms[row->id][member]
				 .buckets[b],
			    memory_order_relaxed);
		put_sample(t, page, row, member, "_bucket");
		put(t, "%sle=\"%s\"} %llu\n", row->dimension != NONE ? "," : "",
		    b < row->bounds_count ? row->bounds[b].text : "+Inf",
		    (unsigned long long)count);
	}
	for (size_t i = 0; i < page->threads_count; i++)
		sum_us += atomic_load_explicit(
		    &page->threads[i]->histograms[row->id][member].sum_us,
		    memory_order_relaxed);
	put_sample(t, page, row, member, "_sum");
	put(t, "} %.6f\n", (double)sum_us / 1e6);
	put_sample(t, page, row, member, "_count");
	put(t, "} %llu\n", (unsigned long long)count);
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
