/*
 * One run: a client that follows a dialogue, an MTA model, and the session
 * between them, under a seeded network that cuts both streams anywhere and
 * delivers the pieces at any time.
 */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "proxy/simulate/world.h"
#include "tests/sim/dialogues.h"
#include "tests/sim/mta_model.h"

#define RUN_REPLIES_CAP 256
#define RUN_CHUNKS_CAP 4096

/* What a run does beyond the dialogue. All drawn from the seed. */
struct run_plot {
	const struct dialogue *dialogue;
	struct plan plan;
	struct plan plan_again; /* given when the session asks for one */
	const char *greeting;
	int refusals;  /* dials that fail first */
	int closes_at; /* MTA closes instead of this reply; -1: never */
	bool closes_by_reset;
	bool says_421;	    /* and says 421 before it closes */
	uint64_t leaves_ms; /* the client's patience; 0: endless */
	bool leaves_by_reset;
	uint64_t hurry_ms; /* an operator or a drain ends delays; 0: never */
	enum event_kind hurry_kind;
	bool tls_fails;
	bool mta_tls_fails;
	bool mta_takes_tls;
	uint32_t lag_ms;      /* most time between two pieces */
	uint32_t piece_bytes; /* most bytes of a piece */
};

struct run_reply {
	enum smtp_verb verb;
	uint16_t code;
	bool is_callback; /* RCPT from the second on, null sender, or later */
	size_t end;	  /* offset behind it in the MTA's stream */
	long edited;	  /* by how much that is further behind by edits */
	uint64_t asked_ms;
	uint64_t start_ms; /* first byte is there */
	uint64_t ready_ms; /* last byte is there */
	uint64_t first_ms; /* first byte released */
	uint64_t last_ms;  /* last byte released */
	uint64_t piece_ms; /* last piece released */
	int pieces;
	bool has_close_pieces; /* nearer than the gap */
};

struct run_chunk {
	uint64_t at_ms;
	uint16_t len;
	bool fin;
	bool reset;
};

/* Bytes on their way from an actor to the proxy, in order. */
struct run_wire {
	uint8_t bytes[WORLD_STREAM_CAP];
	size_t len;
	size_t sent;
	struct run_chunk chunks[RUN_CHUNKS_CAP];
	int head;
	int count;
	bool is_dead; /* nothing more is taken on */
};

struct run {
	uint64_t rng;
	struct run_plot plot;
	struct world w;
	struct world_room room;
	struct mta_model mta;
	struct run_wire wire[SIDE_COUNT];
	struct run_reply replies[RUN_REPLIES_CAP];
	int replies_count;
	int replies_said; /* by the model, with those not said at the end */
	int replies_seen; /* by the client */
	size_t seen_bytes;
	char seen_line[4];
	int seen_col;
	int part;
	bool client_done;
	bool is_callback;
	uint64_t connect_ms;
	uint64_t tls_ms; /* when the handshake is over; 0: none */
	long edited;	 /* by how much the MTA's stream has grown */
	uint64_t grant_ms;
	uint64_t caps_ms; /* when the caps have room; UINT64_MAX: never */
	uint64_t caps_granted_ms; /* the first time; 0: not */
	/* A run among others: who has the gate and makes the plans. */
	void *site;
	void (*make_plan)(struct run *r, struct plan *plan);
	bool is_reserve; /* no share, a slot of the reserve: no delays */
	size_t heard;	 /* bytes that the model has got */
	int dials_seen;
	/* The first FIN, reset, hurry or other plan; UINT64_MAX: none. From
	 * then on only the upper bounds hold. */
	uint64_t disturbed_ms;
};

/* A number below n; n > 0. */
uint32_t run_draw(struct run *r, uint32_t n);

/* The parts of a run, for one among others. Set r->site before. */
void run_begin(struct run *r, const struct site *site, uint64_t seed,
	       const struct run_plot *plot, uint64_t now_ms);

/* All act on what there is now. */
void run_settle(struct run *r);

/* When something happens by itself; UINT64_MAX: never. */
uint64_t run_next(const struct run *r);

/* One thing that is due at r->w.now_ms happens. */
void run_moment(struct run *r);

/* Runs the plot to its end. Returns the steps of the clock it took, or -1 if
 * the session did not end. */
int run_play(struct run *r, const struct site *site, uint64_t seed,
	     const struct run_plot *plot);

/* Checks the run against the promises; calls world_breach(). */
void run_check(const struct run *r);

#endif
