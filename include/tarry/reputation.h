/*
 * Reputation: how much a sender is to be trusted, from what became of the
 * mail of those who look like it and of those who come from where it comes.
 *
 * The model. Each row of a ledger has g sessions' worth of good outcomes and
 * b of bad ones. Sessions left during a delay of ours count as a quarter of a
 * bad one, and never more than the bad ones there are: giving up counts for
 * nothing alone. The share of bad is taken level by level, coarse to fine,
 *
 *	share = (b + M * share of the coarser level) / (g + b + M),  M = 8
 *
 * which is the mean of a beta-binomial posterior whose prior has the coarser
 * level's mean and the weight of M observations. So a level that was seen a
 * few times says nearly what its coarser one says, and one with much of its
 * own speaks for itself; there is no number of sessions at which that jumps.
 * (Efron and Morris, "Stein's paradox in statistics", Scientific American
 * 236, 1977; Gelman et al., "Bayesian Data Analysis", chapters 2 and 5.)
 *
 *	looks:  1/2 -> family -> stack -> syn  \ the worse -> pair
 *		1/2 -> dialect -> ja4	       /
 *	where:  region -> network -> pool -> client
 *
 * Each level counts what the finer one has not. `where` begins with the share
 * of `looks`; its coarse levels count as a few observations at most (region 8,
 * network and pool 24), so that no neighbours outvote a sender. What is judged
 * is the share of bad less, or more, one and a half of its standard
 * deviations: good is who is surely below 0.25 and has an observation of its
 * own; suspect is who is surely above 0.68, so that a forwarder half of whose
 * mail is spam is not.
 *
 * Guards. Looks that carry more than a fiftieth of all delivered mail, or of
 * which that cannot be known yet, as fewer than 50 messages are known, are
 * never thought worse than 1/2: they are what good senders look like too. Bad
 * takes a share of 0.85 and two of three sources that do not depend on each
 * other, each surely above 0.68 by four observations or more: looks by
 * themselves, of which only levels seen from four networks or more count;
 * where by itself; and how the session behaves. A sender that has proved
 * itself, by its address, pool or network (ledger_is_proven), is good, unless
 * it is bad: neighbours do not save it.
 */
#ifndef TARRY_REPUTATION_H
#define TARRY_REPUTATION_H

#include "tarry/ledger.h"
#include "tarry/outcome.h"
#include "tarry/signature.h"

struct evidence;

enum reputation_standing {
	REPUTATION_GOOD,
	REPUTATION_UNKNOWN,
	REPUTATION_SUSPECT,
	REPUTATION_BAD
};

/* "good", "unknown", "suspect", "bad". Static text. */
const char *reputation_name(enum reputation_standing standing);

/* What a session is known by; NULL or family 0: not known. */
struct history_names {
	const struct addr *client;
	const struct signature_texts *signature;
	const char *dialect;
	const char *ja4;
	const char *pool; /* registrable domain of a confirmed name */
};

/* The keys of its rows; about 1.2 KB. */
struct history_keys {
	uint32_t known; /* a bit an enum ledger_kind */
	struct ledger_key keys[LEDGER_KINDS];
};

/* The keys of all rows that a session with these names has. Reads the
 * ledger's seed alone. */
void history_keys_make(struct history_keys *out, const struct ledger *l,
		       const struct history_names *names);

/* What the ledger knows of one session; rows are copies, decayed to now. */
struct history {
	struct ledger_row rows[LEDGER_KINDS]; /* zeroed: not known */
	uint32_t now_s;
	uint32_t delivered; /* messages of this session that were accepted */
	bool is_behaving_badly; /* it did what no mail server does */
};

struct reputation {
	uint8_t standing;   /* enum reputation_standing */
	uint8_t number;	    /* share of bad to be expected, percent */
	uint8_t confidence; /* 0: nothing is known, 100: all is */
	uint8_t level;	    /* enum ledger_kind: the finest that was known, or
			       that proved it; LEDGER_ALL: none */
	bool is_proven;
	bool is_pinned; /* by the operator, whatever was learnt */
};

/* For who holds no locks: fills h->rows and h->now_s; adds to each row. */
void history_find(struct history *h, const struct ledger *l,
		  const struct history_keys *keys, uint32_t now_s);
void history_add(struct ledger *l, const struct history_keys *keys,
		 const struct ledger_delta *delta, uint32_t now_s);

/*
 * The reputation of a session with this history. A message delivered in this
 * session makes it better by one step, and no more are counted. Never
 * allocates.
 */
struct reputation reputation_of(const struct history *h);

struct session;

/*
 * What a session that is over adds to each of its rows. Of outcomes, those of
 * the MTA's replies (tarry/outcome.h): one session is one observation, shared
 * between good and bad as its messages were; recipients that do not exist,
 * relay probes and wrong passwords are half of a spam, and what says nothing
 * of the client counts for nothing. delta->network is left to the caller.
 */
void reputation_session(const struct session *s, struct ledger_delta *delta);

/* What became of the mail of a session, as the MTA's replies and the verdicts
 * that came later say together, and its manners. */
struct reputation_tally {
	uint32_t messages; /* accepted, and not found to be spam later */
	uint32_t outcomes[OUTCOME_COUNT];
	uint32_t misdeeds; /* of: early, pipelining, no SMTP */
};

/* As it was when the session ended: what reputation_session() counts. */
struct reputation_tally reputation_tally(const struct session *s);

/* What is to be added to its rows when `before` was counted, and `after` is
 * true. delta->network is 0. */
void reputation_change(const struct reputation_tally *before,
		       const struct reputation_tally *after,
		       struct ledger_delta *delta);

/* Puts it among the facts that rules may test. */
void reputation_tell(const struct reputation *r, struct evidence *e);

#endif
