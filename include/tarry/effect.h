/*
 * The effect: what the delays of one rule, or towards one signature, have
 * done, from the difference between those slowed and those held out.
 *
 * Sessions of one network are not independent of each other, and networks, not
 * sessions, are drawn into the holdout. So both arms are counted in
 * EFFECT_GROUPS random groups of whole networks; the scatter between groups
 * tells how many independent sessions an arm is worth (Wolter, "Introduction
 * to Variance Estimation", chapter 2). With that number in place of the true
 * one, never above it (Korn and Graubard, Survey Methodology 24, 1998),
 * Wilson's interval of each arm is taken, and Newcombe's interval of their
 * difference (method 10; Statistics in Medicine 17, 1998): it holds where
 * nothing, or everything, was seen, which the common formula does not.
 *
 * Fixed size, in the caller's memory: 1 KiB a row. Counts stop at their ends.
 */
#ifndef TARRY_EFFECT_H
#define TARRY_EFFECT_H

#include <stdbool.h>
#include <stdint.h>

#define EFFECT_GROUPS 32

enum effect_arm { EFFECT_SHAPED, EFFECT_HELD_OUT, EFFECT_ARMS };

/* What may be true of a session; bits 1 << fact. */
enum effect_fact {
	EFFECT_SPAM,	/* it brought spam as far as the MTA */
	EFFECT_GOOD,	/* a message of it was delivered */
	EFFECT_DELAYED, /* and that was later for our sake */
	EFFECT_FACTS
};

struct effect_group {
	uint32_t sessions;
	uint32_t counts[EFFECT_FACTS];
};

/* One rule or signature. Zeroed: nothing was seen. */
struct effect {
	struct effect_group groups[EFFECT_ARMS][EFFECT_GROUPS];
};

/* Adds a session. network: any even hash of its network (holdout_network());
 * facts: bits by enum effect_fact. */
void effect_add(struct effect *e, enum effect_arm arm, uint64_t network,
		unsigned facts);

/* Adds up two rows of the same thing. */
void effect_merge(struct effect *into, const struct effect *from);

/* Shares of sessions; low and high are the 95 % interval of `change`, which
 * is shaped - held_out: below 0, our delays made it rarer. */
struct effect_change {
	uint32_t sessions[EFFECT_ARMS];
	double shares[EFFECT_ARMS];
	double change;
	double low;
	double high;
};

/* False, and *out says from -1 to 1, if an arm has sessions of fewer than two
 * groups: nothing can be said. */
bool effect_of(const struct effect *e, enum effect_fact fact,
	       struct effect_change *out);

#endif
