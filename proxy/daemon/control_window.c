/*
 * What the dashboard's charts are made of: once a second what was counted
 * goes into the ring, every few seconds the signatures do. The data plane
 * knows nothing of it but its tally.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/admin/metrics_rows.h"

#define TAKE_MS 1000u
#define SIGNATURES_MS 5000u
#define SIGNATURES_SHOWN 50u
#define MINUTES_PER_HOUR 60u
#define MINUTES_PER_DAY 1440u

/* What charts tell apart: bits of the counts that go into one column. */
#define OF(outcome) (1u << (TALLY_OUTCOMES + OUTCOME_##outcome))
static const struct {
	const char *name;
	uint32_t counts;
} columns[] = {
    {"sessions", 1u << TALLY_SESSIONS},
    {"gave_up", 1u << TALLY_GAVE_UP},
    {"delivered", OF(DELIVERED)},
    {"spam", OF(SPAM)},
    {"unknown_users", OF(UNKNOWN_USER)},
    {"deferred", OF(NEUTRAL)},
    {"refused", OF(RELAY) | OF(POLICY) | OF(PROTOCOL) | OF(AUTH_FAILURE)},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static json_int_t
column_of(const uint32_t *counts, size_t column)
{
	json_int_t sum = 0;

	for (unsigned i = 0; i < TALLY_COUNTS; i++) {
		if ((columns[column].counts & 1u << i) != 0)
			sum += counts[i];
	}
	return sum;
}

static json_t *
text_json(const char *text)
{
	return escape_json(text, strlen(text));
}

static size_t
shown_class(size_t member)
{
	return member < TREND_CLASSES ? member : TREND_CLASSES - 1;
}

/* Everything since the start, as a chart wants it. */
static void
add_class(const struct metrics_page *page, size_t member,
	  struct trend_totals *totals)
{
	uint64_t *counts = totals->counts[shown_class(member)];
	uint64_t *delays = totals->delays[shown_class(member)];

	for (size_t end = 0; end < REASON_COUNT; end++) {
		uint64_t n = metrics_vector_sum(page, METRIC_VECTOR_CLOSED,
						member * REASON_COUNT + end);

		counts[TALLY_SESSIONS] += n;
		if (end == REASON_GAVE_UP)
			counts[TALLY_GAVE_UP] += n;
	}
	for (size_t i = 0; i < OUTCOME_COUNT; i++)
		counts[TALLY_OUTCOMES + i] +=
		    metrics_vector_sum(page, METRIC_VECTOR_CLASS_OUTCOMES,
				       member * OUTCOME_COUNT + i);
	for (size_t i = 0; i < METRICS_BUCKETS_CAP; i++)
		delays[i] += metrics_bucket_sum(
		    page, METRIC_HISTOGRAM_ADDED_DELAY, member, i);
}

static uint32_t
held_now(const struct control *c)
{
	struct worker_counters counters;
	uint32_t held = 0;

	for (uint32_t i = 0; i < c->workers_count; i++) {
		worker_counters(c->workers[i], &counters);
		held += counters.held;
	}
	return held;
}

static uint64_t
minute_of(const struct control *c, uint64_t now_ms)
{
	return ((uint64_t)c->start_time + (now_ms - c->start_ms) / 1000) / 60;
}

static void
take_totals(struct control *c, uint64_t minute)
{
	const struct metrics_page page = {
	    .threads = c->threads,
	    .threads_count = c->settings.config->workers + 1,
	    .names = c->names,
	};
	struct trend_totals totals = {.held = held_now(c)};

	for (size_t m = 0; m < metrics_classes(&page); m++)
		add_class(&page, m, &totals);
	trend_take(c->window.trend, minute, &totals);
	(void)pthread_mutex_lock(&c->window.hours_lock);
	trend_take(c->window.hours, minute / MINUTES_PER_HOUR, &totals);
	(void)pthread_mutex_unlock(&c->window.hours_lock);
	trend_take(c->window.days, minute / MINUTES_PER_DAY, &totals);
}

static void
take_signatures(struct control *c)
{
	struct control_window *w = &c->window;
	struct tally_signature *const old = w->before;
	struct trend_rows rows;
	uint32_t count = 0;

	w->before = w->rows;
	w->before_count = w->rows_count;
	w->rows = old;
	for (uint32_t i = 0; i < c->settings.config->workers; i++)
		count += tally_copy(w->tallies[i], w->rows + count);
	w->rows_count = tally_merge(w->rows, count);
	rows = (struct trend_rows){.now = w->rows,
				   .count = w->rows_count,
				   .before = w->before,
				   .before_count = w->before_count};
	trend_take_signatures(w->trend, &rows);
	(void)pthread_mutex_lock(&w->hours_lock);
	trend_take_signatures(w->hours, &rows);
	(void)pthread_mutex_unlock(&w->hours_lock);
	trend_take_signatures(w->days, &rows);
}

/* Brings all up to now; what is asked for then is not older. A minute that is
 * over gets the signatures as far as it has the sums. */
static void
take(struct control *c, uint64_t now_ms)
{
	struct control_window *w = &c->window;
	const uint64_t minute = minute_of(c, now_ms);
	const uint64_t last = trend_now(w->trend);

	if (minute != last && last != 0) {
		take_totals(c, last);
		take_signatures(c);
		for (uint32_t i = 0; i < c->settings.config->workers; i++)
			tally_fade(w->tallies[i]);
	}
	take_totals(c, minute);
	w->taken_ms = now_ms;
}

void
control_tick_window(struct control *c, uint64_t now_ms)
{
	struct control_window *w = &c->window;

	if (w->trend == NULL || now_ms - w->taken_ms < TAKE_MS)
		return;
	take(c, now_ms);
	if (now_ms - w->signatures_ms < SIGNATURES_MS)
		return;
	take_signatures(c);
	w->signatures_ms = now_ms;
}

static json_t *
delay_list(const struct trend_span *spans, uint32_t count, size_t class,
	   double share)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(
		    list, json_real(trend_quantile(
			      spans[i].classes[class].delays, share)));
	return list;
}

