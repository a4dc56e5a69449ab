/*
 * A worker: one thread, one loop, its own listeners and sessions.
 *
 * Workers are the data plane. They share nothing with each other but the
 * gate, and are told things by a mailbox: every worker_*() function below may
 * be called from any thread at any time between worker_start() and
 * worker_free(), never blocks on I/O, and takes effect a loop turn later.
 */
#ifndef PROXY_RELAY_WORKER_H
#define PROXY_RELAY_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config;
struct effects;
struct pins;
struct dns;
struct gate;
struct asn;
struct journal_feed;
struct labels;
struct metrics;
struct memory;
struct name_feed;
struct names;
struct session_feed;
struct syn_map;
struct tally;
struct tls_context;
struct worker;

#define WORKER_MUST_CHECK __attribute__((warn_unused_result))

/* What a worker tells its owner; see worker_options.notice. */
enum worker_notice {
	WORKER_DRAINED,	    /* draining, and no session is left */
	WORKER_RULES_TAKEN, /* the rules of before are no longer read */
	WORKER_LOOKED,	    /* worker_look() is done */
	WORKER_ANSWERED	    /* worker_ask() is done */
};

typedef void worker_notice_fn(void *ctx, uint32_t worker,
			      enum worker_notice what);

/* What may change under a worker while sessions run: config and labels. */
struct worker_rules {
	const struct config *config;
	const struct labels *labels; /* or NULL */
	const struct asn *asn;	     /* or NULL */
	struct tls_context *tls;     /* or NULL: TLS does not end here */
	uint32_t epoch;		     /* another one each time */
};

struct worker_options {
	uint32_t id;	/* 0 .. workers - 1 */
	uint32_t seats; /* sessions at once; config_max_sessions() / workers */
	/* Borrowed until worker_free(), or until replaced and let go. */
	struct worker_rules rules;
	/* Borrowed until worker_free(). */
	struct syn_map *syn_map; /* or NULL: no sidecar */
	struct gate *gate;
	struct memory *memory;	       /* or NULL: nothing is remembered */
	struct metrics *metrics;       /* written by this worker alone */
	const struct names *names;     /* of classes and rules */
	struct journal_feed *journal;  /* or NULL: none */
	struct dns *dns;	       /* woken for the feed; or NULL: none */
	struct name_feed *name_feed;   /* or NULL: none */
	struct session_feed *sessions; /* told which there are; or NULL */
	struct pins *pins;	       /* what the operator says of senders */
	struct effects *effects;       /* or NULL: nothing is compared */
	uint64_t holdout_salt;	       /* secret; see holdout.h */
	uint64_t wall_ms;	       /* Unix time when the loop's was 0 */
	struct tally *tally;	       /* of signatures; or NULL */
	/* Called on the worker's thread; must not block (uv_async_send). */
	worker_notice_fn *notice;
	void *notice_ctx;
};

/* What the MTA test session found; see mta_probe.h. */
struct worker_mta {
	bool is_ready; /* false: every dial fails at once */
	bool pipeconnect;
	bool refuses_second_ehlo; /* then no STARTTLS ends here */
	const char *name;	  /* for our own lines; copied; 1..255 bytes */
};

/* Gauges of one worker, each right by itself. */
struct worker_counters {
	uint32_t seats;
	uint32_t sessions;
	uint32_t held;	  /* waiting for a delay of ours */
	uint32_t waiting; /* for an MTA slot */
	uint32_t legs;	  /* connections to the MTA */
	uint32_t buffers;
	uint32_t buffers_used;
	uint32_t lead_ms;
	uint32_t dials_failed; /* in a row, up to now */
	bool knows_mta;	       /* what worker_set_mta() last told */
	bool is_paused;	       /* not accepting: seats are used up */
	bool is_stressed;      /* sessions are nearly used up */
};

/*
 * Opens the listeners of options->rules.config, takes all memory, and starts
 * the thread. Listeners are bound before this returns, so that privileges may
 * be dropped after. `options` is copied.
 * Returns 0 with *out owned by the caller (worker_free()), or a negative
 * errno; what could not be done has then been logged.
 */
WORKER_MUST_CHECK int worker_start(struct worker **out,
				   const struct worker_options *options);

/* There are answers in the name_feed. */
void worker_wake(struct worker *w);

/* Tells what the MTA test session found. */
void worker_set_mta(struct worker *w, const struct worker_mta *mta);

/*
 * New rules: every session is planned again, some each turn; WORKER_RULES_TAKEN
 * is told when the old ones may be freed. The listeners and all other fixed
 * settings stay as they were at the start. One set at a time: wait for the
 * notice before the next.
 */
void worker_set_rules(struct worker *w, const struct worker_rules *rules);

/*
 * Empties the accept queue, stops listening and ends all delays; sessions run
 * to their end. WORKER_DRAINED when none is left, at once if there is none.
 */
void worker_drain(struct worker *w);

/* After worker_drain(): ends what is left, with reason `drained`. */
void worker_cut(struct worker *w);

/* Closes everything, whatever runs, joins the thread, frees the worker. */
void worker_free(struct worker *w);

void worker_counters(const struct worker *w, struct worker_counters *out);

/* Prints what one session costs and what all the pools come to. */
void worker_print_sizes(const struct worker_options *options, FILE *out);

#endif
