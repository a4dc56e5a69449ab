/*
 * What the parts of the session machine share; private to shaping/.
 *
 *   session.c         the table, and what every step ends with
 *   session_greet.c   from the accept to the MTA's greeting
 *   session_teaser.c  the first line of a greeting, said by us
 *   session_place.c   the gate: caps and MTA slots
 *   session_refuse.c  what a client hears that gets no MTA
 *   session_relay.c   commands, payload, the end of a relay
 *   session_manners.c what the client's bytes tell besides its words
 *   session_tls.c     TLS that ends here, and the keyword STARTTLS
 *   session_queue.c   commands that wait for their reply
 *   session_reply.c   replies: when each is due, and letting them go
 *   session_outcome.c what the replies say of the mail
 *   session_upload.c  payload at the plan's rate
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
	/* The reply that was just read to its end, as far as it is among the
	 * event's bytes. */
	const uint8_t *reply;
	size_t reply_len;
};

/* Handlers return the next phase; only session_step() assigns it. */
typedef enum session_phase session_handler(struct step *st);

/* session_greet.c */
session_handler greet_open;
session_handler greet_begin;
session_handler greet_bytes;
session_handler greet_fin;
session_handler greet_wake;
session_handler greet_replan;
session_handler greet_hurry;
session_handler dial_connected;
session_handler dial_failed;
session_handler dial_wake;
session_handler banner_bytes;
session_handler banner_fin;
session_handler banner_error;
session_handler banner_wake;

/* The MTA greeted with `code`; its bytes are held or let go by session_reply.
 */
enum session_phase greet_greeted(struct step *st, uint16_t code);

/* When the greeting is due if the MTA is quick. */
uint32_t greet_due_ms(const struct session *s);

/* How long the MTA may take to greet; less for a client that wants nothing. */
uint32_t greet_patience_ms(const struct session *s);

/* Remembers `fresh` bytes as an early segment. */
void greet_keep_segment(struct session *s, size_t fresh);

/* The last part of the greet delay, in pieces. */
uint32_t greet_drip_ms(const struct session *s);

/* When to ask for the MTA, so that the greeting is there when it is due. */
uint32_t greet_dial_ms(const struct step *st);

/* The same for the end of the greet budget. */
uint32_t greet_budget_ms(const struct step *st);

/* The slot is there: dials. Returns PHASE_DIAL. */
enum session_phase greet_dial(struct step *st);

/* session_teaser.c */

/* A plan that has a teaser starts one, if the greeting is still far. */
void teaser_start(struct step *st);

/* Says what is out of the teaser by now. */
void teaser_say(struct step *st);

/* Says what is left of the teaser, at once. */
void teaser_finish(struct step *st);

/* Says it, and the 220 line of ours that ends the greeting. */
void teaser_end(struct step *st);

/* When the next piece of the teaser goes; UINT32_MAX: none is left. */
uint32_t teaser_next(const struct step *st);

/* session_place.c */
session_handler place_caps;
session_handler place_moved;
session_handler gate_granted;
session_handler gate_denied;
session_handler gate_wake;

/* True if the plan delays anything behind the greeting. */
bool place_is_throttled(const struct session *s);

/* True if it may: there is a slot of the share, and budget. */
bool place_may_delay(const struct session *s);

/* The first claim of the caps, when the session is opened. */
void place_open(struct step *st);

/* Time to ask for the MTA: a slot first, unless we have one from before. */
enum session_phase place_ask(struct step *st);

/* The plan is another one, or its delays are over: puts the claims right. */
void place_replan(struct step *st, const struct plan *old);

/* Asks for the share, if the session became throttled and is not in it. */
void place_move(struct step *st);

/* Gives back the caps of the class, or the place in their queue. */
void place_give_caps(struct step *st);

/* Gives back the slot, or the place in its queue. */
void place_leave(struct step *st);

/* session_refuse.c */
session_handler refuse_way;
session_handler refused_bytes;
session_handler refused_fin;
session_handler refused_wake;

/* No MTA for this client: 421, at once or for its first command. */
enum session_phase refuse(struct step *st, enum session_reason reason);

