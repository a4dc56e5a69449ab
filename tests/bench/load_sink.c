/*
 * load_sink: an MTA in one thread that keeps nothing and does as little as
 * one can, for measuring what stands between it and load.
 *
 * It listens twice: at the first port it greets at once, at the second when
 * a PROXY v2 header has come. Says "plain PORT proxy PORT". On SIGUSR1 and at
 * the end (SIGTERM) it says the sums: sessions greeted, messages taken, their
 * bytes. A message ends where the dot's line is the last that came, which is
 * right for clients that wait for the reply.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_CAP 65536
#define EVENTS_CAP 256
#define BACKLOG 16384
#define READ_CAP 262144
#define HEADER_LEN 16 /* PROXY v2, section 2.2, without the addresses */
#define TAIL_LEN 5    /* the dot's line and the CRLF in front of it */

enum state { STATE_PROXY, STATE_LINES, STATE_BODY };

struct peer {
	uint8_t state;
	uint8_t len; /* of head: a header, or the verb of a line */
	char head[16];
	uint16_t skip;	     /* bytes of the header that are still to come */
	char tail[TAIL_LEN]; /* the last bytes of a message */
};

static struct load_sink {
	int epoll;
	int signals;
	int plain;
	int proxy;
	uint64_t sessions;
	uint64_t messages;
	uint64_t bytes;
	struct peer peers[FDS_CAP];
	char in[READ_CAP];
} sink;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
say(int fd, const char *text)
{
	/* Replies are short; a peer that is gone is told of by read. */
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
greet(int fd)
{
	sink.peers[fd].state = STATE_LINES;
	sink.peers[fd].len = 0;
	sink.sessions++;
	say(fd, "220 sink.example ESMTP\r\n");
}

/* Takes bytes of the header; returns how many. */
static size_t
take_header(int fd, const char *bytes, size_t len)
{
	struct peer *p = &sink.peers[fd];
	size_t n = HEADER_LEN - p->len;

	if (p->skip > 0) {
		n = len < p->skip ? len : p->skip;
		p->skip = (uint16_t)(p->skip - n);
	} else {
		n = len < n ? len : n;
		memcpy(p->head + p->len, bytes, n);
		p->len = (uint8_t)(p->len + n);
		if (p->len < HEADER_LEN)
			return n;
		if (memcmp(p->head, "\r\n\r\n\0\r\nQUIT\n", 12) != 0)
			die("no PROXY v2 header");
		p->skip = (uint16_t)((uint8_t)p->head[14] << 8 |
				     (uint8_t)p->head[15]);
	}
	if (p->skip == 0)
		greet(fd);
	return n;
}

/* A whole line has come. Returns false when the peer was closed. */
static bool
on_line(int fd)
{
	static const struct {
		char verb[5];
		const char *reply;
	} verbs[] = {
	    {"EHLO", "250-sink.example\r\n250-SIZE 100000000\r\n"
		     "250 8BITMIME\r\n"},
	    {"HELO", "250 sink.example\r\n"},
	    {"MAIL", "250 ok\r\n"},
	    {"RCPT", "250 ok\r\n"},
	    {"DATA", "354 go\r\n"},
	    {"QUIT", "221 bye\r\n"},
	};
	struct peer *p = &sink.peers[fd];
	const char *reply = "500 what?\r\n";

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (memcmp(p->head, verbs[i].verb, 4) == 0)
			reply = verbs[i].reply;
	p->len = 0;
	say(fd, reply);
	if (reply[0] == '3') {
		p->state = STATE_BODY;
		/* As behind the end of a line: a message may be empty. */
		memcpy(p->tail, "...\r\n", TAIL_LEN);
	}
	if (memcmp(p->head, "QUIT", 4) != 0)
		return true;
	close(fd);
	return false;
}

static size_t
take_line(int fd, const char *bytes, size_t len)
{
	struct peer *p = &sink.peers[fd];
	const char *end = memchr(bytes, '\n', len);
	size_t n = end != NULL ? (size_t)(end - bytes) + 1 : len;

	for (size_t i = 0; i < n && p->len < sizeof p->head; i++)
		p->head[p->len++] = bytes[i];
	if (end != NULL && !on_line(fd))
		return len;
	return n;
}

static size_t
take_body(int fd, const char *bytes, size_t len)
{
	struct peer *p = &sink.peers[fd];

	sink.bytes += len;
	if (len < TAIL_LEN) {
		memmove(p->tail, p->tail + len, TAIL_LEN - len);
		memcpy(p->tail + TAIL_LEN - len, bytes, len);
	} else {
		memcpy(p->tail, bytes + len - TAIL_LEN, TAIL_LEN);
	}
	if (memcmp(p->tail, "\r\n.\r\n", TAIL_LEN) != 0)
		return len;
	sink.messages++;
	p->state = STATE_LINES;
	say(fd, "250 ok\r\n");
	return len;
}

static void
on_peer(int fd)
{
	ssize_t n = read(fd, sink.in, sizeof sink.in);
	size_t len = n > 0 ? (size_t)n : 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(fd);
		return;
	}
	for (size_t at = 0; at < len;) {
		switch ((enum state)sink.peers[fd].state) {
		case STATE_PROXY:
			at += take_header(fd, sink.in + at, len - at);
			break;
		case STATE_LINES:
			at += take_line(fd, sink.in + at, len - at);
			break;
		case STATE_BODY:
			at += take_body(fd, sink.in + at, len - at);
			break;
		}
	}
}

static void
on_accept(int listener)
{
	int on = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

		if (fd >= FDS_CAP)
			die("too many descriptors");
		memset(&sink.peers[fd], 0, sizeof sink.peers[fd]);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (epoll_ctl(sink.epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
			die("epoll_ctl");
		if (listener == sink.plain)
			greet(fd);
	}
}

static void
watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0 || epoll_ctl(sink.epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll_ctl");
}

static int
open_listener(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
	    listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		die("listener");
	*port = ntohs(at.sin_port);
	watch(fd);
	return fd;
}

static void
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sink.signals = signalfd(-1, &set, SFD_CLOEXEC);
	watch(sink.signals);
}

/* Returns false at the end. */
static bool
on_signal(void)
{
	struct signalfd_siginfo info;

	if (read(sink.signals, &info, sizeof info) != (ssize_t)sizeof info)
		return true;
	printf("sessions=%" PRIu64 " messages=%" PRIu64 " bytes=%" PRIu64 "\n",
	       sink.sessions, sink.messages, sink.bytes);
	fflush(stdout);
	return info.ssi_signo == SIGUSR1;
}

static void
serve(void)
{
	struct epoll_event events[EVENTS_CAP];

	for (;;) {
		int n = epoll_wait(sink.epoll, events, EVENTS_CAP, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == sink.plain || fd == sink.proxy)
				on_accept(fd);
			else if (fd != sink.signals)
				on_peer(fd);
			else if (!on_signal())
				return;
		}
	}
}

int
main(void)
{
	uint16_t plain;
	uint16_t proxy;

	signal(SIGPIPE, SIG_IGN);
	sink.epoll = epoll_create1(EPOLL_CLOEXEC);
	open_signals();
	sink.plain = open_listener(&plain);
	sink.proxy = open_listener(&proxy);
	printf("plain %u proxy %u\n", (unsigned)plain, (unsigned)proxy);
	fflush(stdout);
	serve();
	return 0;
}
