/* The command line of tarry-sidecar. */
#ifndef PROXY_SIDECAR_OPTIONS_H
#define PROXY_SIDECAR_OPTIONS_H

#include <stdint.h>

#include "tarry/syn_table.h"

#define SIDECAR_SOCKET "/run/tarry-sidecar/syn.sock"
#define SIDECAR_USER "tarry-sidecar"

struct sidecar_options {
	uint16_t ports[SYN_TABLE_PORTS_CAP]; /* 0: no more */
	const char *interface;		     /* "any" or a name */
	const char *file;		     /* a capture file, or NULL */
	const char *socket;
	const char *user; /* NULL: SIDECAR_USER if we are root */
	uint32_t entries_count;
};

enum sidecar_options_result {
	SIDECAR_OPTIONS_RUN,
	SIDECAR_OPTIONS_DONE, /* help or version was printed */
	SIDECAR_OPTIONS_WRONG /* said what, on standard error */
};

/* Reads argv; texts are borrowed from it. */
enum sidecar_options_result
sidecar_options_read(struct sidecar_options *options, int argc, char **argv);

#endif
