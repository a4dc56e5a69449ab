/*
 * Places: who counts as what, and who may have one more.
 *
 * Three things are kept here for all sessions together:
 *
 *   presence  how many sessions a client, a network, a stack signature has
 *             now, whatever their class: evidence for rules
 *   caps      how many sessions of one class they have, and who waits
 *             because a cap of the class is full
 *   slots     the MTA's connections, and who waits for one
 *
 * Nobody is refused by a cap: one waits, in order. All caps of a session are
 * counted at once or none; it waits on the first full one of client, network,
 * stack, and queues behind those who wait there already. Slots go to the best
 * rank first, within a rank to who asked first; who waits for the share of
 * the throttled never keeps a slot from who may have any.
 *
 * Pure: memory, time and hashed keys come from the caller, who also sees to
 * it that one thread calls at a time (proxy/relay/gate.h does). No call
 * blocks or allocates; none but places_init() looks at more than one session,
 * except to hand on what was given back: that costs a walk over those who
 * have to move to another queue, all waiters of one cap at worst.
 */
#ifndef TARRY_PLACES_H
#define TARRY_PLACES_H

#include "tarry/session.h"

/* Owners: the workers. A grant is found by the owner of its session. */
#define PLACES_OWNERS_CAP 64

/*
 * One session's part, embedded in it; zeroed: out, holds nothing. It stays
 * where it is from places_enter() to places_exit(). Nobody else looks inside.
 *
 * A place waits for one thing at a time, caps or slot; hence one pair of
 * links. The caller keeps that up by giving its caps back before it asks for
 * a slot (the session machine does); see places_claim_slot() for what
 * happens if not.
 */
struct place {
	struct place *next; /* in the one ring that it is in, if any */
	struct place *prev;
	uint32_t seen[PLAN_CAPS]; /* presence entries, from 1; 0: uncounted */
	union {
		uint32_t held[PLAN_CAPS]; /* cap entries, from 1; 0: none */
		struct {
			uint32_t queue; /* the cap entry waited on, from 1 */
			uint16_t limits[PLAN_CAPS];
		} wait;
	} caps;
	uint32_t ticket; /* of one that waits for a slot: lower is older */
	unsigned caps_state : 2;
	unsigned slot_state : 2;
	unsigned wait_kind : 2;	  /* of the cap waited on, enum plan_cap */
	unsigned wants_share : 1; /* waits for a slot of the share */
	unsigned in_share : 1;
	unsigned is_in : 1;
	unsigned rank : 6; /* of the class, while it waits */
	unsigned owner : 6;
};

struct places_options {
	uint32_t seats;	  /* sessions that may be in at a time, > 0 */
	uint32_t slots;	  /* MTA connections, > 0 */
	uint32_t reserve; /* of them never for the throttled, <= slots */
};

/* Opaque; lives in the caller's memory. */
struct places;

/*
 * Bytes of memory that places for so many seats take, 96 a seat and some. The
 * table has room for six entries a seat, each with its choice of two sets of
 * eight. All seats taken, and every session a stranger to all others but in
 * its stack, counted and capped: that is four a seat, and less than one entry
 * in 1,000 finds no room. With six, when each has a stack of its own as well,
 * it is about one in ten. What finds no room is not counted, waits for no cap
 * of that kind, and adds to places_totals.uncounted.
 */
size_t places_bytes(uint32_t seats);

/*
 * Makes empty places in `memory`: places_bytes(o->seats) bytes, zeroed,
 * aligned as malloc() does. Touches only the first few KiB. There is nothing
 * to be freed but the memory, once all are out.
 */
struct places *places_init(void *memory, const struct places_options *o);

/*
 * What a session is counted by, indexed by enum plan_cap: hashes with a seed
 * that clients cannot know, of the client (/32 or /64), the network (/24 or
 * /48), the stack signature (L1). 0: not known, then neither counted nor
 * capped.
 */
struct place_keys {
	uint64_t key[PLAN_CAPS];
};

/* Facts for the plan. */
struct place_counts {
	/* Sessions with the same key, this one too; 0: not counted. */
	uint32_t sessions[PLAN_CAPS];
	/* Sessions of the client that came in the last 60 s, this one too: a
	 * sliding estimate. 0: not counted. */
	uint32_t client_rate;
	bool slot_stress; /* 90 % of the slots in use, and not yet 70 % again */
};

