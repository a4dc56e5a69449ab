/*
 * The session machine: everything that is decided about one connection.
 *
 * The shell (proxy/relay) owns sockets, buffers and clocks; it tells what
 * happened as an event and carries out the orders that come back. The machine
 * owns the phase, the observer and every moment at which a byte may move. It
 * is pure, so that an hour of tarpit is a millisecond of test.
 *
 * Streams. What a side says is a stream towards the other side. Of each
 * stream the shell keeps, in order, the bytes that are
 *
 *   released   may be written to the other side's socket
 *   held       used by the machine, not yet released or dropped
 *   unused     arrived, not yet used
 *
 * `say` puts words of ours into the stream towards a side: behind what was
 * released, ahead of what is held. Nothing else is ever added.
 */
#ifndef TARRY_SESSION_H
#define TARRY_SESSION_H

#include "tarry/addr.h"
#include "tarry/client_hello.h"
#include "tarry/dialect.h"
#include "tarry/evidence.h"
#include "tarry/outcome.h"
#include "tarry/plan.h"
#include "tarry/smtp.h"

enum side { SIDE_CLIENT, SIDE_MTA, SIDE_COUNT };

enum session_reason {
	REASON_NONE,
#define REASON(id, name, help) REASON_##id,
#include "tarry/reasons.def"
#undef REASON
	REASON_COUNT
};

/* The name in reasons.def; "-" for REASON_NONE. Static text. */
const char *session_reason_name(enum session_reason reason);

enum session_phase {
#define PHASE(id, name, help) PHASE_##id,
#include "tarry/phases.def"
#undef PHASE
	PHASE_COUNT
};

/* The name in phases.def. Static text. */
const char *session_phase_name(enum session_phase phase);

/* How the MTA learns the client's address. */
enum client_address {
	CLIENT_ADDRESS_NONE,
	CLIENT_ADDRESS_V1,
	CLIENT_ADDRESS_V2,
	CLIENT_ADDRESS_TRANSPARENT /* the connection comes from there */
};

/* Early bytes: so many are kept, in so many segments; then reading stops. */
#define SESSION_EARLY_CAP 4096
#define SESSION_SEGMENTS_CAP 8
/* A stream never holds more than this unreleased; then it is let go. */
#define SESSION_HELD_CAP 8192
/* Commands sent to the MTA and not yet answered towards the client: so many
 * in the leg itself, and in the ring that the shell lends it. */
#define SESSION_REPLIES_FEW 5
#define SESSION_REPLIES_CAP 64
#define SESSION_SAY_CAP 900
#define SESSION_NAME_CAP 255

/* The other fixed times of the design, sections 2 and 5. */
#define SESSION_IDLE_MS 900000
#define SESSION_LINGER_MS 600000
#define SESSION_REFUSED_MS 300000
#define SESSION_GREETING_MS 300000
#define SESSION_GATE_PASS_MS 300000
#define SESSION_REDIAL_MS 1000
#define SESSION_LAST_DIAL_MS 100 /* before the greet budget ends */
#define SESSION_CLOSING_MS 60000
#define SESSION_MTA_FIN_MS 2000
/* So long the MTA may take to say that an odd end of data was one; what is
 * behind it waits, for it is text or commands. */
#define SESSION_MAYBE_MS 2000
/* Behind STARTTLS so many bytes pass before an upload is slowed (design, 5.9):
 * nothing within a handshake waits. */
#define SESSION_TLS_FREE 16384u

/* Longest TLS handshake. */
#define SESSION_TLS_MS 60000
/* A reply to EHLO up to here has its keyword STARTTLS put right. */
#define SESSION_EHLO_CAP 4096

