/*
 * What is remembered of those who look like a connection's client or come
 * from where it comes; and what is learnt of it at its end. On the worker's
 * thread: see memory.h for what that costs.
 */
#ifndef PROXY_RELAY_RECALL_H
#define PROXY_RELAY_RECALL_H

struct conn;
struct evidence;
struct session_report;

/* Adds the reputation to the evidence gathered so far. */
void recall_gather(const struct conn *c, struct evidence *e);

/*
 * The session is over: fills in its reputation as it stood, then counts it,
 * and fills in in which rows.
 * `e` has what was gathered of the client; report->ja4 is set.
 */
void recall_learn(const struct conn *c, const struct evidence *e,
		  struct session_report *report);

#endif
