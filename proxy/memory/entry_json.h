/*
 * A row of the ledger as a JSON object, for `tarryctl dump` and `load`:
 *
 *   {"kind":"client","name":"192.0.2.1","sessions":2.5,..,"seen":UNIX_S,
 *    "delivered_at":UNIX_S,"proof_messages":3,"proof_sessions":2,
 *    "networks":["0000000000000001","0000000000000000"]}
 *
 * Printed and read again it is the same row, bit for bit.
 */
#ifndef PROXY_MEMORY_ENTRY_JSON_H
#define PROXY_MEMORY_ENTRY_JSON_H

#include <jansson.h>

#include "tarry/ledger.h"

/* The caller's; NULL: no memory. */
json_t *entry_json(const struct ledger_entry *entry);

/*
 * Reads one; members that are missing are 0, but kind and name must be there,
 * others are overlooked. entry->slot means nothing. Returns NULL, or what is
 * wrong, static text; *entry is then undefined.
 */
__attribute__((warn_unused_result)) const char *
entry_read(const json_t *json, struct ledger_entry *entry);

/*
 * What is known of one sender from two sources, neither of which is later than
 * now_s: the larger of each
 * count, decayed to the later of their times, and the later proof; so the same
 * twice adds nothing. `half_life_s` is the ledger's; *into becomes that.
 */
void entry_merge(struct ledger_row *into, const struct ledger_row *from,
		 uint32_t half_life_s, uint32_t now_s);

#endif
