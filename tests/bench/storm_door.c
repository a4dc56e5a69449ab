/*
 * See storm_door.h.
 */
#include "tests/bench/storm_door.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096
#define REFUSE_MS 100
#define HANG_MS 200

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static int
bound_socket(const struct door *d)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		die("socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (const struct sockaddr *)&d->address, sizeof d->address) !=
	    0)
		die("bind");
	return fd;
}

static void
listen_with(struct door *d, int backlog)
{
	struct epoll_event ev = {.events = EPOLLIN};

	d->listener = bound_socket(d);
	ev.data.fd = d->listener;
	if (listen(d->listener, backlog) != 0)
		die("listen");
	if (backlog > 0 &&
	    epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->listener, &ev) != 0)
		die("epoll_ctl");
}

void
door_refuse(struct door *d)
{
	if (d->listener >= 0)
		close(d->listener);
	d->listener = -1;
}

/* Behind a queue for one that nobody takes from, handshakes hang. */
void
door_hang(struct door *d)
{
	door_refuse(d);
	listen_with(d, 0);
}

void
door_open(struct door *d)
{
	door_refuse(d);
	listen_with(d, BACKLOG);
}

void
door_make(struct door *d, int epoll, uint16_t port)
{
	socklen_t len = sizeof d->address;
	int fd;

	d->epoll = epoll;
	d->address.sin_family = AF_INET;
	d->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	d->address.sin_port = htons(port);
	fd = bound_socket(d);
	if (getsockname(fd, (struct sockaddr *)&d->address, &len) != 0)
		die("getsockname");
	listen_with(d, BACKLOG);
}

unsigned
door_port(const struct door *d)
{
	return ntohs(d->address.sin_port);
}

void
door_first_client(struct door *d)
{
	if (d->window_ms == 0 && d->period_ms > 0)
		d->window_ms = mix_now_ms() + d->period_ms;
}

void
door_tick(struct door *d, uint64_t now_ms)
{
	if (d->window_ms == 0 || now_ms < d->window_ms)
		return;
	if (d->is_window) {
		door_open(d);
		d->is_window = false;
		d->window_ms = now_ms + d->period_ms;
		return;
	}
	d->is_window = true;
	door_refuse(d);
	d->window_ms = now_ms + REFUSE_MS;
	if (d->windows++ % 2 == 0)
		return;
	door_hang(d);
	d->window_ms = now_ms + HANG_MS;
}
