/*
 * Following the log of an MTA or a filter: lines in, verdicts out. A reader
 * of a program's lines is a row in follow.c; what all of them need is here.
 * The lines hold what peers chose: a reader looks at nothing before it knows
 * where the words of the program itself stand.
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
	char client[ADDR_TEXT_CAP]; /* with its port; "": that is not known */
};

/* Where verdicts go: verdict_sender_send(), or a test. */
typedef void follow_tell_fn(void *ctx, const struct verdict_out *out);

struct follow {
	follow_tell_fn *tell;
	void *ctx;
	const char *source;
	bool is_told;	  /* that the log has no ports */
	unsigned evicted; /* where the next one goes in a full set */
	struct follow_mail mails[FOLLOW_MAILS];
};

/* One line, NUL-terminated, without its newline; anything. */
typedef void follow_line_fn(struct follow *f, const char *line);

follow_line_fn follow_postfix_line;
follow_line_fn follow_exim_line;
follow_line_fn follow_rspamd_line;

/* True if text begins with `with`. */
bool follow_starts(const char *text, const char *with);

/* What stands behind `with` if text begins with it, or NULL. */
const char *follow_behind(const char *text, const char *with);

/* True if one of the words, in lower case and NULL behind the last, stands in
 * text[0..len), in any case. */
bool follow_says(const char *text, size_t len, const char *const *words);

/*
 * Reads `[ADDRESS]:PORT` or `[ADDRESS]` at text, and writes ADDRESS:PORT, or
 * "" without a port, which is said once on standard error. Returns what is
 * behind it, or NULL: it is not there.
 */
const char *follow_client(struct follow *f, const char *text,
			  char out[ADDR_TEXT_CAP]);

/* Behind the `>` of a mail address at text, which may have a part in quotes
 * with anything in it. NULL: it does not end. */
const char *follow_address(const char *text);

/* Copies the queue id text[0..len); false if it is none. */
bool follow_id(char out[FOLLOW_ID_CAP], const char *text, size_t len);

/* Remembers whose a mail is; looks it up (NULL: unknown); forgets it. */
void follow_learn(struct follow *f, const char *id, const char *client);
const char *follow_whose(const struct follow *f, const char *id);
void follow_forget(struct follow *f, const char *id);

/* Sends a verdict; client or id may be NULL or "", nothing is sent of both. */
void follow_tell(struct follow *f, const char *verdict, const char *client,
		 const char *id);

/* The words that speak of a mail's content, for follow_says(). */
extern const char *const follow_virus_words[];
extern const char *const follow_spam_words[];

#endif