/*
 * A session comes in, before its first plan. The place is out. now_ms is
 * monotonic. Fills *counts. A client's rate outlives its sessions by up to
 * two minutes, while nobody needs the room.
 */
void places_enter(struct places *p, struct place *w, uint32_t owner,
		  const struct place_keys *keys, uint64_t now_ms,
		  struct place_counts *counts);

/* A key that became known later, of a kind not counted so far; not 0. */
void places_learn(struct places *p, struct place *w, enum plan_cap kind,
		  uint64_t key);

/* Adds the counts to the facts for rules; 0 is "not counted". */
void places_facts(const struct place_counts *counts, struct evidence *e);

/* Fills *counts as of now, for a plan that is made again. */
void places_look(const struct places *p, const struct place *w, uint64_t now_ms,
		 struct place_counts *counts);

/*
 * The session ends: all that it holds, waits for, or was granted goes to the
 * next; the place is out. Does nothing if it is out already.
 */
void places_exit(struct places *p, struct place *w);

enum places_answer {
	PLACES_GRANTED,
	PLACES_WAITS, /* places_next_granted() will name it */
	PLACES_DENIED
};

/*
 * Claims the caps of a plan's class: plan->caps by value, plan->rank for the
 * class. What the place held or waited for of another class is given back
 * first, without a turn kept. A cap of 0, or of a key that is not known, is no
 * cap. A cap is full if its limit is reached or if somebody waits on it.
 *
 *   CAPS_WAIT  PLACES_GRANTED or PLACES_WAITS
 *   CAPS_TRY   PLACES_GRANTED or PLACES_DENIED; so does CAPS_WAIT while the
 *              place waits for a slot, or was granted one and not yet named
 */
enum places_answer places_claim_caps(struct places *p, struct place *w,
				     const struct plan *plan,
				     enum caps_wish wish);

/* Gives back the caps, or the place in their queue; or does nothing. */
void places_give_caps(struct places *p, struct place *w);

/*
 * Claims an MTA slot for a session of this rank (below PLAN_RANKS):
 *
 *   SLOT_ANY        GRANTED if one is free, else WAITS
 *   SLOT_SHARE      GRANTED if one is free and the share is not full, else
 *                   WAITS; for each rank behind 1 the share ends an eighth
 *                   earlier, up to four; for the last rank, six
 *   SLOT_RESERVE    GRANTED while more than half of the reserve is free, for
 *                   the last rank more than three quarters, else DENIED; one
 *                   that waits for a slot stops waiting
 *   SLOT_INTO_SHARE the slot held: GRANTED and in the share if that is not
 *                   full, else DENIED and what it was
 *
 * One that waits and claims again queues anew. One that has a slot keeps it:
 * with ANY and RESERVE it leaves the share, SHARE is the same as INTO_SHARE.
 * Granted but not yet named is having one for these three, and will not be
 * named; but claiming SHARE while it is full gives that one back and waits.
 * INTO_SHARE without a slot, or not yet named, is DENIED. ANY and SHARE end a
 * wait for caps: then the place holds none, or those granted and not yet
 * named.
 */
enum places_answer places_claim_slot(struct places *p, struct place *w,
				     enum slot_wish wish, uint32_t rank);

/* Gives back the slot, or the place in its queue; or does nothing. */
void places_give_slot(struct places *p, struct place *w);

enum places_grant { PLACES_GRANT_CAPS, PLACES_GRANT_SLOT };

/*
 * The next place of an owner, oldest grant first, that waited and was granted
 * what it waited for; *grant says what. It holds it since the grant. NULL:
 * none.
 */
struct place *places_next_granted(struct places *p, uint32_t owner,
				  enum places_grant *grant);

/* Owners with grants that came since the last call, one bit each. */
uint64_t places_woken(struct places *p);

/* True from 90 % of the slots in use until 70 % are again. */
bool places_is_slot_stress(const struct places *p);

struct places_totals {
	uint32_t sessions; /* in */
	uint32_t slots_used;
	uint32_t slots_shared; /* of them by the throttled */
	uint32_t slots_waiting;
	uint32_t caps_held; /* sessions that hold caps */
	uint32_t caps_waiting;
	uint64_t uncounted; /* presences and caps that found no room, ever */
};

void places_totals(const struct places *p, struct places_totals *totals);

#endif
