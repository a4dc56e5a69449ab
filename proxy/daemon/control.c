/*
 * See control.h. Everything the main thread owns is in one struct; it is
 * taken apart in the opposite order of its making.
 */
#include "proxy/daemon/control.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "proxy/admin/http.h"
#include "proxy/admin/process_values.h"
#include "proxy/daemon/log.h"
#include "proxy/daemon/options.h"
#include "proxy/daemon/privileges.h"
#include "proxy/evidence/syn_map.h"
#include "proxy/relay/gate.h"
#include "proxy/relay/mta_probe.h"
#include "proxy/relay/worker.h"

/* Descriptors to ask for where the file names no number of sessions. */
#define NOFILE_AUTO 65536u
#define TICK_MS 100u
/* So many failed dials in a row mean that the MTA has gone. */
#define DIALS_FAILED 3
/* Between the cut at the end of a drain and giving up on it. */
#define CUT_MS 3000u
/* How often the log says that it lost lines. */
#define DROPPED_SAY_MS 10000u
#define LOG_CLOSE_MS 1000u

enum control_state { CONTROL_RUNS, CONTROL_DRAINS, CONTROL_CUTS };

struct control {
	const struct control_options *options;
	const struct config *config;
	uv_loop_t loop;
	uv_async_t log_wake;
	uv_async_t notice_wake;
	uv_timer_t tick;
	uv_signal_t signals[3];
	enum control_state state;
	uint64_t state_ends_ms;
	uint64_t tick_due_ms;
	uint64_t dropped_said;
	uint64_t dropped_say_ms;
	double start_time;
	uint32_t sessions_limit;
	struct gate *gate;
	struct syn_map *syn_map;
	struct mta_probe *probe;
	struct http *http;
	struct metrics *metrics; /* of workers, then the main thread's own */
	const struct metrics **threads;
	struct worker **workers;
	uint32_t workers_count; /* started */
	_Atomic uint32_t drained_count;
	bool mta_is_ready; /* the test session passed */
	bool mta_is_gone;  /* but dials fail since */
	char mta_why[400];
};

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

/* Workers. Called on theirs. */
static void
on_notice(void *ctx, uint32_t worker, enum worker_notice what)
{
	struct control *c = ctx;

	(void)worker;
	if (what != WORKER_DRAINED)
		return;
	atomic_fetch_add(&c->drained_count, 1);
	uv_async_send(&c->notice_wake);
}

static void
on_notice_wake(uv_async_t *async)
{
	struct control *c = async->data;

	if (c->state != CONTROL_RUNS &&
	    atomic_load(&c->drained_count) >= c->workers_count)
		uv_stop(&c->loop);
}

static void
begin_drain(struct control *c, const char *signal)
{
	c->state = CONTROL_DRAINS;
	c->state_ends_ms = uv_now(&c->loop) + c->config->drain_timeout_ms;
	log_say(LOG_LEVEL_INFO,
		"%s: no new clients, all delays end; waiting up to %us for "
		"sessions to end, a second signal exits now",
		signal, (unsigned)(c->config->drain_timeout_ms / 1000));
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_drain(c->workers[i]);
}

static void
on_signal(uv_signal_t *signal, int number)
{
	struct control *c = signal->data;

	if (number == SIGHUP) {
		log_say(LOG_LEVEL_WARNING,
			"SIGHUP: reloading is not built yet, nothing has "
			"changed; restart to read the file again");
		return;
	}
	if (c->state == CONTROL_RUNS) {
		begin_drain(c, number == SIGINT ? "SIGINT" : "SIGTERM");
		return;
	}
	log_say(LOG_LEVEL_INFO, "second signal: exiting now");
	uv_stop(&c->loop);
}

