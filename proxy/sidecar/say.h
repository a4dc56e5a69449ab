/*
 * What tarry-sidecar tells its supervisor: lines on standard error. One room,
 * one voice; the daemon's log is not linked in here.
 */
#ifndef PROXY_SIDECAR_SAY_H
#define PROXY_SIDECAR_SAY_H

/* Writes `tarry-sidecar: ` and the message as one line to standard error. */
__attribute__((format(printf, 1, 2))) void sidecar_say(const char *format, ...);

#endif
