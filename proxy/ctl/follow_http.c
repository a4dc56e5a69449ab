/*
 * Just enough of HTTP/1.1 (RFC 9112) for one POST a connection: a body whose
 * length is said. It is not for the open net: whoever reaches it is believed.
 */
#include "proxy/ctl/follow_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD_CAP 16384u
#define PATIENCE_S 5

struct request {
	size_t len;
	char bytes[HEAD_CAP + FOLLOW_HTTP_CAP + 1];
};

static bool
is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	return a->family == 4 ? a->ip[12] == 127
			      : memcmp(a->ip, one, sizeof(one)) == 0;
}

static socklen_t
fill(struct sockaddr_storage *to, const struct addr *at)
{
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	if (at->family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(at->port);
		memcpy(&in->sin_addr, at->ip + 12, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(at->port);
	memcpy(&in6->sin6_addr, at->ip, 16);
	return sizeof(*in6);
}

/* Returns the socket and the port that it got; -1: it says what is wrong. */
static int
listen_at(const struct addr *at, unsigned *port)
{
	struct sockaddr_storage to;
	socklen_t len = fill(&to, at);
	const int on = 1;
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)&to, len) == 0 && listen(fd, 64) == 0 &&
	    getsockname(fd, (struct sockaddr *)&to, &len) == 0) {
		/* It stands at the same place in both kinds. */
		*port = ntohs(((struct sockaddr_in *)&to)->sin_port);
		return fd;
	}
	perror("tarryctl: listening");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The body's length as it is said in the head; false: none, or too long. */
static bool
body_len(const char *head, size_t *len)
{
	static const char name[] = "\r\nContent-Length:";
	const char *at = strcasestr(head, name);
	char *end;
	unsigned long n;

	if (at == NULL)
		return false;
	at += sizeof(name) - 1;
	at += strspn(at, " \t");
	if (*at < '0' || *at > '9')
		return false;
	errno = 0;
	n = strtoul(at, &end, 10);
	*len = n;
	return errno == 0 && *end == '\r' && n <= FOLLOW_HTTP_CAP;
}

/* Reads until the bytes hold `want`; false: the peer ended or is too slow. */
static bool
read_up_to(int fd, struct request *r, size_t want)
{
	while (r->len < want) {
		ssize_t n = recv(fd, r->bytes + r->len, want - r->len, 0);

		if (n <= 0)
			return false;
		r->len += (size_t)n;
	}
	return true;
}

/* Where the body begins, or NULL. */
static char *
read_head(int fd, struct request *r)
{
	char *end = NULL;

	while (end == NULL && r->len < HEAD_CAP) {
		ssize_t n = recv(fd, r->bytes + r->len, HEAD_CAP - r->len, 0);

		if (n <= 0)
			return NULL;
		r->len += (size_t)n;
		r->bytes[r->len] = '\0';
		end = strstr(r->bytes, "\r\n\r\n");
	}
	return end != NULL ? end + 4 : NULL;
}

/* The body as text, or NULL. */
static const char *
read_post(int fd, struct request *r)
{
	char *body = read_head(fd, r);
	size_t len;
	size_t at;

	if (body == NULL || !follow_starts(r->bytes, "POST "))
		return NULL;
	at = (size_t)(body - r->bytes);
	body[-1] = '\0'; /* the head alone is looked through */
	if (!body_len(r->bytes, &len) || !read_up_to(fd, r, at + len))
		return NULL;
	body[len] = '\0';
	return body;
}

static void
serve(struct follow *f, follow_line_fn *take, struct request *r, int fd)
{
	static const char fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
				   "Connection: close\r\n\r\n";
	static const char wrong[] =
	    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
	    "Connection: close\r\n\r\n";
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	const char *body;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	r->len = 0;
	body = read_post(fd, r);
	if (body != NULL)
		take(f, body);
	(void)send(fd, body != NULL ? fine : wrong,
		   body != NULL ? sizeof(fine) - 1 : sizeof(wrong) - 1,
		   MSG_NOSIGNAL);
}

enum ctl_exit
follow_http(struct follow *f, follow_line_fn *take, const struct addr *at)
{
	struct request *r;
	unsigned port;
	int fd;

	if (!is_loopback(at)) {
		fputs("tarryctl: follow: who reaches that address would be "
		      "believed; it must be one of the host's own, 127.0.0.1 "
		      "or ::1\n",
		      stderr);
		return CTL_USAGE;
	}
	r = malloc(sizeof(*r));
	fd = r != NULL ? listen_at(at, &port) : -1;
	if (fd < 0) {
		free(r);
		return CTL_REFUSED;
	}
	fprintf(stderr, "tarryctl: following what is sent to port %u\n", port);
	for (;;) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (client >= 0) {
			serve(f, take, r, client);
			close(client);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			break;
		}
	}
	perror("tarryctl: accepting");
	close(fd);
	free(r);
	return CTL_REFUSED;
}