static json_t *
class_json(const struct control *c, const struct trend_span *spans,
	   uint32_t count, size_t class)
{
	const struct metrics_page page = {.names = c->names};
	bool is_rest = class == TREND_CLASSES - 1 &&
		       metrics_classes(&page) != TREND_CLASSES;
	json_t *out = json_object();

	json_object_set_new(
	    out, "name",
	    text_json(is_rest ? "others" : metrics_class_name(&page, class)));
	for (size_t k = 0; k < COLUMNS; k++) {
		json_t *list = json_array();

		for (uint32_t i = 0; i < count; i++)
			json_array_append_new(
			    list, json_integer(column_of(
				      spans[i].classes[class].counts, k)));
		json_object_set_new(out, columns[k].name, list);
	}
	json_object_set_new(out, "p50", delay_list(spans, count, class, 0.5));
	json_object_set_new(out, "p99", delay_list(spans, count, class, 0.99));
	return out;
}

static json_t *
line_json(const struct tally_signature *signature,
	  const struct trend_span *spans, uint32_t count, uint32_t line)
{
	json_t *out = json_object();

	json_object_set_new(out, "text", text_json(signature->text));
	json_object_set_new(out, "label", text_json(signature->label));
	for (size_t k = 0; k < COLUMNS; k++) {
		json_t *list = json_array();

		for (uint32_t i = 0; i < count; i++)
			json_array_append_new(
			    list, json_integer(
				      column_of(spans[i].signatures[line], k)));
		json_object_set_new(out, columns[k].name, list);
	}
	return out;
}

/* Of classes that are no more, what was kept is in the last. */
static bool
has_class(const struct trend_span *spans, uint32_t count, size_t class)
{
	for (uint32_t i = 0; i < count; i++) {
		if (spans[i].classes[class].counts[TALLY_SESSIONS] > 0)
			return true;
	}
	return false;
}

static void
put_lists(const struct control *c, json_t *out, const struct trend *trend,
	  const struct trend_span *spans, uint32_t count)
{
	const struct metrics_page page = {.names = c->names};
	json_t *classes = json_array();
	json_t *signatures = json_array();
	json_t *held = json_array();

	for (size_t i = 0; i < TREND_CLASSES; i++) {
		if (i < metrics_classes(&page) || has_class(spans, count, i))
			json_array_append_new(classes,
					      class_json(c, spans, count, i));
	}
	for (uint32_t i = 0; i < TREND_SIGNATURES; i++) {
		const struct tally_signature *s = trend_signature(trend, i);

		if (s != NULL)
			json_array_append_new(signatures,
					      line_json(s, spans, count, i));
	}
	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(
		    held, spans[i].is_known ? json_integer(spans[i].held_most)
					    : json_null());
	json_object_set_new(out, "held", held);
	json_object_set_new(out, "classes", classes);
	json_object_set_new(out, "signatures", signatures);
}

/* What each range is made of. */
struct range {
	uint32_t unit_s; /* of the ring's minutes, which may be hours */
	uint32_t units;
	uint32_t step; /* units */
};

