#include "proxy/relay/poller.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define EVENTS_OVER (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

int
poller_open(struct poller *p, uv_loop_t *loop, const struct poller_calls *calls)
{
	struct epoll_event event = {.events = EPOLLIN};

	p->loop = loop;
	p->calls = calls;
	p->fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->fd < 0)
		return -errno;
	if (epoll_ctl(p->fd, EPOLL_CTL_ADD, uv_backend_fd(loop), &event) != 0)
		return -errno;
	return 0;
}

void
poller_close(struct poller *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
}

int
poller_add(struct poller *p, struct sock *s, int fd)
{
	struct epoll_event event = {.events = EVENTS, .data = {.ptr = s}};

	if (epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &event) != 0)
		return -errno;
	s->fd = fd;
	return 0;
}

static void
list(struct poller *p, struct sock *s)
{
	if (s->is_listed)
		return;
	s->is_listed = true;
	s->next = NULL;
	if (p->first == NULL)
		p->first = s;
	else
		p->last->next = s;
	p->last = s;
}

void
poller_again(struct poller *p, struct sock *s)
{
	if (s->fd >= 0)
		list(p, s);
}

/* Its events of this turn are for nobody. */
static void
forget_events(struct poller *p, const struct sock *s)
{
	int i;

	for (i = p->at; i < p->count; i++)
		if (p->events[i].data.ptr == s)
			p->events[i].events = 0;
}

void
poller_renew(struct poller *p, struct sock *s)
{
	forget_events(p, s);
	s->may_read = false;
	s->is_over = false;
}

void
poller_remove(struct poller *p, struct sock *s)
{
	if (s->fd >= 0) {
		forget_events(p, s);
		(void)close(s->fd);
	}
	s->fd = -1;
	list(p, s);
}

static struct sock *
take_first(struct poller *p)
{
	struct sock *s = p->first;

	p->first = s->next;
	s->is_listed = false;
	return s;
}

/* Those who are listed meanwhile wait for the next turn. */
static void
come_back(struct poller *p)
{
	struct sock *last = p->last;
	bool is_last = p->first == NULL;

	while (!is_last) {
		struct sock *s = take_first(p);

		is_last = s == last;
		if (s->fd < 0)
			p->calls->closed[s->kind](s);
		else
			p->calls->ready[s->kind](s, 0);
	}
}

static void
tell(struct poller *p, const struct epoll_event *event)
{
	struct sock *s = event->data.ptr;
	uint32_t events = event->events;

	if ((events & (EPOLLIN | EVENTS_OVER)) != 0)
		s->may_read = true;
	if ((events & EVENTS_OVER) != 0)
		s->is_over = true;
	p->calls->ready[s->kind](s, events);
}

/* Returns true if libuv's loop has something to do. */
static bool
tell_all(struct poller *p)
{
	bool is_loop = false;

	for (p->at = 0; p->at < p->count;) {
		const struct epoll_event *event = &p->events[p->at++];

		if (event->data.ptr == NULL)
			is_loop = true;
		else if (event->events != 0)
			tell(p, event);
	}
	p->count = 0;
	return is_loop || uv_backend_timeout(p->loop) == 0;
}

static void
wait_for_events(struct poller *p)
{
	int timeout = uv_backend_timeout(p->loop);

	if (p->wants_turn || p->first != NULL)
		timeout = 0;
	p->count = epoll_wait(p->fd, p->events, POLLER_EVENTS, timeout);
	if (p->count < 0)
		p->count = 0; /* EINTR */
	uv_update_time(p->loop);
}

void
poller_run(struct poller *p)
{
	/* libuv puts its own descriptors into its set when it runs. */
	bool goes_on = uv_run(p->loop, UV_RUN_NOWAIT) != 0;

	while (goes_on || p->first != NULL) {
		/* The turn sees what is closed as free. */
		p->wants_turn = false;
		come_back(p);
		p->calls->turn(p);
		if (goes_on)
			wait_for_events(p);
		if (goes_on && tell_all(p))
			goes_on = uv_run(p->loop, UV_RUN_NOWAIT) != 0;
	}
}
