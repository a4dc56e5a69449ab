/*
 * See log.h. One ring of bytes, many writers, one reader. Lines go in whole
 * or not at all, so that what comes out is always lines.
 */
#include "proxy/daemon/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/daemon/log_line.h"

#define RING_CAP (512u * 1024u)
/* A pipe that polls writable takes so many bytes without blocking (POSIX,
 * PIPE_BUF). */
#define WRITE_CAP 4096u
/* Lines of sessions that nobody waited for. */
#define TOKENS_PER_S 200u
#define TOKENS_CAP 2000u
/*
 * Lines of sessions wait for the tick of the main thread, unless there are so
 * many bytes of them: a wake-up for each costs four system calls.
 */
#define RING_WAKE (RING_CAP / 4)
/* Session lines that are owed may not fill the ring for everyone else. */
#define RING_RESERVE 8192u

static struct {
	pthread_mutex_t lock;
	char ring[RING_CAP];
	size_t head;
	size_t len;
	uint64_t tokens_ms; /* the bucket, in ms of TOKENS_PER_S */
	uint64_t bucket_at_ms;
	int fd;
	_Atomic int format;    /* enum config_log_format */
	_Atomic int addresses; /* enum config_log_addresses */
	bool is_inside;	       /* what was written last ends inside a line */
	bool is_torn;	       /* and its rest was dropped */
	void (*wake)(void *);
	void *wake_arg;
	_Atomic uint64_t dropped;
} the_log = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .tokens_ms = TOKENS_CAP * 1000u / TOKENS_PER_S,
    .fd = STDERR_FILENO,
};

static uint64_t
clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static void
drop_lines(uint64_t count)
{
	atomic_fetch_add_explicit(&the_log.dropped, count,
				  memory_order_relaxed);
}

uint64_t
log_dropped(void)
{
	return atomic_load_explicit(&the_log.dropped, memory_order_relaxed);
}

/*
 * Puts a whole line in, or drops it. Wakes the reader when `wake_at` bytes
 * are there; it looks by itself on its tick.
 */
static void
enqueue(const char *text, size_t len, size_t reserve, size_t wake_at)
{
	size_t at;
	size_t first;
	bool is_time;

	pthread_mutex_lock(&the_log.lock);
	if (len + reserve > RING_CAP - the_log.len) {
		pthread_mutex_unlock(&the_log.lock);
		drop_lines(1);
		return;
	}
	is_time = the_log.len < wake_at && the_log.len + len >= wake_at;
	at = (the_log.head + the_log.len) % RING_CAP;
	first = len < RING_CAP - at ? len : RING_CAP - at;
	memcpy(the_log.ring + at, text, first);
	memcpy(the_log.ring, text + first, len - first);
	the_log.len += len;
	pthread_mutex_unlock(&the_log.lock);
	if (is_time && the_log.wake != NULL)
		the_log.wake(the_log.wake_arg);
}

/* Takes a token; false if there is none. */
static bool
take_token(void)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC);
	uint64_t cap = TOKENS_CAP * 1000u / TOKENS_PER_S;
	uint64_t price = 1000u / TOKENS_PER_S;
	bool has_one;

	pthread_mutex_lock(&the_log.lock);
	if (now > the_log.bucket_at_ms) {
		the_log.tokens_ms += now - the_log.bucket_at_ms;
		the_log.bucket_at_ms = now;
	}
	if (the_log.tokens_ms > cap)
		the_log.tokens_ms = cap;
	has_one = the_log.tokens_ms >= price;
	if (has_one)
		the_log.tokens_ms -= price;
	pthread_mutex_unlock(&the_log.lock);
	return has_one;
}

static const char *
level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_INFO:
		break;
	}
	return "info";
}

static struct config_log
style_now(void)
{
	return (struct config_log){
	    .format = (enum config_log_format)atomic_load_explicit(
		&the_log.format, memory_order_relaxed),
	    .addresses = (enum config_log_addresses)atomic_load_explicit(
		&the_log.addresses, memory_order_relaxed),
	};
}