static json_t *
range_json(struct control *c, const struct trend *trend, const struct range *r)
{
	uint32_t count = r->units / r->step;
	struct trend_span *spans = calloc(count, sizeof(*spans));
	json_t *out;
	uint64_t first;

	if (spans == NULL)
		return NULL;
	take(c, uv_now(&c->loop));
	take_signatures(c);
	/* Steps begin where the clock's do, so that what is over stays. */
	first = (trend_now(trend) / r->step + 1) * r->step;
	first = first > r->units ? first - r->units : 0;
	for (uint32_t i = 0; i < count; i++)
		trend_sum(trend, first + i * r->step, r->step, &spans[i]);
	out = json_pack("{sI sI}", "start", (json_int_t)(first * r->unit_s),
			"step", (json_int_t)r->step * r->unit_s);
	put_lists(c, out, trend, spans, count);
	free(spans);
	return out;
}

json_t *
control_history_json(struct control *c, enum http_api what)
{
	static const struct range ranges[HTTP_API_COUNT] = {
	    [HTTP_API_HOUR] = {60, 60, 1},
	    [HTTP_API_QUARTER] = {60, 360, 5},
	    [HTTP_API_DAY] = {60, TREND_MINUTES, 15},
	    [HTTP_API_MONTH] = {3600, 720, 6},
	    [HTTP_API_YEAR] = {86400, 366, 3},
	};
	const struct control_window *w = &c->window;
	const struct trend *trend = what == HTTP_API_MONTH  ? w->hours
				    : what == HTTP_API_YEAR ? w->days
							    : w->trend;

	return range_json(c, trend, &ranges[what]);
}

static json_t *
signature_json(const struct tally_signature *row)
{
	json_t *out = json_pack("{so so}", "text", text_json(row->text),
				"label", text_json(row->label));

	for (size_t k = 0; k < COLUMNS; k++)
		json_object_set_new(out, columns[k].name,
				    json_integer(column_of(row->counts, k)));
	return out;
}

void
control_say_signatures(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	struct control_window *w = &c->window;
	const char *argument = control_request_argument(r);
	unsigned long most = SIGNATURES_SHOWN;

	if (argument[0] != '\0')
		most = strtoul(argument, NULL, 10);
	if (strspn(argument, "0123456789") != strlen(argument) || most == 0 ||
	    most > TALLY_SIGNATURES) {
		control_request_end(r, "the number of signatures is 1 to 256");
		return;
	}
	if (w->rows != NULL)
		take_signatures(c);
	for (uint32_t i = 0; i < w->rows_count && i < most; i++)
		control_request_say(r, signature_json(&w->rows[i]));
	control_request_end(r, w->rows != NULL ? NULL
					       : "nobody counts them, as "
						 "http.address is empty");
}

json_t *
control_signatures_json(struct control *c)
{
	struct control_window *w = &c->window;
	json_t *list = json_array();

	take_signatures(c);
	for (uint32_t i = 0; i < w->rows_count && i < SIGNATURES_SHOWN; i++)
		json_array_append_new(list, signature_json(&w->rows[i]));
	return json_pack("{so sI sI}", "signatures", list, "counted",
			 (json_int_t)w->rows_count, "room",
			 (json_int_t)TALLY_SIGNATURES);
}

int
control_take_window_memory(struct control *c)
{
	struct control_window *w = &c->window;
	uint32_t workers = c->settings.config->workers;
	uint64_t seed;

	if (c->settings.config->http_address.family == 0)
		return 0;
	(void)pthread_mutex_init(&w->hours_lock, NULL);
	if (uv_random(NULL, NULL, &seed, sizeof(seed), 0, NULL) != 0)
		return -EIO;
	w->trend = trend_new(TREND_MINUTES);
	w->hours = trend_new(TREND_HOURS);
	w->days = trend_new(TREND_DAYS);
	w->live = control_live_new();
	w->tallies = calloc(workers, sizeof(struct tally *));
	w->rows = calloc(workers * TALLY_SIGNATURES, sizeof(*w->rows));
	w->before = calloc(workers * TALLY_SIGNATURES, sizeof(*w->before));
	if (w->trend == NULL || w->hours == NULL || w->days == NULL ||
	    w->tallies == NULL || w->rows == NULL || w->before == NULL ||
	    w->live == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < workers; i++) {
		w->tallies[i] = tally_new(seed);
		if (w->tallies[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

void
control_print_window_size(const struct control *c, FILE *out)
{
	if (c->window.trend == NULL)
		return;
	trend_print_size(TREND_MINUTES + TREND_HOURS + TREND_DAYS, out);
	tally_print_size(c->settings.config->workers, out);
}

void
control_free_window(struct control *c)
{
	struct control_window *w = &c->window;

	for (uint32_t i = 0;
	     w->tallies != NULL && i < c->settings.config->workers; i++)
		tally_free(w->tallies[i]);
	free(w->tallies);
	free(w->rows);
	free(w->before);
	trend_free(w->trend);
	trend_free(w->hours);
	trend_free(w->days);
	free(w->hours_kept);
	control_live_free(w->live);
}
