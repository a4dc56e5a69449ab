/*
 * The only place that knows both forms of an address.
 */
#include "proxy/relay/sockaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Where the IPv4 address stands in struct addr. */
#define V4_AT 12

socklen_t
sockaddr_set(struct sockaddr_storage *out, const struct addr *a)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	memset(out, 0, sizeof(*out));
	if (a->family == 4) {
		v4.sin_port = htons(a->port);
		memcpy(&v4.sin_addr, a->ip + V4_AT, sizeof(v4.sin_addr));
		memcpy(out, &v4, sizeof(v4));
		return sizeof(v4);
	}
	v6.sin6_port = htons(a->port);
	memcpy(&v6.sin6_addr, a->ip, sizeof(v6.sin6_addr));
	memcpy(out, &v6, sizeof(v6));
	return sizeof(v6);
}

void
sockaddr_get(struct addr *a, const struct sockaddr_storage *sa)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(a, 0, sizeof(*a));
	if (sa->ss_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		addr_set_v4(a, (const uint8_t *)&v4.sin_addr,
			    ntohs(v4.sin_port));
	} else if (sa->ss_family == AF_INET6) {
		memcpy(&v6, sa, sizeof(v6));
		addr_set_v6(a, v6.sin6_addr.s6_addr, ntohs(v6.sin6_port));
	}
}
