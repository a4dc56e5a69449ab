/*
 * The crowd: the sessions of one worker that have not dialled the MTA, by
 * rank and in the order of their coming.
 *
 * It says who goes first when sessions run out (design, P1 and section 7):
 * the worst class not yet dialled gives way, its newest session first, which
 * has waited least; and before it comes to that, while nine seats of ten are
 * taken, the oldest of the worst class is let go, which is nearest to its
 * release. Sessions are named by their seat. Pure; one thread.
 */
#ifndef TARRY_CROWD_H
#define TARRY_CROWD_H

#include "tarry/plan.h"

#define CROWD_NONE UINT32_MAX

/* One seat's place in the crowd; zeroed: not in it. */
struct crowd_link {
	uint32_t next; /* seat + 1; 0: none */
	uint32_t prev;
	uint8_t rank;
	bool is_in;
};

/* The fields are the crowd's. */
struct crowd {
	struct crowd_link *links;   /* by seat; the caller's */
	uint32_t limit;		    /* sessions that are meant to be served */
	uint32_t first[PLAN_RANKS]; /* seat + 1, the oldest */
	uint32_t last[PLAN_RANKS];
	uint64_t ranks; /* those that have anybody, one bit each */
	bool is_stressed;
};

/* An empty crowd; `links` are zeroed and outlive it. */
void crowd_init(struct crowd *c, struct crowd_link *links, uint32_t limit);

/* A session comes, or its rank is another: last of its rank. Nothing changes
 * for one that stands there already. */
void crowd_join(struct crowd *c, uint32_t seat, uint8_t rank);

/* It dialled, or is over. Does nothing if it is not in the crowd. */
void crowd_leave(struct crowd *c, uint32_t seat);

/* Who gives way if somebody must: the newest of the worst rank, `pass` last
 * of all. CROWD_NONE: nobody is in the crowd. */
uint32_t crowd_gives_way(const struct crowd *c);

/*
 * Who is let go first: the oldest of the worst rank. CROWD_NONE: nobody has a
 * delay that could end, as those of `pass` have none.
 */
uint32_t crowd_is_let_go(const struct crowd *c);

/* True if more sessions are there than are meant to be served. */
bool crowd_is_full(const struct crowd *c, uint32_t sessions);

/*
 * Stress: on from 90 % of the limit, off again at 70 %. Returns true if that
 * changed; is_stressed says to what.
 */
bool crowd_note(struct crowd *c, uint32_t sessions);

#endif
