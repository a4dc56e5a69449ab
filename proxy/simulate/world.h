/*
 * The simulated world around one session: the shell's half of the contract in
 * tarry/session.h, carried out on arrays under a virtual clock, and checked.
 *
 * Whatever the machine orders is tried against the contract first; a breach
 * is told by world_breach() and fails the run.
 */
#ifndef PROXY_SIMULATE_WORLD_H
#define PROXY_SIMULATE_WORLD_H

#include "tarry/session.h"

#define WORLD_STREAM_CAP 65536

/* One side's stream: in[0..gone) left it, [gone..used) is held, the rest is
 * unused. out[] is what the other side's socket was given, ours and relayed. */
struct world_stream {
	uint8_t *in; /* lent */
	size_t cap;
	size_t len;
	size_t gone;
	size_t used;
	size_t dropped;
	uint64_t gone_ms; /* when the last byte was released */
	bool fin;	  /* the side has shut its half */
	bool feed;
	bool is_relayed; /* anything of it was released */
};

/* What was written to a side: words of ours and relayed bytes, in order.
 * Without memory it is only counted. */
struct world_output {
	uint8_t *bytes; /* lent, or NULL */
	size_t cap;
	size_t len;
	size_t ours; /* of them said by us */
	bool fin;    /* and then its half was shut */
};

/* Memory for all four, as tests want it. */
struct world_room {
	uint8_t in[SIDE_COUNT][WORLD_STREAM_CAP];
	uint8_t out[SIDE_COUNT][WORLD_STREAM_CAP];
};

struct world {
	struct site site;
	struct session s;
	struct leg leg_memory;
	struct leg *leg;
	struct orders o;
	struct world_stream in[SIDE_COUNT];  /* by the side that says it */
	struct world_output out[SIDE_COUNT]; /* by the side that gets it */
	uint64_t now_ms;
	int claims;
	int returns;
	uint64_t claim_ms; /* of the first */
	int dials;
	int hang_ups;
	bool is_dialling;
	enum slot_wish asking; /* not yet answered */
	bool wants_caps;
	bool has_caps;
	bool has_rings; /* there is one to lend */
	struct pending ring[SESSION_REPLIES_CAP];
	struct client_hello *hello; /* lent, or NULL */
	struct client_hello hello_memory;
	bool wants_plan;
	bool wants_flushed;
	bool opens_tls;	     /* set before world_open(): TLS comes first */
	bool is_shaking;     /* TLS_UP or TLS_FAILED comes next */
	bool is_mta_shaking; /* the same, of the MTA's side */
	size_t discarded;    /* in the clear, behind STARTTLS or its 220 */
	bool is_connected;
	bool has_ended;
	enum session_reason reason;
	/* Called for each relayed release, before it is put out. */
	void (*on_release)(struct world *w, enum side from, size_t n);
	void *on_release_arg;
	/* Called for each edit of what the MTA said, behind in[MTA].used. */
	void (*on_edit)(struct world *w, size_t at, long delta);
	/* Called behind each step. */
	void (*on_step)(struct world *w);
};

/* Lends a world its room, once, before all else. */
void world_lend(struct world *w, struct world_room *room);

/* A zeroed world with a room, in one piece for free(); NULL: no memory. */
struct world *world_new(void);

/* The same for one that is not on the heap. */
#define WORLD_IN(room)                                                         \
	{                                                                      \
		.in = {{.in = (room).in[0], .cap = WORLD_STREAM_CAP},          \
		       {.in = (room).in[1], .cap = WORLD_STREAM_CAP}},         \
		.out = {{.bytes = (room).out[0], .cap = WORLD_STREAM_CAP},     \
			{.bytes = (room).out[1], .cap = WORLD_STREAM_CAP}},    \
	}

/* Forgets everything and opens a session at now_ms with this plan. */
void world_open(struct world *w, const struct site *site,
		const struct plan *plan, uint64_t now_ms);

/* A side says bytes[0..len). Ignored behind the session's end. */
void world_says(struct world *w, enum side side, const void *bytes, size_t len);

/* A side shuts its writing half. */
void world_shuts(struct world *w, enum side side);

/* Makes room where all that a side said is gone: offsets begin anew. */
void world_forget(struct world *w, enum side side);

/* Any event without bytes. */
void world_event(struct world *w, enum event_kind kind, enum side side,
		 const struct plan *plan);

/* Wakes the session if its deadline is there. */
void world_wake(struct world *w);

/* The deadline, UINT64_MAX for none. */
uint64_t world_deadline(const struct world *w);

/* A breach of the contract: the text of the first one, or NULL. */
extern const char *world_breach_text;
void world_breach(const char *text);

#endif
