/*
 * A month of a site in simulated time: its population's sessions through the
 * real machine, the real plan, and, if it learns, the real ledger, reputation
 * and holdout. Nothing else is random than the seed.
 */
#ifndef TESTS_MONTH_MONTH_H
#define TESTS_MONTH_MONTH_H

#include "tarry/effect.h"
#include "tests/month/population.h"

#define MONTH_DELAY_BINS 4096
#define MONTH_DELAY_MS 100 /* of a bin; the last holds all later ones */

struct month_options {
	const struct population *population;
	uint32_t days;
	uint32_t sessions; /* in all, retries not counted */
	uint64_t seed;
	bool learns;
	uint32_t holdout; /* of ten thousand */
};

struct month_result {
	uint64_t sessions;
	uint64_t held_out;
	uint64_t bad_sessions; /* of bots */
	uint64_t bad_gone;     /* left before anything came */
	uint64_t spam_wanted;  /* messages, first tries */
	uint64_t spam_come;    /* as far as the MTA */
	uint64_t good_wanted;
	uint64_t good_come;
	uint64_t good_late;    /* by more than class `new` is */
	uint64_t good_lost;    /* the sender gave up for good */
	uint64_t good_waiting; /* in its queue when the month ended */
	uint32_t delays[MONTH_DELAY_BINS]; /* of good messages */
	/* Of the group new-bot: the most sessions that one of its signatures
	 * had before it was slowed, and how many of them were. */
	uint32_t new_signatures;
	uint32_t new_slowed;
	uint32_t new_sessions;
	/* Good mail late, bad sessions and those gone, by group. */
	uint64_t late_of[GROUPS_CAP];
	uint64_t come_of[GROUPS_CAP];
	uint64_t sessions_of[GROUPS_CAP];
	uint64_t gone_of[GROUPS_CAP];
	/* Sessions of any slowing plan, by arm. */
	struct effect effect;
	uint64_t ledger_rows;
	char breach[96]; /* of the machine's contract; empty: none */
};

/* Plays it; *out is set. False if there was no memory. */
bool month_play(const struct month_options *options, struct month_result *out);

/* The delay that so many of a thousand good messages did not exceed. */
uint32_t month_delay_ms(const struct month_result *r, uint32_t per_mille);

#endif
