/* `tarryctl lint`: what is to be said of a configuration. Needs no tarryd. */
#include <stdio.h>

#include "proxy/config/config.h"
#include "proxy/ctl/verbs.h"

static void
show(const struct report *report, bool is_json)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct report_note *n = &report->notes[i];
		json_t *json;

		if (!is_json) {
			puts(n->text);
			continue;
		}
		json =
		    json_pack("{ss sI ss}", "kind",
			      n->kind == REPORT_WARNING ? "warning" : "mistake",
			      "line", (json_int_t)n->line, "text", n->text);
		if (json != NULL)
			(void)json_dumpf(json, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(json);
	}
	if (report->unnoted > 0)
		fprintf(stderr, "tarryctl: and %zu more\n", report->unnoted);
}

enum ctl_exit
verb_lint(const struct ctl *ctl, int argc, char **argv)
{
	struct report report = {0};
	struct config *config = NULL;
	enum ctl_exit status = CTL_FINE;
	const char *path = argc > 0 ? argv[0] : ctl->config;

	if (config_load(&config, path, NULL, &report) != 0)
		status = CTL_REFUSED;
	else if (report.count > 0)
		status = CTL_WARNED;
	show(&report, ctl->is_json);
	config_free(config);
	report_free(&report);
	return status;
}
