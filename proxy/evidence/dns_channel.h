/*
 * Questions on the wire: c-ares, with its sockets under the loop's polls.
 *
 * At most DNS_FLIGHTS at a time: more, and answers are lost in the socket's
 * buffer. A name is one question with what follows from it: the names of an
 * address, then whether one of them leads back. One thread; never waits.
 */
#ifndef PROXY_EVIDENCE_DNS_CHANNEL_H
#define PROXY_EVIDENCE_DNS_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/evidence/dns_answer.h"

#define DNS_FLIGHTS 50u

struct dns_channel;

/* What came of a question. */
struct dns_result {
	enum dns_kind kind;
	uint32_t ttl_s;
	uint64_t took_ms;
	const char *name; /* the one that is DNS_CONFIRMED, for the call */
};

/* May be called from within dns_channel_ask(). */
typedef void dns_done_fn(void *ctx, uint32_t tag,
			 const struct dns_result *result);

struct dns_channel_options {
	const struct config_dns *dns; /* borrowed until the close */
	dns_done_fn *done;
	void *ctx;
};

/* Returns 0 with *out the caller's, or a negative errno. */
__attribute__((warn_unused_result)) int
dns_channel_open(struct dns_channel **out, uv_loop_t *loop,
		 const struct dns_channel_options *options);

/* What is under way is forgotten, nothing is called. NULL is fine. The loop
 * must run on until its handles are closed. */
void dns_channel_close(struct dns_channel *ch);

/* How many questions are under way, and how many were ever sent. */
uint32_t dns_channel_flying(const struct dns_channel *ch);
uint64_t dns_channel_sent(const struct dns_channel *ch);

/* Asks the list for the address; `list` NULL: for its name. Fewer than
 * DNS_FLIGHTS must be under way. `done` is called once with the tag. */
void dns_channel_ask(struct dns_channel *ch, uint32_t tag, const struct addr *a,
		     const struct config_list *list);

/* Looks for questions whose time is over; some ten times a second. */
void dns_channel_tick(struct dns_channel *ch);

#endif
