/*
 * What goes wrong in a storm: one table of ways for a client to leave, one of
 * ways for an MTA to fail, one of the classes that Tarry puts clients into.
 *
 * A session is a cell of these tables. The client carries its cell in its own
 * source address, 127.CLASS.FAULT.x, so that rules by network choose the class
 * and the sink, which reads the PROXY header, knows what it has to do to this
 * session. Neither end draws lots: the seed is the load generator's alone.
 */
#ifndef TESTS_BENCH_MIX_H
#define TESTS_BENCH_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mix_step {
	STEP_GREETING,
	STEP_EHLO,
	STEP_HELP, /* many times, and nothing is read for a while */
	STEP_STARTTLS,
	STEP_OPAQUE,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_BODY,
	STEP_QUIT,
	STEP_BYE, /* all is said; waits for the other end to close */
	STEP_COUNT
};

/* When in a step a client leaves. */
enum mix_when {
	WHEN_NEVER,
	WHEN_ENTER,	 /* before it has said anything in this step */
	WHEN_HALF,	 /* half of what it has to say is said */
	WHEN_SENT,	 /* all is said, nothing is answered */
	WHEN_LATER,	 /* as above, some milliseconds later */
	WHEN_FIRST_BYTE, /* the first byte of the answer is there */
	WHEN_DONE	 /* the answer is there, whole */
};

enum mix_how {
	HOW_FIN,
	HOW_RST,
	HOW_HALF, /* shuts its writing side and listens until the end */
	HOW_COUNT
};

/* How a client behaves until it leaves. */
enum mix_manner {
	MANNER_USUAL,
	MANNER_EARLY,	 /* speaks before it is greeted */
	MANNER_TLS,	 /* goes by STARTTLS and OPAQUE, never by MAIL */
	MANNER_GARBAGE,	 /* says no EHLO, but what no MTA understands */
	MANNER_PIPELINE, /* MAIL, MIX_RCPTS times RCPT and DATA in one go */
	MANNER_DEAF	 /* goes by HELP, with a small window */
};

#define MIX_RCPTS 300
#define MIX_HELPS 1000
#define MIX_DEAF_MS 800

struct mix_leave {
	const char *name;
	enum mix_step step;
	enum mix_when when;
	enum mix_manner manner;
};

enum mix_act {
	ACT_WELL,
	ACT_SAY,   /* this text in place of the reply, then on as usual */
	ACT_FIN,   /* the text, if any, then close */
	ACT_RST,   /* the text, if any, then reset */
	ACT_HALF,  /* the text, then its writing side is shut; reads on */
	ACT_STALL, /* nothing, and nothing more is read */
	ACT_PAUSE, /* reads nothing for MIX_SLOW_MS, then on as usual */
	ACT_SLOW   /* the usual, MIX_SLOW_MS later */
};

#define MIX_SLOW_MS 300

struct mix_fault {
	const char *name;
	enum mix_step step;
	enum mix_act act;
	const char *text;
	bool mid; /* when the first bytes of the step are there, not all */
};

extern const struct mix_leave mix_leaves[];
extern const size_t mix_leaves_count;
extern const struct mix_fault mix_faults[];
extern const size_t mix_faults_count;

/*
 * The classes by the second octet of the client's address; 0 is `pass`. Lots
 * are drawn of the first MIX_CLASSES; `crowd` is there by its name alone.
 */
#define MIX_CLASSES 6
#define MIX_CLASSES_ALL 7
extern const char *const mix_classes[MIX_CLASSES_ALL];
extern const char *const mix_hows[HOW_COUNT];

/* The index of a name, or -1. */
int mix_find_leave(const char *name);
int mix_find_fault(const char *name);
int mix_find_class(const char *name);
int mix_find_how(const char *name);

/* What the sink says where a step goes well; neither end has another text. */
const char *mix_reply(enum mix_step step);

/*
 * Writes what client `id` says that no MTA understands: one line of up to
 * MIX_GARBAGE_CAP bytes, whose hash the sink tells. Returns its length.
 */
#define MIX_GARBAGE_CAP 40000
size_t mix_garbage(uint32_t id, char *out);

/* What the sink says to a line it does not understand; out holds 64. */
void mix_unknown(uint64_t hash, char *out);

/* A step of a well known generator (xorshift64*); never 0 from a seed > 0. */
uint64_t mix_random(uint64_t *state);

/*
 * Writes message `id` with about `len` bytes, dot and all, into out; returns
 * its length, at most len + MIX_BODY_EXTRA. Its first line tells id and hash
 * of the rest.
 */
#define MIX_BODY_EXTRA 128
size_t mix_body(uint32_t id, size_t len, char *out);

#define MIX_HASH_FIRST 0xcbf29ce484222325u
/* FNV-1a, to be begun with MIX_HASH_FIRST. */
uint64_t mix_hash(uint64_t hash, const void *bytes, size_t len);

/* CLOCK_MONOTONIC in ms. */
uint64_t mix_now_ms(void);

/* close() with a reset instead of a FIN. */
void mix_reset(int fd);

#endif
