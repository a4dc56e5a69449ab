/*
 * A worker's clock: the timer that turns the wheel, and what is done when the
 * loop stood still.
 */
#include "proxy/daemon/log.h"
#include "proxy/relay/worker_state.h"

#define US_PER_MS 1000
/* Later than any turn is under load. */
#define OVERSLEPT_MS 2000
#define MANY_HELD 4000
#define BUNDLE_MS (8 * WHEEL_TICK_MS)
/* Who was held as long as this besides is let go. */
#define RELEASE_MS 5000

/*
 * A loop that slept for long, because the machine or the process did, first
 * hears what came meanwhile: else sessions would end for a silence that was
 * ours, or hear a 421 for a time in which nobody could have served them.
 * Timers run before the poll, hence one turn later.
 */
static bool
has_overslept(struct worker *w)
{
	uint64_t late_ms = worker_now(w) - w->timer_ms;

	if (late_ms <= OVERSLEPT_MS)
		return false;
	w->asleep_ms += late_ms;
	w->overslept_ms += late_ms;
	return true;
}

/* Who was held has waited enough meanwhile. */
static void
wake_up(struct worker *w)
{
	uint64_t ms = w->overslept_ms;

	w->overslept_ms = 0;
	if (ms < RELEASE_MS)
		return;
	log_say(LOG_LEVEL_WARNING,
		"worker %u: nothing ran for %llu s, all delays end; was the "
		"machine or the process stopped?",
		(unsigned)w->options.id, (unsigned long long)(ms / 1000));
	worker_tell_all(w, EVENT_RELEASED);
}

static void
on_timer(uv_timer_t *timer)
{
	struct worker *w = container_of(timer, struct worker, timer);
	uint64_t now_ms = worker_now(w);
	struct wheel_node *n;
	uint64_t next;

	if (has_overslept(w)) {
		(void)uv_timer_start(timer, on_timer, 1, 0);
		return;
	}
	wake_up(w);
	metrics_time(w->options.metrics, METRIC_HISTOGRAM_LOOP_LAG,
		     (now_ms - w->timer_ms) * US_PER_MS);
	w->timer_ms = 0; /* nothing is to be armed before the end of this */
	while ((n = wheel_expire(&w->wheel, now_ms)) != NULL)
		conn_wake(container_of(n, struct conn, node));
	w->timer_ms = WHEEL_NEVER;
	worker_arm(w, now_ms + WHEEL_REST_MS);
	next = wheel_next_ms(&w->wheel);
	if (next != WHEEL_NEVER)
		worker_arm(w, next);
}

/* With many held, deadlines come in bundles: a wake costs more than a piece. */
static uint64_t
grain_ms(const struct worker *w)
{
	return w->held < MANY_HELD ? WHEEL_TICK_MS : BUNDLE_MS;
}

void
worker_arm(struct worker *w, uint64_t deadline_ms)
{
	uint64_t now_ms = worker_now(w);
	uint64_t grain = grain_ms(w);
	uint64_t at = (deadline_ms + grain - 1) / grain * grain;

	if (at >= w->timer_ms)
		return;
	if (at < now_ms)
		at = now_ms;
	w->timer_ms = at;
	(void)uv_timer_start(&w->timer, on_timer, at - now_ms, 0);
}
