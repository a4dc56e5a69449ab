/*
 * A port may turn out to be in use at bind, or not before connect; either time
 * another socket tries with any.
 */
#include "proxy/relay/guise.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/relay/sockaddr.h"

/* <linux/in6.h> has it, but clashes with <netinet/in.h>. */
#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif

#define HIGHEST_BIT 0x8000u

int
guise_allow(int fd, uint8_t family)
{
	static const int on = 1;
	int level = family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
	int name = family == 4 ? IP_TRANSPARENT : IPV6_TRANSPARENT;

	return setsockopt(fd, level, name, &on, sizeof(on)) == 0 ? 0 : -errno;
}

/*
 * True if the address is this host's. Not by bind(), which some hosts allow
 * for any address (ip_nonlocal_bind); but what this host says to itself, it
 * says from there. No packet is sent.
 */
static bool
is_here(const struct addr *a)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_set(&sa, a);
	struct addr from = {.family = 0};
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&sa, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		sockaddr_get(&from, &sa);
	(void)close(fd);
	return addr_same_ip(&from, a);
}

/* The port to try first; 0: none can be. */
static uint16_t
wanted_port(const struct guise_ends *ends)
{
	uint16_t port = ends->client->port;

	if (ends->mta->port != ends->server->port ||
	    !addr_same_ip(ends->mta, ends->server) || !is_here(ends->mta))
		return port;
	return port ^ HIGHEST_BIT;
}

/* Several MTAs may be told of one port of a client; any port is chosen when
 * the other end is known. */
static int
prepare(int fd, const struct addr *client, uint16_t port)
{
	static const int on = 1;
	struct addr from = *client;
	struct sockaddr_storage sa;
	socklen_t len;
	int error = guise_allow(fd, client->family);

	from.port = port;
	len = sockaddr_set(&sa, &from);
	if (error != 0)
		return error;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (port == 0 && setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT,
				     &on, sizeof(on)) != 0) ||
	    bind(fd, (const struct sockaddr *)&sa, len) != 0)
		return -errno;
	return 0;
}

/* A socket that is bound; or a negative errno. */
static int
open_socket(const struct addr *client, uint16_t port)
{
	int fd = socket(client->family == 4 ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	error = prepare(fd, client, port);
	if (error == 0)
		return fd;
	(void)close(fd);
	return error;
}

/* Or is one below 1024, and we may not. */
static bool
is_in_use(int error)
{
	return error == -EADDRINUSE || error == -EADDRNOTAVAIL ||
	       error == -EACCES;
}

/* A socket that connects from that port, 0: any; or a negative errno. */
static int
connect_from(const struct guise_ends *ends, uint16_t port)
{
	struct sockaddr_storage to;
	socklen_t len = sockaddr_set(&to, ends->mta);
	int fd = open_socket(ends->client, port);
	int error;

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&to, len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	error = -errno;
	(void)close(fd);
	return error;
}

static uint16_t
own_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr own = {.family = 0};

	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		sockaddr_get(&own, &sa);
	return own.port;
}

int
guise_connect(const struct guise_ends *ends, struct guise_port *out)
{
	int fd = -EADDRINUSE;

	*out = (struct guise_port){.port = 0};
	if (ends->client->family != ends->mta->family)
		return -EAFNOSUPPORT;
	out->port = wanted_port(ends);
	if (out->port != 0)
		fd = connect_from(ends, out->port);
	if (!is_in_use(fd))
		return fd;
	out->is_other = true;
	fd = connect_from(ends, 0);
	out->port = fd >= 0 ? own_port(fd) : 0;
	return fd;
}
