/*
 * storm_sink: an MTA in one thread that reads PROXY v2, keeps nothing but the
 * number of each message it took, and fails in the way that the client's
 * address asks for (mix.h).
 *
 *	storm_sink [-l PORT] [-o FILE] [-w MS]
 *
 *   -l PORT  on this port; without it on one that is free
 *   -o FILE  a line "ID ok" a message, written before its 250 is said; "bad"
 *            if it is not what was sent; behind what is in it
 *   -w MS    every MS milliseconds, beginning with the first client that
 *            comes through 127.x, refuses connections for a while, then lets
 *            them hang, in turn
 *
 * Says "listening on ADDRESS:PORT" and serves until SIGTERM. SIGUSR1: refuses
 * connections from now on; SIGUSR2: lets them hang; SIGHUP: takes them again.
 * In the end it says "accepted COUNT most AT_ONCE", and how often it did what,
 * "fault NAME COUNT" a line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/storm_door.h"
#include "tests/bench/storm_out.h"

#define FDS_CAP 65536
#define EVENTS_CAP 256
#define LINE_CAP 512
#define TICK_MS 10
#define PAUSES_MAX 3
#define STALL_MS 2000 /* then it closes, as MTAs do in the end */
#define DOT "\r\n.\r\n"
#define DOT_LEN 5
#define HEADER_LEN 16 /* PROXY v2, section 2.2, without the addresses */
#define HEADER_CAP (HEADER_LEN + 216)

enum state { STATE_PROXY, STATE_LINES, STATE_BODY, STATE_OPAQUE, STATE_DEAF };

struct conn {
	enum state state;
	const struct mix_fault *fault;
	uint64_t slow_ms; /* when the slow reply or the end is due; 0: none */
	enum mix_step slow_step;
	uint32_t id;
	uint64_t hash;
	uint64_t hash_told;
	uint64_t hash_crlf; /* at the last end of a line */
	uint64_t hash_line; /* of the command that is being read */
	uint8_t match;	    /* bytes of DOT that were seen */
	bool is_open;
	bool is_paused;
	uint8_t pauses; /* so far */
	bool in_head;	/* of a message */
	struct out out;
	size_t len;
	char line[LINE_CAP];
};

static struct sink {
	int epoll;
	struct door door;
	FILE *out;
	size_t slow_count;
	unsigned long accepted;
	unsigned long open;
	unsigned long most_open;
	unsigned long *faults; /* by their rows in mix_faults */
	struct conn *conns[FDS_CAP];
	uint8_t bytes[65536];
} sink = {.door = {.listener = -1}};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
forget(int fd)
{
	struct conn *c = sink.conns[fd];

	sink.slow_count -= c->slow_ms != 0;
	c->is_open = false;
	sink.open--;
	out_free(&c->out);
}

static void
leave(int fd, enum mix_act act)
{
	forget(fd);
	if (act == ACT_RST)
		mix_reset(fd);
	else
		close(fd);
}

static void
set_reading(int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};

	(void)epoll_ctl(sink.epoll, EPOLL_CTL_MOD, fd, &ev);
}

/* Nothing is read while something is not taken. */
static void
say(int fd, const char *text, size_t len)
{
	out_say(&sink.conns[fd]->out, fd, text, len);
	if (sink.conns[fd]->out.len > 0)
		set_reading(fd, EPOLLOUT);
}

static void
took(const struct conn *c)
{
	if (sink.out != NULL)
		fprintf(sink.out, "%" PRIu32 " %s\n", c->id,
			c->hash_crlf == c->hash_told ? "ok" : "bad");
}

/* Where a step ends as it should. */
static void
reply(int fd, enum mix_step step)
{
	struct conn *c = sink.conns[fd];
	const char *text = mix_reply(step);

	if (step == STEP_BODY)
		took(c);
	if (step == STEP_DATA) {
		c->state = STATE_BODY;
		c->match = 2; /* as behind the end of a line */
		c->in_head = true;
		c->len = 0;
	}
	say(fd, text, strlen(text));
	if (step == STEP_STARTTLS)
		c->state = STATE_OPAQUE;
	if (step == STEP_QUIT)
		leave(fd, ACT_FIN);
}