/* What all sessions of a worker share; may change between two steps. */
struct site {
	const char *name; /* for our own lines; 1..SESSION_NAME_CAP bytes */
	size_t name_len;
	enum client_address client_address;
	uint32_t lead_ms; /* rolling p99 of dial to 220 */
	uint32_t connect_timeout_ms;
	uint32_t drip_gap_ms; /* least time between two pieces, > 0 */
	bool pipeconnect;   /* the MTA offers PIPECONNECT: early talk is fair */
	bool counts_matter; /* rules test session.* or the dialect: plan again
			       as they grow */
	bool learns;	    /* a first recipient or delivered message may change
			       the plan */
	bool has_tls;	    /* STARTTLS is answered by us, and there is room */
	bool mta_tls;	    /* and first by the MTA, for its own side */
};

/* A place of the gate: an MTA slot, or the caps of the plan's class. */
enum place_state { PLACE_NONE, PLACE_ASKED, PLACE_HELD };

/* What is counted of a session, for its log line and the metrics. */
struct session_counts {
	uint64_t bytes[SIDE_COUNT]; /* released, by the side that said them */
	uint32_t greet_ms;	    /* accept to the greeting's last byte */
	uint32_t held_ms;	    /* wall time in which anything was held */
	uint32_t gate_ms;	    /* waited for an MTA slot */
	uint32_t gave_up_ms;	    /* held so far when the client left */
	uint32_t replies_held;	    /* replies that were delayed */
	uint32_t messages;	    /* accepted with 2xx */
	uint32_t messages_refused;
	uint32_t recipients;
	uint32_t recipients_refused;
	uint32_t errors;   /* 4xx and 5xx replies of any kind */
	uint32_t caps_ms;  /* waited for a place under the class's caps */
	uint32_t would_ms; /* delay that a plan in shadow would have added */
	uint16_t outcomes[OUTCOME_COUNT]; /* 65535: or more */
	uint8_t dials;	       /* one a second of the greet budget at most */
	uint8_t proxy_headers; /* said to the MTA */
	bool own_greeting : 1; /* our 220 ended a teaser */
	bool own_421 : 1;
	bool own_starttls : 1; /* our 220 answered STARTTLS */
	uint8_t own_added : 2; /* EHLO replies that got the keyword STARTTLS */
	uint8_t own_removed : 2; /* and that lost it */
	uint16_t longest_ms;	 /* longest single wait; 65535: or more */
};

/* Where a session is on its way to TLS that ends here. */
enum session_tls {
	SESSION_TLS_NONE,
	SESSION_TLS_ASKED,     /* STARTTLS; what was asked before is answered */
	SESSION_TLS_MTA_ASKED, /* the MTA as well; its answer is waited for */
	SESSION_TLS_MTA_SHAKES, /* the handshake with it; its 220 is held */
	SESSION_TLS_SAID,	/* the 220 is on its way */
	SESSION_TLS_SHAKES,	/* the client's handshake */
	SESSION_TLS_UP
};

/*
 * The session's part of a slab seat. Zero it before EVENT_OPEN. Many are held
 * at a time, so it is packed: what is needed before the MTA was asked shares
 * its room with what is needed after.
 */
