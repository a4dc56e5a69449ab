/*
 * The doctor: tries the configured MTA and says in words what it found, and
 * what to type where something is wrong.
 *
 * Runs on the main thread's loop, one examination after the other, each with
 * an end; clients go on being served and lose no MTA slot to it: it opens no
 * more connections than half of what is free, and hangs up on all of them
 * when a client has to wait. It sends no mail: what it asks the MTA is in its
 * sessions' commands EHLO, MAIL, RCPT, RSET, STARTTLS and QUIT.
 */
#ifndef PROXY_DAEMON_DOCTOR_H
#define PROXY_DAEMON_DOCTOR_H

#include <stdbool.h>
#include <uv.h>

#include "proxy/config/config.h"

/* Sessions at a time, if no other number is asked for. */
#define DOCTOR_SESSIONS 20
#define DOCTOR_SESSIONS_MOST 1000

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

/* One thing that was found; texts are valid for the call. They may hold bytes
 * of the MTA as they came. */
struct doctor_finding {
	const char *check; /* "relay" */
	enum doctor_level level;
	const char *text;
	const char *mend; /* lines to be typed, or "" */
};

/* Where it all comes from and goes to; called on the loop's thread. */
struct doctor_client {
	void *ctx;
	void (*found)(void *ctx, const struct doctor_finding *finding);
	/* The last call: the doctor is gone after it, broken off or not. */
	void (*done)(void *ctx, bool is_whole);
	/* MTA slots that no client uses; 0 while one waits. */
	uint32_t (*room)(void *ctx);
};

struct doctor;

/*
 * Begins; `config` is copied from. At most `sessions` are held at a time.
 * Returns 0 with *out until done() is called, or a negative errno.
 */
__attribute__((warn_unused_result)) int
doctor_start(struct doctor **out, uv_loop_t *loop, const struct config *config,
	     uint32_t sessions, const struct doctor_client *client);

/* Breaks off: hangs up, calls done(). NULL is fine. */
void doctor_stop(struct doctor *d);

/* "ok", "warning", "error". Static. */
const char *doctor_level_name(enum doctor_level level);

#endif