static void
begin_slow(struct conn *c, enum mix_step step, uint64_t ms)
{
	sink.slow_count += c->slow_ms == 0;
	c->slow_ms = mix_now_ms() + ms;
	c->slow_step = step;
}

static void
go_deaf(int fd)
{
	begin_slow(sink.conns[fd], STEP_BYE, STALL_MS);
	sink.conns[fd]->state = STATE_DEAF;
	set_reading(fd, 0);
}

static void
pause_reading(int fd)
{
	if (sink.conns[fd]->pauses >= PAUSES_MAX)
		return;
	sink.conns[fd]->pauses++;
	begin_slow(sink.conns[fd], STEP_BODY, MIX_SLOW_MS);
	sink.conns[fd]->is_paused = true;
	set_reading(fd, 0);
}

static void
go_on(int fd)
{
	sink.conns[fd]->is_paused = false;
	set_reading(fd, EPOLLIN);
}

static void
fail(int fd, enum mix_step step)
{
	struct conn *c = sink.conns[fd];
	const struct mix_fault *f = c->fault;

	sink.faults[f - mix_faults]++;
	if (f->text != NULL && strncmp(f->text, "250 ", 4) == 0 &&
	    step == STEP_BODY)
		took(c);
	if (f->text != NULL)
		say(fd, f->text, strlen(f->text));
	switch (f->act) {
	case ACT_WELL:
	case ACT_SAY:
		break;
	case ACT_FIN:
	case ACT_RST:
		leave(fd, f->act);
		break;
	case ACT_HALF:
		(void)shutdown(fd, SHUT_WR);
		break;
	case ACT_STALL:
		go_deaf(fd);
		break;
	case ACT_PAUSE:
		pause_reading(fd);
		break;
	case ACT_SLOW:
		begin_slow(c, step, MIX_SLOW_MS);
		break;
	}
}

static void
answer(int fd, enum mix_step step)
{
	const struct mix_fault *f = sink.conns[fd]->fault;

	if (f->step == step && !f->mid && f->act != ACT_WELL)
		fail(fd, step);
	else
		reply(fd, step);
}

/* The client's cell of the mix, from 127.CLASS.FAULT.x. */
static void
read_source(struct conn *c, const uint8_t ip[4])
{
	if (ip[0] != 127 || ip[2] >= mix_faults_count)
		return;
	c->fault = &mix_faults[ip[2]];
	if (ip[1] > 0)
		door_first_client(&sink.door);
}

/* A byte of the PROXY header. */
static void
on_proxy_byte(int fd, uint8_t byte)
{
	struct conn *c = sink.conns[fd];
	const uint8_t *h = (const uint8_t *)c->line;
	size_t want = HEADER_LEN;

	c->line[c->len++] = (char)byte;
	if (c->len < HEADER_LEN)
		return;
	want += (size_t)h[14] << 8 | h[15];
	if (memcmp(h, "\r\n\r\n\0\r\nQUIT\n", 12) != 0 || want > HEADER_CAP) {
		fprintf(stderr, "storm_sink: no PROXY v2 header\n");
		leave(fd, ACT_RST);
		return;
	}
	if (c->len < want)
		return;
	if ((h[12] & 15) == 1 && h[13] == 0x11)
		read_source(c, h + HEADER_LEN);
	c->len = 0;
	c->state = STATE_LINES;
	answer(fd, STEP_GREETING);
}

