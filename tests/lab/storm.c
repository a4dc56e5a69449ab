/*
 * storm ADDR PORT COUNT CONCURRENCY RATE: many short SMTP sessions.
 *
 * Each connects, waits for the greeting, says QUIT and waits for the end. RATE
 * is how many are begun a second, 0: as many as CONCURRENCY allows. A line a
 * session, when it ends:
 *   START_US PORT CONNECTED_US BANNER_US RESULT
 * START_US is CLOCK_MONOTONIC, the others count from there on (0: it never
 * came to that), PORT is ours, RESULT the code of the greeting or the error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_CAP 1024
#define EVENTS_CAP 256
/* A session that takes longer is an error. */
#define PATIENCE_US 40000000u

struct shot {
	int fd; /* -1: free */
	uint64_t start_us;
	uint64_t connected_us;
	uint64_t banner_us;
	unsigned port;
	size_t len;
	char line[LINE_CAP];
};

struct storm {
	struct sockaddr_storage to;
	socklen_t to_len;
	struct shot *shots;
	unsigned long concurrency;
	unsigned long count;
	unsigned long begun;
	unsigned long ended;
	unsigned long rate;
	uint64_t start_us;
	int poll;
};

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void
end(struct storm *s, struct shot *shot, const char *result)
{
	printf("%llu %u %llu %llu %s\n", (unsigned long long)shot->start_us,
	       shot->port,
	       (unsigned long long)(shot->connected_us > 0
					? shot->connected_us - shot->start_us
					: 0),
	       (unsigned long long)(shot->banner_us > 0
					? shot->banner_us - shot->start_us
					: 0),
	       result);
	close(shot->fd);
	shot->fd = -1;
	s->ended++;
}

static void
learn_port(struct shot *shot)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);

	getsockname(shot->fd, (struct sockaddr *)&own, &len);
	/* Both families have the port in the same place. */
	shot->port = ntohs(((struct sockaddr_in *)&own)->sin_port);
}

static void
begin(struct storm *s, struct shot *shot)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = shot};

	memset(shot, 0, sizeof(*shot));
	shot->fd = socket(s->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (shot->fd < 0) {
		perror("socket");
		exit(1);
	}
	s->begun++;
	shot->start_us = now_us();
	if (connect(shot->fd, (struct sockaddr *)&s->to, s->to_len) != 0 &&
	    errno != EINPROGRESS) {
		end(s, shot, strerrorname_np(errno));
		return;
	}
	learn_port(shot);
	epoll_ctl(s->poll, EPOLL_CTL_ADD, shot->fd, &event);
}

/* How many should have been begun by now. */
static unsigned long
due(const struct storm *s)
{
	uint64_t by_rate = (now_us() - s->start_us) * s->rate / 1000000u + 1;

	return s->rate == 0 || by_rate > s->count ? s->count : by_rate;
}

static void
begin_some(struct storm *s)
{
	unsigned long until = due(s);
	unsigned long i;

	for (i = 0; i < s->concurrency && s->begun < until; i++)
		if (s->shots[i].fd < 0)
			begin(s, &s->shots[i]);
}

static void
on_connected(struct storm *s, struct shot *shot)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = shot};
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(shot->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		end(s, shot, strerrorname_np(error));
		return;
	}
	shot->connected_us = now_us();
	epoll_ctl(s->poll, EPOLL_CTL_MOD, shot->fd, &event);
}

/* True if the last line of what came is whole and no 220- line. */
static int
is_greeted(const struct shot *shot)
{
	const char *last = shot->line;
	const char *next;

	while ((next = strchr(last, '\n')) != NULL && next[1] != '\0')
		last = next + 1;
	return next != NULL && strlen(last) > 4 && last[3] == ' ';
}

static void
on_bytes(struct storm *s, struct shot *shot)
{
	ssize_t n = read(shot->fd, shot->line + shot->len,
			 sizeof(shot->line) - 1 - shot->len);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		shot->line[3] = '\0';
		end(s, shot,
		    shot->banner_us > 0 ? shot->line
		    : n < 0		? strerrorname_np(errno)
					: "EOF");
		return;
	}
	shot->len += (size_t)n;
	shot->line[shot->len] = '\0';
	if (shot->banner_us > 0 || !is_greeted(shot))
		return;
	shot->banner_us = now_us();
	if (write(shot->fd, "QUIT\r\n", 6) != 6)
		end(s, shot, strerrorname_np(errno));
}

static void
end_overdue(struct storm *s)
{
	uint64_t now = now_us();
	unsigned long i;

	for (i = 0; i < s->concurrency; i++)
		if (s->shots[i].fd >= 0 &&
		    now - s->shots[i].start_us > PATIENCE_US)
			end(s, &s->shots[i], "ETIMEDOUT");
}

static void
run(struct storm *s)
{
	struct epoll_event events[EVENTS_CAP];
	int n;
	int i;

	s->start_us = now_us();
	while (s->ended < s->count) {
		begin_some(s);
		n = epoll_wait(s->poll, events, EVENTS_CAP, 1);
		for (i = 0; i < n; i++) {
			struct shot *shot = events[i].data.ptr;

			if (shot->connected_us == 0)
				on_connected(s, shot);
			else
				on_bytes(s, shot);
		}
		if (n == 0)
			end_overdue(s);
	}
}

static int
parse_address(struct storm *s, const char *text, unsigned short port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&s->to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s->to;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		s->to_len = sizeof(*v4);
		return 0;
	}
	memset(v6, 0, sizeof(*v6));
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	s->to_len = sizeof(*v6);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	static struct storm s;
	struct rlimit files = {65536, 65536};
	unsigned long i;

	if (argc != 6 ||
	    parse_address(&s, argv[1],
			  (unsigned short)strtoul(argv[2], NULL, 10)) != 0) {
		fputs("usage: storm ADDR PORT COUNT CONCURRENCY RATE\n",
		      stderr);
		return 2;
	}
	s.count = strtoul(argv[3], NULL, 10);
	s.concurrency = strtoul(argv[4], NULL, 10);
	s.rate = strtoul(argv[5], NULL, 10);
	setrlimit(RLIMIT_NOFILE, &files);
	s.shots = calloc(s.concurrency, sizeof(*s.shots));
	s.poll = epoll_create1(0);
	if (s.shots == NULL || s.poll < 0)
		return 1;
	for (i = 0; i < s.concurrency; i++)
		s.shots[i].fd = -1;
	run(&s);
	free(s.shots);
	return 0;
}
