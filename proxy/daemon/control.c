/*
 * See control.h and control_state.h. This file is the loop: its signals, its
 * tick, and the way out.
 */
#include "proxy/daemon/control_state.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* How often the log says that it lost lines. */
#define DROPPED_SAY_MS 10000u
#define LOG_CLOSE_MS 1000u

static void
on_log_wake(uv_async_t *async)
{
	(void)async;
	log_flush(); /* the tick goes on with what is left */
}

static void
wake(void *async)
{
	uv_async_send(async);
}

static void
on_notice_wake(uv_async_t *async)
{
	struct control *c = async->data;

	control_watch_reload(c);
	control_watch_sessions(c);
	control_watch_ask(c);
	control_watch_p0f(c);
	if (c->state != CONTROL_RUNS &&
	    atomic_load(&c->drained_count) >= c->workers_count)
		uv_stop(&c->loop);
}

static void
on_signal(uv_signal_t *signal, int number)
{
	struct control *c = signal->data;
	struct report report = {0};

	if (number == SIGHUP) {
		(void)control_reload(c, &report);
		report_free(&report);
		return;
	}
	if (c->state == CONTROL_RUNS) {
		control_drain(c, number == SIGINT ? "SIGINT" : "SIGTERM");
		return;
	}
	log_say(LOG_LEVEL_INFO, "second signal: exiting now");
	uv_stop(&c->loop);
}

static void
watch_log(struct control *c, uint64_t now_ms)
{
	uint64_t dropped = log_dropped();

	log_flush();
	if (dropped == c->dropped_said || now_ms < c->dropped_say_ms)
		return;
	log_say(LOG_LEVEL_WARNING, "%llu log lines were dropped",
		(unsigned long long)(dropped - c->dropped_said));
	c->dropped_said = dropped;
	c->dropped_say_ms = now_ms + DROPPED_SAY_MS;
}

static void
on_tick(uv_timer_t *tick)
{
	struct control *c = tick->data;
	uint64_t now_ms = uv_now(&c->loop);
	uint64_t late_ms =
	    now_ms > c->tick_due_ms ? now_ms - c->tick_due_ms : 0;

	metrics_time(&c->metrics[c->settings.config->workers],
		     METRIC_HISTOGRAM_LOOP_LAG, late_ms * 1000);
	c->tick_due_ms = now_ms + CONTROL_TICK_MS;
	watch_log(c, now_ms);
	journal_tick(c->journal, now_ms);
	control_tick_verdicts(c);
	control_tick_window(c, now_ms);
	control_tick_store(c, now_ms);
	control_watch_dials(c);
	control_watch_drain(c, now_ms);
}

static int
open_loop(struct control *c)
{
	static const int numbers[CONTROL_SIGNALS] = {SIGHUP, SIGINT, SIGTERM};
	int rc = uv_loop_init(&c->loop);

	if (rc != 0)
		return rc;
	uv_async_init(&c->loop, &c->log_wake, on_log_wake);
	uv_async_init(&c->loop, &c->notice_wake, on_notice_wake);
	c->notice_wake.data = c;
	uv_timer_init(&c->loop, &c->tick);
	c->tick.data = c;
	c->start_ms = uv_now(&c->loop);
	c->tick_due_ms = c->start_ms + CONTROL_TICK_MS;
	for (size_t i = 0; i < CONTROL_SIGNALS && rc == 0; i++) {
		uv_signal_init(&c->loop, &c->signals[i]);
		c->signals[i].data = c;
		rc = uv_signal_start(&c->signals[i], on_signal, numbers[i]);
	}
	return rc;
}

static void
close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Ends all that control_start() made, as far as it came. */
static void
stop(struct control *c)
{
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_free(c->workers[i]);
	c->workers_count = 0; /* the tick runs once more */
	mta_probe_stop(c->probe);
	control_end_sessions(c);
	control_end_ask(c);
	control_close_p0f(c);
	doctor_stop(c->doctor); /* ends its request */
	control_socket_stop(c->socket);
	verdict_socket_stop(c->verdict.socket);
	http_stop(c->http);
	dns_close(c->names_asked.dns);
	syn_map_close(c->syn_map);
	uv_run(&c->loop, UV_RUN_NOWAIT); /* their close callbacks */
	log_open(STDERR_FILENO, &c->settings.config->log, NULL, NULL);
	uv_walk(&c->loop, close_handle, NULL);
	while (uv_run(&c->loop, UV_RUN_DEFAULT) != 0)
		continue;
	uv_loop_close(&c->loop);
	journal_close(c->journal);
	control_free_verdicts(c);
	store_close(c->store);
	free(c->keep);
	control_forget_modes(c);
	control_free_window(c);
	control_free_names(c);
	gate_free(c->gate);
	memory_free(c->memory);
	effects_free(c->effects);
	pins_free(c->pins);
	free(c->workers);
	free(c->threads);
	free(c->metrics);
}

static int
run(struct control *c)
{
	int rc = open_loop(c);

	if (rc != 0) {
		fprintf(stderr, "tarryd: %s\n", uv_strerror(rc));
		return CONTROL_EXIT_LATER;
	}
	log_open(STDERR_FILENO, &c->settings.config->log, wake, &c->log_wake);
	rc = control_start(c);
	if (rc == 0)
		uv_timer_start(&c->tick, on_tick, CONTROL_TICK_MS,
			       CONTROL_TICK_MS);
	if (rc == 0) {
		uv_run(&c->loop, UV_RUN_DEFAULT);
		log_say(LOG_LEVEL_INFO, "stopped");
	} else {
		log_say(LOG_LEVEL_ERROR, "not started: %s", uv_strerror(rc));
	}
	stop(c);
	log_close(LOG_CLOSE_MS);
	return rc == 0 ? 0 : CONTROL_EXIT_LATER;
}

int
control_run(const struct options *options, struct settings *settings)
{
	struct control c = {.options = options, .settings = *settings};
	struct timespec now;
	int status = CONTROL_EXIT_LATER;

	*settings = (struct settings){0};
	clock_gettime(CLOCK_REALTIME, &now);
	c.start_time = (double)now.tv_sec;
	c.names = names_new();
	if (c.names != NULL)
		status = run(&c);
	else
		fprintf(stderr, "tarryd: %s\n", uv_strerror(UV_ENOMEM));
	settings_free(&c.reload.before);
	settings_free(&c.settings);
	names_free(c.names);
	return status;
}