static void
on_line(int fd)
{
	static const struct {
		char verb[9];
		enum mix_step step;
	} verbs[] = {
	    {"EHLO", STEP_EHLO}, {"MAIL", STEP_MAIL},
	    {"RCPT", STEP_RCPT}, {"DATA", STEP_DATA},
	    {"QUIT", STEP_QUIT}, {"STARTTLS", STEP_STARTTLS},
	    {"HELP", STEP_HELP},
	};
	struct conn *c = sink.conns[fd];
	char unknown[64];

	c->len = 0;
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		if (strncmp(c->line, verbs[i].verb, strlen(verbs[i].verb)) != 0)
			continue;
		answer(fd, verbs[i].step);
		return;
	}
	mix_unknown(c->hash_line, unknown);
	say(fd, unknown, strlen(unknown));
}

/* True at the end of the line; of long ones only the beginning is kept. */
static bool
gather(struct conn *c, uint8_t byte)
{
	if (c->len < LINE_CAP - 1)
		c->line[c->len++] = (char)byte;
	c->line[c->len] = '\0';
	return byte == '\n';
}

static void
on_line_byte(int fd, uint8_t byte)
{
	struct conn *c = sink.conns[fd];

	if (c->len == 0)
		c->hash_line = MIX_HASH_FIRST;
	c->hash_line = mix_hash(c->hash_line, &byte, 1);
	if (gather(c, byte))
		on_line(fd);
}

/* The first line of a message tells who it is. */
static void
on_head_byte(struct conn *c, uint8_t byte)
{
	if (!gather(c, byte))
		return;
	c->in_head = false;
	c->id = UINT32_MAX;
	(void)sscanf(c->line, "X-Storm: %" SCNu32 " %" SCNx64, &c->id,
		     &c->hash_told);
	c->hash = c->hash_crlf = MIX_HASH_FIRST;
}

static void
on_body_byte(int fd, uint8_t byte)
{
	struct conn *c = sink.conns[fd];

	if (c->in_head) {
		on_head_byte(c, byte);
		return;
	}
	c->hash = (c->hash ^ byte) * 0x100000001b3u;
	if (byte == (uint8_t)DOT[c->match])
		c->match++;
	else
		c->match = byte == '\r';
	if (c->match == 2)
		c->hash_crlf = c->hash;
	if (c->match < DOT_LEN)
		return;
	c->state = STATE_LINES;
	c->len = 0;
	answer(fd, STEP_BODY);
}

static void
on_opaque(int fd, const uint8_t *bytes, size_t len)
{
	const struct mix_fault *f = sink.conns[fd]->fault;

	if (f->step == STEP_OPAQUE && f->act != ACT_WELL)
		fail(fd, STEP_OPAQUE);
	else
		say(fd, (const char *)bytes, len);
}

static void
on_bytes(int fd, const uint8_t *bytes, size_t len)
{
	struct conn *c = sink.conns[fd];

	if (c->state == STATE_BODY && c->fault->mid &&
	    c->fault->step == STEP_BODY) {
		fail(fd, STEP_BODY);
		if (c->fault->act != ACT_PAUSE)
			return;
	}
	for (size_t i = 0; i < len && c->is_open; i++) {
		switch (c->state) {
		case STATE_PROXY:
			on_proxy_byte(fd, bytes[i]);
			break;
		case STATE_LINES:
			on_line_byte(fd, bytes[i]);
			break;
		case STATE_BODY:
			on_body_byte(fd, bytes[i]);
			break;
		case STATE_OPAQUE:
			on_opaque(fd, bytes + i, len - i);
			return;
		case STATE_DEAF:
			return;
		}
	}
}

static void
on_conn(int fd, uint32_t events)
{
	ssize_t n;

	if (!sink.conns[fd]->is_open || sink.conns[fd]->is_paused)
		return;
	if (sink.conns[fd]->state == STATE_DEAF) {
		if ((events & (EPOLLERR | EPOLLHUP)) != 0)
			leave(fd, ACT_FIN);
		return;
	}
	if (sink.conns[fd]->out.len > 0) {
		if (out_go_on(&sink.conns[fd]->out, fd))
			set_reading(fd, EPOLLIN);
		return;
	}
	n = read(fd, sink.bytes, sizeof sink.bytes);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		leave(fd, ACT_FIN);
	else
		on_bytes(fd, sink.bytes, (size_t)n);
}

