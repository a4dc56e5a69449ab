/*
 * What a verdict changes in the counts of what became of the mail.
 */
#ifndef PROXY_EVIDENCE_VERDICT_EFFECT_H
#define PROXY_EVIDENCE_VERDICT_EFFECT_H

#include "proxy/evidence/verdict_line.h"
#include "tarry/outcome.h"

/* For a mail or, where no id is named, for a session. */
struct verdict_case {
	enum verdict verdict;
	uint8_t before;	     /* bits of enum verdict: what was said of it */
	uint32_t recipients; /* that the MTA was seen to take it for; 0: it
				was not */
};

/* Adds to changes[OUTCOME_COUNT], which saturate: of a mail whose replies were
 * seen, and of one that nothing was seen of. */
void verdict_effect_seen(const struct verdict_case *v, int16_t *changes);
void verdict_effect_blind(const struct verdict_case *v, int16_t *changes);

#endif
