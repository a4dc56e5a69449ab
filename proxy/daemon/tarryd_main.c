/*
 * tarryd: the command line and the configuration, then the control plane.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "proxy/config/labels.h"
#include "proxy/daemon/control.h"
#include "proxy/daemon/log.h"
#include "proxy/daemon/options.h"

enum exit_status { EXIT_FINE = 0, EXIT_CONFIG = 1, EXIT_USAGE = 2 };

static void
say_label_note(void *user, enum labels_severity severity, const char *message)
{
	(void)user;
	fprintf(stderr, "%s: %s\n",
		severity == LABELS_ERROR ? "skipped" : "note", message);
}

/* Names for signatures: for people, so nothing fails for want of them. */
static struct labels *
load_labels(const struct config *config)
{
	struct labels *labels;
	int rc;

	if (config->syn.labels[0] == '\0')
		return NULL;
	labels = labels_new();
	if (labels == NULL)
		return NULL;
	rc = labels_load(labels, config->syn.labels, say_label_note, NULL);
	if (rc < 0)
		fprintf(stderr,
			"note: no names for signatures: %s: %s (syn.labels "
			"names the file)\n",
			config->syn.labels, strerror(-rc));
	return labels;
}

static int
run(const struct options *options, const struct config *config)
{
	struct labels *labels = load_labels(config);
	struct control_options control = {
	    .config = config,
	    .labels = labels,
	    .user = options->user,
	};
	int status = EXIT_FINE;

	switch (options->action) {
	case OPTIONS_CHECK:
		printf("the configuration is fine\n");
		break;
	case OPTIONS_PRINT:
		config_print_effective(config, stdout);
		break;
	case OPTIONS_RUN:
		status = control_run(&control);
		break;
	case OPTIONS_VERSION:
	case OPTIONS_HELP:
		break;
	}
	labels_free(labels);
	return status;
}

static int
configure(const struct options *options)
{
	struct report report = {0};
	struct config *config;
	int rc = config_load(&config, options->config_path, &options->overrides,
			     &report);
	int status = EXIT_CONFIG;

	report_print(&report, stderr);
	if (rc == 0)
		status = run(options, config);
	else
		fprintf(stderr, "tarryd: %zu %s, nothing was started\n",
			report.mistakes,
			report.mistakes == 1 ? "mistake" : "mistakes");
	report_free(&report);
	config_free(config);
	return status;
}

int
main(int argc, char **argv)
{
	struct options options;
	char error[256];

	signal(SIGPIPE, SIG_IGN);
	if (!options_parse(&options, argc, argv, error, sizeof error)) {
		fprintf(stderr, "tarryd: %s\ntarryd --help says more\n", error);
		return EXIT_USAGE;
	}
	if (options.action == OPTIONS_HELP) {
		options_print_help(stdout);
		return EXIT_FINE;
	}
	if (options.action == OPTIONS_VERSION) {
		options_print_version(stdout);
		return EXIT_FINE;
	}
	return configure(&options);
}
