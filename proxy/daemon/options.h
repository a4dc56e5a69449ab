/*
 * The command line of tarryd, as a value.
 */
#ifndef PROXY_DAEMON_OPTIONS_H
#define PROXY_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proxy/config/config.h"

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK,	 /* -t */
	OPTIONS_PRINT,	 /* -T */
	OPTIONS_VERSION, /* -V */
	OPTIONS_HELP	 /* --help */
};

struct options {
	enum options_action action;
	const char *config_path; /* NULL: what is compiled in */
	const char *user;	 /* NULL: not said */
	struct config_options overrides;
};

/*
 * Reads argv. The texts in *out point into it. Returns true; or false, and
 * one sentence in `error` (NUL-terminated, cut at cap) that says what is
 * wrong. Uses getopt's globals, so from one thread.
 */
bool options_parse(struct options *out, int argc, char **argv, char *error,
		   size_t cap);

/* Prints how to call the program. */
void options_print_help(FILE *out);

/* Prints version, libraries and build. */
void options_print_version(FILE *out);

/* The same as labels of tarry_build_info. Static text, from the first call. */
const char *options_build_labels(void);

#endif
