/*
 * Verdicts that an operator pins on senders for a time: a client, a network,
 * or all whose SYN matches a pattern. A pin is what reputation rules see, in
 * place of what was learnt; it refuses nobody by itself. A fixed number of
 * them.
 *
 * One lock, taken only while there are pins; times are those of the loops
 * (CLOCK_MONOTONIC, ms).
 */
#ifndef PROXY_MEMORY_PINS_H
#define PROXY_MEMORY_PINS_H

#include "tarry/reputation.h"

#define PINS_CAP 256
#define PIN_MS_MAX (36u * 86400u * 1000u)

struct pin {
	char who[SIGNATURE_TEXT_CAP]; /* as it was written */
	bool is_net;		      /* net, else pattern */
	struct net net;
	struct signature_pattern pattern;
	enum reputation_standing standing;
	uint64_t until_ms;
};

struct pins;

/* NULL: no memory. */
struct pins *pins_new(void);
void pins_free(struct pins *p);

/*
 * Fills who, is_net, net and pattern from an address, a network, or a
 * signature of any level, in which `*` may stand. False: it is none of them.
 */
bool pin_read(struct pin *out, const char *text);

/* Puts a pin, in place of one for the same text. False: there is no room. */
bool pins_set(struct pins *p, const struct pin *pin, uint64_t now_ms);

/* False if there is none for that text. */
bool pins_unset(struct pins *p, const char *who, uint64_t now_ms);

/* How often the pins were changed so far; one that ends by itself is none. Any
 * thread, at any time. */
uint32_t pins_changes(const struct pins *p);

/* Copies those that hold, PINS_CAP at most, to out[]; returns how many. */
size_t pins_list(struct pins *p, uint64_t now_ms, struct pin *out);

/*
 * What is pinned on this client: of networks the smallest, before any
 * pattern. `syn` may be NULL. False: nothing.
 */
bool pins_find(struct pins *p, const struct addr *client, const struct syn *syn,
	       uint64_t now_ms, enum reputation_standing *standing);

/* *r as if that had been learnt of the client; good is proven too. */
void pin_apply(struct reputation *r, enum reputation_standing standing);

#endif
