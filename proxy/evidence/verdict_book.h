/*
 * Which session a verdict is about: those that run and those that ended of
 * late, by the client's address and port or by a queue id.
 *
 * Fixed memory: the oldest session is forgotten for the newest, and a queue
 * id likewise. Anything may be asked of it by anybody; what does not fit is
 * named, and changes nothing. No clock, no locks: one thread.
 */
#ifndef PROXY_EVIDENCE_VERDICT_BOOK_H
#define PROXY_EVIDENCE_VERDICT_BOOK_H

#include "proxy/evidence/learn.h"
#include "proxy/evidence/session_feed.h"
#include "proxy/evidence/verdict_line.h"

/* Of a session that ended before that nothing is believed any more. */
#define VERDICT_LATE_MS 3600000u
/* Clocks of logs count in seconds, and may be wrong by some. */
#define VERDICT_SLACK_MS 5000u

enum verdict_result {
#define VERDICT_RESULT(id, name, help) VERDICT_RESULT_##id,
#include "tarry/verdict.def"
	VERDICT_RESULT_COUNT
};

struct verdict_book;

/* Remembers `cap` sessions, 1 .. 2^24. NULL: no memory. */
struct verdict_book *verdict_book_new(uint32_t cap);
void verdict_book_free(struct verdict_book *b);

/* What a book of that size takes. */
uint64_t verdict_book_bytes(uint32_t cap);

/* Who learns from now on; NULL, as at first: nobody. */
void verdict_book_set_learner(struct verdict_book *b, learn_fn *learn,
			      void *ctx);

/* Sessions that have ended, were blind, and have a verdict all the same. */
uint64_t verdict_book_told(const struct verdict_book *b);

/* Notes what a worker tells of a session. Of a queue id that was used before
 * the newest mail is meant. */
void verdict_book_note(struct verdict_book *b, const struct session_item *item,
		       uint64_t unix_ms);

/* A session that a verdict is about. */
struct verdict_session {
	uint64_t id;
	struct addr client; /* as it came to us */
	bool is_over;
	uint16_t class_id; /* if it is over */
	uint16_t rule_id;
};

/*
 * Looks for the session that *line is about, and marks that this was said of
 * it. *session is filled if the result is JOINED.
 */
enum verdict_result verdict_book_join(struct verdict_book *b,
				      const struct verdict_line *line,
				      uint64_t unix_ms,
				      struct verdict_session *session);

/* The word in verdict.def. Static text. */
const char *verdict_result_name(enum verdict_result result);

#endif