static void
on_accept(void)
{
	int on = 1;
	int fd;

	while ((fd = accept4(sink.door.listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

		if (fd >= FDS_CAP)
			die("too many descriptors");
		free(sink.conns[fd]);
		sink.conns[fd] = calloc(1, sizeof(struct conn));
		if (sink.conns[fd] == NULL)
			die("calloc");
		sink.accepted++;
		if (++sink.open > sink.most_open)
			sink.most_open = sink.open;
		sink.conns[fd]->fault = &mix_faults[0];
		sink.conns[fd]->is_open = true;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (epoll_ctl(sink.epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
			die("epoll_ctl");
	}
}

static void
tick(void)
{
	uint64_t now_ms = mix_now_ms();

	door_tick(&sink.door, now_ms);
	for (int fd = 0; fd < FDS_CAP && sink.slow_count > 0; fd++) {
		struct conn *c = sink.conns[fd];

		if (c == NULL || !c->is_open || c->slow_ms == 0 ||
		    c->slow_ms > now_ms)
			continue;
		c->slow_ms = 0;
		sink.slow_count--;
		if (c->state == STATE_DEAF)
			leave(fd, ACT_FIN);
		else if (c->is_paused)
			go_on(fd);
		else
			reply(fd, c->slow_step);
	}
}

static int
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Returns false at the one that ends it. */
static bool
on_signal(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof info) != sizeof info)
		die("signalfd");
	if (info.ssi_signo == SIGUSR1)
		door_refuse(&sink.door);
	else if (info.ssi_signo == SIGUSR2)
		door_hang(&sink.door);
	else if (info.ssi_signo == SIGHUP)
		door_open(&sink.door);
	else
		return false;
	return true;
}

static void
serve(void)
{
	struct epoll_event events[EVENTS_CAP];
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = open_signals()};
	int n;

	if (epoll_ctl(sink.epoll, EPOLL_CTL_ADD, ev.data.fd, &ev) != 0)
		die("epoll_ctl");
	for (;;) {
		bool ticks = sink.slow_count > 0 || sink.door.window_ms != 0;

		n = epoll_wait(sink.epoll, events, EVENTS_CAP,
			       ticks ? TICK_MS : -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == ev.data.fd && !on_signal(fd))
				return;
			if (fd == ev.data.fd)
				continue;
			if (fd == sink.door.listener)
				on_accept();
			else if (sink.conns[fd] != NULL)
				on_conn(fd, events[i].events);
		}
		if (ticks)
			tick();
	}
}

static void
report(void)
{
	printf("accepted %lu most %lu\n", sink.accepted, sink.most_open);
	for (size_t i = 0; i < mix_faults_count; i++)
		if (sink.faults[i] > 0)
			printf("fault %s %lu\n", mix_faults[i].name,
			       sink.faults[i]);
}

int
main(int argc, char **argv)
{
	uint16_t port = 0;
	int option;

	while ((option = getopt(argc, argv, "l:o:w:")) != -1) {
		if (option == 'l')
			port = (uint16_t)atoi(optarg); /* a port */
		if (option == 'o')
			sink.out = fopen(optarg, "a");
		if (option == 'o' && sink.out == NULL)
			die(optarg);
		if (option == 'w')
			sink.door.period_ms = strtoul(optarg, NULL, 10);
		if (option == '?')
			return 2;
	}
	if (sink.out != NULL)
		setlinebuf(sink.out);
	sink.epoll = epoll_create1(EPOLL_CLOEXEC);
	sink.faults = calloc(mix_faults_count, sizeof *sink.faults);
	if (sink.faults == NULL)
		die("calloc");
	door_make(&sink.door, sink.epoll, port);
	printf("listening on 127.0.0.1:%u\n", door_port(&sink.door));
	fflush(stdout);
	serve();
	report();
	return sink.out != NULL && fclose(sink.out) != 0;
}
