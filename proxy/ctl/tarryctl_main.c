/*
 * tarryctl: asks and tells a running tarryd.
 */
#include <stdio.h>

#include "proxy/ctl/command_line.h"

int
main(int argc, char **argv)
{
	struct command_line line;
	enum ctl_exit status = CTL_FINE;

	switch (command_line_read(&line, argc, argv)) {
	case COMMAND_LINE_RUN:
		status = line.verb->run(&line.ctl, line.argc, line.argv);
		break;
	case COMMAND_LINE_HELP:
		command_line_help(line.verb, stdout);
		break;
	case COMMAND_LINE_VERSION:
		printf("tarryctl %s\njansson %s\n", TARRY_VERSION,
		       JANSSON_VERSION);
		break;
	case COMMAND_LINE_WRONG:
		fprintf(stderr, "tarryctl: %s\ntarryctl --help says more\n",
			line.error);
		status = CTL_USAGE;
		break;
	}
	return (int)status;
}
