/*
 * storm: SMTP clients by the thousand in one thread, each of which leaves in
 * its own way (mix.h).
 *
 *	storm -t ADDRESS:PORT [-n SESSIONS] [-c AT_ONCE] [-s SEED] [-i FIRST]
 *	      [-b BODY_BYTES] [-k LEAVE,HOW,CLASS,FAULT | -m] [-p PATIENCE_MS]
 *	      [-R PER_S] [-r FILE] [-H STEP]
 *
 *   -k  the cell of the mix, by names; A+B in a place draws lots between them,
 *       `*` between all, seeded
 *   -m  the whole matrix instead of -n and -k: each way to leave in each class,
 *       and each fault in each class
 *   -b  0 draws lots: most short, some larger than all the buffers between
 *   -i  the number of the first session, and so of its message
 *   -R  so many are begun a second, by the clock, while AT_ONCE has room
 *   -r  a line a session: ID LEAVE HOW CLASS FAULT END STEP TOLD SAID MS, TOLD
 *       being 1 if the client was told 250 for its message; SAID `exact` if
 *       all it heard was the MTA's (and lines of a teaser), `421` if it was
 *       told that once and not by the MTA, `other` otherwise; MS its life
 *   -H  greeting or ehlo: keeps all sessions once they are so far, says
 *       "holding" and closes them at the end of standard input
 *
 * Its last line is the sum. Exit status 0, whatever became of the sessions.
 */
#include "tests/bench/storm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_CAP 256
#define TICK_MS 5
/* Not in every <netinet/in.h>. */
#define OPTION_BIND_NO_PORT 24
/* How long an MTA that has stalled is waited for. */
#define STALL_PATIENCE_MS 1600

static struct storm storm = {
    .sessions = 1,
    .parallel = 1,
    .seed = 1,
    .patience_ms = 60000,
    .hold = STEP_COUNT,
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t
below(uint64_t n)
{
	return mix_random(&storm.seed) % n;
}

/* A place of the cell: of those asked for, or with `well` every second. */
static size_t
draw(uint64_t asked, size_t count, bool favours_first)
{
	size_t left = 0;

	if (asked != 0) {
		left = below((uint64_t)__builtin_popcountll(asked));
		for (; left > 0; left--)
			asked &= asked - 1;
		return (size_t)__builtin_ctzll(asked);
	}
	if (favours_first && below(2) == 0)
		return 0;
	return below(count);
}

static size_t
draw_body(void)
{
	if (storm.body_bytes > 0)
		return storm.body_bytes;
	return below(50) == 0 ? BODY_LARGE : 64 + below(8000);
}

static void
draw_cell(struct client *c)
{
	bool favours = storm.leave == 0 && storm.fault == 0;

	c->leave = &mix_leaves[draw(storm.leave, mix_leaves_count, favours)];
	c->how = (enum mix_how)draw(storm.how, HOW_COUNT, false);
	c->class = draw(storm.class, MIX_CLASSES, false);
	c->fault = draw(storm.fault, mix_faults_count, true);
	c->body_len = draw_body();
	c->later_ms = 1 + (uint32_t)below(250);
}

static uint32_t
matrix_size(void)
{
	return (uint32_t)(MIX_CLASSES *
			  (mix_leaves_count * HOW_COUNT + mix_faults_count));
}

/* Cell n of the matrix: a leave and a `well`, or a fault and a `complete`. */
static void
take_from_matrix(struct client *c, size_t n)
{
	c->class = n % MIX_CLASSES;
	n /= MIX_CLASSES;
	c->how = (enum mix_how)(n % HOW_COUNT);
	c->leave = &mix_leaves[0];
	c->fault = 0;
	if (n < mix_leaves_count * HOW_COUNT)
		c->leave = &mix_leaves[n / HOW_COUNT];
	else
		c->fault = n - mix_leaves_count * HOW_COUNT;
}

static int
open_socket(const struct client *c)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int few = 4096;

	if (fd < 0)
		die("socket");
	from.sin_addr.s_addr =
	    htonl((uint32_t)(127u << 24 | c->class << 16 | c->fault << 8 |
			     (1 + c->id % 200)));
	(void)setsockopt(fd, IPPROTO_IP, OPTION_BIND_NO_PORT, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (c->leave->manner == MANNER_DEAF)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
	if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
		die("bind");
	return fd;
}

static void
watch(struct client *c, int operation)
{
	struct epoll_event ev = {.data.ptr = c};

	if (c->deaf_ms == 0)
		ev.events |= EPOLLIN;
	if (!c->is_connected || c->out != NULL)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(storm.epoll, operation, c->fd, &ev) != 0)
		die("epoll_ctl");
}

