/*
 * What became of the mail: the MTA's replies in a few classes.
 *
 * An upper bound on good mail: what was accepted may still be put into a junk
 * folder, which only a verdict from behind the MTA can tell. What is neutral
 * says nothing about the client; counting a greylisting as bad would make
 * the delay feed on itself.
 * Sources: RFC 5321 4.2, RFC 3463, RFC 7372, RFC 7505.
 */
#ifndef TARRY_OUTCOME_H
#define TARRY_OUTCOME_H

#include "tarry/smtp.h"

enum outcome {
#define OUTCOME(id, name, help) OUTCOME_##id,
#include "tarry/outcome.def"
#undef OUTCOME
	OUTCOME_COUNT,
	OUTCOME_NONE = OUTCOME_COUNT /* not a thing to be judged by */
};

/* The name in outcome.def; "-" for OUTCOME_NONE. Static text. */
const char *outcome_name(enum outcome outcome);

/* What is refused or accepted. */
enum outcome_stage {
	OUTCOME_AT_COMMAND,   /* before the recipients: EHLO, MAIL and others */
	OUTCOME_AT_RECIPIENT, /* RCPT */
	OUTCOME_AT_MESSAGE,   /* the dot, BDAT LAST, a recipient's of PRDR */
	OUTCOME_AT_AUTH
};

/*
 * Which class a reply is of. `text` is what follows the code and its blank on
 * the last line, up to len bytes of it, as many as are known: 4 will do for
 * a status, the rest tells relaying from other refusals. 3xx and 2xx are
 * NONE, but for a message, where 2xx is DELIVERED.
 */
enum outcome outcome_of(enum outcome_stage stage, uint16_t code,
			const char *text, size_t len);

/* Longest queue id that is kept. */
#define OUTCOME_QUEUE_ID_CAP 63

/*
 * Finds the queue id in what an MTA says when it accepts a message: Postfix,
 * Exim, sendmail, OpenSMTPD, Haraka, qmail. text as above. Writes it and a
 * NUL into id (OUTCOME_QUEUE_ID_CAP + 1 bytes), letters, digits, `.`, `-`
 * and `_` only. Returns its length; 0: there is none.
 */
size_t outcome_queue_id(const char *text, size_t len, char *id);

#endif