static void
watch_drain(struct control *c, uint64_t now_ms)
{
	if (c->state == CONTROL_RUNS || now_ms < c->state_ends_ms)
		return;
	if (c->state == CONTROL_CUTS) {
		uv_stop(&c->loop);
		return;
	}
	c->state = CONTROL_CUTS;
	c->state_ends_ms = now_ms + CUT_MS;
	log_say(LOG_LEVEL_INFO, "drain_timeout is over: cutting what is left");
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_cut(c->workers[i]);
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

/*
 * What a test session with the MTA found. Once one has passed, another that
 * fails only says why: clients' own dials go on, so that none waits for the
 * next test.
 */
static void
on_mta(void *ctx, const struct worker_mta *mta, const char *why)
{
	struct control *c = ctx;

	snprintf(c->mta_why, sizeof c->mta_why, "%s", why);
	if (c->mta_is_ready && !mta->is_ready)
		return;
	c->mta_is_ready = mta->is_ready;
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_set_mta(c->workers[i], mta);
}

static int
start_probe(struct control *c)
{
	snprintf(c->mta_why, sizeof c->mta_why, "not tested yet");
	return mta_probe_start(&c->probe, &c->loop, c->config, on_mta, c);
}

static uint32_t
dials_failed(const struct control *c)
{
	uint32_t failed = 0;

	for (uint32_t i = 0; i < c->workers_count; i++) {
		struct worker_counters counters;

		worker_counters(c->workers[i], &counters);
		if (counters.dials_failed > failed)
			failed = counters.dials_failed;
	}
	return failed;
}

/*
 * Dials that fail say that the MTA has gone; one that succeeds, or a test
 * session, that it is back. The test is needed too: whoever watches /readyz
 * may send us no client before.
 */
static void
watch_dials(struct control *c)
{
	uint32_t failed;
	bool is_gone;

	if (c->state != CONTROL_RUNS || c->workers_count == 0)
		return;
	failed = dials_failed(c);
	is_gone = c->mta_is_ready && failed >= DIALS_FAILED;
	if (is_gone == c->mta_is_gone)
		return;
	c->mta_is_gone = is_gone;
	if (!is_gone) {
		log_say(LOG_LEVEL_INFO, "the MTA can be reached again");
		return;
	}
	log_say(LOG_LEVEL_ERROR,
		"the MTA cannot be reached: %u dials in a row failed; clients "
		"are held, then told 421, until it answers",
		(unsigned)failed);
	mta_probe_stop(c->probe);
	c->probe = NULL;
	if (start_probe(c) != 0)
		log_say(LOG_LEVEL_ERROR, "no memory to test the MTA again");
}

static void
on_tick(uv_timer_t *tick)
{
	struct control *c = tick->data;
	uint64_t now_ms = uv_now(&c->loop);
	uint64_t late_ms =
	    now_ms > c->tick_due_ms ? now_ms - c->tick_due_ms : 0;

	metrics_time(&c->metrics[c->config->workers], METRIC_HISTOGRAM_LOOP_LAG,
		     late_ms * 1000);
	c->tick_due_ms = now_ms + TICK_MS;
	watch_log(c, now_ms);
	watch_dials(c);
	watch_drain(c, now_ms);
}

static void
on_syn_map(void *ctx, const char *message)
{
	(void)ctx;
	log_say(LOG_LEVEL_INFO, "%s", message);
}

static void
add_worker_gauges(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	for (uint32_t i = 0; i < c->workers_count; i++) {
		struct worker_counters counters;

		worker_counters(c->workers[i], &counters);
		values[METRIC_VALUE_OPEN] += counters.sessions;
		values[METRIC_VALUE_HELD] += counters.held;
		values[METRIC_VALUE_MTA_OPEN] += counters.legs;
	}
}

static void
fill_page(void *ctx, struct metrics_page *page)
{
	struct control *c = ctx;
	struct syn_map_status syn;
	uint32_t used;
	uint32_t waiting;

	page->threads = c->threads;
	page->threads_count = c->config->workers + 1;
	page->policy = &c->config->policy;
	page->build = options_build_labels();
	syn_map_status(c->syn_map, &syn);
	gate_counts(c->gate, &used, &waiting);
	add_worker_gauges(c, page->values);
	page->values[METRIC_VALUE_MTA_WAITING] = waiting;
	page->values[METRIC_VALUE_MTA_UP] = c->mta_is_ready && !c->mta_is_gone;
	page->values[METRIC_VALUE_MTA_LIMIT] = c->config->mta.max_connections;
	page->values[METRIC_VALUE_CONNECTIONS_LIMIT] = c->sessions_limit;
	page->values[METRIC_VALUE_SIDECAR_UP] = syn.state == SYN_MAP_UP;
	page->values[METRIC_VALUE_SIDECAR_DROPS] =
	    (double)syn.counters[SYN_TABLE_DROPPED];
	page->values[METRIC_VALUE_SIDECAR_INSERTED] =
	    (double)syn.counters[SYN_TABLE_INSERTED];
	page->values[METRIC_VALUE_SIDECAR_RETRANSMITTED] =
	    (double)syn.counters[SYN_TABLE_RETRANSMITTED];
	page->values[METRIC_VALUE_SIDECAR_MALFORMED] =
	    (double)syn.counters[SYN_TABLE_MALFORMED];
	page->values[METRIC_VALUE_LOG_DROPPED] = (double)log_dropped();
	page->values[METRIC_VALUE_START_TIME] = c->start_time;
	page->values[METRIC_VALUE_RELOAD_OK] = 1;
	process_values(page->values);
}

static bool
is_ready(void *ctx, char *why, size_t cap)
{
	const struct control *c = ctx;

	if (c->state != CONTROL_RUNS) {
		snprintf(why, cap, "shutting down");
		return false;
	}
	if (!c->mta_is_ready) {
		snprintf(why, cap, "the MTA: %s", c->mta_why);
		return false;
	}
	if (c->mta_is_gone) {
		snprintf(why, cap, "the MTA: the last dials failed; %s",
			 c->mta_why);
		return false;
	}
	return true;
}

static int
open_loop(struct control *c)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGTERM};
	int rc = uv_loop_init(&c->loop);

	if (rc != 0)
		return rc;
	uv_async_init(&c->loop, &c->log_wake, on_log_wake);
	uv_async_init(&c->loop, &c->notice_wake, on_notice_wake);
	c->notice_wake.data = c;
	uv_timer_init(&c->loop, &c->tick);
	c->tick.data = c;
	c->tick_due_ms = uv_now(&c->loop) + TICK_MS;
	for (size_t i = 0; i < 3 && rc == 0; i++) {
		uv_signal_init(&c->loop, &c->signals[i]);
		c->signals[i].data = c;
		rc = uv_signal_start(&c->signals[i], on_signal, numbers[i]);
	}
	return rc;
}

