/*
 * A short session of our own with the MTA, a step at a time: say something,
 * hear one reply; or hear that nothing is said. For those who examine an MTA,
 * not for mail. Everything has an end: each step has its time.
 */
#ifndef PROXY_RELAY_MTA_TALK_H
#define PROXY_RELAY_MTA_TALK_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/config/config.h"

struct mta_talk;

enum mta_talk_event {
	MTA_TALK_CONNECTED, /* the header was sent; the greeting is due */
	MTA_TALK_REPLY,	    /* one whole reply: code, text */
	MTA_TALK_QUIET,	    /* the time of the step is over */
	MTA_TALK_NOISE,	    /* bytes where none are due, or no reply: text */
	MTA_TALK_BYTES,	    /* what came after mta_talk_raw(): text */
	MTA_TALK_ENDED	    /* closed, or never connected: error */
};

struct mta_talk_news {
	enum mta_talk_event what;
	uint16_t code;	  /* of a REPLY */
	int error;	  /* of ENDED: negative; UV_EOF if it was closed */
	const char *text; /* of the MTA, as it came; valid for the call */
	size_t len;
};

/* Called on the loop's thread, never from within a function below. */
typedef void mta_talk_fn(void *ctx, struct mta_talk *t,
			 const struct mta_talk_news *news);

struct mta_talk_options {
	struct addr address;
	uint32_t connect_timeout_ms;
	uint32_t greeting_ms;	    /* how long to wait for it */
	enum client_address header; /* which PROXY header goes first */
	struct addr client;	    /* whom it names, with port */
};

/*
 * Dials. The step after MTA_TALK_CONNECTED is hearing the greeting. Returns 0
 * with *out the caller's (mta_talk_close()), or a negative errno. `options`
 * is copied.
 */
__attribute__((warn_unused_result)) int
mta_talk_open(struct mta_talk **out, uv_loop_t *loop,
	      const struct mta_talk_options *options, mta_talk_fn *tell,
	      void *ctx);

/*
 * The next step, from the callback or any time after it: says `text` and
 * hears one reply within ms; or hears nothing for ms, which QUIET then tells
 * in place of NOISE.
 */
void mta_talk_say(struct mta_talk *t, const char *text, uint32_t ms);
void mta_talk_listen(struct mta_talk *t, uint32_t ms);

/* From now on bytes are handed over as they come, for ms after each. */
void mta_talk_raw(struct mta_talk *t, uint32_t ms);

/* Sends bytes; what does not go at once ends the talk. */
void mta_talk_send(struct mta_talk *t, const void *bytes, size_t len);

/* Our end of the connection; family 0 before CONNECTED. */
const struct addr *mta_talk_self(const struct mta_talk *t);

/* ms since the talk was opened, on the loop's clock. */
uint32_t mta_talk_age(const struct mta_talk *t);

/* Hangs up and tells nothing more. Freed by the loop. NULL is fine. */
void mta_talk_close(struct mta_talk *t);

#endif
