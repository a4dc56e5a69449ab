/*
 * What is known of a connection beside its session: the SYN's raw bytes, and
 * who saw them. Asked for at the accept and, where nobody knew the SYN, again
 * a few times while the greeting is held anyway. Nothing waits for it. Only
 * the raw bytes are kept: they are parsed anew for a plan and the log line.
 */
#ifndef PROXY_RELAY_FACTS_H
#define PROXY_RELAY_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "tarry/plan.h"
#include "tarry/syn.h"

struct conn;

struct facts {
	uint64_t accepted_ns;
	uint32_t look_again_ms; /* after the accept; 0: not any more */
	uint8_t looks;		/* done */
	uint8_t source;		/* enum syn_source */
	uint8_t retransmits;
	uint8_t raw_len; /* 0: unknown */
	uint8_t raw[SYN_RAW_CAP];
};

/*
 * At the accept: the SYN from kernel and sidecar, and both addresses of the
 * session. Returns 0, or a negative errno if the client is gone already.
 */
__attribute__((warn_unused_result)) int facts_open(struct conn *c);

/* When to look again, in the loop's time; 0: not any more. */
uint64_t facts_look_ms(const struct conn *c);

/* Looks once more. True if the SYN is known now. */
bool facts_look(struct conn *c);

/* The plan for what is known now. */
struct plan facts_plan(struct conn *c);

/* The session is over: its log line and its counts. */
void facts_report(struct conn *c);

#endif
