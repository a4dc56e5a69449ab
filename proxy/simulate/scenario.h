/*
 * A scenario: who connects to a site and how patient they are, and how fast
 * its MTA is. One INI file; tarryctl(8) tells its keys, config/scenario.ini
 * is an example.
 */
#ifndef PROXY_SIMULATE_SCENARIO_H
#define PROXY_SIMULATE_SCENARIO_H

#include <stdio.h>

#include "proxy/config/arena.h"
#include "proxy/config/report.h"
#include "proxy/simulate/dice.h"
#include "tarry/addr.h"
#include "tarry/evidence.h"
#include "tarry/signature.h"

#define SCENARIO_KINDS_CAP 64
#define SCENARIO_RECIPIENTS_CAP 8

/* The order of the words in scenario.def. */
enum scenario_arrivals { ARRIVALS_RANDOM, ARRIVALS_EVEN };

/* One [kind NAME]: senders that are alike. Times in ms, shares in percent. */
struct scenario_kind {
	const char *name;
	unsigned line;
	/* How many, and when. */
	uint32_t per_minute;
	uint32_t sessions; /* 0: as many as come */
	uint32_t from_ms;
	uint32_t until_ms; /* 0: to the end */
	unsigned arrivals; /* enum scenario_arrivals */
	/* Who: what rules see. */
	struct net network;
	uint32_t clients; /* addresses */
	const char *syn_text;
	const char *label; /* "": none, as all texts */
	const char *listener;
	const char *ja4;
	const char *dialect;
	unsigned ptr;	     /* enum evidence_ptr */
	unsigned reputation; /* enum reputation_standing */
	bool is_proven;
	uint32_t dnsbl;
	uint32_t dnswl;
	uint32_t asn;
	bool has_syn;
	struct syn syn;
	struct signature_texts syn_texts;
	/* How it talks. */
	struct range patience_ms; /* for one answer; 0: for ever */
	struct range total_ms;	  /* for all answers of a session */
	struct range rtt_ms;
	struct range pause_ms; /* before each command */
	struct range messages;
	struct range recipients;
	struct range size_bytes;
	bool is_pipelining; /* MAIL, RCPT, DATA in one */
	uint32_t early;
	uint32_t tls;
	/* What the MTA answers. */
	uint32_t unknown;  /* recipients */
	uint32_t deferred; /* sessions, greylisted at the first recipient */
	uint32_t refused;  /* messages, behind the dot */
	/* And if it was not delivered. */
	uint32_t retry_ms; /* 0: never */
	uint32_t tries;
};

struct scenario {
	/* [scenario] */
	uint32_t for_ms;
	uint32_t seed;
	uint32_t max_sessions; /* 0: as the rules' file says */
	/* [mta] */
	struct range greeting_ms;
	struct range reply_ms;
	struct range dot_ms;
	uint32_t max_connections; /* 0: as the rules' file says */

	struct scenario_kind *kinds;
	size_t kinds_count;
};

/*
 * Reads a scenario; `file` is its name for people. True, and all is in *out
 * and in the arena; or false, and the report says what is wrong: each mistake
 * with file and line, what, and what was expected. The report must be zeroed
 * or empty before.
 */
bool scenario_read(struct scenario *out, FILE *in, const char *file,
		   struct arena *arena, struct report *report);

#endif
