/*
 * The configuration, loaded anew while sessions run.
 *
 * A second one is loaded beside the first, and only if it is free of mistakes
 * do the workers get it; the first is freed when the last of them has let go.
 * One at a time: a signal that comes meanwhile is remembered, once.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/config/config_keep.h"
#include "proxy/daemon/privileges.h"

static void
say_label_note(void *user, enum labels_severity severity, const char *message)
{
	(void)user;
	log_say(severity == LABELS_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
		"%s%s", severity == LABELS_ERROR ? "skipped: " : "", message);
}

static void
say_report(const struct report *report)
{
	for (size_t i = 0; i < report->count; i++)
		log_say(report->notes[i].kind == REPORT_MISTAKE
			    ? LOG_LEVEL_ERROR
			    : LOG_LEVEL_WARNING,
			"%s", report->notes[i].text);
	if (report->unnoted > 0)
		log_say(LOG_LEVEL_WARNING, "and %zu more", report->unnoted);
}

static double
unix_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
refuse(struct control *c, const struct report *report, int error)
{
	c->reload.has_failed = true;
	c->reload.refused_count++;
	log_say(LOG_LEVEL_ERROR,
		"reload: %zu %s; nothing has changed, the configuration of "
		"before stays in force",
		report->mistakes,
		report->mistakes == 1 ? "mistake" : "mistakes");
	if (error == -EACCES)
		log_say(LOG_LEVEL_ERROR,
			"tarryd gave up its rights at the start: user id %u "
			"must be able to read the file and all that it names",
			(unsigned)geteuid());
}

/* True if what a test session would find may have changed. */
static bool
is_other_mta(const struct config_mta *a, const struct config_mta *b)
{
	return !addr_same_ip(&a->address, &b->address) ||
	       a->address.port != b->address.port ||
	       a->client_address != b->client_address;
}

static void
set_sidecar(struct control *c)
{
	const char *path = c->settings.config->syn.sidecar;
	int rc = syn_map_set_path(c->syn_map, path);

	if (rc != 0)
		log_say(LOG_LEVEL_ERROR, "%s: %s", path, uv_strerror(rc));
}

void
control_tell_settings(struct control *c, const char *cause)
{
	struct config *config = c->settings.config;
	const struct journal_options journal = {
	    .path = config->journal.path,
	    .size_bytes = config->journal.size_bytes,
	    .files = config->journal.files,
	    .addresses = config->log.addresses,
	};
	char hash[CONFIG_HASH_CAP];

	log_style(&config->log);
	if (journal_set(c->journal, &journal) != 0 || journal.path[0] == '\0')
		return;
	config_hash(config, hash);
	memcpy(config->journal_hash, hash, CONFIG_HASH_SHOWN);
	config->journal_hash[CONFIG_HASH_SHOWN] = '\0';
	journal_policy(c->journal,
		       c->options->config_path != NULL ? c->options->config_path
						       : "built-in",
		       hash, cause);
}

/* The order matters: no worker dials the new MTA before it was tested. */
static void
put_in_force(struct control *c, const char *cause)
{
	struct worker_rules rules = {.config = c->settings.config,
				     .labels = c->settings.labels,
				     .asn = c->settings.asn,
				     .tls = c->settings.tls};

	if (is_other_mta(&c->reload.before.config->mta,
			 &c->settings.config->mta))
		control_retest_mta(c);
	else if (c->settings.config->tls.mode !=
		     c->reload.before.config->tls.mode ||
		 c->settings.config->mta.tls !=
		     c->reload.before.config->mta.tls)
		control_test_mta_again(c);
	set_sidecar(c);
	control_set_names(c);
	rules.epoch = c->names_asked.epoch;
	control_tell_settings(c, cause);
	atomic_store(&c->reload.taken_count, 0);
	for (uint32_t i = 0; i < c->workers_count; i++)
		worker_set_rules(c->workers[i], &rules);
}

static void
take(struct control *c, const struct settings *next, const char *cause,
     struct report *report)
{
	config_hash(next->config, c->reload.hash);
	config_keep(next->config, c->settings.config, report);
	names_assign(c->names, next->config);
	c->reload.before = c->settings;
	c->settings = *next;
	put_in_force(c, cause);
}

/* Rights that were given up at the start do not come back. */
static int
check_rights(struct settings *next, struct report *report)
{
	if (!config_is_transparent(next->config) ||
	    privileges_are_transparent())
		return 0;
	report_add(report, REPORT_MISTAKE, "reload", 0,
		   "client_address = transparent and listen.transparent need "
		   "CAP_NET_RAW, which was given up at the start: restart");
	settings_free(next);
	return -EPERM;
}

enum reload_result
control_reload(struct control *c, struct report *report)
{
	struct settings next;
	int rc;

	if (c->state != CONTROL_RUNS) {
		log_say(LOG_LEVEL_WARNING,
			"shutting down, nothing is read again");
		return RELOAD_NEVER;
	}
	if (c->reload.before.config != NULL) {
		c->reload.is_wanted = true;
		return RELOAD_LATER;
	}
	rc = settings_load(&next, c->options, report, say_label_note, NULL);
	if (rc == 0)
		rc = check_rights(&next, report);
	if (rc == 0) {
		c->reload.has_failed = false;
		c->reload.ok_time = unix_time();
		c->reload.ok_count++;
		control_forget_modes(c);
		take(c, &next, "reload", report);
	}
	say_report(report);
	if (rc != 0)
		refuse(c, report, rc);
	else
		log_say(LOG_LEVEL_INFO, "reload: the configuration was read "
					"again and is in force");
	return rc == 0 ? RELOAD_TAKEN : RELOAD_REFUSED;
}

static int
load_with(const struct control *c, const struct control_modes *modes,
	  struct settings *out, struct report *report)
{
	struct options options = *c->options;

	options.overrides.modes = modes->all;
	options.overrides.modes_count = modes->count;
	return settings_load(out, &options, report, NULL, NULL);
}

/* True if the files say what they said when they were loaded. */
static bool
is_as_loaded(const struct control *c, struct report *report)
{
	char hash[CONFIG_HASH_CAP];
	struct settings same;

	if (load_with(c, &c->modes, &same, report) != 0)
		return false;
	config_hash(same.config, hash);
	settings_free(&same);
	return strcmp(hash, c->reload.hash) == 0;
}

enum reload_result
control_set_modes(struct control *c, const struct control_modes *modes,
		  struct report *report)
{
	struct report unsaid = {0};
	struct settings next;

	if (c->state != CONTROL_RUNS)
		return RELOAD_NEVER;
	if (c->reload.before.config != NULL)
		return RELOAD_LATER;
	if (!is_as_loaded(c, report))
		return RELOAD_REFUSED;
	if (load_with(c, modes, &next, &unsaid) != 0 ||
	    check_rights(&next, &unsaid) != 0) {
		report_free(&unsaid);
		return RELOAD_REFUSED;
	}
	c->modes = *modes;
	take(c, &next, "shadow", &unsaid);
	report_free(&unsaid);
	return RELOAD_TAKEN;
}

void
control_watch_reload(struct control *c)
{
	struct report report = {0};

	if (c->reload.before.config == NULL ||
	    atomic_load(&c->reload.taken_count) < c->workers_count)
		return;
	settings_free(&c->reload.before);
	if (!c->reload.is_wanted)
		return;
	c->reload.is_wanted = false;
	(void)control_reload(c, &report);
	report_free(&report);
}
