/*
 * The log: lines on standard error, logfmt or JSON.
 *
 * Any thread may say something. A line goes into one bounded buffer, under a
 * lock that is held for a copy and never across a write; the main thread
 * alone writes. A full buffer drops the line and counts it: a disk or a pipe
 * that has stopped never stops mail.
 */
#ifndef PROXY_DAEMON_LOG_H
#define PROXY_DAEMON_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/config/config.h"
#include "proxy/daemon/session_report.h"

/* Room for an address as the log shows it. */
#define LOG_ADDRESS_CAP (ADDR_TEXT_CAP + 4)
/* Of one message so much is said. */
#define LOG_MESSAGE_CAP 600

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO };

/*
 * Where lines go and how they look. Main thread, once, before other threads
 * start. `wake` (may be NULL) is called from any thread when there is
 * something to write; it must be async-safe between threads, as
 * uv_async_send is. Before this call lines are logfmt and go to fd 2.
 */
void log_open(int fd, const struct config_log *style, void (*wake)(void *),
	      void *wake_arg);

/* Lines look like this from now on. Any time, main thread. */
void log_style(const struct config_log *style);

/*
 * Says one line. Any thread; never blocks on I/O, never allocates. What a
 * peer said may stand in the arguments: control bytes and bytes above 126
 * are escaped. Longer messages are cut. Not for one line per
 * session: see log_session().
 */
void log_say(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Writes an address for a message the way that log.addresses wants it: whole,
 * its network, or "-". Any thread.
 */
void log_address(const struct addr *a, char out[LOG_ADDRESS_CAP]);

/* What a person can do about a negative errno of bind() or listen(), as the
 * end of a sentence; "" where there is nothing to say. Static text. */
const char *log_bind_hint(int error);

/*
 * Says the line of a session that is over. Any thread; never blocks on I/O,
 * never allocates. Sessions that were held, or ended for a fault of ours or
 * of the MTA, are always said; of the others so many a second as a token
 * bucket allows.
 */
void log_session(const struct session_report *report);

/*
 * Writes what is there, as far as that is possible at once. Main thread
 * alone. Returns true if all is written; else call again soon.
 */
bool log_flush(void);

/* Writes all there is, waiting `ms` at most for a slow reader. Main thread. */
void log_close(uint32_t ms);

/* Lines that found no room and no token. Any thread. */
uint64_t log_dropped(void);

#endif