struct session {
	struct addr client;
	struct addr server; /* the address that the client came to */
	struct plan plan;
	uint64_t opened_ms;
	struct session_counts counts;
	/* From here on times are ms since opened_ms. */
	uint32_t phase_ms; /* when the phase began; GATE: when it ends */
	uint32_t last_byte_ms;
	uint32_t hold_ms;     /* since when something is held */
	uint32_t hold_end_ms; /* when that ends by itself */
	union {
		uint32_t dial_ms; /* GREET: when to ask for a slot */
		uint32_t paid_ms; /* RELAY: the upload has used its rate up to
				     then */
	};
	union {
		uint32_t asked_ms; /* when caps or slot were asked for */
		uint32_t
		    upload_ms;	  /* RELAY: the upload's first byte; 0: none */
		uint32_t done_ms; /* RELAY: since when only the MTA's FIN is
				     missing */
	};
	uint32_t unused;      /* client bytes not yet used */
	uint16_t tls_bytes;   /* of the client since STARTTLS, up to the free */
	uint16_t teaser_said; /* bytes of the teaser that are out */
	uint16_t teaser_len;  /* 0: no teaser */
	uint16_t segments[SESSION_SEGMENTS_CAP]; /* of the early bytes */
	struct dialect dialect;
	/* From a reply's last byte to the command behind it: the shortest
	 * and the longest time, 65,535 at most; nothing before has_gaps. */
	uint16_t gap_low_ms;
	uint16_t gap_high_ms;
	uint8_t segments_count;
	uint8_t phase;		      /* enum session_phase */
	uint8_t reason;		      /* enum session_reason; the first wins */
	uint8_t last_verb;	      /* enum smtp_verb */
	uint8_t slot : 2;	      /* enum place_state; an MTA slot */
	uint8_t caps : 2;	      /* enum place_state; those of the class */
	uint8_t slot_asked : 3;	      /* enum slot_wish; which one */
	bool is_over_cap : 1;	      /* went on without a place */
	bool is_in_share : 1;	      /* the slot is one of the throttled's */
	bool is_between_segments : 1; /* an early one ended, the next waits */
	bool is_holding : 1;
	bool is_spent : 1; /* budget used up, released or draining: no delays */
	bool is_early : 1; /* spoke before the greeting, and may not */
	bool is_greeted : 1; /* the greeting is out, last byte and all */
	bool is_done : 1;    /* done_ms is set */
	bool client_fin : 1;
	bool mta_fin : 1;
	bool mta_shut : 1;  /* we shut our side towards the MTA */
	bool has_quit : 1;  /* QUIT was answered */
	bool is_opaque : 1; /* TLS: bytes are only counted */
	bool is_lost : 1;   /* the observer lost track */
	bool is_small : 1;  /* the receive buffer was made small */
	bool is_wide : 1;   /* and wide again, for good */
	uint8_t tls : 3;    /* enum session_tls */
	/* The shell sets it before OPEN: TLS comes before all else. */
	bool is_implicit_tls : 1;
	bool is_mta_tls : 1;	/* the MTA's side is TLS too */
	bool is_kept : 1;	/* the line under way may be STARTTLS: held */
	bool is_pipelining : 1; /* spoke on where it had to wait for us */
	bool is_non_smtp : 1;	/* said what is no command where one belongs */
	bool is_bare_newline : 1; /* ended a line with LF alone */
	bool has_gaps : 1;
	/* Of the first plan that slowed it, or would have. */
	bool is_held_out : 1;
	uint16_t slowed_by; /* its rule_id + 1; 0: none did */
	uint16_t wait_ms;   /* of the wait under way, so far */
};

/* A command on its way: asked, then answered and perhaps held. */
struct pending {
	uint32_t time_ms; /* asked; once answered: when it is due */
	uint16_t len;	  /* held bytes of the answer */
	uint8_t verb;
	uint8_t marks;
};

/* The MTA's part, from a second slab, taken at the order `dial`. Zero it. */
struct leg {
	struct smtp_client client;
	struct smtp_reply reply;
	uint32_t partial;   /* held bytes of the reply that is under way */
	uint32_t said_ms;   /* when that reply's first byte came */
	uint32_t drip_ms;   /* when the oldest reply's drip began */
	uint32_t drip_len;  /* its whole length; 0: not begun */
	uint32_t rcpts;	    /* accepted in this transaction */
	uint32_t prdr_left; /* replies still to come behind a 353 */
	/* Of the client's unused bytes those that were there before the last
	 * reply was out. */
	uint32_t ahead;
	uint32_t answered_ms; /* when the last reply was out */
	uint8_t head;	      /* oldest entry */
	uint8_t answered;     /* entries from head on that are answered */
	uint8_t count;	      /* entries in all */
	bool null_sender;     /* perhaps a callback: no delays */
	bool greeting_done;
	bool is_in_ring;
	bool is_begun;	   /* MAIL or AUTH was said: too late for our TLS */
	bool is_gathered;  /* a reply to EHLO waits, unused, to be whole */
	bool has_hello;	   /* EHLO or HELO was answered */
	bool may_pipeline; /* and that answer offers PIPELINING */
	struct dialect_line line; /* the client's, under way */
	bool is_ahead;		  /* the line under way began before its time */
	struct pending few[SESSION_REPLIES_FEW];
	/* Lent by the shell on orders.want_ring: SESSION_REPLIES_CAP entries,
	 * or NULL. Set, and on orders.give_ring taken back and set to NULL,
	 * between two steps. */
	struct pending *ring;
};

