/*
 * What is learnt of the mail of a session: the one place where the MTA's
 * replies, as they were seen, and the verdicts, which come from behind it,
 * meet. The verdict book calls a learn_fn on the main thread
 *
 * - when a session has ended, with what was seen of it and what was told
 *   meanwhile: is_end is true, once a session;
 * - for each verdict that is joined after that and changes anything.
 *
 * Counts are changes and add up: spam of which the MTA said 250 is one more
 * SPAM and, for as many recipients as it was delivered to, fewer DELIVERED.
 * A verdict that repeats what was seen changes nothing. A session that is
 * blind, and that nobody tells of, has all counts 0: it is unknown, neither
 * good nor bad.
 */
#ifndef PROXY_EVIDENCE_LEARN_H
#define PROXY_EVIDENCE_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "tarry/addr.h"
#include "tarry/outcome.h"

struct learn {
	uint64_t session; /* as in the log */
	struct addr client;
	uint16_t class_id; /* of its last plan */
	uint16_t rule_id;
	bool is_end;   /* else it is about one that had ended before */
	bool is_blind; /* TLS passed through: the verdicts are all there is */
	bool gave_up;  /* with is_end: the client left during a delay of ours */
	bool is_early; /* with is_end: it spoke before the greeting */
	int32_t changes[OUTCOME_COUNT];
};

/* Must not call the book. */
typedef void learn_fn(void *ctx, const struct learn *l);

#endif
