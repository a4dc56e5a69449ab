/*
 * How a client speaks SMTP: what it wrote, not who it says it is.
 *
 * The text form has eleven fields with `:` between them, each `-` as long as
 * nothing was seen that fills it, so that an unfinished session has a form
 * too:
 *
 *   hello    EHLO, HELO, or EHLO+HELO for both, in the case that was used;
 *            Ehlo stands for any mixture
 *   name     its argument: fqdn, label, localhost, ip, ip4 or ip6 (within
 *            brackets), none, odd
 *   mail     MAIL.FROM<  in the case used; `_` in front of `<` for blanks
 *            behind the colon, no `<` if there was none, `_` at the end for
 *            blanks at the line's end
 *   rcpt     RCPT.TO<  the same
 *   params   of MAIL, the first three in their order, in the case used:
 *            SIZE+BODY; x: another one; none
 *   rparams  of RCPT, the same
 *   group    M, R, D, Q: MAIL, RCPT, DATA or BDAT, QUIT came before the answer
 *            to what was said before; w: it was waited for; D means R too
 *   data     DATA or BDAT
 *   quit     QUIT; fin: the connection was closed without it
 *   rset     RSET
 *   ends     of the command lines: crlf, lf, both
 *
 * Postfix: EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:ORCPT:wRDQ:DATA:QUIT:-:crlf
 *
 * Of each kind of command the first one of a session counts, so that the text
 * does not depend on how many recipients or messages there are, nor on the
 * segments that a line came in. TLS that ends here changes nothing of it: what
 * was said before and behind it is one text.
 * Source: RFC 5321 4.1.1 and 4.1.2, RFC 1869, RFC 2920.
 */
#ifndef TARRY_DIALECT_H
#define TARRY_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tarry/smtp.h"

/* With its NUL. */
#define DIALECT_TEXT_CAP 168
#define DIALECT_PARAMS 3

/* MAIL or RCPT. */
struct dialect_path {
	uint8_t verb : 2;    /* case; 0: not seen */
	uint8_t keyword : 2; /* case of FROM or TO; 0: it was not there */
	bool has_blank : 1;
	bool has_bracket : 1;
	bool has_end_blank : 1;
	uint8_t params[DIALECT_PARAMS];
};

/* Zeroed is the beginning of a session. */
struct dialect {
	uint8_t ehlo : 2; /* cases */
	uint8_t helo : 2;
	uint8_t name : 4;
	struct dialect_path mail;
	struct dialect_path rcpt;
	uint8_t mail_group : 2;
	uint8_t rcpt_group : 2;
	uint8_t data_group : 2;
	uint8_t quit_group : 2;
	uint8_t quit : 2;
	uint8_t data : 2;
	uint8_t bdat : 2;
	uint8_t rset : 2;
	bool is_fin : 1;
	bool has_crlf : 1;
	bool has_lf : 1;
};

/* Whether the answers to all before a command were waited for. */
enum dialect_group { DIALECT_UNSEEN, DIALECT_WAITED, DIALECT_GROUPED };

/* The command line under way. Zeroed is its beginning. */
struct dialect_line {
	uint32_t word;	   /* hash of the parameter's name under way */
	uint8_t place;	   /* in the line */
	uint8_t localhost; /* letters of that word that the name begins with */
	uint8_t params_count; /* of params, that are whole */
	uint8_t letters;      /* cases: of the verb, keyword and parameter */
	uint8_t name;	      /* what the argument is made of */
	uint8_t params[DIALECT_PARAMS];
	bool has_colon : 1;
	bool has_blank : 1;
	bool has_bracket : 1;
	bool is_blank : 1; /* the last byte */
	bool is_cr : 1;	   /* the last byte */
};

/* Reads the next bytes of a command line, its end included: any pieces. */
void dialect_read(struct dialect_line *line, const uint8_t *bytes, size_t len);

/*
 * The line is whole and was this command. True if the text form is another
 * one now. Begins the next line.
 */
bool dialect_command(struct dialect *d, struct dialect_line *line,
		     enum smtp_verb verb, enum dialect_group group);

/* The client closed. True if it is another text form now. */
bool dialect_fin(struct dialect *d);

/* Writes the text form and a NUL, DIALECT_TEXT_CAP bytes at most. Returns its
 * length; 0 and "": nothing was said yet. */
size_t dialect_text(const struct dialect *d, char *text);

/*
 * True if text[0..len) can be a pattern of such texts, with `*` as in
 * wildcard.h: the characters are theirs, and there is a `:` or a `*`.
 */
bool dialect_is_pattern(const char *text, size_t len);

#endif