void
log_style(const struct config_log *style)
{
	atomic_store_explicit(&the_log.format, (int)style->format,
			      memory_order_relaxed);
	atomic_store_explicit(&the_log.addresses, (int)style->addresses,
			      memory_order_relaxed);
}

void
log_open(int fd, const struct config_log *style, void (*wake)(void *),
	 void *wake_arg)
{
	the_log.fd = fd;
	the_log.wake = wake;
	the_log.wake_arg = wake_arg;
	log_style(style);
}

void
log_address(const struct addr *a, char out[LOG_ADDRESS_CAP])
{
	log_line_address(style_now().addresses, a, out, LOG_ADDRESS_CAP);
}

void
log_say(enum log_level level, const char *format, ...)
{
	struct log_line line;
	char message[LOG_MESSAGE_CAP + 1];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	log_line_begin(&line, style_now().format, clock_ms(CLOCK_REALTIME),
		       level_name(level));
	log_line_text(&line, "msg", message, sizeof message);
	log_line_end(&line);
	enqueue(line.text, line.len, 0, 1);
}

void
log_session(const struct session_report *report)
{
	const struct config_log style = style_now();
	struct log_line line;

	if (!log_line_is_owed(report->session) && !take_token()) {
		drop_lines(1);
		return;
	}
	log_line_session(&line, &style, clock_ms(CLOCK_REALTIME), report);
	enqueue(line.text, line.len, RING_RESERVE, RING_WAKE);
}

/* The oldest bytes in one piece; they stay until consume(). */
static size_t
peek(const char **bytes)
{
	size_t n;

	pthread_mutex_lock(&the_log.lock);
	n = the_log.len;
	if (n > RING_CAP - the_log.head)
		n = RING_CAP - the_log.head;
	if (n > WRITE_CAP)
		n = WRITE_CAP;
	*bytes = the_log.ring + the_log.head;
	pthread_mutex_unlock(&the_log.lock);
	return n;
}

static void
consume(size_t n)
{
	pthread_mutex_lock(&the_log.lock);
	the_log.head = (the_log.head + n) % RING_CAP;
	the_log.len -= n;
	pthread_mutex_unlock(&the_log.lock);
}

static uint64_t
count_lines(const char *bytes, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	return lines;
}

/* Up to the last line's end; all of it if there is none. */
static size_t
whole_lines(const char *bytes, size_t len)
{
	for (size_t n = len; n > 0; n--) {
		if (bytes[n - 1] == '\n')
			return n;
	}
	return len;
}

/* Writes a piece; false if the reader does not take it now. */
static bool
write_piece(const char *bytes, size_t len, int wait_ms)
{
	struct pollfd p = {.fd = the_log.fd, .events = POLLOUT};
	ssize_t n;

	if (poll(&p, 1, wait_ms) <= 0)
		return false;
	if (the_log.is_torn && write(the_log.fd, "\n", 1) == 1)
		the_log.is_torn = false;
	n = write(the_log.fd, bytes, len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) { /* nobody will ever read this */
		n = (ssize_t)whole_lines(bytes, len);
		drop_lines(count_lines(bytes, (size_t)n));
		the_log.is_torn |= the_log.is_inside;
		the_log.is_inside = false;
	} else if (n > 0) {
		the_log.is_inside = bytes[n - 1] != '\n';
	}
	consume((size_t)n);
	return true;
}

bool
log_flush(void)
{
	const char *bytes;
	size_t len;

	while ((len = peek(&bytes)) > 0) {
		if (!write_piece(bytes, len, 0))
			return false;
	}
	return true;
}

void
log_close(uint32_t ms)
{
	uint64_t end = clock_ms(CLOCK_MONOTONIC) + ms;
	const char *bytes;
	size_t len;

	while ((len = peek(&bytes)) > 0) {
		uint64_t now = clock_ms(CLOCK_MONOTONIC);

		if (now >= end)
			return;
		write_piece(bytes, len, (int)(end - now));
	}
}

const char *
log_bind_hint(int error)
{
	switch (error) {
	case -EADDRINUSE:
		return "; another program listens there, `ss -ltnp` names it";
	case -EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case -EADDRNOTAVAIL:
		return "; this machine has no such address";
	default:
		return "";
	}
}
