/*
 * The number of the network (autonomous system) that an address is in, by an
 * MMDB file that the operator has. Read by all workers at once.
 */
#ifndef PROXY_EVIDENCE_ASN_H
#define PROXY_EVIDENCE_ASN_H

#include <stddef.h>
#include <stdint.h>

#include "tarry/addr.h"

struct asn;

/*
 * Copies the file into memory of our own, so that one who cuts it short while
 * it is in use harms nobody. Returns 0 with *out the caller's, or a negative
 * errno and why[0..why_cap), a text.
 */
__attribute__((warn_unused_result)) int
asn_open(struct asn **out, const char *path, char *why, size_t why_cap);

/* NULL is fine. */
void asn_close(struct asn *a);

/*
 * The number; 0: it is not known. `a` may be NULL. A microsecond, no system
 * call, no allocation.
 */
uint32_t asn_find(const struct asn *a, const struct addr *client);

#endif