/* As many descriptors as the file's sessions need, if it says how many. */
static uint64_t
wanted_nofile(const struct config *config)
{
	uint64_t sessions = config->max_sessions;

	if (sessions == 0)
		return NOFILE_AUTO;
	return sessions * 100 / 95 + 256 + config->mta.max_connections + 1;
}

/* Says what memory and descriptors will ever be used, a line each. */
static void
say_sizes(const struct control *c, const struct worker_options *options,
	  uint64_t nofile)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	char *rest;

	if (out == NULL)
		return;
	worker_print_sizes(options, out);
	fclose(out);
	log_say(LOG_LEVEL_INFO,
		"at most %u sessions, %u connections to the MTA, %llu "
		"descriptors; %u %s",
		c->sessions_limit, c->config->mta.max_connections,
		(unsigned long long)nofile, c->config->workers,
		c->config->workers == 1 ? "worker" : "workers");
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest))
		log_say(LOG_LEVEL_INFO, "%s", line);
	free(text);
}

static int
take_memory(struct control *c)
{
	size_t n = c->config->workers;

	c->gate = gate_new(c->config->mta.max_connections);
	c->metrics = calloc(n + 1, sizeof *c->metrics);
	c->threads = calloc(n + 1, sizeof(const struct metrics *));
	c->workers = calloc(n, sizeof(struct worker *));
	if (c->gate == NULL || c->metrics == NULL || c->threads == NULL ||
	    c->workers == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= n; i++)
		c->threads[i] = &c->metrics[i];
	return 0;
}

static int
open_syn_map(struct control *c)
{
	const struct syn_map_options options = {
	    .path = c->config->syn.sidecar,
	    .say = on_syn_map,
	};
	int rc;

	if (options.path[0] == '\0')
		return 0;
	rc = syn_map_open(&c->syn_map, &c->loop, &options);
	if (rc != 0)
		log_say(LOG_LEVEL_ERROR, "%s: %s", options.path,
			uv_strerror(rc));
	return rc;
}