static void
begin(struct client *c)
{
	memset(c, 0, sizeof *c);
	c->id = storm.first + storm.begun++;
	draw_cell(c);
	if (storm.is_matrix)
		take_from_matrix(c, storm.begun - 1);
	/* Behind a slow reply the sink would answer the rest out of turn. */
	if (mix_faults[c->fault].act == ACT_SLOW &&
	    c->leave->manner == MANNER_PIPELINE)
		c->fault = 0;
	if (mix_faults[c->fault].act == ACT_PAUSE)
		c->body_len = BODY_MAX;
	c->fd = open_socket(c);
	c->start_ms = mix_now_ms();
	storm.begun_ms = c->start_ms - storm.start_ms;
	c->deadline_ms = c->start_ms + storm.patience_ms;
	if (mix_faults[c->fault].act == ACT_STALL)
		c->deadline_ms = mix_now_ms() + STALL_PATIENCE_MS;
	storm.running++;
	if (connect(c->fd, (struct sockaddr *)&storm.to, sizeof storm.to) !=
		0 &&
	    errno != EINPROGRESS) {
		client_end(&storm, c, END_UNREACHABLE);
		return;
	}
	watch(c, EPOLL_CTL_ADD);
}

/* Says what the socket takes; the rest when it is writable. */
static void
flush(struct client *c)
{
	bool was_waiting = c->out != NULL && c->out_at > 0;
	ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
			 MSG_NOSIGNAL);

	/* A peer that is gone is told of by read. */
	if (n < 0 && errno != EAGAIN)
		n = (ssize_t)(c->out_len - c->out_at);
	c->out_at += n > 0 ? (size_t)n : 0;
	if (c->out_at < c->out_len) {
		if (!was_waiting)
			watch(c, EPOLL_CTL_MOD);
		return;
	}
	free(c->out);
	c->out = NULL;
	if (was_waiting)
		watch(c, EPOLL_CTL_MOD);
	client_said(&storm, c);
}

void
storm_send(struct storm *s, struct client *c, const void *bytes, size_t len)
{
	(void)s;
	c->out = malloc(len);
	if (c->out == NULL)
		die("malloc");
	memcpy(c->out, bytes, len);
	c->out_len = len;
	c->out_at = 0;
	flush(c);
}

void
storm_go_deaf(struct storm *s, struct client *c)
{
	(void)s;
	c->deaf_ms = mix_now_ms() + MIX_DEAF_MS;
	watch(c, EPOLL_CTL_MOD);
}

static void
end_deafness(struct client *c)
{
	c->deaf_ms = 0;
	watch(c, EPOLL_CTL_MOD);
}

static bool
has_connected(struct client *c)
{
	int error = 0;
	socklen_t len = sizeof error;

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		client_end(&storm, c, END_UNREACHABLE);
		return false;
	}
	c->is_connected = true;
	watch(c, EPOLL_CTL_MOD);
	client_enter(&storm, c, STEP_GREETING);
	return c->fd >= 0;
}

static void
on_event(struct client *c, uint32_t events)
{
	static char bytes[16384];
	ssize_t n;

	if (c->fd < 0)
		return;
	if (!c->is_connected && !has_connected(c))
		return;
	if (c->out != NULL && (events & EPOLLOUT) != 0)
		flush(c);
	if (c->fd < 0)
		return;
	if (c->deaf_ms != 0 && (events & (EPOLLERR | EPOLLHUP)) == 0)
		return;
	n = read(c->fd, bytes, sizeof bytes);
	if (n > 0)
		client_heard(&storm, c, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client_end(&storm, c,
			   c->has_left
			       ? END_LEFT
			       : (c->was_refused ? END_REFUSED : END_CLOSED));
}

static void
check_times(void)
{
	uint64_t now_ms = mix_now_ms();

	for (size_t i = 0; i < storm.parallel; i++) {
		struct client *c = &storm.clients[i];

		if (c->fd < 0)
			continue;
		if (c->deaf_ms != 0 && now_ms >= c->deaf_ms)
			end_deafness(c);
		if (c->leave_ms != 0 && now_ms >= c->leave_ms)
			client_leave(&storm, c);
		else if (!c->is_holding && now_ms >= c->deadline_ms)
			client_end(&storm, c, END_TIMEOUT);
	}
}

/* How many may have been begun by now. */
static uint64_t
due(void)
{
	if (storm.per_s == 0)
		return storm.sessions;
	return 1 + (mix_now_ms() - storm.start_ms) * storm.per_s / 1000;
}

static void
begin_some(void)
{
	uint64_t most = due() < storm.sessions ? due() : storm.sessions;

	for (size_t i = 0; i < storm.parallel && storm.begun < most; i++)
		if (storm.clients[i].fd < 0)
			begin(&storm.clients[i]);
}

static void
say_holding(void)
{
	if (storm.said_holding || storm.holding < storm.parallel)
		return;
	storm.said_holding = true;
	printf("holding %u\n", storm.holding);
	fflush(stdout);
}

static void
end_holding(void)
{
	for (size_t i = 0; i < storm.parallel; i++)
		if (storm.clients[i].fd >= 0)
			client_end(&storm, &storm.clients[i], END_LEFT);
}

static void
turn(void)
{
	struct epoll_event events[EVENTS_CAP];
	int n = epoll_wait(storm.epoll, events, EVENTS_CAP, TICK_MS);
	char byte;

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr != NULL)
			on_event(events[i].data.ptr, events[i].events);
		else if (read(STDIN_FILENO, &byte, 1) <= 0)
			end_holding();
	}
	check_times();
	begin_some();
	if (storm.hold != STEP_COUNT)
		say_holding();
}

