/*
 * load: SMTP clients in one thread, for measuring what stands between them
 * and load_sink.
 *
 *	load -t ADDRESS:PORT [-n SESSIONS] [-c AT_ONCE] [-b BODY_BYTES]
 *	     [-r RATE] [-s SOURCE[+COUNT]] [-H STEP] [-T] [-q]
 *
 *   -r  RATE sessions begin in a second, whatever becomes of those before
 *       (in place of -c): who is kept waiting keeps no other from coming
 *   -s  the clients' own addresses: COUNT of them from SOURCE on, in turn
 *   -H  greeting, ehlo or body: opens all sessions, keeps each where it is
 *       once it has come so far (connected; greeted and answered; sending a
 *       message), says "holding N", reads what comes, and closes them at the
 *       end of standard input. "tell" on standard input asks for the sums.
 *   -T  TLS from the first byte on; connect to greeting has it within
 *   -q  QUIT behind the greeting, no message
 *
 * Its last line is the sum: sessions, complete, failed, ns in all, percentiles
 * in us of connect to greeting and of the whole session, bytes and reads from
 * the other side, bytes of messages. Exit status 0 if none has failed.
 */
#include "tests/bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_CAP 256
/* Handshakes under way at a time: no queue of a listener overflows. */
#define CONNECTING_MAX 200
#define READ_CAP 65536
#define NS_PER_S UINT64_C(1000000000)
/* Not in every <netinet/in.h>. */
#define OPTION_BIND_NO_PORT 24

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

void
load_watch_writable(struct load *l, struct load_client *c, bool on)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	c->is_writing = on;
	if (on)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		die("epoll_ctl");
}

void
load_end(struct load *l, struct load_client *c)
{
	if (c->step == LOAD_CONNECT || c->step == LOAD_SHAKE)
		l->connecting--;
	if (c->step != LOAD_DONE && !l->is_ending)
		l->failed++;
	l->holding -= c->is_holding;
	l->running--;
	tls_end(c);
	close(c->fd);
	c->fd = -1;
}

static int
open_socket(const struct load *l)
{
	struct sockaddr_in from = l->from;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		die("socket");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (l->sources == 0)
		return fd;
	from.sin_addr.s_addr =
	    htonl(ntohl(from.sin_addr.s_addr) + l->begun % l->sources);
	(void)setsockopt(fd, IPPROTO_IP, OPTION_BIND_NO_PORT, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
		die("bind");
	return fd;
}

/* Where a greeting is held, being connected must be told of. */
static void
begin(struct load *l, struct load_client *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (l->hold != LOAD_DONE || l->has_tls)
		ev.events |= EPOLLOUT;
	memset(c, 0, sizeof *c);
	c->fd = open_socket(l);
	c->begun_ns = load_now_ns();
	c->step = LOAD_CONNECT;
	l->begun++;
	l->running++;
	l->connecting++;
	if (connect(c->fd, (struct sockaddr *)&l->to, sizeof l->to) != 0 &&
	    errno != EINPROGRESS) {
		load_end(l, c);
		return;
	}
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		die("epoll_ctl");
}

/* The first ones; the others take the seats of those that ended. */
static void
begin_all(struct load *l)
{
	for (uint32_t i = 0; i < l->at_once && l->begun < l->sessions; i++)
		begin(l, &l->clients[i]);
}

/* Where sessions are held no seat is used twice. */
static void
begin_more(struct load *l)
{
	while (l->begun < l->sessions && l->connecting < CONNECTING_MAX)
		begin(l, &l->clients[l->begun]);
}

/* One read; of TLS all that there is, because epoll does not see it. */
static void
hear(struct load *l, struct load_client *c)
{
	static char bytes[READ_CAP];
	ssize_t n;

	do {
		n = load_recv(c, bytes, sizeof bytes);
		if (n > 0)
			client_heard(l, c, bytes, (size_t)n);
		else if (n == 0 || errno != EAGAIN)
			load_end(l, c);
	} while (n > 0 && c->fd >= 0 && c->ssl != NULL);
}

static void
on_event(struct load *l, struct load_client *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	if (c->step == LOAD_CONNECT && (events & EPOLLERR) == 0) {
		client_connected(l, c);
		if ((l->hold != LOAD_DONE || l->has_tls) && c->fd >= 0)
			load_watch_writable(l, c, false);
	} else if (c->is_writing && (events & EPOLLOUT) != 0) {
		client_writable(l, c);
	}
	if (c->fd < 0 || (events & ~(uint32_t)EPOLLOUT) == 0)
		return;
	if (c->step == LOAD_SHAKE)
		client_shakes(l, c);
	if (c->fd >= 0 && c->step != LOAD_SHAKE)
		hear(l, c);
	/* The seat is free: the next client takes it. */
	if (c->fd < 0 && l->hold == LOAD_DONE && l->rate == 0 &&
	    l->begun < l->sessions)
		begin(l, c);
}

static void
tell(struct load *l, uint64_t start_ns)
{
	printf("sessions=%u complete=%u failed=%u holding=%u ns=%" PRIu64
	       " banner_p50=%u banner_p99=%u session_p50=%u session_p99=%u"
	       " heard_bytes=%" PRIu64 " heard_reads=%" PRIu64
	       " said_bytes=%" PRIu64 "\n",
	       l->begun, l->complete, l->failed, l->holding,
	       load_now_ns() - start_ns, times_at(&l->banner, 50),
	       times_at(&l->banner, 99), times_at(&l->session, 50),
	       times_at(&l->session, 99), l->heard_bytes, l->heard_reads,
	       l->said_bytes);
	fflush(stdout);
}

static void
on_input(struct load *l, uint64_t start_ns)
{
	char line[64];

	if (read(STDIN_FILENO, line, sizeof line) > 0) {
		tell(l, start_ns);
		return;
	}
	l->is_ending = true;
	for (uint32_t i = 0; i < l->at_once; i++)
		if (l->clients[i].fd >= 0)
			load_end(l, &l->clients[i]);
}

static void
say_holding(struct load *l)
{
	if (l->is_said || l->holding + l->failed < l->sessions)
		return;
	l->is_said = true;
	printf("holding %u\n", l->holding);
	fflush(stdout);
}

/* Those that are due, each in a seat of its own. Returns ms to the next. */
static int
begin_due(struct load *l, uint64_t start_ns)
{
	const uint64_t now_ns = load_now_ns() - start_ns;

	while (l->begun < l->sessions &&
	       l->begun * NS_PER_S <= now_ns * l->rate)
		begin(l, &l->clients[l->begun]);
	return l->begun < l->sessions ? 1 : -1;
}

static void
turn(struct load *l, uint64_t start_ns)
{
	struct epoll_event events[EVENTS_CAP];
	int wait_ms = l->rate > 0 ? begin_due(l, start_ns) : -1;
	int n = epoll_wait(l->epoll, events, EVENTS_CAP, wait_ms);

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == NULL)
			on_input(l, start_ns);
		else
			on_event(l, events[i].data.ptr, events[i].events);
	}
	if (l->hold == LOAD_DONE || l->is_ending)
		return;
	begin_more(l);
	say_holding(l);
}

