/*
 * The holdout: a share of those who would be slowed is left alone, so that
 * what the delays do can be measured, and the learner goes on seeing what
 * becomes of their mail.
 *
 * Who is in it follows from a keyed hash of network and day: all sessions of
 * a /24 or /48 are in the same arm from midnight to midnight, a retry too.
 */
#ifndef TARRY_HOLDOUT_H
#define TARRY_HOLDOUT_H

#include "tarry/addr.h"
#include "tarry/plan.h"

/* Shares are of ten thousand. */
#define HOLDOUT_ALL 10000u

/* A salt made of an operator's secret words. */
uint64_t holdout_salt(const char *words, size_t len);

/* A hash of the client's network: /24, /48. `salt` is secret, or a sender
 * could choose the networks that are never slowed. */
uint64_t holdout_network(uint64_t salt, const struct addr *client);

/* True if the client's network is left unshaped on this day; day is any count
 * of days that does not jump. share = 0: never, HOLDOUT_ALL: always. */
bool holdout_arm(uint64_t salt, const struct addr *client, uint32_t day,
		 uint32_t share);

/*
 * Leaves a plan unshaped if the client is held out: from then on it is one in
 * shadow, marked as held out. A plan that slows nobody, or is in shadow
 * anyway, stays as it is.
 */
void holdout_apply(uint64_t salt, const struct addr *client, uint32_t day,
		   uint32_t share, struct plan *plan);

#endif
