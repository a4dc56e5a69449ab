/*
 * Loading, in passes over one tree: what stands there (tree), what the values
 * are (setting, listeners, rules), what fits together (checks).
 * No pass stops at a mistake, so that one run shows them all; and a config
 * leaves this file only if there were none.
 */
#include "proxy/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/arena.h"
#include "proxy/config/certificates.h"
#include "proxy/config/checks.h"
#include "proxy/config/listeners.h"
#include "proxy/config/lists.h"
#include "proxy/config/rules.h"
#include "proxy/config/setting.h"
#include "proxy/config/tree.h"
#include "tarry_ini.h"

/* Descriptors for all that is no session: listeners, logs, files, spare. */
#define FILES_RESERVED 256
/* Of what is left, so much for sessions; the rest lets us give way. */
#define SESSIONS_PERCENT 95

static void
set_options(struct tree *tree, const struct config_options *options)
{
	const char *const settings[][2] = {
	    {"address", options->mta},
	    {"client_address", options->client_address},
	    {"open_relay_checked", options->open_relay_checked},
	};

	if (options->listen != NULL) {
		tree_remove(tree, "listen");
		tree_set(tree, "listen", "smtp", "address", options->listen);
	}
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		if (settings[i][1] != NULL)
			tree_set(tree, "mta", "", settings[i][0],
				 settings[i][1]);
	}
}

/* A rule that is no longer there needs none. */
static void
set_modes(struct tree *tree, const struct config_options *options)
{
	for (size_t i = 0; i < options->modes_count; i++) {
		const struct config_mode *m = &options->modes[i];
		const char *kind = m->rule[0] != '\0' ? "rule" : "tarry";

		if (m->rule[0] == '\0' ||
		    tree_section(tree, kind, m->rule) != NULL)
			tree_set(tree, kind, m->rule, "mode",
				 m->is_shadow ? "shadow" : "enforce");
	}
}

static void
build(const struct tree *tree, const char *file, struct config *config)
{
	for (size_t i = 0; i < sections_count; i++) {
		const char *kind = sections[i].name;
		if (sections[i].is_built && sections[i].naming == SECTION_ONE)
			setting_fill(tree, kind, tree_section(tree, kind, ""),
				     config);
	}
	config->policy.patience_ms = config->mta.patience_ms;
	certificates_build(tree, &config->tls);
	listeners_build(tree, file, config);
	lists_build(tree, &config->dns);
	rules_build(tree, &config->policy);
	if (!arena_has_failed(tree->arena))
		checks_run(tree, config);
}

static FILE *
open_text(const char *path)
{
	/* fmemopen() in mode "r" writes nothing, but takes no const. */
	if (path == NULL)
		return fmemopen((void *)(uintptr_t)tarry_ini, tarry_ini_len,
				"r");
	return fopen(path, "re");
}

/* Reads the file and options into the tree; 0 or a negative errno, said. */
static int
read_tree(struct tree *tree, const char *path, const char *file,
	  const struct config_options *options)
{
	FILE *in = open_text(path);
	int rc;

	if (in == NULL) {
		rc = -errno;
		report_add(tree->report, REPORT_MISTAKE, file, 0,
			   "cannot be opened: %s", strerror(-rc));
		return rc;
	}
	rc = tree_read(tree, in, file);
	fclose(in);
	if (rc < 0)
		report_add(tree->report, REPORT_MISTAKE, file, 0,
			   "cannot be read: %s", strerror(-rc));
	if (rc >= 0 && options != NULL) {
		set_options(tree, options);
		set_modes(tree, options);
	}
	return rc;
}

/* An empty config with its arena and tree; NULL without memory. */
static struct config *
config_new(struct report *report, struct tree **tree)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config == NULL)
		return NULL;
	config->arena = arena_new();
	if (config->arena != NULL)
		*tree = arena_take(config->arena, sizeof(**tree));
	if (config->arena == NULL || *tree == NULL) {
		config_free(config);
		return NULL;
	}
	(*tree)->arena = config->arena;
	(*tree)->report = report;
	config->tree = *tree;
	return config;
}

/* Fills the config; 0, or a negative errno with at least one mistake. */
static int
fill(struct config *config, struct tree *tree, const char *path,
     const struct config_options *options)
{
	const char *name = path == NULL ? TREE_BUILT_IN : path;
	const char *file = arena_text(tree->arena, name, strlen(name));
	int rc;

	if (file == NULL)
		return -ENOMEM;
	rc = read_tree(tree, path, file, options);
	if (rc < 0)
		return rc;
	build(tree, file, config);
	if (arena_has_failed(tree->arena))
		return -ENOMEM;
	return tree->report->mistakes > 0 ? -EINVAL : 0;
}

int
config_load(struct config **out, const char *path,
	    const struct config_options *options, struct report *report)
{
	struct tree *tree = NULL;
	struct config *config = config_new(report, &tree);
	int rc = -ENOMEM;

	*out = NULL;
	if (config != NULL)
		rc = fill(config, tree, path, options);
	if (rc == -ENOMEM)
		report_add(report, REPORT_MISTAKE,
			   path == NULL ? TREE_BUILT_IN : path, 0,
			   "there is not enough memory for it");
	report_sort(report);
	if (rc < 0) {
		config_free(config);
		return rc;
	}
	tree->report = NULL; /* the caller's, and not for ever */
	*out = config;
	return 0;
}

void
config_free(struct config *config)
{
	if (config == NULL)
		return;
	arena_free(config->arena);
	free(config);
}

void
config_mta_text(const struct config *config, char out[ADDR_TEXT_CAP])
{
	if (config_is_original(config))
		memcpy(out, "original", sizeof("original"));
	else
		(void)addr_text(&config->mta.address, out, ADDR_TEXT_CAP);
}

bool
config_is_transparent(const struct config *config)
{
	bool is_it = config->mta.client_address == CLIENT_ADDRESS_TRANSPARENT;

	for (size_t i = 0; i < config->listeners_count; i++)
		is_it = is_it || config->listeners[i].is_transparent;
	return is_it;
}

uint32_t
config_max_sessions(const struct config *config, uint64_t nofile_limit)
{
	uint64_t taken = FILES_RESERVED + (uint64_t)config->mta.max_connections;
	uint64_t fit;

	if (nofile_limit <= taken)
		return 0;
	fit = (nofile_limit - taken) / 100 * SESSIONS_PERCENT +
	      (nofile_limit - taken) % 100 * SESSIONS_PERCENT / 100;
	if (fit > UINT32_MAX)
		fit = UINT32_MAX;
	if (config->max_sessions > 0 && config->max_sessions < fit)
		fit = config->max_sessions;
	return (uint32_t)fit; /* <= UINT32_MAX */
}
