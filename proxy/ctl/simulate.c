/*
 * `tarryctl simulate`: reads scenario and rules, plays, and says what was
 * found. Needs no tarryd.
 */
#include "proxy/ctl/simulate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proxy/ctl/verbs.h"

/* Mistakes are said; false if there were any. */
static bool
load_rules(const struct ctl *ctl, struct config **config)
{
	struct report report = {0};
	const int rc = config_load(config, ctl->config, NULL, &report);

	if (rc != 0)
		report_print(&report, stderr);
	report_free(&report);
	return rc == 0;
}

static bool
load_scenario(const char *path, struct arena *arena, struct scenario *out)
{
	struct report report = {0};
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	bool is_well;

	if (in == NULL) {
		fprintf(stderr, "tarryctl: %s: %s\n", path, strerror(errno));
		return false;
	}
	is_well = scenario_read(out, in, path, arena, &report);
	report_sort(&report);
	report_print(&report, stderr);
	report_free(&report);
	if (in != stdin)
		(void)fclose(in);
	return is_well;
}

/* What of the scenario the rules do not have. */
static bool
check_listeners(const struct config *config, const struct scenario *scenario,
		const char *path)
{
	bool is_well = true;

	for (size_t i = 0; i < scenario->kinds_count; i++) {
		const struct scenario_kind *k = &scenario->kinds[i];
		size_t n = 0;

		while (n < config->listeners_count &&
		       strcmp(config->listeners[n].name, k->listener) != 0)
			n++;
		if (*k->listener == '\0' || n < config->listeners_count)
			continue;
		fprintf(stderr,
			"%s:%u: %s.listener: the rules have no [listen %s], "
			"expected the name of one\n",
			path, k->line, k->name, k->listener);
		is_well = false;
	}
	return is_well;
}

static double
now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static enum ctl_exit
show(const struct ctl *ctl, const struct simulation_result *r,
     const struct policy *policy, double wall_s)
{
	json_t *object = simulate_object(r, policy, wall_s);

	if (object == NULL)
		return CTL_REFUSED;
	if (ctl->is_json) {
		(void)json_dumpf(object, stdout,
				 JSON_COMPACT | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		simulate_print(object);
	}
	json_decref(object);
	return CTL_FINE;
}

static enum ctl_exit
play(const struct ctl *ctl, const struct config *config,
     const struct scenario *scenario)
{
	struct simulation_result result;
	enum ctl_exit status = CTL_REFUSED;
	const double began = now_s();
	const bool is_well = simulation_play(config, scenario, &result);

	if (!is_well)
		fprintf(stderr, "tarryctl: no memory for so many sessions\n");
	else if (result.broken != NULL)
		fprintf(stderr,
			"tarryctl: the session machine broke its contract: "
			"%s; please report it, with the scenario\n",
			result.broken);
	else
		status = show(ctl, &result, &config->policy, now_s() - began);
	simulation_free(&result);
	return status;
}

enum ctl_exit
verb_simulate(const struct ctl *ctl, int argc, char **argv)
{
	struct config *config = NULL;
	struct arena *arena = arena_new();
	struct scenario scenario;
	enum ctl_exit status = CTL_REFUSED;

	(void)argc;
	if (arena != NULL && load_rules(ctl, &config) &&
	    load_scenario(argv[0], arena, &scenario) &&
	    check_listeners(config, &scenario, argv[0]))
		status = play(ctl, config, &scenario);
	config_free(config);
	arena_free(arena);
	return status;
}
