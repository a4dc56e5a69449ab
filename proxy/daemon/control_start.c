/*
 * Starting, in the order of the design: rights first, then sockets, then
 * clients.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proxy/daemon/privileges.h"
#include "proxy/relay/shortage.h"
#include "tarry/holdout.h"

/* Descriptors to ask for where the file names no number of sessions. */
#define NOFILE_AUTO 65536u
/* A third of the weight that the kernel gives a worker. */
#define CONTROL_NICE 5

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
	names_print_size(out);
	journal_print_size(c->journal, out);
	memory_print_size(c->memory, out);
	effects_print_size(out);
	control_print_verdict_size(c, out);
	control_print_window_size(c, out);
	fclose(out);
	log_say(LOG_LEVEL_INFO,
		"at most %u sessions, %u connections to the MTA, %llu "
		"descriptors; %u %s",
		c->sessions_limit, c->settings.config->mta.max_connections,
		(unsigned long long)nofile, c->settings.config->workers,
		c->settings.config->workers == 1 ? "worker" : "workers");
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest))
		log_say(LOG_LEVEL_INFO, "%s", line);
	free(text);
}

static int
take_memory(struct control *c)
{
	size_t n = c->settings.config->workers;
	const struct config_mta *mta = &c->settings.config->mta;
	const struct config_learn *learn = &c->settings.config->learn;
	const struct places_options places = {
	    .seats = shortage_seats(c->sessions_limit),
	    .slots = mta->max_connections,
	    .reserve = (uint32_t)((uint64_t)mta->max_connections *
				  mta->reserve_percent / 100),
	};

	names_assign(c->names, c->settings.config);
	c->slots_reserve = places.reserve;
	c->gate = gate_open(&places);
	c->metrics = calloc(n + 1, sizeof *c->metrics);
	c->threads = calloc(n + 1, sizeof(const struct metrics *));
	c->workers = calloc(n, sizeof(struct worker *));
	c->effects = effects_new();
	c->pins = pins_new();
	if (c->gate == NULL || c->effects == NULL || c->pins == NULL ||
	    c->metrics == NULL || c->threads == NULL || c->workers == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= n; i++)
		c->threads[i] = &c->metrics[i];
	return memory_new(&c->memory, learn->capacity,
			  learn->half_life_ms / 1000, uv_now(&c->loop));
}

/* Who is held out is nobody's to know; the same words hold out the same. */
static int
take_salt(struct control *c)
{
	const char *words = c->settings.config->learn.holdout_salt;
	struct timespec wall;

	(void)clock_gettime(CLOCK_REALTIME, &wall);
	c->wall_ms = (uint64_t)wall.tv_sec * 1000 +
		     (uint64_t)wall.tv_nsec / 1000000 - uv_now(&c->loop);
	if (words[0] != '\0') {
		c->holdout_salt = holdout_salt(words, strlen(words));
		return 0;
	}
	return getrandom(&c->holdout_salt, sizeof(c->holdout_salt), 0) ==
		       (ssize_t)sizeof(c->holdout_salt)
		   ? 0
		   : -EIO;
}

static void
on_syn_map(void *ctx, const char *message)
{
	(void)ctx;
	log_say(LOG_LEVEL_INFO, "%s", message);
}

static int
open_syn_map(struct control *c)
{
	const struct syn_map_options options = {
	    .path = c->settings.config->syn.sidecar,
	    .say = on_syn_map,
	};
	int rc = syn_map_open(&c->syn_map, &c->loop, &options);

	if (rc != 0)
		log_say(LOG_LEVEL_ERROR, "%s: %s", options.path,
			uv_strerror(rc));
	return rc;
}

/* Workers. Called on theirs. */
static void
on_notice(void *ctx, uint32_t worker, enum worker_notice what)
{
	struct control *c = ctx;

	(void)worker;
	switch (what) {
	case WORKER_DRAINED:
		atomic_fetch_add(&c->drained_count, 1);
		break;
	case WORKER_RULES_TAKEN:
		atomic_fetch_add(&c->reload.taken_count, 1);
		break;
	case WORKER_ANSWERED:
		break;
	case WORKER_LOOKED:
		atomic_store(&c->has_looked, true);
		break;
	}
	uv_async_send(&c->notice_wake);
}

/*
 * The control plane, and threads that it starts from here on, give way to the
 * workers: woken up, it interrupts none of them, and a worker that wakes up
 * beside it need not wait until a page of numbers is made. It keeps a quarter
 * of a processor that a worker wants whole. To ask for less is never refused;
 * if it were, nothing but this would be lost.
 */
static void
give_way_to_workers(void)
{
	const struct sched_param none = {0};
	int nice;

	errno = 0;
	nice = getpriority(PRIO_PROCESS, 0); /* of this thread, on Linux */
	if (nice != -1 || errno == 0)
		(void)setpriority(PRIO_PROCESS, 0, nice + CONTROL_NICE);
	(void)sched_setscheduler(0, SCHED_BATCH, &none);
}