/* What the MTA said is no greeting, and a teaser is out: refuses. */
enum session_phase refuse_garbled(struct step *st);

/* Bytes of the client that came early are not worth keeping any more. */
void refuse_early(struct step *st);

/* session_upload.c */

/* True while payload passes at the plan's rate. */
bool upload_is_slowed(const struct step *st);

/* Bytes of payload that may pass now; SIZE_MAX: all. */
size_t upload_room(const struct step *st);

/*
 * Up to when the upload counts as held: as long as bytes wait, and for the
 * seconds that the kernel may need to open its window again. 0: it does not.
 */
uint32_t upload_hold_end(const struct step *st);

/* n bytes of payload have passed. */
void upload_spend(struct step *st, size_t n);

/* Payload begins. */
void upload_begin(struct step *st);

/* When there is room again; UINT32_MAX: there is. */
uint32_t upload_next(const struct step *st);

/* What a plan in shadow would have added to the upload that ends now. */
uint32_t upload_would_ms(const struct step *st);

/* Orders the size of the kernel's buffer, if it has to change. */
void upload_set_buffer(struct step *st);

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
session_handler blind_replan;
session_handler blind_hurry;
session_handler linger_bytes;
session_handler linger_fin;
session_handler linger_wake;
session_handler closing_flushed;
session_handler closing_wake;

/* When a client that lingers is closed. */
uint32_t linger_end(const struct session *s);

/*
 * True while the next early segment waits for the answers to the last. Octets
 * of a chunk do not: the chunk is answered only when they are all there.
 */
bool relay_is_waiting(const struct step *st);

/* Nothing can be followed any more: lets all go. Returns PHASE_BLIND. */
enum session_phase relay_lost(struct step *st);

/* True while QUIT or the end of a message waits for its answer to be out. */
bool relay_is_ending(struct leg *leg);

/* All was said by one end or both: the client gets the rest, then its FIN. */
enum session_phase relay_close(struct step *st, enum session_reason reason);

/* session_manners.c */

/* The next thing of the client's stream is read now. */
void manners_begin(struct step *st);

/* It was this command; not yet noted as the last one. */
void manners_command(struct step *st, const struct smtp_command *cmd);

/* n bytes of it were read. */
void manners_read(struct step *st, size_t n);

/* The MTA's answer to this command, if it is a hello: what it offers. */
void manners_hello(struct step *st, enum smtp_verb verb, uint16_t code);

/* An answer is out, last byte and all. */
void manners_released(struct step *st);

/* The client may begin TLS, by the 220 that is out now. */
void manners_tls(struct step *st);

/* What was said in the clear does not count any more (RFC 3207 4.2). */
void manners_tls_up(struct leg *leg);

/* The MTA has refused a message for how it was sent. */
void manners_refused(struct step *st);

/* session_tls.c */
session_handler tls_open;
session_handler tls_bytes;
session_handler tls_answer;
session_handler tls_fin;
session_handler tls_mta_end;
session_handler tls_flushed;
session_handler tls_up;
session_handler tls_failed;
session_handler tls_wake;
session_handler tls_replan;
session_handler tls_hurry;

/*
 * True if the command line that begins at `byte` may be STARTTLS, and ours to
 * answer: then it begins a step, and is held until it is whole.
 */
bool tls_may_begin(const struct step *st, uint8_t byte);

/*
 * True if the command line that is under way, or was just read, is STARTTLS
 * or may become it, and ours to answer. `is_whole`: its first byte is the
 * first of this step.
 */
bool tls_is_ours(const struct step *st, size_t line_len, bool is_whole);

/* STARTTLS was seen whole, and is ours to answer. */
void tls_asked(struct step *st);

/*
 * Takes what must not go to the MTA, or not yet, back from what a step
 * releases: n bytes were used, and `kept` bytes of their line held before.
 */
void tls_keep_line(struct step *st, size_t n, size_t kept);

/* What is held of a line goes: it will not be STARTTLS any more. */
void tls_let_line_go(struct step *st);

