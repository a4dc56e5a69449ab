/*
 * What the DNS says of clients' addresses: lists, and the name.
 *
 * Workers ask by their name_feed and are answered there; nobody waits. One
 * question for an address and list, however many sessions ask; what was said
 * is kept for its time to live, 60 s to 1 h, what is not there for 5 min,
 * failures for 30 s. Memory is fixed: what finds no room is not asked, and
 * counted. No answer at all is what a session hears of any failure.
 *
 * A list that failed 8 times in a row has 4 questions under way at most, so
 * that one that is dead does not keep the others from being asked.
 */
#ifndef PROXY_EVIDENCE_DNS_H
#define PROXY_EVIDENCE_DNS_H

#include <stdint.h>
#include <uv.h>

#include "proxy/config/config.h"
#include "proxy/evidence/dns_answer.h"
#include "proxy/evidence/name_feed.h"

struct dns;

struct dns_options {
	struct name_feed *feeds; /* one a worker; borrowed until the close */
	uint32_t feeds_count;
	/* There is something in its feed; any thread's uv_async_send(). */
	void (*wake)(void *ctx, uint32_t worker);
	void (*say)(void *ctx, const char *message); /* a line for the log */
	void (*took)(void *ctx, uint64_t ms);	     /* a question is over */
	void *ctx;
};

struct dns_counts {
	uint64_t kinds[DNS_KINDS];
	uint64_t sent;	  /* questions, those for names of names too */
	uint64_t hits;	  /* answered from what was kept */
	uint64_t joined;  /* the same was under way */
	uint64_t crowded; /* no room to ask or to remember who asked */
	uint64_t late;	  /* were not asked in time */
	uint32_t flying;
	uint32_t waiting;
};

/* Asks nobody yet. Returns 0 with *out the caller's, or a negative errno. */
__attribute__((warn_unused_result)) int
dns_open(struct dns **out, uv_loop_t *loop, const struct dns_options *options);

/*
 * From now on these lists are asked for who asks under this epoch; all else is
 * forgotten. `dns` is borrowed until the next call or the close. Takes all
 * its memory the first time that there is anything to ask. Returns 0, or a
 * negative errno: then nobody is asked.
 */
__attribute__((warn_unused_result)) int
dns_set(struct dns *d, const struct config_dns *dns, uint32_t epoch);

/* A worker has put something into its feed. Any thread. */
void dns_wake(struct dns *d);

/* No worker runs any more. NULL is fine; the loop frees what it has. */
void dns_close(struct dns *d);

/* `d` may be NULL. */
void dns_count(const struct dns *d, struct dns_counts *out);

#endif
