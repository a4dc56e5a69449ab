/*
 * Listening sockets: what must be set before bind, and taking turns.
 */
#include "proxy/relay/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/daemon/log.h"
#include "proxy/relay/guise.h"
#include "proxy/relay/worker_state.h"

#define BACKLOG 4096
/* <linux/tcp.h> has it, but clashes with libuv's <netinet/tcp.h>. */
#define OPTION_SAVE_SYN 27

struct option {
	int level;
	int name;
	const char *text;
};

/* Accepted sockets inherit TCP_NODELAY and TCP_SAVE_SYN. */
static const struct option options[] = {
    {SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"},
    {IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"},
};

static int
set_option(int fd, int level, int name, const char *text)
{
	int on = 1;
	int error;

	if (setsockopt(fd, level, name, &on, sizeof(on)) == 0)
		return 0;
	error = -errno;
	log_say(LOG_LEVEL_ERROR, "cannot set %s: %s", text, uv_strerror(error));
	return error;
}

static int
set_options(int fd, const struct addr *address, unsigned does)
{
	int error = 0;
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]) && error == 0; i++)
		error = set_option(fd, options[i].level, options[i].name,
				   options[i].text);
	if (error == 0 && (does & LISTENER_FIRST) == 0)
		error =
		    set_option(fd, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT");
	if (error == 0 && address->family == 6)
		error =
		    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY");
	if (error == 0 && (does & LISTENER_TRANSPARENT) != 0)
		error = guise_allow(fd, address->family);
	/* A kernel without it is no reason not to serve: one witness less. */
	if (error == 0 && (does & LISTENER_SAVES_SYN) != 0)
		(void)set_option(fd, IPPROTO_TCP, OPTION_SAVE_SYN,
				 "TCP_SAVE_SYN");
	return error;
}

/* The next connection of the kernel's queue, or a negative errno. */
static int
take_next(const struct listener *l)
{
	for (;;) {
		int fd = accept4(l->sock.fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			return fd;
		if (errno != EINTR && errno != ECONNABORTED)
			return -errno;
	}
}

/* The queue is empty, or something that no session can mend is amiss. */
static void
cannot_take(struct listener *l, int error)
{
	l->is_waiting = error != -EAGAIN;
	if (error == -EAGAIN || error == l->said_error)
		return;
	l->said_error = error;
	log_say(LOG_LEVEL_ERROR, "listener %s: accept: %s", l->name,
		uv_strerror(error));
}

void
listener_resume(struct listener *l)
{
	struct worker *w = l->worker;

	while (l->is_waiting && l->is_open) {
		int fd;

		if (w->accepts >= LISTENER_TURN_CAP) {
			worker_want_turn(w);
			return;
		}
		if (!conn_has_seat(l)) {
			worker_paused(w);
			return;
		}
		fd = take_next(l);
		if (fd < 0) {
			cannot_take(l, fd);
			return;
		}
		w->accepts++;
		(void)conn_open(l, fd);
	}
}

void
listener_ready(struct sock *s, uint32_t events)
{
	struct listener *l = container_of(s, struct listener, sock);

	(void)events;
	l->is_waiting = true;
	listener_resume(l);
}

void
listener_closed(struct sock *s)
{
	(void)s; /* listener_free() comes when the worker ends */
}

static int
open_socket(const struct addr *address, unsigned does, int *out)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_set(&sa, address);
	int fd =
	    socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	error = set_options(fd, address, does);
	if (error == 0 && bind(fd, (const struct sockaddr *)&sa, len) != 0)
		error = -errno;
	if (error != 0) {
		(void)close(fd);
		return error;
	}
	*out = fd;
	return 0;
}

/*
 * Workers share their ports, and the kernel would let another tarryd of the
 * same user have a share of the clients; without sharing it tells.
 */
static int
is_anybody_there(const struct addr *address, unsigned does)
{
	int fd;
	int error;

	if ((does & LISTENER_FIRST) == 0 || address->port == 0)
		return 0;
	error = open_socket(address, does, &fd);
	if (error == 0)
		(void)close(fd);
	return error;
}

/* The port may have been 0: what did we get? */
static void
say_address(struct listener *l)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char text[ADDR_TEXT_CAP];

	if (getsockname(l->sock.fd, (struct sockaddr *)&sa, &len) == 0)
		sockaddr_get(&l->address, &sa);
	(void)addr_text(&l->address, text, sizeof(text));
	log_say(LOG_LEVEL_INFO, "listener %s: listening on %s", l->name, text);
}

int
listener_open(struct listener *l, struct worker *w, const char *name,
	      const struct addr *address, unsigned does)
{
	char text[ADDR_TEXT_CAP];
	int fd = -1;
	int error;

	memset(l, 0, sizeof(*l));
	sock_init(&l->sock, SOCK_LISTENER);
	l->worker = w;
	l->name = strdup(name);
	if (l->name == NULL)
		return -ENOMEM;
	l->address = *address;
	error = is_anybody_there(address, does);
	if (error == 0)
		error = open_socket(address, does & ~LISTENER_FIRST, &fd);
	if (error != 0)
		goto say;
	if (listen(fd, BACKLOG) != 0)
		error = -errno;
	if (error == 0)
		error = poller_add(&w->poller, &l->sock, fd);
	if (error != 0) {
		(void)close(fd);
		goto say;
	}
	l->is_open = true;
	say_address(l);
	return 0;
say:
	(void)addr_text(address, text, sizeof(text));
	log_say(LOG_LEVEL_ERROR, "listener %s: cannot listen on %s: %s%s", name,
		text, uv_strerror(error), log_bind_hint(error));
	return error;
}

/* What waits in the kernel's queue would be reset by closing the socket. */
static void
empty_queue(struct listener *l)
{
	int fd;

	while ((fd = take_next(l)) >= 0)
		if (conn_open(l, fd) == -ENOBUFS)
			metrics_add(l->worker->options.metrics,
				    METRIC_REFUSED_FULL, 1);
}

void
listener_drain(struct listener *l)
{
	if (!l->is_open)
		return;
	empty_queue(l);
	listener_close(l);
}

void
listener_close(struct listener *l)
{
	if (!l->is_open)
		return;
	l->is_open = false;
	l->is_waiting = false;
	poller_remove(&l->worker->poller, &l->sock);
}

void
listener_free(struct listener *l)
{
	free(l->name);
	l->name = NULL;
}
