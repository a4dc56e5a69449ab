/*
 * The SMTP observer: what the two byte streams of a session mean, read as
 * they pass and never changed.
 *
 * Truth is what the MTA says. Commands are queued as they pass; each complete
 * reply answers the oldest of them; the end of a message is the MTA's reply
 * to it. Where the two streams cannot be fitted together the observer says
 * `lost`, and the session becomes a blind relay: it never guesses.
 * Sources: RFC 5321 4.1 and 4.2, RFC 2920 3.1, RFC 3030 2, RFC 3207 4,
 * RFC 4954 4.
 */
#ifndef TARRY_SMTP_H
#define TARRY_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum smtp_verb {
#define VERB(id, text, arms, delay, group) SMTP_##id,
#include "tarry/verbs.def"
#undef VERB
	SMTP_VERB_COUNT
};

enum smtp_arms { SMTP_LINE, SMTP_WAIT, SMTP_CHUNK, SMTP_BLIND };
enum smtp_delay { SMTP_DELAY_REPLY, SMTP_DELAY_DATA, SMTP_DELAY_NONE };

/* The verb's name as RFCs print it; static text. */
const char *smtp_verb_name(enum smtp_verb verb);
enum smtp_arms smtp_verb_arms(enum smtp_verb verb);
enum smtp_delay smtp_verb_delay(enum smtp_verb verb);

/* True if a client waits for its answer before it says anything else, though
 * it may pipeline (RFC 2920 3.1, RFC 3207 4, RFC 4954 4). */
bool smtp_verb_ends_group(enum smtp_verb verb);

/* Of a command line this much is looked at; the rest is counted. */
#define SMTP_LINE_KEPT 40
/* A longer command line is not SMTP: the observer is lost. */
#define SMTP_LINE_MAX 12288

/* What the client's stream is made of at the moment. */
enum smtp_mode {
	SMTP_COMMANDS,
	SMTP_WAITING,	/* for a reply that decides how to read on */
	SMTP_PAYLOAD,	/* DATA, until the dot */
	SMTP_MAYBE,	/* DATA, behind what may have been its end */
	SMTP_OCTETS,	/* BDAT, a counted number of bytes */
	SMTP_AUTH_TEXT, /* one line that answers a 334 */
	SMTP_OPAQUE	/* TLS, or lost: nothing is read any more */
};

/* A command that was seen whole. */
struct smtp_command {
	enum smtp_verb verb;
	bool null_sender; /* MAIL FROM:<> */
	bool is_last;	  /* BDAT ... LAST */
	bool is_empty;	  /* nothing but blanks and the line's end */
};

/* The client's stream. Zeroed is the beginning of a session. */
struct smtp_client {
	enum smtp_mode mode;
	uint32_t line_bytes; /* of the command line so far */
	union {
		uint64_t octets_left; /* of a BDAT chunk */
		uint32_t maybe_ms;    /* MAYBE: until when; the caller's */
	};
	uint8_t dot;	 /* where in CRLF . CRLF the payload stands */
	uint8_t odd_dot; /* the same for the odd forms of the dot */
	uint8_t no_ends; /* odd forms taken for text: a bit each */
	bool any_byte : 1;
	bool was_cr : 1; /* the line under way ends in CR so far */
	/* What the session looks at behind each read. */
	bool has_bare_line : 1; /* a line ended in LF alone */
	bool has_bare_text : 1; /* so did one of this payload */
	bool is_foreign : 1;	/* see smtp_line_is_foreign() */
	bool is_unsure : 1; /* behind an odd end: perhaps text, not commands */
	char line[SMTP_LINE_KEPT];
};

/* One look at the client's bytes ends with one of these. */
enum smtp_client_event {
	SMTP_CLIENT_MORE,    /* all bytes read, nothing complete */
	SMTP_CLIENT_COMMAND, /* *cmd is a whole command line */
	SMTP_CLIENT_DOT,     /* CRLF . CRLF: the message should be over */
	SMTP_CLIENT_MAYBE,   /* LF . LF and its like: for some MTAs it is */
	SMTP_CLIENT_CHUNK,   /* the last octet of a BDAT chunk */
	SMTP_CLIENT_AUTH,    /* one line of an AUTH exchange */
	SMTP_CLIENT_LOST     /* cannot be followed any further */
};

/*
 * Reads client bytes up to the next thing that happens. *used is set to the
 * bytes that were read, always > 0 unless the mode is WAITING or MAYBE (then
 * nothing is read) or len is 0. In mode OPAQUE all bytes are read.
 */
enum smtp_client_event smtp_client_read(struct smtp_client *c,
					const uint8_t *bytes, size_t len,
					size_t *used, struct smtp_command *cmd);

/* The MTA said 354: what follows is payload, up to the dot. */
void smtp_client_payload(struct smtp_client *c);

/* MAYBE is over and the MTA has said nothing: it was text, and so will be this
 * form of the dot when it comes again. */
void smtp_client_was_text(struct smtp_client *c);

/*
 * True if the payload ends right here with an odd form of the dot, such as
 * LF . LF, that some MTAs take for the end (smuggling, CVE-2023-51764 ff).
 */
bool smtp_client_at_odd_dot(const struct smtp_client *c);

/* The MTA has answered there: it was the end, and commands follow. */
void smtp_client_was_end(struct smtp_client *c);

/*
 * True if the first len bytes of the command line under way, or of the one
 * that was just read, are STARTTLS or the beginning of it: without arguments,
 * blanks at its end, CR and LF as far as they are there.
 */
bool smtp_client_is_starttls(const struct smtp_client *c, size_t len);

/*
 * True if a command line, of which line[0..len) is the beginning, is not
 * SMTP's: no word of letters, digits and `-` stands at its beginning, or one
 * of HTTP or SSH. A word that only no RFC knows is not foreign, nor is an
 * empty line.
 */
bool smtp_line_is_foreign(const char *line, size_t len);

/* The MTA's stream. Zeroed is the beginning of a session. */
struct smtp_reply {
	uint16_t code; /* of the first line; 0 while unknown */
	uint16_t line_code;
	uint32_t len; /* bytes of the reply so far */
	uint8_t at;   /* column, 8 and more are alike */
	char head[4]; /* what follows the code: an enhanced status, or not */
	bool more;    /* the line says that another follows */
	uint8_t word; /* letters of PIPELINING that the line begins with */
	bool has_pipelining; /* a line is that keyword */
};

enum smtp_reply_event {
	SMTP_REPLY_MORE, /* all bytes read, the reply goes on */
	SMTP_REPLY_DONE, /* a whole reply: code and len are set */
	SMTP_REPLY_LOST	 /* not a reply as of RFC 5321 4.2 */
};

/*
 * Reads MTA bytes up to the end of one reply. *used is set to the bytes read.
 * After DONE the caller reads code and len and calls smtp_reply_next().
 */
enum smtp_reply_event smtp_reply_read(struct smtp_reply *r,
				      const uint8_t *bytes, size_t len,
				      size_t *used);

/* Makes ready for the next reply. */
void smtp_reply_next(struct smtp_reply *r);

#endif
