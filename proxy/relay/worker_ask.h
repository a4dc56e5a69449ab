/*
 * One session, or all of one client: what is known of it, or an end of its
 * delays. Asked for by the main thread; done by the worker between two turns,
 * some seats at a time, so that it never takes long.
 */
#ifndef PROXY_RELAY_WORKER_ASK_H
#define PROXY_RELAY_WORKER_ASK_H

#include <stdatomic.h>

#include "tarry/evidence.h"
#include "tarry/ja4.h"
#include "tarry/policy.h"
#include "tarry/session.h"

struct conn;
struct worker;

/* Of a name out of a file. */
#define WORKER_ASK_NAME_CAP 100

/*
 * What is known of a session at a moment. The texts of `evidence` point into
 * this value, or are static: it is not to be copied.
 */
struct session_known {
	uint64_t id; /* 0: there is no such session */
	uint32_t age_ms;
	uint32_t epoch; /* of the rules that its worker goes by */
	struct stress stress;
	struct session session; /* as it is, its plan included */
	struct evidence evidence;
	uint8_t list_weights[EVIDENCE_LISTS_CAP];
	char label[WORKER_ASK_NAME_CAP];
	char listener[WORKER_ASK_NAME_CAP];
	char dialect[DIALECT_TEXT_CAP];
	char ja4[JA4_CAP];
	char ja4_raw[JA4_RAW_CAP];
};

/* Who asks; each has one question at a time. */
enum worker_asker { WORKER_ASKER_CONTROL, WORKER_ASKER_P0F, WORKER_ASKERS };

enum worker_ask { WORKER_ASK_EXPLAIN, WORKER_ASK_RELEASE };

struct worker_question {
	enum worker_ask what;
	uint64_t id;		  /* whom; 0: by the client */
	struct addr client;	  /* port 0: each of its sessions */
	uint32_t next;		  /* the seat to go on with; begin with 0 */
	bool is_end;		  /* there is none behind */
	_Atomic bool is_answered; /* the worker sets it, the asker takes it */
	uint32_t found; /* sessions, of all calls; the asker's to zero */
	/* EXPLAIN: the latest of them, while its id is higher. */
	struct session_known known;
};

/*
 * Goes on with *q from q->next on, and tells WORKER_ANSWERED; the question is
 * the worker's until then, or until worker_free(). Any thread.
 */
void worker_ask(struct worker *w, enum worker_asker who,
		struct worker_question *q);

/* For worker.c: does it. */
void worker_ask_answer(struct worker *w, struct worker_question *q);

#endif
