/*
 * tarryd: the command line and the configuration, then the control plane.
 */
#include <signal.h>
#include <stdio.h>

#include "proxy/daemon/control.h"

enum exit_status { EXIT_FINE = 0, EXIT_CONFIG = 1, EXIT_USAGE = 2 };

static void
say_label_note(void *user, enum labels_severity severity, const char *message)
{
	(void)user;
	fprintf(stderr, "%s: %s\n",
		severity == LABELS_ERROR ? "skipped" : "note", message);
}

static int
run(const struct options *options, struct settings *settings)
{
	int status = EXIT_FINE;

	switch (options->action) {
	case OPTIONS_CHECK:
		printf("the configuration is fine\n");
		break;
	case OPTIONS_PRINT:
		config_print_effective(settings->config, stdout);
		break;
	case OPTIONS_RUN:
		status = control_run(options, settings);
		break;
	case OPTIONS_VERSION:
	case OPTIONS_HELP:
		break;
	}
	return status;
}

static int
configure(const struct options *options)
{
	struct report report = {0};
	struct settings settings;
	int rc =
	    settings_load(&settings, options, &report, say_label_note, NULL);
	int status = EXIT_CONFIG;

	report_print(&report, stderr);
	if (rc == 0)
		status = run(options, &settings);
	else
		fprintf(stderr, "tarryd: %zu %s, nothing was started\n",
			report.mistakes,
			report.mistakes == 1 ? "mistake" : "mistakes");
	report_free(&report);
	settings_free(&settings);
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
