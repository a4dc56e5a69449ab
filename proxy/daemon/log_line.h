/*
 * One log line, put together field by field: logfmt or JSON.
 *
 * Values may be anything a peer sent. Control bytes, bytes above 126 and
 * backslashes become \xNN and \\ in both forms, so that a line is always one
 * line, always ASCII, and JSON always parses. What does not fit is left out:
 * a value is cut between two characters, a field is dropped whole.
 */
#ifndef PROXY_DAEMON_LOG_LINE_H
#define PROXY_DAEMON_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/config/config.h"
#include "proxy/daemon/session_report.h"

/* Enough for any session's line. */
#define LOG_LINE_CAP 3072
/* Of texts that a peer may have chosen so many bytes are shown. */
#define LOG_PEER_CAP 100

struct log_line {
	char text[LOG_LINE_CAP];
	size_t len;
	bool is_json;
};

/* Begins a line with its time (ms since 1970) and level. */
void log_line_begin(struct log_line *l, enum config_log_format format,
		    uint64_t unix_ms, const char *level);

/* Adds a text, `cap` bytes of it at most. NULL is left out. */
void log_line_text(struct log_line *l, const char *key, const char *value,
		   size_t cap);

void log_line_number(struct log_line *l, const char *key, uint64_t value);

/* Adds key=yes or true; a flag that is not set is left out. */
void log_line_flag(struct log_line *l, const char *key, bool is_set);

/* Ends the line with a newline. */
void log_line_end(struct log_line *l);

/* Writes an address as the log may show it: whole, its network, or "-". */
void log_line_address(enum config_log_addresses how, const struct addr *a,
		      char *out, size_t cap);

/* Fills the whole line of a session. */
void log_line_session(struct log_line *l, const struct config_log *style,
		      uint64_t unix_ms, const struct session_report *report);

/*
 * Says in words what made this session slow, for a postmaster: "rule everyone
 * gave class new: greeting after 3.0s". NUL-terminated, cut at cap.
 */
void log_line_why(const struct session_report *report, char *out, size_t cap);

#endif
