/*
 * A journal read again: its decisions as values, and other rules tried on
 * them. Reads files from anywhere: what is not understood is counted.
 */
#ifndef PROXY_CTL_REPLAY_H
#define PROXY_CTL_REPLAY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/config/config.h"
#include "proxy/ctl/asking.h"
#include "tarry/patience.h"
#include "tarry/session.h"

/* What is told of a plan, by these names in the journal too. */
enum replay_text {
	REPLAY_RULE,
	REPLAY_CLASS,
	REPLAY_SHADOW_RULE,
	REPLAY_MODE,
	REPLAY_TEXTS
};
enum replay_number {
	REPLAY_TEASER,
	REPLAY_SPLIT,
	REPLAY_RANK,
	REPLAY_GREET,
	REPLAY_REPLY,
	REPLAY_ERROR,
	REPLAY_DRIP,
	REPLAY_DATA_RATE,
	REPLAY_REPLY_CAP,
	REPLAY_DATA_REPLY_CAP,
	REPLAY_SESSION_CAP,
	REPLAY_PATIENCE,
	REPLAY_CLIENT_SESSIONS,
	REPLAY_NETWORK_SESSIONS,
	REPLAY_STACK_SESSIONS,
	REPLAY_NUMBERS
};
extern const char *const replay_text_names[REPLAY_TEXTS];
extern const char *const replay_number_names[REPLAY_NUMBERS];

/* Escaped as in the journal, and cut as there. */
#define REPLAY_TEXT_CAP 104

struct replay_plan {
	char texts[REPLAY_TEXTS][REPLAY_TEXT_CAP];
	uint32_t numbers[REPLAY_NUMBERS];
};

/* A plan of plan_make() as the journal would tell it. */
void replay_plan_of(struct replay_plan *out, const struct policy *policy,
		    const struct plan *plan);

/* A plan as the journal tells it; false, and why, if it is none. */
bool replay_plan_read(struct replay_plan *out, const json_t *json,
		      const char **why);

/* True if they differ, and then in what, in words: "greet_ms 3000 -> 0". */
bool replay_plan_differs(const struct replay_plan *a,
			 const struct replay_plan *b, char *out, size_t cap);

/* Facts as evidence, and room for what it points to. */
#define REPLAY_FACT_CAP 1536
struct replay_facts {
	struct evidence evidence;
	bool is_hidden; /* the address, or a part of it */
	bool is_odd;	/* there is a fact that nobody here knows */
	char texts[6][REPLAY_FACT_CAP];
	uint8_t weights[EVIDENCE_LISTS_CAP];
};

/* The SYN of the session, as bytes; len 0: not known. */
struct replay_syn {
	uint8_t raw[SYN_RAW_CAP];
	size_t len;
};
void replay_syn_read(struct replay_syn *out, const json_t *hex);

/* Fills *out from a plan's facts, for the lists that config has; false, and
 * why, if they cannot be. */
bool replay_facts_read(struct replay_facts *out, const struct config *config,
		       const json_t *facts, const struct replay_syn *syn,
		       const char **why);

/* What a plan adds to a session, as it goes on: an estimate. */
struct replay_toll {
	uint32_t sum_ms;
	uint32_t mail_ms; /* up to the first message that was accepted */
	bool has_mail;
};

struct replay_session {
	uint64_t id;
	uint64_t began_ms; /* since 1970 */
	char client[64];
	struct replay_syn syn;
	struct replay_plan before; /* the plans that hold now */
	struct replay_plan after;
	struct replay_toll toll_before;
	struct replay_toll toll_after;
	uint32_t pending; /* commands */
	uint32_t change_at_ms;
	char change[200]; /* the first one */
	char change_from[REPLAY_TEXTS][REPLAY_TEXT_CAP];
	char change_to[REPLAY_TEXTS][REPLAY_TEXT_CAP];
	bool has_plan;
	bool has_greeting;
	bool is_changed;
	bool is_ended;
	bool has_delivered;
	bool is_bad; /* so said a verdict, or the MTA */
	uint32_t held_ms;
	uint32_t gave_up_ms;
};

#define REPLAY_SAID 5 /* the first ones of a kind of trouble are named */

struct replay {
	const char *path;
	struct config *rules;
	struct config *against; /* or NULL: what the journal says */
	char hash[CONFIG_HASH_CAP];
	struct replay_session *sessions;
	size_t sessions_count;
	size_t sessions_cap;
	uint32_t *index; /* place + 1 by id; index_size of them */
	size_t index_size;
	bool is_out_of_memory;
	uint64_t lines;
	uint64_t bad_lines;
	uint64_t other_lines;
	uint64_t missing_lines;
	uint64_t decisions;
	uint64_t strict;    /* of these rules: must come out the same */
	uint64_t unlike;    /* of them, those that did not */
	uint64_t of_others; /* made by other rules than --against */
	uint64_t changed;
	uint64_t hidden;
	uint64_t cut;
	uint64_t odd;
	uint64_t lost_session; /* lines of sessions that were not opened */
	uint64_t known[EVIDENCE_COUNT];
	uint16_t known_lists;	   /* of --rules, that the journal tells of */
	struct replay_facts facts; /* of the plan in work */
	uint64_t workers[256];	   /* the next number of each; 0: none so far */
};

/* Reads one line of a journal. */
void replay_line(struct replay *r, const char *text, size_t len);

/* A reply or command of the session, under both plans. */
void replay_toll_note(struct replay_session *s, const json_t *note);
void replay_toll_end(struct replay_session *s);

/* From how many to how many would leave, of those that stayed. */
struct replay_leaving {
	uint64_t sessions;
	double low;
	double high;
};
void replay_leaving_add(struct replay_leaving *l, const struct patience *p,
			uint32_t before_ms, uint32_t after_ms);

/* Says what was found; the exit status. */
enum ctl_exit replay_say(struct replay *r, const struct ctl *ctl);

/* A capture instead of a journal. */
bool replay_is_capture(const char *path);
enum ctl_exit replay_capture(const struct ctl *ctl, const char *path,
			     const struct config *rules,
			     const struct config *against);

#endif
