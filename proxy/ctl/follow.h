/*
 * Following an MTA's log: lines in, verdicts out. A reader of a program's
 * lines is a row in follow.c; what all of them need is here.
 */
#ifndef PROXY_CTL_FOLLOW_H
#define PROXY_CTL_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/ctl/verdict_sender.h"
#include "tarry/addr.h"

#define FOLLOW_ID_CAP 64
#define FOLLOW_MAILS 16384u /* remembered: a power of two */

/* Whose mail a queue id is. */
struct follow_mail {
	char id[FOLLOW_ID_CAP];	    /* "": free */
	char client[ADDR_TEXT_CAP]; /* with its port */
};

struct follow {
	struct verdict_sender sender;
	const char *source;
	bool is_told;	  /* that the log has no ports */
	unsigned evicted; /* where the next one goes in a full set */
	struct follow_mail mails[FOLLOW_MAILS];
};

/* One line of the log, NUL-terminated, without its newline; anything. */
typedef void follow_line_fn(struct follow *f, const char *line);

follow_line_fn follow_postfix_line;

/*
 * Reads `NAME[ADDRESS]:PORT` or `[ADDRESS]:PORT` at text, and writes
 * ADDRESS:PORT. Returns what is behind it, or NULL: it is not there. An
 * address without a port is said once on standard error.
 */
const char *follow_client(struct follow *f, const char *text,
			  char out[ADDR_TEXT_CAP]);

/* Copies the queue id text[0..len); false if it is none. */
bool follow_id(char out[FOLLOW_ID_CAP], const char *text, size_t len);

/* Remembers whose a mail is; looks it up (NULL: unknown); forgets it. */
void follow_learn(struct follow *f, const char *id, const char *client);
const char *follow_whose(const struct follow *f, const char *id);
void follow_forget(struct follow *f, const char *id);

/* Sends a verdict; client or id may be NULL. */
void follow_tell(struct follow *f, const char *verdict, const char *client,
		 const char *id);

#endif
