/*
 * One session of a simulated site: a client that follows its kind, the MTA's
 * side of it, and the real machine between them. Whoever keeps it looks when
 * it acts by itself next, and lets it act then.
 */
#ifndef PROXY_SIMULATE_GUEST_H
#define PROXY_SIMULATE_GUEST_H

#include "proxy/simulate/house.h"
#include "proxy/simulate/scenario.h"

/* An upload's pieces are whole lines that fit. */
#define GUEST_SAYS_CAP 2048
#define GUEST_REPLIES_CAP 1024
/* MAIL, the recipients, DATA. */
#define GUEST_ASKS_CAP (SCENARIO_RECIPIENTS_CAP + 4)
#define GUEST_NEVER UINT64_MAX

/* What a client does, in the order in which it does it. */
enum beat {
	BEAT_GREETING, /* waits for it */
	BEAT_EHLO,
	BEAT_STARTTLS,
	BEAT_HANDSHAKE,
	BEAT_MAIL,
	BEAT_RCPT,
	BEAT_DATA,
	BEAT_BODY,
	BEAT_DOT,
	BEAT_RSET, /* nobody was taken */
	BEAT_QUIT,
	BEAT_LEAVE
};

/* The MTA's answers, by enum beat, and those that are no. */
enum answer {
	ANSWER_YES,
	ANSWER_UNKNOWN,	    /* 550 */
	ANSWER_DEFERRED,    /* 450 */
	ANSWER_REFUSED,	    /* 554 */
	ANSWER_NO_RECIPIENT /* 503 */
};

struct ask {
	uint64_t end; /* the MTA has it once it has heard so much */
	uint8_t beat;
	uint8_t answer;
};

/* How a message ended. */
struct guest_counts {
	uint32_t wanted;
	uint32_t taken;
	uint32_t refused; /* for good */
};

struct guest {
	struct lodger lodger;
	struct world w;
	const struct scenario *scenario;
	const struct scenario_kind *kind;
	void *keeper;
	void (*make_plan)(struct guest *g, struct plan *out);
	void (*taken)(struct guest *g); /* the MTA has a message of it */
	uint64_t dice;
	uint32_t number; /* of the client, among its kind's */
	uint32_t try;
	uint64_t opened_ms;
	/* What it will do. */
	uint32_t rtt_ms;
	uint32_t patience_ms;
	uint32_t total_ms;
	uint32_t messages; /* still to be sent */
	bool is_early;
	bool wants_tls;
	bool is_deferred;
	/* Where it is. */
	enum beat beat;	     /* done last, or under way */
	uint32_t recipients; /* still to be named */
	uint32_t recipients_taken;
	uint32_t upload_left;
	bool is_waiting;
	bool is_gone;
	bool has_given_up;
	bool has_heard_no;  /* our own 421 */
	uint64_t since_ms;  /* it waits */
	uint64_t waited_ms; /* in all, before */
	uint64_t said;	    /* that the MTA is to hear */
	size_t gone_len;    /* what it had got when it went */
	/* The MTA. */
	bool is_greeted;
	uint64_t dialled_ms;
	uint64_t greeted_ms;
	struct ask asks[GUEST_ASKS_CAP];
	uint32_t asks_count;
	/* When, by itself; GUEST_NEVER: not. */
	uint64_t client_ms;
	uint64_t leave_ms;
	uint64_t mta_ms;
	uint64_t tls_ms;
	struct guest_counts counts;
	uint8_t says[GUEST_SAYS_CAP];
	uint8_t replies[GUEST_REPLIES_CAP];
};

/*
 * Makes one of its kind out of a seed; the caller has zeroed it and sets
 * lodger.w, keeper, make_plan and taken. `messages` UINT32_MAX: as many as
 * chance says, else as many as were left of an earlier try.
 */
void guest_draw(struct guest *g, const struct scenario *scenario,
		const struct scenario_kind *kind, uint64_t seed,
		uint32_t messages);

/* The session begins: it has entered the house. */
void guest_open(struct guest *g, const struct site *site,
		const struct plan *plan, const struct addr *client,
		uint64_t now_ms);

/* When something happens by itself. */
uint64_t guest_next(const struct guest *g);

/* What is due at g->w.now_ms happens; guest_acts() comes next. */
void guest_moment(struct guest *g);

/* Client, MTA and shell, until nothing is left to do now. */
void guest_acts(struct guest *g);

#endif
