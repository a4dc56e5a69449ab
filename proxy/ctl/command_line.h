/*
 * The command line of tarryctl, as a value.
 */
#ifndef PROXY_CTL_COMMAND_LINE_H
#define PROXY_CTL_COMMAND_LINE_H

#include <stdio.h>

#include "proxy/ctl/verbs.h"

enum command_line_result {
	COMMAND_LINE_RUN,
	COMMAND_LINE_HELP,
	COMMAND_LINE_VERSION,
	COMMAND_LINE_WRONG /* `error` says what */
};

struct command_line {
	struct ctl ctl;
	const struct verb *verb; /* HELP: NULL for all */
	int argc;		 /* of the verb's arguments */
	char **argv;
	char error[200];
};

/* Reads argv. The texts in *out point into it. Uses getopt's globals. */
enum command_line_result command_line_read(struct command_line *out, int argc,
					   char **argv);

/* Prints how to call the program; for one verb, if it is not NULL. */
void command_line_help(const struct verb *verb, FILE *out);

#endif
