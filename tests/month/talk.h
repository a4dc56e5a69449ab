/*
 * One session of a member: its client, the MTA, and the real machine between
 * them, in simulated time. Network and MTA take no time at all, so that all
 * time that passes is delay of ours.
 */
#ifndef TESTS_MONTH_TALK_H
#define TESTS_MONTH_TALK_H

#include "proxy/simulate/world.h"
#include "tests/month/population.h"

#define TALK_MESSAGES_CAP 8

struct talk_message {
	uint32_t bytes;
	bool is_spam;
	bool is_refused; /* by the MTA, for its content */
	/* Out. */
	bool has_come;	   /* the MTA has got it all */
	uint32_t delay_ms; /* when, since the session began */
};

struct talk;

/* The plan again, for what is known by now. */
typedef void talk_plan(struct talk *t, bool knows_dialect, struct plan *out);

struct talk {
	const struct member *member;
	bool is_early;
	bool is_tls;
	bool is_unknown; /* names a user first who does not exist */
	uint32_t count;
	struct talk_message messages[TALK_MESSAGES_CAP];
	struct plan plan;
	talk_plan *make_plan;
	void *arg;
	/* Out. */
	struct world *w;  /* given; as it was at the end */
	bool has_left;	  /* its patience was at an end */
	uint32_t wait_ms; /* the longest wait, or the one that it left */
	uint32_t sum_ms;
	/* Its own. */
	const char *reply;
	size_t expected; /* bytes that the MTA needs to have, to say it */
	bool is_greeted; /* by the MTA */
};

/* Plays it from t->w->now_ms on. */
void talk_play(struct talk *t);

#endif
