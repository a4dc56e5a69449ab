/*
 * What the sessions of a simulated site share: the gate's places, the crowd,
 * and the stress of both; real ones, under a virtual clock. It does for all
 * of them what the shell does with the orders that concern the gate, and
 * tells each what the gate says.
 */
#ifndef PROXY_SIMULATE_HOUSE_H
#define PROXY_SIMULATE_HOUSE_H

#include "proxy/simulate/world.h"
#include "tarry/crowd.h"
#include "tarry/places.h"
#include "tarry/policy.h"

/* One session's part; embedded by whoever it is. Zero it before it enters. */
struct lodger {
	struct world *w;
	struct place place;
	uint32_t seat;
	uint32_t events; /* of the gate, to be told: one bit each */
	bool is_open;
	bool is_lingering;
	bool has_slot;
	bool has_caps;
	bool asked_reserve;
};

struct house_options {
	uint32_t limit;	  /* sessions that are meant to be served, > 0 */
	uint32_t slots;	  /* MTA connections, > 0 */
	uint32_t reserve; /* of them never for the throttled */
	/* All that the lodger, the MTA and the shell besides do by now. */
	void (*acts)(struct lodger *l);
	/* Its session is over, its seat is free again. */
	void (*left)(struct lodger *l);
};

struct house {
	uint64_t now_ms;
	struct house_options options;
	struct places *places;
	struct crowd crowd;
	struct crowd_link *links;
	struct lodger **seats; /* NULL: free */
	uint32_t *free_seats;
	uint32_t free_count;
	uint32_t seats_count;
	uint32_t sessions;
	uint32_t lingering; /* of them, told 421 and not served any more */
	bool is_slot_stress;
	bool has_news; /* everybody wants another plan */
};

/* Seats for so many sessions that are meant to be served: 5 % more. */
uint32_t house_seats(uint32_t limit);

/* False if there is no memory. */
bool house_open(struct house *h, const struct house_options *o);
void house_close(struct house *h);

/* Takes a seat and counts the lodger as one of its client, network and stack;
 * false if there is no seat. */
bool house_enter(struct house *h, struct lodger *l,
		 const struct place_keys *keys);

/* One more has come and settled: somebody may have to go. */
void house_make_room(struct house *h);

/* The gate's part of l->w->o; to be called behind each step. */
void house_orders(struct house *h, struct lodger *l);

/* The lodger acts until nothing is left to do at h->now_ms. */
void house_settle(struct house *h, struct lodger *l);

/* Tells one lodger an event, and what follows. */
void house_tell(struct house *h, struct lodger *l, enum event_kind kind);

/* All that the gate says and the stress asks for, until nothing is left. */
void house_turn(struct house *h);

/* What is scarce now, for a plan. */
struct stress house_stress(const struct house *h);

/* Not yet dialled; and its rank in the crowd. */
bool lodger_is_undialled(const struct lodger *l);
uint8_t lodger_rank(const struct lodger *l);

#endif
