/*
 * What verdicts change in the counts of what became of the mail.
 */
#ifndef PROXY_EVIDENCE_VERDICT_EFFECT_H
#define PROXY_EVIDENCE_VERDICT_EFFECT_H

#include "proxy/evidence/verdict_line.h"
#include "tarry/reputation.h"

/* What was told of a mail or, where no id was named, of a session. */
struct verdict_case {
	uint8_t said; /* bits of enum verdict */
	bool is_bad;  /* the last word on what is in it */
	/* That the MTA was seen to take: messages, and for how many. */
	uint32_t messages;
	uint32_t recipients;
};

struct verdict_effect {
	int32_t messages;
	int32_t outcomes[OUTCOME_COUNT];
};

/*
 * Notes one verdict more. False if that one was noted before: it has changed
 * what it could.
 */
bool verdict_case_say(struct verdict_case *v, enum verdict verdict);

/* What all of it changes, as compared with nothing said: where the replies
 * were seen, and where nothing was. */
struct verdict_effect verdict_effect_seen(const struct verdict_case *v);
struct verdict_effect verdict_effect_blind(const struct verdict_case *v);

/* *to += by * *e, of a by of 1 or -1. */
void verdict_effect_add(struct verdict_effect *to,
			const struct verdict_effect *e, int by);

/* *tally and what *e changes in it; no count goes below 0. */
struct reputation_tally verdict_effect_on(const struct reputation_tally *tally,
					  const struct verdict_effect *e);

#endif
