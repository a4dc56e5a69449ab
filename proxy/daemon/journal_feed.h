/*
 * One worker's way to the journal: a ring of whole lines, with one writer and
 * one reader and no lock. For journal*.c alone.
 */
#ifndef PROXY_DAEMON_JOURNAL_FEED_H
#define PROXY_DAEMON_JOURNAL_FEED_H

#include "proxy/daemon/journal.h"

struct journal_feed {
	struct journal_switch on; /* first: see journal_is_on() */
	_Atomic int addresses;	  /* enum config_log_addresses */
	_Atomic uint64_t dropped;
	/* Bytes ever put, and ever taken. */
	_Alignas(64) _Atomic uint64_t put;
	_Alignas(64) _Atomic uint64_t taken;
	uint64_t lines; /* the writer's: numbers them, dropped ones too */
	const struct names *names;
	uint32_t worker;
	char *ring; /* JOURNAL_FEED_CAP bytes */
};

/* Puts a whole line, or drops and counts it. The writer alone. */
void journal_feed_put(struct journal_feed *f, const char *line, size_t len);

/*
 * The oldest bytes in one piece, whole lines but for where the ring ends;
 * they stay until journal_feed_take(). The reader alone.
 */
size_t journal_feed_peek(const struct journal_feed *f, const char **bytes);
void journal_feed_take(struct journal_feed *f, size_t len);

/* Of the main thread, with its own feed. */
void journal_line_policy(struct journal_feed *f, const char *path,
			 const char *hash, const char *cause);
void journal_line_verdict(struct journal_feed *f, uint64_t session,
			  const char *verdict, const char *source);

#endif
