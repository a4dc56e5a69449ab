/*
 * A site under a virtual clock: a scenario's senders come, the real machine,
 * plans, places and crowd treat them by the rules of a configuration, and it
 * is counted what became of them. Nothing is random but for the seed.
 *
 * All sessions are those of one worker. Rules are in force, whatever
 * tarry.mode says. Nothing is learned on the way: what the memory would know
 * of a kind, and what the DNS would say, the scenario says.
 */
#ifndef PROXY_SIMULATE_SIMULATION_H
#define PROXY_SIMULATE_SIMULATION_H

#include "proxy/config/config.h"
#include "proxy/simulate/figures.h"
#include "proxy/simulate/scenario.h"

#define SIMULATION_MAX_SESSIONS 10000 /* where nobody says a number */

struct simulation_kind {
	const struct scenario_kind *kind;
	uint64_t sessions; /* later tries too */
	uint64_t retries;  /* of them */
	uint64_t no_room;  /* found all seats taken */
	uint64_t gave_up;
	uint64_t told_421;
	uint64_t ended[REASON_COUNT];
	uint64_t classes[PLAN_RANKS]; /* by the rank of the last plan */
	uint64_t wanted;	      /* messages, first tries */
	uint64_t taken;
	uint64_t refused;	  /* by the MTA, for good */
	uint64_t lost;		  /* given up */
	uint64_t waiting;	  /* for another try when the time was over */
	uint64_t held_ms;	  /* of all sessions, while senders come */
	struct spread delay;	  /* of sessions: what was added */
	struct spread delay_mail; /* of those that brought mail */
	struct spread mail_after; /* messages: from the first try on */
	struct spread gave_up_after;
};

struct simulation_result {
	uint32_t for_ms;
	uint32_t max_sessions;
	uint32_t max_connections;
	uint64_t seed;
	uint64_t sessions;
	uint64_t end_ms; /* when the last session was over */
	struct level open;
	struct level held;
	struct level slots;
	uint32_t lead_ms; /* at the end */
	size_t kinds_count;
	struct simulation_kind *kinds;
	const char *broken; /* the machine's contract; NULL: kept */
};

/*
 * Plays it. *out is set, and simulation_free()d by the caller whatever is
 * returned; it points into config and scenario. False if there was no memory.
 */
bool simulation_play(const struct config *config,
		     const struct scenario *scenario,
		     struct simulation_result *out);

void simulation_free(struct simulation_result *r);

/* Bytes that tarryd touches for the most sessions and MTA connections that
 * there were at a time. */
uint64_t simulation_memory(const struct simulation_result *r);

#endif