static void
open_all(void)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	storm.epoll = epoll_create1(EPOLL_CLOEXEC);
	storm.clients = calloc(storm.parallel, sizeof *storm.clients);
	if (storm.epoll < 0 || storm.clients == NULL)
		die("storm");
	for (size_t i = 0; i < storm.parallel; i++)
		storm.clients[i].fd = -1;
	if (storm.hold != STEP_COUNT &&
	    epoll_ctl(storm.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) != 0)
		die("standard input");
}

static void
run(void)
{
	storm.start_ms = mix_now_ms();
	open_all();
	begin_some();
	while (storm.running > 0 || storm.begun < storm.sessions)
		turn();
	printf("sessions=%u told=%u", storm.begun, storm.told);
	for (int i = 0; i < END_COUNT; i++)
		printf(" %s=%u", client_end_name((enum end)i), storm.ends[i]);
	printf(" other=%u begun_ms=%llu ms=%llu\n", storm.others,
	       (unsigned long long)storm.begun_ms,
	       (unsigned long long)(mix_now_ms() - storm.start_ms));
	if (storm.results != NULL && fclose(storm.results) != 0)
		die("results");
}

/* Names of the cell with + between them, as bits; `*`: 0. */
static uint64_t
place(char *names, int (*find)(const char *))
{
	uint64_t bits = 0;
	char *name;

	if (names == NULL || strcmp(names, "*") == 0)
		return 0;
	while ((name = strsep(&names, "+")) != NULL) {
		int at = find(name);

		if (at < 0) {
			fprintf(stderr, "storm: there is no \"%s\"\n", name);
			exit(2);
		}
		bits |= (uint64_t)1 << at;
	}
	return bits;
}

static void
take_cell(char *text)
{
	storm.leave = place(strsep(&text, ","), mix_find_leave);
	storm.how = place(strsep(&text, ","), mix_find_how);
	storm.class = place(strsep(&text, ","), mix_find_class);
	storm.fault = place(strsep(&text, ","), mix_find_fault);
}

static void
take_target(char *text)
{
	char *port = strrchr(text, ':');

	storm.to.sin_family = AF_INET;
	if (port != NULL)
		*port++ = '\0';
	if (port == NULL || inet_pton(AF_INET, text, &storm.to.sin_addr) != 1) {
		fprintf(stderr, "storm: -t wants ADDRESS:PORT\n");
		exit(2);
	}
	storm.to.sin_port = htons((uint16_t)atoi(port)); /* a port */
}

static void
take_option(int option, char *value)
{
	unsigned long n = value != NULL ? strtoul(value, NULL, 10) : 0;

	switch (option) {
	case 't':
		take_target(value);
		break;
	case 'n':
		storm.sessions = (uint32_t)n;
		break;
	case 'c':
		storm.parallel = n;
		break;
	case 's':
		storm.seed = n > 0 ? n : 1;
		break;
	case 'i':
		storm.first = (uint32_t)n;
		break;
	case 'b':
		storm.body_bytes = n < BODY_MAX ? n : BODY_MAX;
		break;
	case 'p':
		storm.patience_ms = n;
		break;
	case 'R':
		storm.per_s = n;
		break;
	case 'm':
		storm.is_matrix = true;
		storm.sessions = matrix_size();
		break;
	case 'k':
		take_cell(value);
		break;
	case 'H':
		storm.hold =
		    strcmp(value, "ehlo") == 0 ? STEP_EHLO : STEP_GREETING;
		break;
	case 'r':
		storm.results = fopen(value, "w");
		if (storm.results == NULL)
			die(value);
		break;
	}
}

int
main(int argc, char **argv)
{
	int option;

	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "t:n:c:s:i:b:k:mp:R:r:H:")) != -1) {
		if (option == '?')
			return 2;
		take_option(option, optarg);
	}
	if (storm.to.sin_port == 0) {
		fprintf(stderr, "storm: -t ADDRESS:PORT is needed\n");
		return 2;
	}
	run();
	return 0;
}