static int
start_workers(struct control *c, uint64_t nofile)
{
	struct worker_options options = {
	    .seats = c->sessions_limit / c->config->workers,
	    .rules = {.config = c->config, .labels = c->options->labels},
	    .syn_map = c->syn_map,
	    .gate = c->gate,
	    .notice = on_notice,
	    .notice_ctx = c,
	};
	int rc = 0;

	say_sizes(c, &options, nofile);
	for (uint32_t i = 0; i < c->config->workers && rc == 0; i++) {
		options.id = i;
		options.metrics = &c->metrics[i];
		rc = worker_start(&c->workers[i], &options);
		c->workers_count += rc == 0;
	}
	return rc;
}

static int
start_http(struct control *c)
{
	const struct http_source source = {
	    .ctx = c,
	    .fill = fill_page,
	    .is_ready = is_ready,
	};
	const struct addr *address = &c->config->http_address;
	struct addr bound = *address;
	char text[ADDR_TEXT_CAP];
	int rc;

	if (address->family == 0)
		return 0;
	rc = http_start(&c->http, &c->loop, address, &source, &bound);
	addr_text(&bound, text, sizeof text);
	if (rc == 0)
		log_say(LOG_LEVEL_INFO, "metrics on http://%s/metrics", text);
	else
		log_say(LOG_LEVEL_ERROR, "http.address %s: %s%s", text,
			uv_strerror(rc), log_bind_hint(rc));
	return rc;
}

/* The order of the design: rights first, then sockets, then clients. */
static int
start(struct control *c)
{
	uint64_t nofile = privileges_raise_nofile(wanted_nofile(c->config));
	int rc = privileges_drop(c->options->user);

	if (rc != 0)
		return rc;
	c->sessions_limit = config_max_sessions(c->config, nofile);
	if (c->sessions_limit < c->config->workers) {
		log_say(LOG_LEVEL_ERROR,
			"the limit of %llu descriptors is too low for %u "
			"connections to the MTA; raise it (ulimit -n) or lower "
			"mta.max_connections",
			(unsigned long long)nofile,
			c->config->mta.max_connections);
		return -EMFILE;
	}
	rc = take_memory(c);
	if (rc == 0)
		rc = open_syn_map(c);
	if (rc == 0)
		rc = start_workers(c, nofile);
	if (rc == 0)
		rc = start_http(c);
	if (rc == 0)
		rc = start_probe(c);
	if (rc == 0)
		uv_timer_start(&c->tick, on_tick, TICK_MS, TICK_MS);
	return rc;
}

static void
close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Ends all that start() made, as far as it came. */
static void
stop(struct control *c)
{
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_free(c->workers[i]);
	c->workers_count = 0; /* the tick runs once more */
	mta_probe_stop(c->probe);
	http_stop(c->http);
	syn_map_close(c->syn_map);
	uv_run(&c->loop, UV_RUN_NOWAIT); /* their close callbacks */
	log_open(STDERR_FILENO, &c->config->log, NULL, NULL);
	uv_walk(&c->loop, close_handle, NULL);
	while (uv_run(&c->loop, UV_RUN_DEFAULT) != 0)
		continue;
	uv_loop_close(&c->loop);
	gate_free(c->gate);
	free(c->workers);
	free(c->threads);
	free(c->metrics);
}

int
control_run(const struct control_options *options)
{
	struct control c = {.options = options, .config = options->config};
	struct timespec now;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	c.start_time = (double)now.tv_sec;
	rc = open_loop(&c);
	if (rc != 0) {
		fprintf(stderr, "tarryd: %s\n", uv_strerror(rc));
		return CONTROL_EXIT_LATER;
	}
	log_open(STDERR_FILENO, &options->config->log, wake, &c.log_wake);
	rc = start(&c);
	if (rc == 0) {
		uv_run(&c.loop, UV_RUN_DEFAULT);
		log_say(LOG_LEVEL_INFO, "stopped");
	} else {
		log_say(LOG_LEVEL_ERROR, "not started: %s", uv_strerror(rc));
	}
	stop(&c);
	log_close(LOG_CLOSE_MS);
	return rc == 0 ? 0 : CONTROL_EXIT_LATER;
}
