/*
 * [list NAME]: networks under a name, read once however many rules want them.
 */
#ifndef PROXY_CONFIG_NETWORKS_H
#define PROXY_CONFIG_NETWORKS_H

#include "proxy/config/tree.h"
#include "tarry/addr.h"

struct networks {
	const struct tree_section *section; /* its name is the list's */
	struct net *nets;
	size_t count;
};

struct networks_all {
	struct networks *lists;
	size_t count;
};

/*
 * Reads all of them into the tree's arena. Mistakes are reported; a list of
 * which nothing can be used is there, and empty.
 */
void networks_build(const struct tree *tree, struct networks_all *all);

/* The list of the name text[0..len), or NULL. */
const struct networks *networks_find(const struct networks_all *all,
				     const char *text, size_t len);

#endif
