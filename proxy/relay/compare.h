/*
 * What a session that was slowed, or left unslowed for comparison, tells of
 * what delays do. On the worker's thread; one branch for who was not slowed.
 */
#ifndef PROXY_RELAY_COMPARE_H
#define PROXY_RELAY_COMPARE_H

struct conn;
struct evidence;
struct session_report;

/* The session is over; report->standing_before is set, `e` has its SYN. */
void compare_learn(const struct conn *c, const struct evidence *e,
		   const struct session_report *report);

#endif