/* True while nothing but the answer to STARTTLS is waited for. */
static inline bool
tls_is_asked(const struct session *s)
{
	return s->tls == SESSION_TLS_ASKED;
}

/* The phase behind a step in which all before STARTTLS was answered. */
enum session_phase tls_begin(struct step *st, enum session_phase next);

/*
 * Puts the keyword right in a reply to EHLO, which is the answer to `e` (or
 * NULL) and begins at this offset of the event's bytes: o->edits. WAIT: it is
 * not whole.
 */
enum tls_ehlo { TLS_EHLO_AS_IS, TLS_EHLO_WAIT };
enum tls_ehlo tls_read_ehlo(struct step *st, struct pending *e, size_t at);

/* By how much the edits make the event's bytes longer, modulo 2^32. */
uint32_t tls_growth(const struct orders *o);

/* The end of waiting for the rest of a reply to EHLO; UINT32_MAX: none. */
uint32_t tls_gather_end(const struct step *st);

/* session_queue.c */

/* The entry i of the commands that wait, 0 the oldest. */
struct pending *queue_entry(struct leg *leg, unsigned i);

/* True if there is no room for another command. */
bool queue_is_full(const struct leg *leg);

/* Moves into the ring, if one was lent. */
void queue_use_ring(struct leg *leg);

/* Asks for a ring, or gives it back. */
void queue_settle(struct step *st);

/* Queues a command; asked now. There must be room. */
void queue_expect(struct step *st, enum smtp_verb verb, uint8_t marks);

/* The oldest entry, which is answered, leaves. */
void queue_pop(struct leg *leg);

/* Notes a command or a reply for the journal. */
void queue_note(struct step *st, const struct session_note *note);

/* True if a step should end here, to be gone on with: the notes are full. */
bool queue_has_no_notes(const struct step *st);

/* session_reply.c */

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

/* The reply to EHLO that is waited for is taken as it is. */
void reply_as_is(struct step *st);

/* Bytes of the MTA's stream that are held. */
uint32_t reply_held(struct leg *leg);

#define MARK_LAST 1	/* BDAT ... LAST */
#define MARK_NO_DELAY 2 /* a callback: see plan P4 */
#define MARK_HELD 4	/* was delayed */
#define MARK_TLS 8	/* the 220 behind which TLS begins */
#define MARK_REFUSAL 32 /* 4xx or 5xx: waits, and goes in one piece */
#define MARK_QUIT 16	/* the answer to QUIT */
#define MARK_AS_IS 64	/* an answer to EHLO that is not changed */

/* session_outcome.c */

/* Counts the class of the answer to `e`, and notes what became of a message.
 */
void outcome_reply(struct step *st, const struct pending *e, uint16_t code);

/* The same for a 421 that nobody asked for. */
void outcome_closing(struct step *st, uint16_t code);

/* The same for a reply between 353 and the last. */
void outcome_part(struct step *st, uint16_t code);

/* True if the answer decides about a message. */
static inline bool
outcome_is_message(const struct pending *e)
{
	return e->verb == SMTP_DOT || (e->marks & MARK_LAST) != 0;
}

/* session.c */

/* The session ends with this step. The first reason wins. */
enum session_phase step_end(struct step *st, enum session_reason reason);

/* Notes the reason, unless there is one. */
void step_reason(struct step *st, enum session_reason reason);

/* Adds text of ours towards a side. */
void step_say(struct step *st, enum side to, const char *text, size_t len);

/* The earlier of two moments. */
static inline uint32_t
step_earlier(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The MTA is not needed any more: its connection and slot go back now. What
 * was released of its words still reaches the client. */
void step_leave_mta(struct step *st);

/* True while a delay of ours, not the MTA, keeps the client waiting. */
bool step_is_holding(const struct step *st);

/* Wall time in which anything was held, up to now. */
uint32_t step_held_ms(const struct step *st);

/* True while the greeting is still to come. */
bool hold_is_before_greeting(enum session_phase phase);

/* Counts what was held since the last step, and whether anything is now. */
void hold_account(struct step *st);

/* When the session's delay budget ends, if what is held stays held. */
uint32_t hold_budget_end(const struct session *s);

#endif
