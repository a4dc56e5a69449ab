/*
 * What the parts of the session machine share; private to shaping/.
 *
 *   session.c         the table, and what every step ends with
 *   session_greet.c   from the accept to the MTA's greeting, and refusals
 *   session_relay.c   commands, payload, the end of a relay
 *   session_reply.c   replies: when each is due, and letting them go
 */
#ifndef SHAPING_SESSION_STEP_H
#define SHAPING_SESSION_STEP_H

#include "tarry/session.h"

struct step {
	const struct site *site;
	struct session *s;
	struct leg *leg;
	const struct event *ev;
	struct orders *o;
	uint32_t now; /* ms since opened_ms */
};

/* Handlers return the next phase; only session_step() assigns it. */
typedef enum session_phase session_handler(struct step *st);

/* session_greet.c */
session_handler greet_open;
session_handler greet_bytes;
session_handler greet_fin;
session_handler greet_wake;
session_handler greet_replan;
session_handler greet_hurry;
session_handler greet_give_way;
session_handler gate_granted;
session_handler gate_wake;
session_handler dial_connected;
session_handler dial_failed;
session_handler dial_wake;
session_handler banner_bytes;
session_handler banner_fin;
session_handler banner_error;
session_handler banner_wake;
session_handler refused_bytes;
session_handler refused_fin;

/* The MTA greeted with `code`; its bytes are held or let go by session_reply.
 */
enum session_phase greet_greeted(struct step *st, uint16_t code);

/* What the MTA said is no greeting, and a teaser is out: refuses. */
enum session_phase greet_garbled(struct step *st);

/* When the greeting is due if the MTA is quick. */
uint32_t greet_due_ms(const struct session *s);

/* How long the MTA may take to greet; less for a client that wants nothing. */
uint32_t greet_patience_ms(const struct session *s);

/* Remembers `fresh` bytes as an early segment. */
void greet_keep_segment(struct session *s, size_t fresh);

/* Says what is out of the teaser by now. */
void greet_say_teaser(struct step *st);

/* Says what is left of the teaser, at once. */
void greet_finish_teaser(struct step *st);

/* When the next piece of the teaser goes; UINT32_MAX: none is left. */
uint32_t greet_teaser_next(const struct step *st);

/* session_relay.c */
session_handler relay_bytes;
session_handler relay_fin;
session_handler relay_error;
session_handler relay_wake;
session_handler relay_replan;
session_handler relay_hurry;
session_handler blind_bytes;
session_handler blind_fin;
session_handler blind_wake;
session_handler linger_bytes;
session_handler linger_fin;
session_handler closing_flushed;

/*
 * True while the next early segment waits for the answers to the last. Octets
 * of a chunk do not: the chunk is answered only when they are all there.
 */
bool relay_is_waiting(const struct step *st);

/* Nothing can be followed any more: lets all go. Returns PHASE_BLIND. */
enum session_phase relay_lost(struct step *st);

/* session_reply.c */

/* Queues a command; asked now. */
void reply_expect(struct step *st, enum smtp_verb verb, uint8_t marks);

/*
 * Reads the MTA's bytes of a BYTES event; all are used. Returns the next
 * phase.
 */
enum session_phase reply_bytes(struct step *st);

/* Lets go what is due; PHASE_COUNT if the phase stays. */
enum session_phase reply_pump(struct step *st);

/* Makes everything due at `due`, unless it is earlier. */
void reply_pull(struct leg *leg, uint32_t due);

/* Makes everything due now. */
void reply_hurry(struct step *st);

/* When reply_pump() has something to do; UINT32_MAX: never. */
uint32_t reply_next(const struct step *st);

/* Releases all that is held of the MTA's stream. */
void reply_release_all(struct step *st);

/* Bytes of the MTA's stream that are held. */
uint32_t reply_held(const struct leg *leg);

#define MARK_LAST 1	/* BDAT ... LAST */
#define MARK_NO_DELAY 2 /* a callback: see plan P4 */
#define MARK_HELD 4	/* was delayed */
#define MARK_TLS 8	/* the 220 behind which TLS begins */
#define MARK_QUIT 16	/* the answer to QUIT */

/* session.c */

/* The session ends with this step. The first reason wins. */
enum session_phase step_end(struct step *st, enum session_reason reason);

/* Notes the reason, unless there is one. */
void step_reason(struct step *st, enum session_reason reason);

/* Adds text of ours towards a side. */
void step_say(struct step *st, enum side to, const char *text, size_t len);

/* The MTA is not needed any more: its connection and slot go back now. What
 * was released of its words still reaches the client. */
void step_leave_mta(struct step *st);

/* True while a delay of ours, not the MTA, keeps the client waiting. */
bool step_is_holding(const struct step *st);

/* Wall time in which anything was held, up to now. */
uint32_t step_held_ms(const struct step *st);

#endif
