/*
 * The control plane: tarryd's main thread.
 *
 * Starts everything in its order, then waits for signals, writes the log,
 * serves HTTP, tests the MTA and looks for the sidecar. No client's byte ever
 * passes here: when this thread is slow, mail is not.
 */
#ifndef PROXY_DAEMON_CONTROL_H
#define PROXY_DAEMON_CONTROL_H

#include "proxy/config/config.h"

struct labels;

/* sysexits.h's EX_TEMPFAIL: the same command may work later. */
#define CONTROL_EXIT_LATER 75

struct control_options {
	const struct config *config; /* borrowed */
	const struct labels *labels; /* borrowed, or NULL */
	const char *user;	     /* privileges_drop() */
};

/*
 * Runs until a signal ends it. Returns the exit status; why it could not
 * start is in the log.
 */
int control_run(const struct control_options *options);

#endif
