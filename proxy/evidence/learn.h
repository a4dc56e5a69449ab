/*
 * What verdicts, which come from behind the MTA, change in what is known of a
 * session whose mail the MTA's replies told of. The worker has counted those
 * at the session's end; the verdict book calls a learn_fn on the main thread
 *
 * - when a session ends of which something else was told meanwhile;
 * - for each verdict after that which changes anything.
 *
 * Of a mail the last word counts that was not said before: spam of which the
 * MTA said 250 is no delivered mail, and becomes it again if somebody finds
 * it good. A session that is blind and that nobody tells of is unknown,
 * neither good nor bad.
 */
#ifndef PROXY_EVIDENCE_LEARN_H
#define PROXY_EVIDENCE_LEARN_H

#include "tarry/reputation.h"

struct learn {
	uint64_t session;     /* as in the log */
	const uint64_t *rows; /* of memory_learn(): LEDGER_KINDS */
	struct reputation_tally before;
	struct reputation_tally after;
};

/* Must not call the book, nor keep what *l points to. */
typedef void learn_fn(void *ctx, const struct learn *l);

#endif