static int
start_workers(struct control *c, uint64_t nofile)
{
	struct worker_options options = {
	    .names = c->names,
	    .seats = c->sessions_limit / c->settings.config->workers,
	    .rules = {.config = c->settings.config,
		      .labels = c->settings.labels,
		      .asn = c->settings.asn,
		      .tls = c->settings.tls,
		      .epoch = c->names_asked.epoch},
	    .syn_map = c->syn_map,
	    .gate = c->gate,
	    .memory = c->memory,
	    .dns = c->names_asked.dns,
	    .effects = c->effects,
	    .pins = c->pins,
	    .holdout_salt = c->holdout_salt,
	    .wall_ms = c->wall_ms,
	    .notice = on_notice,
	    .notice_ctx = c,
	};
	int rc = 0;

	say_sizes(c, &options, nofile);
	for (uint32_t i = 0; i < c->settings.config->workers && rc == 0; i++) {
		options.id = i;
		options.metrics = &c->metrics[i];
		options.journal = journal_feed(c->journal, i);
		options.name_feed = &c->names_asked.feeds[i];
		if (c->window.tallies != NULL)
			options.tally = c->window.tallies[i];
		options.sessions =
		    c->verdict.feeds != NULL ? &c->verdict.feeds[i] : NULL;
		rc = worker_start(&c->workers[i], &options);
		c->workers_count += rc == 0;
	}
	give_way_to_workers();
	return rc;
}

static int
start_http(struct control *c)
{
	const struct http_source source = {
	    .ctx = c,
	    .fill = control_fill_page,
	    .is_ready = control_is_ready,
	    .api = control_api,
	};
	const struct addr *address = &c->settings.config->http_address;
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

/* A file that only root could read could not be read again. */
static void
warn_of_file(const char *path)
{
	if (path != NULL && access(path, R_OK) != 0)
		log_say(LOG_LEVEL_WARNING,
			"a reload will not work: user id %u cannot read %s: %s",
			(unsigned)geteuid(), path, strerror(errno));
}

static void
warn_of_reload(const struct control *c)
{
	const struct config_tls *tls = &c->settings.config->tls;

	warn_of_file(c->options->config_path);
	for (size_t i = 0;
	     c->settings.tls != NULL && i < tls->certificates_count; i++) {
		warn_of_file(tls->certificates[i].certificate.path);
		warn_of_file(tls->certificates[i].key.path);
	}
}

static int
start_journal(struct control *c)
{
	int rc = journal_new(&c->journal, &c->loop, c->settings.config->workers,
			     c->names);

	config_hash(c->settings.config, c->reload.hash);
	if (rc == 0)
		control_tell_settings(c, "start");
	return rc;
}

/* Gives up all rights but those that are needed; which must be there. */
static int
drop_rights(const struct control *c)
{
	const struct config *config = c->settings.config;
	const char *const sockets[] = {config->control_socket,
				       config->verdict.socket,
				       config->p0f_socket, NULL};
	bool is_transparent = config_is_transparent(config);
	int rc = privileges_drop(c->options->user,
				 is_transparent ? PRIVILEGES_TRANSPARENT
						: PRIVILEGES_PORTS,
				 sockets);

	if (rc != 0 || !is_transparent || privileges_are_transparent())
		return rc;
	log_say(LOG_LEVEL_ERROR,
		"listen.transparent and client_address = transparent need "
		"CAP_NET_RAW: start as root, or have the service manager give "
		"it (AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_RAW)");
	return -EPERM;
}

int
control_start(struct control *c)
{
	uint64_t nofile =
	    privileges_raise_nofile(wanted_nofile(c->settings.config));
	int rc = drop_rights(c);

	if (rc != 0)
		return rc;
	c->sessions_limit = config_max_sessions(c->settings.config, nofile);
	if (c->sessions_limit < c->settings.config->workers) {
		log_say(LOG_LEVEL_ERROR,
			"the limit of %llu descriptors is too low for %u "
			"connections to the MTA; raise it (ulimit -n) or lower "
			"mta.max_connections",
			(unsigned long long)nofile,
			c->settings.config->mta.max_connections);
		return -EMFILE;
	}
	warn_of_reload(c);
	rc = take_memory(c);
	if (rc == 0)
		rc = take_salt(c);
	if (rc == 0)
		rc = start_journal(c);
	if (rc == 0)
		rc = control_take_verdict_memory(c);
	if (rc == 0)
		rc = control_take_window_memory(c);
	if (rc == 0)
		rc = control_open_store(c);
	if (rc == 0)
		rc = open_syn_map(c);
	if (rc == 0)
		rc = control_open_names(c);
	if (rc == 0)
		rc = start_workers(c, nofile);
	if (rc == 0)
		rc = start_http(c);
	if (rc == 0)
		rc = control_open_socket(c);
	if (rc == 0)
		rc = control_open_verdicts(c);
	if (rc == 0)
		rc = control_open_p0f(c);
	if (rc == 0)
		rc = control_test_mta(c);
	return rc;
}
