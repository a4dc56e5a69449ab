/*
 * What the command line and its files say, loaded as a whole: the
 * configuration, and the names of signatures that it points to.
 */
#ifndef PROXY_DAEMON_SETTINGS_H
#define PROXY_DAEMON_SETTINGS_H

#include "proxy/config/config.h"
#include "proxy/config/labels.h"
#include "proxy/daemon/options.h"

struct asn;
struct tls_context;

struct settings {
	struct config *config;
	struct labels *labels;	 /* or NULL */
	struct asn *asn;	 /* or NULL: no database */
	struct tls_context *tls; /* or NULL: TLS does not end here */
};

/*
 * Loads. What is to be said of the configuration goes into the report, of the
 * label file to `say`, which may be NULL; a label file never
 * fails, and neither does a database of networks.
 * Returns 0 with *out the caller's (settings_free()), or a negative errno of
 * config_load(), *out empty.
 */
__attribute__((warn_unused_result)) int
settings_load(struct settings *out, const struct options *options,
	      struct report *report, labels_report *say, void *user);

/* Frees all and forgets them. An empty one is fine. */
void settings_free(struct settings *settings);

#endif