enum event_kind {
#define EVENT(id, name, help) EVENT_##id,
#include "tarry/events.def"
#undef EVENT
	EVENT_COUNT
};

struct event {
	enum event_kind kind;
	enum side side;
	/* BYTES: all unused bytes of the side's stream, oldest first; the
	 * last `fresh` of them were not shown before. */
	const uint8_t *bytes;
	size_t len;
	size_t fresh;
	const struct plan *plan; /* OPEN and REPLAN */
	/* BYTES of the client: what was lent on orders.want_hello; or NULL. */
	struct client_hello *hello;
};

/* How the caps of a class are asked for. */
enum caps_wish {
	CAPS_NO_WISH,
	CAPS_WAIT, /* EVENT_CAPS, now or when there is room */
	CAPS_TRY   /* if there is room now; no event */
};

/* Which MTA slot is asked for. */
enum slot_wish {
	SLOT_NO_WISH,
	SLOT_ANY,	/* waits: EVENT_GRANTED */
	SLOT_SHARE,	/* of the throttled; waits: EVENT_GRANTED */
	SLOT_RESERVE,	/* while half of the reserve is free: EVENT_GRANTED, or
			   EVENT_DENIED, at once; one that waits stops waiting */
	SLOT_INTO_SHARE /* the one held goes into the share: EVENT_GRANTED, or
			   EVENT_DENIED, at once, and it stays what it was */
};

/* The kernel's receive buffer: small makes a slow upload felt at once. */
enum receive_buffer { RECEIVE_KEEP, RECEIVE_SMALL, RECEIVE_FULL };

/* A command of the client, or a reply of the MTA. */
struct session_note {
	uint32_t at_ms;	 /* since the session was opened */
	uint32_t due_ms; /* of a reply: when it is let go */
	uint16_t code;	 /* of a reply; 0: a command */
	uint8_t verb;	 /* enum smtp_verb */
	uint8_t marks;
};
#define SESSION_NOTES_CAP 16

/* What the plan adds to a reply like that, before caps; 0 for a greeting. */
uint32_t session_reply_delay(const struct plan *plan,
			     const struct session_note *reply);

/*
 * The MTA's reply to a message, for whoever has to know it later: by its
 * queue id, if there is one and the reply came in one piece.
 */
struct session_message {
	uint32_t at_ms;	     /* since the session was opened */
	uint32_t number;     /* the session's first message is 1 */
	uint32_t recipients; /* that it was accepted for; 0: refused */
	uint16_t code;
	uint8_t outcome; /* enum outcome */
	char queue_id[OUTCOME_QUEUE_ID_CAP + 1];
};
#define SESSION_MESSAGES_CAP 4

/* A change to the MTA's bytes of a BYTES event, by their offset as shown. */
struct session_edit {
	uint32_t at;
	uint16_t cut;	  /* so many bytes go */
	uint16_t len;	  /* and so many come in their place */
	const char *text; /* static */
};
#define SESSION_EDITS_CAP 2

/*
 * What the shell does after a step, in the order of this record: per stream
 * edit, use, drop, say, release; then the rest from top to bottom.
 */
