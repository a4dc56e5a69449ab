/*
 * What the site knows and how it decides: as the shipped configuration does.
 */
#ifndef TESTS_MONTH_LEARNER_H
#define TESTS_MONTH_LEARNER_H

#include "tarry/policy.h"
#include "tarry/reputation.h"
#include "tests/month/talk.h"

#define LEARNER_SALT 0x5a17u

struct config;

struct learner {
	struct config *config;
	struct policy policy; /* the config's, in force */
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

/* When a plan is made, and what is known then. */
struct learner_moment {
	uint32_t now_s;
	bool knows_dialect;
};

/* The plan for a member's session as it stands. `s` may be NULL: it begins. */
void learner_plan(const struct learner *l, const struct member *m,
		  const struct session *s, const struct learner_moment *at,
		  struct verdict *v);

/* Adds what was learnt of a session. */
void learner_add(struct learner *l, const struct member *m, bool knows_dialect,
		 struct ledger_delta *delta, uint32_t now_s);

#endif
