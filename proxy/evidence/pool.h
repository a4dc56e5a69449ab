/*
 * The pool that a sender is one of: the registrable domain of its address's
 * name, so that the next address of a large provider is no stranger.
 *
 * A name that the address itself is written into, such as
 * host-192-0-2-7.dyn.example.net, is one that a network gave to whoever has
 * the address; its owner is no provider of mail, and its neighbours are not
 * his. It is in no pool.
 */
#ifndef PROXY_EVIDENCE_POOL_H
#define PROXY_EVIDENCE_POOL_H

#include <stdbool.h>

#include "tarry/addr.h"

/* With a NUL; what is longer is no pool. */
#define POOL_TEXT_CAP 64

/* What is a public suffix: libpsl's knowledge. Opaque, one thread. */
struct pools;

/* The system's list or the one in the library, whichever is newer; NULL
 * without memory. */
struct pools *pools_open(void);

/* NULL is fine. */
void pools_close(struct pools *p);

/*
 * The pool of an address whose confirmed name this is, of letters, digits, -,
 * _ and dots. Returns true and fills `out` in lower case; false if there is
 * none. `p` may be NULL: there is none.
 */
bool pools_find(const struct pools *p, const struct addr *a, const char *name,
		char out[POOL_TEXT_CAP]);

#endif
