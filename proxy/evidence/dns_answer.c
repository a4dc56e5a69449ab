#include "proxy/evidence/dns_answer.h"

#include <ares.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/config/lists.h"

#define RECORDS_CAP 32

static size_t
reverse_ip(const struct addr *a, char out[DNS_NAME_CAP])
{
	static const char digits[] = "0123456789abcdef";
	char *p = out;

	if (a->family == 4)
		return (size_t)snprintf(out, DNS_NAME_CAP, "%d.%d.%d.%d.",
					a->ip[15], a->ip[14], a->ip[13],
					a->ip[12]);
	for (size_t i = 16; i-- > 0;) {
		*p++ = digits[a->ip[i] & 15];
		*p++ = '.';
		*p++ = digits[a->ip[i] >> 4];
		*p++ = '.';
	}
	return (size_t)(p - out);
}

void
dns_reverse(const struct addr *a, const char *domain, char out[DNS_NAME_CAP])
{
	size_t len = reverse_ip(a, out);

	snprintf(out + len, DNS_NAME_CAP - len, "%s", domain);
}

void
dns_arpa(const struct addr *a, char out[DNS_NAME_CAP])
{
	dns_reverse(a, a->family == 4 ? "in-addr.arpa" : "ip6.arpa", out);
}

/*
 * 127.255.255.0/24 is what Spamhaus says to a resolver that it does not serve
 * (.252 a wrong zone, .254 a public resolver, .255 too many questions), and
 * others after it; 127.0.0.255 is dnswl.org's word for the same.
 */
static bool
is_blocked(const struct config_list *list, const uint8_t ip[4])
{
	if (ip[1] == 255 && ip[2] == 255)
		return true;
	return list->is_allow && ip[1] == 0 && ip[2] == 0 && ip[3] == 255;
}

static enum dns_kind
judge_record(const struct config_list *list, const struct in_addr *record)
{
	uint8_t ip[4];

	memcpy(ip, record, sizeof(ip));
	if (ip[0] != 127)
		return DNS_ODD;
	if (is_blocked(list, ip))
		return DNS_BLOCKED;
	return lists_filter_has(&list->filter, ip) ? DNS_LISTED : DNS_CLEAR;
}

static bool
has_records(const unsigned char *msg, size_t len)
{
	return len < 8 || msg[6] != 0 || msg[7] != 0;
}

static void
note_ttl(uint32_t *ttl_s, int ttl)
{
	uint32_t s = ttl > 0 ? (uint32_t)ttl : 1;

	if (*ttl_s == 0 || s < *ttl_s)
		*ttl_s = s;
}

enum dns_kind
dns_judge_list(const struct config_list *list, const unsigned char *msg,
	       size_t len, uint32_t *ttl_s)
{
	struct ares_addrttl records[RECORDS_CAP];
	int count = RECORDS_CAP;
	enum dns_kind all = DNS_CLEAR;
	int rc;

	*ttl_s = 0;
	/* A message is at most 64 KiB. */
	rc = ares_parse_a_reply(msg, (int)len, NULL, records, &count);
	/* Records, but none that tells anything: somebody is wrong. */
	if (rc == ARES_ENODATA && !has_records(msg, len))
		return DNS_CLEAR;
	if (rc != ARES_SUCCESS || count == 0)
		return DNS_FAILED;
	for (int i = 0; i < count; i++) {
		enum dns_kind one = judge_record(list, &records[i].ipaddr);

		note_ttl(ttl_s, records[i].ttl);
		/* What is worse for the list's word stands further down. */
		if (one == DNS_ODD || (one == DNS_BLOCKED && all != DNS_ODD) ||
		    (one == DNS_LISTED && all == DNS_CLEAR))
			all = one;
	}
	return all;
}

/* A name that is asked for in turn: letters, digits, - _ and dots. */
static bool
is_askable(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t len = strlen(name);

	return len > 0 && len < DNS_NAME_CAP - 2 &&
	       name[strspn(name, letters)] == '\0' && name[0] != '.';
}

int
dns_names(const struct addr *a, const unsigned char *msg, size_t len,
	  char names[DNS_NAMES_CAP][DNS_NAME_CAP])
{
	struct hostent *host = NULL;
	int count = 0;
	bool is_v4 = a->family == 4;
	int rc = ares_parse_ptr_reply(msg, (int)len, is_v4 ? a->ip + 12 : a->ip,
				      is_v4 ? 4 : 16,
				      is_v4 ? AF_INET : AF_INET6, &host);

	if (rc == ARES_ENODATA)
		return 0;
	if (rc != ARES_SUCCESS)
		return -1;
	/* All names are among the aliases. */
	for (char **p = host->h_aliases;
	     p != NULL && *p != NULL && count < DNS_NAMES_CAP; p++) {
		if (is_askable(*p))
			strcpy(names[count++], *p);
	}
	ares_free_hostent(host);
	return count;
}

static enum dns_kind
judge_a(const struct addr *a, const unsigned char *msg, size_t len,
	uint32_t *ttl_s)
{
	struct ares_addrttl records[RECORDS_CAP];
	int count = RECORDS_CAP;
	int rc = ares_parse_a_reply(msg, (int)len, NULL, records, &count);

	if (rc == ARES_ENODATA)
		return DNS_UNCONFIRMED;
	if (rc != ARES_SUCCESS)
		return DNS_FAILED;
	for (int i = 0; i < count; i++) {
		note_ttl(ttl_s, records[i].ttl);
		if (memcmp(&records[i].ipaddr, a->ip + 12, 4) == 0)
			return DNS_CONFIRMED;
	}
	return DNS_UNCONFIRMED;
}

static enum dns_kind
judge_aaaa(const struct addr *a, const unsigned char *msg, size_t len,
	   uint32_t *ttl_s)
{
	struct ares_addr6ttl records[RECORDS_CAP];
	int count = RECORDS_CAP;
	int rc = ares_parse_aaaa_reply(msg, (int)len, NULL, records, &count);

	if (rc == ARES_ENODATA)
		return DNS_UNCONFIRMED;
	if (rc != ARES_SUCCESS)
		return DNS_FAILED;
	for (int i = 0; i < count; i++) {
		note_ttl(ttl_s, records[i].ttl);
		if (memcmp(&records[i].ip6addr, a->ip, 16) == 0)
			return DNS_CONFIRMED;
	}
	return DNS_UNCONFIRMED;
}

enum dns_kind
dns_judge_name(const struct addr *a, const unsigned char *msg, size_t len,
	       uint32_t *ttl_s)
{
	*ttl_s = 0;
	return a->family == 4 ? judge_a(a, msg, len, ttl_s)
			      : judge_aaaa(a, msg, len, ttl_s);
}
