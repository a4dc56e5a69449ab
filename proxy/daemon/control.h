/*
 * The control plane: tarryd's main thread.
 *
 * Starts everything in its order, then waits for signals, loads the
 * configuration anew, writes log and journal, serves HTTP, tests the MTA and
 * looks for the sidecar. No client's byte ever passes here: when this thread
 * is slow, mail is not.
 */
#ifndef PROXY_DAEMON_CONTROL_H
#define PROXY_DAEMON_CONTROL_H

#include "proxy/daemon/settings.h"

/* sysexits.h's EX_TEMPFAIL: the same command may work later. */
#define CONTROL_EXIT_LATER 75

/*
 * Runs until a signal ends it. `options` is borrowed, and read again with
 * each reload; the settings are taken over and freed. Returns the exit
 * status; why it could not start is in the log.
 */
int control_run(const struct options *options, struct settings *settings);

#endif