struct orders {
	/* Of a BYTES event of the MTA, in ascending order; below. */
	uint8_t edits_count;
	uint32_t used;		      /* of a BYTES event, as edited */
	uint32_t drop[SIDE_COUNT];    /* oldest held bytes of a stream */
	uint16_t say_len[SIDE_COUNT]; /* words of ours towards a side */
	uint32_t release[SIDE_COUNT]; /* oldest held bytes of a stream */
	bool shut[SIDE_COUNT];	      /* FIN towards a side, behind all that
					 was said and released to it */
	bool hang_up;		      /* close the leg now, forget its stream
					 and what is not yet written to it */
	/* The client's unused bytes are forgotten, and from its next byte on
	 * its socket speaks TLS: TLS_UP or TLS_FAILED, and BYTES is what was
	 * in it. Nothing is left to be written to it then. */
	bool start_tls;
	/* The same for the MTA's socket, where we are the client of TLS. */
	bool start_mta_tls;
	bool give_caps;		   /* or the place in their queue */
	bool give_slot;		   /* or the place in its queue */
	enum caps_wish claim_caps; /* of the plan's class */
	enum slot_wish claim_slot;
	enum receive_buffer receive_buffer; /* of the client's socket */
	bool dial;			    /* take a leg, connect */
	bool want_flushed; /* EVENT_FLUSHED once nothing is left
			      to be written to the client */
	bool want_plan;	   /* EVENT_REPLAN, please */
	bool want_ring;	   /* set leg->ring, if there is one */
	bool give_ring;	   /* leg->ring is not used any more */
	bool want_hello;   /* TLS begins: lend a zeroed one, if there is one,
			      and keep it as long as the session */
	/* States, said anew with each step. */
	bool feed[SIDE_COUNT];	 /* unused bytes are wanted */
	bool read[SIDE_COUNT];	 /* socket reads are wanted */
	uint32_t quota;		 /* client bytes in the next read at most */
	uint64_t deadline_ms;	 /* EVENT_WAKE then; 0: none */
	enum session_reason end; /* close everything, free the seat */
	/* What was observed, for the journal; never the content. */
	uint8_t notes_count;
	uint8_t messages_count;
	char say[SIDE_COUNT][SESSION_SAY_CAP];
	struct session_edit edits[SESSION_EDITS_CAP];
	struct session_note notes[SESSION_NOTES_CAP];
	struct session_message messages[SESSION_MESSAGES_CAP];
};

/*
 * One step. Fills every field of *o but the unused part of `say`.
 *
 * EVENT_BYTES is repeated by the shell (fresh = 0) while the stream has
 * unused bytes and o->feed says that they are wanted; a step with feed on
 * uses at least one byte or turns feed off. `leg` is NULL until
 * EVENT_MTA_CONNECTED, and after `hang_up`: a dial that failed, or is under
 * way when a step ends in another phase than DIAL, the shell closes by itself.
 * now_ms is monotonic and never less than at the step before. Never blocks,
 * allocates or logs. After `end` no step follows.
 */
void session_step(const struct site *site, struct session *s, struct leg *leg,
		  const struct event *ev, uint64_t now_ms, struct orders *o);

/*
 * True while what the client waits for is a delay of ours. For counting the
 * sessions held.
 */
bool session_is_held(const struct session *s);

/* Adds what the session did so far to the facts for rules. */
void session_facts(const struct session *s, struct evidence *e);

/*
 * The rank with which the session asks for a slot: its class's; 0 for a plan
 * in shadow; the last of all for one that went on although a cap is full.
 */
uint32_t session_slot_rank(const struct session *s);

/*
 * Writes the PROXY header for a client into out (SESSION_SAY_CAP bytes);
 * returns its length, 0 for the kinds without one.
 * Source: the PROXY protocol, versions 1 and 2, sections 2.1 and 2.2.
 */
size_t proxy_header(enum client_address kind, const struct addr *client,
		    const struct addr *server, char *out, size_t cap);

#endif
