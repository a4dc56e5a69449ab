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
	bool is_inside; /* of an object */
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

/*
 * Adds a value that is JSON already, whole or not at all. Only where the line
 * is JSON. False if there was no room for it.
 */
bool log_line_raw(struct log_line *l, const char *key, const char *json,
		  size_t len);

/* Adds bytes as hex digits. NULL or no bytes are left out. */
void log_line_hex(struct log_line *l, const char *key, const uint8_t *bytes,
		  size_t len);

/* Opens an object under the key, until log_line_object_end(). JSON alone. */
void log_line_object(struct log_line *l, const char *key);
void log_line_object_end(struct log_line *l);

/* Adds all that was counted of a session. */
void log_line_counts(struct log_line *l, const struct session_counts *c);

/* The facts of how the client behaves, those that are so. */
void log_line_manners(struct log_line *l, const struct session *s);

/* Adds how the client spoke, its name, and how long it thought, if it did. */
void log_line_dialect(struct log_line *l, const struct session_report *r);

/* "sidecar", "kernel" or "none". */
const char *log_line_syn_source(enum syn_source source);

/* Ends the line with a newline. */
void log_line_end(struct log_line *l);

/* Writes an address as the log may show it: whole, its network, or "-". */
void log_line_address(enum config_log_addresses how, const struct addr *a,
		      char *out, size_t cap);

/* Fills the whole line of a session. */
void log_line_session(struct log_line *l, const struct config_log *style,
		      uint64_t unix_ms, const struct session_report *report);

/* True if the line of a session that is over must be said, whatever the rate:
 * it was held, or ended for a fault of ours or of the MTA. */
bool log_line_is_owed(const struct session *s);

/*
 * Says in words what made this session slow, for a postmaster: "rule everyone
 * gave class new: greeting after 3.0s". NUL-terminated, cut at cap.
 */
void log_line_why(const struct session_report *report, char *out, size_t cap);

#endif
