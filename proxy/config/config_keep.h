/*
 * What a reload cannot change: keys with reload=NO in keys.def.
 */
#ifndef PROXY_CONFIG_CONFIG_KEEP_H
#define PROXY_CONFIG_CONFIG_KEEP_H

#include "proxy/config/config.h"

/*
 * Makes `next`, which nobody else reads yet, say what `running` says for all
 * such keys. Each that was written otherwise is named in a warning,
 * `file:line: section.key: ...`.
 */
void config_keep(struct config *next, const struct config *running,
		 struct report *report);

#endif
