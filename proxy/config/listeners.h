/*
 * [listen NAME] as the addresses to listen on.
 */
#ifndef PROXY_CONFIG_LISTENERS_H
#define PROXY_CONFIG_LISTENERS_H

#include "proxy/config/tree.h"

struct config;

/*
 * Fills the listeners of the config, whose mta.address must be known already:
 * a listener that the MTA's address leads back to is a mistake, and so is an
 * address used twice. `file` is for the mistake of having no listener.
 */
void listeners_build(const struct tree *tree, const char *file,
		     struct config *config);

#endif
