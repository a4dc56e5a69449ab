/*
 * The charts' months outlive the process: for each hour a note of the state
 * file a class and a signature that had anything, for 13 months. The hour
 * that runs is written again at each flush. At the start they fill the hours
 * and the days in memory, of which the charts are made; the file is not asked
 * again.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/admin/metrics_rows.h"

#define HOUR "hour"
#define CLASS "hour of class"
#define SIGNATURE "hour of signature"

#define HOUR_S 3600
#define KEEP_S (400 * 24 * HOUR_S)
#define CLASS_WORDS (sizeof(struct trend_class) / sizeof(uint32_t))

_Static_assert(CLASS_WORDS == TALLY_COUNTS + METRICS_BUCKETS_CAP,
	       "a class is numbers without gaps");

/* The thread of the pool's, from the first flush on. */
struct control_hours {
	uint64_t from;		/* the first hour to be written; 0: all */
	uint64_t cleaned;	/* the hour in which what is old was dropped */
	struct trend_span last; /* what was written of it */
	struct trend_span span;
	struct tally_signature signatures[TREND_SIGNATURES]; /* 0: none */
	uint64_t now;					     /* at the start */
};

/* Copies an hour; returns which is the last one. */
static uint64_t
copy_hour(struct control *c, uint64_t hour)
{
	struct control_hours *k = c->window.hours_kept;
	uint64_t now;

	(void)pthread_mutex_lock(&c->window.hours_lock);
	now = trend_now(c->window.hours);
	trend_sum(c->window.hours, hour, 1, &k->span);
	for (uint32_t i = 0; i < TREND_SIGNATURES; i++) {
		const struct tally_signature *s =
		    trend_signature(c->window.hours, i);

		k->signatures[i] = s != NULL ? *s : (struct tally_signature){0};
	}
	(void)pthread_mutex_unlock(&c->window.hours_lock);
	return now;
}

static bool
has_any(const uint32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (numbers[i] != 0)
			return true;
	}
	return false;
}

static int
put_some(struct state_file *f, struct state_note *note, const uint32_t *numbers,
	 size_t count)
{
	note->numbers = numbers;
	note->count = count;
	return has_any(numbers, count) ? state_file_put_note(f, note) : 0;
}

static int
put_hour(struct control *c, struct state_file *f, uint64_t hour)
{
	const struct metrics_page page = {.names = c->names};
	const struct control_hours *k = c->window.hours_kept;
	const struct trend_span *span = &k->span;
	struct state_note note = {.kind = HOUR,
				  .at = (int64_t)hour * HOUR_S,
				  .name = "held at most",
				  .numbers = &span->held_most,
				  .count = 1};
	int rc = state_file_put_note(f, &note);

	note.kind = CLASS;
	for (uint32_t i = 0; i < TREND_CLASSES && rc == 0; i++) {
		note.slot = i;
		note.name = i < TREND_CLASSES - 1 ? metrics_class_name(&page, i)
						  : "others";
		rc = put_some(f, &note, span->classes[i].counts, CLASS_WORDS);
	}
	note.kind = SIGNATURE;
	for (uint32_t i = 0; i < TREND_SIGNATURES && rc == 0; i++) {
		note.slot = i;
		note.name = k->signatures[i].text;
		rc = put_some(f, &note, span->signatures[i], TALLY_COUNTS);
	}
	return rc;
}

static int
drop_old(struct state_file *f, uint64_t hour)
{
	static const char *const kinds[] = {HOUR, CLASS, SIGNATURE};
	int64_t before = (int64_t)hour * HOUR_S - KEEP_S;
	int rc = 0;

	for (size_t i = 0; i < 3 && rc == 0; i++)
		rc = state_file_drop_notes(f, kinds[i], before);
	return rc;
}

static int
put_hours(void *ctx, struct state_file *f)
{
	struct control *c = ctx;
	struct control_hours *k = c->window.hours_kept;
	uint64_t now = copy_hour(c, k->from);
	uint64_t hour = k->from;
	int rc = 0;

	if (hour == now && memcmp(&k->last, &k->span, sizeof(k->last)) == 0)
		return 0;
	if (now >= TREND_HOURS && hour <= now - TREND_HOURS)
		hour = now - TREND_HOURS + 1;
	if (k->cleaned != now)
		rc = drop_old(f, now);
	for (; hour <= now && rc == 0; hour++) {
		(void)copy_hour(c, hour);
		if (k->span.is_known)
			rc = put_hour(c, f, hour);
		k->last = k->span;
	}
	k->from = now;
	k->cleaned = now;
	return rc;
}

static void
put_hours_again(void *ctx)
{
	struct control *c = ctx;

	c->window.hours_kept->from = 0;
	c->window.hours_kept->cleaned = 0;
}

/* The class of that name; those that are no more are among the last. */
static size_t
find_class(const struct control *c, const char *name)
{
	const struct metrics_page page = {.names = c->names};
	size_t count = metrics_classes(&page);

	for (size_t i = 0; i < TREND_CLASSES - 1 && i < count; i++) {
		if (strcmp(metrics_class_name(&page, i), name) == 0)
			return i;
	}
	return TREND_CLASSES - 1;
}

static void
take_into(struct control *c, struct trend *t, uint64_t at,
	  const struct state_note *note)
{
	struct trend_class class;

	if (strcmp(note->kind, HOUR) == 0 && note->count == 1)
		trend_put(t, at, note->numbers[0]);
	if (strcmp(note->kind, SIGNATURE) == 0 && note->count == TALLY_COUNTS)
		trend_put_signature(t, at, note->name, note->numbers);
	if (strcmp(note->kind, CLASS) != 0 || note->count != CLASS_WORDS)
		return;
	memcpy(&class, note->numbers, sizeof(class));
	trend_put_class(t, at, find_class(c, note->name), &class);
}

static void
take_hour(void *ctx, const struct state_note *note)
{
	struct control *c = ctx;
	uint64_t hour = note->at > 0 ? (uint64_t)note->at / HOUR_S : 0;

	/* A clock that was wrong must not push all else out. */
	if (hour == 0 || hour > c->window.hours_kept->now)
		return;
	take_into(c, c->window.hours, hour, note);
	take_into(c, c->window.days, hour / 24, note);
}

int
control_keep_hours(struct control *c)
{
	static const char *const kinds[] = {HOUR, CLASS, SIGNATURE, NULL};
	const struct store_keeper keeper = {.kinds = kinds,
					    .ctx = c,
					    .take = take_hour,
					    .put = put_hours,
					    .put_again = put_hours_again};

	if (c->window.hours == NULL)
		return 0;
	c->window.hours_kept = calloc(1, sizeof(struct control_hours));
	if (c->window.hours_kept == NULL)
		return -ENOMEM;
	c->window.hours_kept->now = (uint64_t)time(NULL) / HOUR_S;
	store_keep(c->store, &keeper);
	c->window.hours_kept->from = trend_now(c->window.hours);
	return 0;
}
