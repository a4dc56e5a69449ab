/*
 * The doctor's inside, for doctor*.c alone. An examination is a function that
 * begins it and, somewhere behind a callback, doctor_next().
 */
#ifndef PROXY_DAEMON_DOCTOR_STATE_H
#define PROXY_DAEMON_DOCTOR_STATE_H

#include "proxy/daemon/doctor.h"
#include "proxy/daemon/doctor_text.h"
#include "proxy/relay/mta_probe_text.h"
#include "proxy/relay/mta_talk.h"
#include "proxy/relay/tls_look.h"

#define DOCTOR_REPLY_MS 30000
#define DOCTOR_SILENCE_MS 1000
#define DOCTOR_QUIT_MS 2000
#define DOCTOR_EHLO_CAP (ADDR_TEXT_CAP + 16)

enum doctor_outcome {
	DOCTOR_GONE, /* nothing more can be tried */
	DOCTOR_ODD,  /* it can be reached, but perhaps expects another header */
	DOCTOR_WELL
};

/* A session of the examination of limits. */
struct doctor_seat {
	struct doctor *doctor;
	struct mta_talk *talk; /* NULL: hung up */
	bool is_asked;	       /* its greeting is not yet there */
};

struct doctor {
	uv_loop_t *loop;
	uv_timer_t timer;
	struct config_mta mta;
	struct doctor_client client;
	uint32_t sessions; /* at a time, at most */
	unsigned at;	   /* the examination that is next */
	struct mta_talk *talk;
	struct doctor_advice advice;
	char host[128];		     /* that the MTA greeted as, or "" */
	uint32_t connected_ms;	     /* how long that took */
	uint32_t since_ms;	     /* age of the talk when a wait began */
	unsigned tried;		     /* headers, by the examination of them */
	enum doctor_outcome outcome; /* of the dialogue */
	bool has_starttls;
	unsigned step; /* of the dialogue under way */
	struct tls_look *look;
	struct doctor_seat *seats; /* of the limits */
	uint32_t seats_count;
	uint32_t greeted;
	uint32_t refused;
	char refusal[101];
};

typedef void doctor_exam_fn(struct doctor *d);

/* doctor_dialogue.c, doctor_header.c, doctor_tls.c, doctor_limits.c; each
 * passes by at once where it has nothing to do. */
doctor_exam_fn doctor_dialogue;
doctor_exam_fn doctor_header;
doctor_exam_fn doctor_tls;
doctor_exam_fn doctor_limits;

/* For doctor_stop(): hangs up on all of the limits. */
void doctor_limits_stop(struct doctor *d);

/* Ends the examination that runs: hangs up, goes on to the next. */
void doctor_next(struct doctor *d);

/* Tells a finding; the mend is doctor_mend()'s for `what`. */
void doctor_tell(struct doctor *d, const char *check, enum doctor_level level,
		 enum doctor_mend what, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * Dials into d->talk. The header names client number n (0 ..): an address
 * that is for documentation alone, so nobody's. False if there is no memory.
 */
bool doctor_dial(struct doctor *d, struct mta_talk **talk,
		 enum client_address header, unsigned n, uint32_t greeting_ms,
		 mta_talk_fn *tell, void *ctx);

/* True if it is a PROXY header that tells the client's address. */
bool doctor_is_header(enum client_address how);

/* Writes the address of client number 0. */
void doctor_client_text(const struct doctor *d, char out[ADDR_TEXT_CAP]);

/* Writes "EHLO [ADDRESS]\r\n" with an address that is fit to be said. */
void doctor_ehlo(const struct doctor *d, const struct mta_talk *t,
		 enum client_address header, char out[DOCTOR_EHLO_CAP]);

/* The first line of what was heard, as a precision and a text for "%.*s". */
#define DOCTOR_LINE(news)                                                      \
	(int)mta_probe_line((news)->text, (news)->len), (news)->text

#endif
