/*
 * DNS names to ask for, and what an answer says. The parsing of messages is
 * c-ares's; what comes out of it is still anybody's word.
 */
#ifndef PROXY_EVIDENCE_DNS_ANSWER_H
#define PROXY_EVIDENCE_DNS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/config/config.h"
#include "tarry/addr.h"

#define DNS_NAME_CAP 256
/* Names of one address that are tried. */
#define DNS_NAMES_CAP 4

/* What became of one question; the order of the rows in metrics.def. */
enum dns_kind {
	DNS_LISTED,
	DNS_CLEAR, /* not listed */
	DNS_CONFIRMED,
	DNS_UNCONFIRMED,
	DNS_NONE,    /* no name */
	DNS_BLOCKED, /* the list says that it does not serve this resolver */
	DNS_ODD,     /* outside 127.0.0.0/8: no list says that */
	DNS_FAILED,  /* the resolver could not tell, or not so that one can
			read it */
	DNS_TIMEOUT,
	DNS_KINDS
};

/*
 * The address, reversed, with the domain behind: `1.2.0.192.DOMAIN`, or 32
 * nibbles. A domain of at most 188 bytes fits.
 */
void dns_reverse(const struct addr *a, const char *domain,
		 char out[DNS_NAME_CAP]);

/* The same in in-addr.arpa or ip6.arpa. */
void dns_arpa(const struct addr *a, char out[DNS_NAME_CAP]);

/*
 * What a list says with the A records of msg[0..len). DNS_LISTED if any of
 * them counts; one record that no list gives makes all of it DNS_ODD, one
 * that says "not to you" DNS_BLOCKED. *ttl_s is the least of the records', 0
 * if there is none. Allocates and frees, by c-ares.
 */
enum dns_kind dns_judge_list(const struct config_list *list,
			     const unsigned char *msg, size_t len,
			     uint32_t *ttl_s);

/*
 * The names in the PTR records of msg[0..len), at most DNS_NAMES_CAP, those
 * that may be asked for. Returns how many, or -1 if it cannot be read.
 */
int dns_names(const struct addr *a, const unsigned char *msg, size_t len,
	      char names[DNS_NAMES_CAP][DNS_NAME_CAP]);

/*
 * DNS_CONFIRMED if the A or AAAA records of msg[0..len) have the address,
 * else DNS_UNCONFIRMED, or DNS_FAILED if they cannot be read.
 */
enum dns_kind dns_judge_name(const struct addr *a, const unsigned char *msg,
			     size_t len, uint32_t *ttl_s);

#endif
