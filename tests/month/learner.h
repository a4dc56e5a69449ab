/*
 * What the site knows and how it decides: rules as they are shipped, and
 * points for a reputation.
 */
#ifndef TESTS_MONTH_LEARNER_H
#define TESTS_MONTH_LEARNER_H

#include "tarry/reputation.h"
#include "tests/month/talk.h"

#define LEARNER_SALT 0x5a17u

struct learner {
	struct ledger ledger;
	void *memory;
	bool is_on;
	uint32_t holdout;
};

/* What decided on one session. */
struct verdict {
	struct plan plan;
	bool is_slowed; /* by more than class `new`; or would be, held out */
	bool is_held_out;
};

bool learner_open(struct learner *l, bool is_on, uint32_t holdout);
void learner_close(struct learner *l);

/* The plan for a member's session as it stands. `s` may be NULL: it begins. */
void learner_plan(const struct learner *l, const struct member *m,
		  const struct session *s, bool knows_dialect, uint32_t now_s,
		  struct verdict *v);

/* Adds what was learnt of a session. */
void learner_add(struct learner *l, const struct member *m, bool knows_dialect,
		 struct ledger_delta *delta, uint32_t now_s);

#endif
