/*
 * What one worker tells the main thread of its sessions, for the verdicts: a
 * ring with one writer and one reader and no lock. A full ring drops and
 * counts: mail never waits.
 */
#ifndef PROXY_EVIDENCE_SESSION_FEED_H
#define PROXY_EVIDENCE_SESSION_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tarry/addr.h"
#include "tarry/outcome.h"
#include "tarry/reputation.h"

/* A power of two; emptied ten times a second. */
#define SESSION_FEED_CAP 4096u

enum session_news {
	SESSION_NEWS_OPEN,
	SESSION_NEWS_GUISE, /* the MTA sees client.port in place of its own */
	SESSION_NEWS_MAIL,  /* the MTA took a message, and named its queue id */
	SESSION_NEWS_END
};

/* What became of a session, and where that was remembered. */
struct session_end {
	struct reputation_tally tally; /* as counted */
	uint64_t rows[LEDGER_KINDS];   /* of memory_learn(), or zeros */
};

struct session_item {
	uint64_t id; /* as in the log */
	union {
		struct addr client;			 /* OPEN, GUISE */
		char queue_id[OUTCOME_QUEUE_ID_CAP + 1]; /* MAIL */
		struct session_end end;			 /* END */
	};
	uint8_t news;	   /* enum session_news */
	bool is_blind;	   /* END: TLS passed through, nothing was seen */
	uint16_t class_id; /* END: of the last plan */
	uint16_t rule_id;
	uint32_t recipients; /* MAIL: that it was taken for */
};

struct session_feed {
	_Atomic uint64_t dropped;
	_Alignas(64) _Atomic uint64_t put;
	_Alignas(64) _Atomic uint64_t taken;
	struct session_item ring[SESSION_FEED_CAP];
};

/* Empty; before any thread uses it. */
void session_feed_init(struct session_feed *f);

/* The writer alone. `f` may be NULL: nothing is told. */
void session_feed_put(struct session_feed *f, const struct session_item *item);

/* Takes the oldest into *out; false if there is none. The reader alone. */
bool session_feed_take(struct session_feed *f, struct session_item *out);

#endif