static void
open_all(struct load *l)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	if (l->hold != LOAD_DONE || l->rate > 0)
		l->at_once = l->sessions;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->clients = calloc(l->at_once, sizeof *l->clients);
	if (l->epoll < 0 || l->clients == NULL)
		die("load");
	times_init(&l->banner, l->sessions);
	times_init(&l->session, l->sessions);
	for (uint32_t i = 0; i < l->at_once; i++)
		l->clients[i].fd = -1;
	if (l->hold != LOAD_DONE &&
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) != 0)
		die("standard input");
}

/* Until all has ended; those that are held, until standard input ends. */
static void
run(struct load *l)
{
	uint64_t start_ns = load_now_ns();

	open_all(l);
	if (l->rate > 0)
		(void)begin_due(l, start_ns);
	else if (l->hold == LOAD_DONE)
		begin_all(l);
	else
		begin_more(l);
	while (l->running > 0 || (l->rate > 0 && l->begun < l->sessions) ||
	       (l->hold != LOAD_DONE && !l->is_ending))
		turn(l, start_ns);
	tell(l, start_ns);
}

static bool
take_target(struct load *l, char *text)
{
	char *port = strrchr(text, ':');

	if (port == NULL)
		return false;
	*port++ = '\0';
	l->to.sin_family = AF_INET;
	l->to.sin_port = htons((uint16_t)atoi(port)); /* a port */
	return inet_pton(AF_INET, text, &l->to.sin_addr) == 1;
}

static bool
take_source(struct load *l, char *text)
{
	char *count = strchr(text, '+');

	l->sources = 1;
	if (count != NULL) {
		*count++ = '\0';
		l->sources = (uint32_t)strtoul(count, NULL, 10);
	}
	l->from.sin_family = AF_INET;
	return l->sources > 0 &&
	       inet_pton(AF_INET, text, &l->from.sin_addr) == 1;
}

static bool
take_hold(struct load *l, const char *text)
{
	static const struct {
		const char *name;
		enum load_step step;
	} steps[] = {{"greeting", LOAD_GREETING},
		     {"ehlo", LOAD_EHLO},
		     {"body", LOAD_BODY}};

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		if (strcmp(text, steps[i].name) == 0)
			l->hold = steps[i].step;
	return l->hold != LOAD_DONE;
}

static bool
take_option(struct load *l, int option, char *value)
{
	switch (option) {
	case 't':
		return take_target(l, value);
	case 's':
		return take_source(l, value);
	case 'H':
		return take_hold(l, value);
	case 'n':
		l->sessions = (uint32_t)strtoul(value, NULL, 10);
		return l->sessions > 0;
	case 'c':
		l->at_once = (uint32_t)strtoul(value, NULL, 10);
		return l->at_once > 0;
	case 'r':
		l->rate = (uint32_t)strtoul(value, NULL, 10);
		return l->rate > 0;
	case 'T':
		l->has_tls = true;
		return true;
	case 'q':
		l->is_short = true;
		return true;
	case 'b':
		l->body_bytes = strtoul(value, NULL, 10);
		return true;
	default:
		return false;
	}
}

int
main(int argc, char **argv)
{
	static struct load load = {
	    .sessions = 1, .at_once = 1, .body_bytes = 4096, .hold = LOAD_DONE};
	int option;

	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "t:n:c:r:b:s:H:Tq")) != -1) {
		if (!take_option(&load, option, optarg)) {
			fprintf(stderr, "load: see the head of load.c\n");
			return 2;
		}
	}
	if (load.to.sin_port == 0) {
		fprintf(stderr, "load: -t ADDRESS:PORT is needed\n");
		return 2;
	}
	if (load.has_tls)
		tls_init(&load);
	run(&load);
	return load.failed > 0;
}
