/*
 * What is known of a connection beside its session: the SYN's raw bytes, and
 * who saw them. Asked for at the accept and, where nobody knew the SYN, again
 * a few times while the greeting is held anyway. Nothing waits for it. Only
 * the raw bytes are kept, packed: they are parsed anew for a plan and the log
 * line.
 */
#ifndef PROXY_RELAY_FACTS_H
#define PROXY_RELAY_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/relay/packed_syn.h"
#include "tarry/plan.h"

struct conn;

struct facts {
	uint16_t look_again_ms; /* after the accept; 0: not any more */
	uint8_t looks;		/* done */
	uint8_t source;		/* enum syn_source */
	bool is_whole : 1;	/* the SYN has a seat of its own */
	uint8_t retransmits;
	uint8_t len; /* 0: unknown */
	union {
		uint64_t accepted_ns; /* while it is looked for */
		uint8_t packed[PACKED_SYN_CAP];
		uint8_t *whole; /* SYN_RAW_CAP bytes */
	} syn;
};

/*
 * At the accept: the SYN from kernel and sidecar, and both addresses of the
 * session. Returns 0, or a negative errno if the client is gone already.
 */
__attribute__((warn_unused_result)) int facts_open(struct conn *c);

/* The SYN's raw bytes. Returns their length; 0: unknown. */
size_t facts_raw(const struct conn *c, uint8_t raw[SYN_RAW_CAP]);

/* Looks once more. True if the SYN is known now. */
bool facts_look(struct conn *c);

struct evidence;

/* All that is known now, for a plan. `dialect` has its text, DIALECT_TEXT_CAP
 * bytes; texts of TLS live until the worker's next call. */
void facts_gather(struct conn *c, struct evidence *e, char *dialect);

/* The plan for what is known now. */
struct plan facts_plan(struct conn *c);

/* The connection is closed: gives back what it had of the worker's. */
void facts_close(struct conn *c);

/* The session is over: its log line and its counts. */
void facts_report(struct conn *c);

#endif
