/*
 * The journal: what was known and seen of each session, as JSON lines in
 * files that rotate, so that other rules can be tried on it later.
 *
 * Never the content of a mail, no HELO name and no mail address. Peers'
 * addresses are shown as log.addresses says, in the SYN's bytes too.
 *
 * Each worker writes lines into a ring of its own, without a lock; the main
 * thread has the rings emptied into the file by a thread of the pool. A full
 * ring drops the line and counts it, a full disk drops what is on its way:
 * mail never waits. Lines are numbered per worker, so that a reader sees what
 * is missing.
 *
 *   {"t":UNIX_MS,"w":WORKER,"n":NUMBER,"ev":"open"|"syn"|"plan"|"notes"|"end"
 *    |"policy"|"verdict",...}
 */
#ifndef PROXY_DAEMON_JOURNAL_H
#define PROXY_DAEMON_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/config/config.h"
#include "proxy/daemon/session_report.h"
#include "tarry/evidence.h"
#include "tarry/session.h"

#define JOURNAL_MUST_CHECK __attribute__((warn_unused_result))
/* Bytes of one worker's ring, a power of two. */
#define JOURNAL_FEED_CAP (1u << 20)

struct journal;
struct journal_feed;
struct names;
struct stress;
struct uv_loop_s;

/* A session for the lines about it. */
struct journal_about {
	uint64_t id; /* as in the log */
	const struct session *session;
	uint64_t now_ms;  /* the loop's time */
	const char *hash; /* of the rules; NULL: not asked for */
};

/* A SYN as it was seen; raw_len 0: not, so far. */
struct journal_syn {
	enum syn_source source;
	const uint8_t *raw;
	size_t raw_len;
	uint8_t retransmits;
};

/* What journal_is_on() looks at; the first member of a feed. */
struct journal_switch {
	_Atomic bool is_on;
};

/* False at the cost of one branch where there is no journal. Any thread. */
static inline bool
journal_is_on(const struct journal_feed *feed)
{
	return feed != NULL &&
	       atomic_load_explicit(
		   &((const struct journal_switch *)(const void *)feed)->is_on,
		   memory_order_relaxed);
}

/*
 * What a worker tells, on its thread, with its feed; `feed` may be NULL. None
 * of these blocks, allocates or calls the system. They do nothing while the
 * journal is off; ask journal_is_on() before gathering what they need.
 */

/* At the accept, before the first plan. */
void journal_open_session(struct journal_feed *feed,
			  const struct journal_about *about,
			  const char *listener, const struct journal_syn *syn);

/* The SYN was found later. */
void journal_syn(struct journal_feed *feed, const struct journal_about *about,
		 const struct journal_syn *syn);

/* A plan was made of this evidence; stress may be NULL: none. */
void journal_plan(struct journal_feed *feed, const struct journal_about *about,
		  const struct evidence *e, const struct stress *stress,
		  const struct plan *plan);

/* What a step observed: orders.notes. Nothing is written for none. */
void journal_notes(struct journal_feed *feed, const struct journal_about *about,
		   const struct session_note *notes, size_t count);

/* The session is over. */
void journal_end(struct journal_feed *feed, const struct session_report *r);

/* The rest is the main thread's. */

struct journal_options {
	const char *path;    /* "": no journal; copied */
	uint64_t size_bytes; /* a file gets no longer than this */
	uint32_t files;	     /* 1..: path, path.1, .. the oldest is removed */
	enum config_log_addresses addresses;
};

/*
 * A journal, off, with `workers` feeds and one for the main thread. *out is
 * the caller's (journal_close()). 0 or -ENOMEM.
 */
JOURNAL_MUST_CHECK int journal_new(struct journal **out, struct uv_loop_s *loop,
				   uint32_t workers, const struct names *names);

/*
 * Turns it on, off, or to another file; the same options again change
 * nothing. 0 or a negative errno, which is in the log; it is off then.
 */
JOURNAL_MUST_CHECK int journal_set(struct journal *j,
				   const struct journal_options *options);

/* The feed of a worker, 0 .. workers - 1. Lives until journal_close(). */
struct journal_feed *journal_feed(struct journal *j, uint32_t worker);

/* The rules that hold from here on: where they came from and what they are. */
void journal_policy(struct journal *j, const char *path, const char *hash,
		    const char *cause);

/* What became of a session's mail; the texts are words of verdict.def. */
void journal_verdict(struct journal *j, uint64_t session, const char *verdict,
		     const char *source);

/* Has written what is there, and says what is wrong. Call some times a second;
 * never blocks. */
void journal_tick(struct journal *j, uint64_t now_ms);

/* One line: what memory the rings take. */
void journal_print_size(const struct journal *j, FILE *out);

/* Lines that found no room in a ring or on the disk. `j` may be NULL. */
uint64_t journal_dropped(const struct journal *j);

/* Bytes written to files. `j` may be NULL. */
uint64_t journal_written(const struct journal *j);

/*
 * Writes what is left and frees everything. All workers are gone by now. May
 * block on the disk. NULL is fine.
 */
void journal_close(struct journal *j);

#endif
