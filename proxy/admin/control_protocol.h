/*
 * What both ends of the control socket agree on.
 *
 * A stream. The one who asks sends a line, `VERB` or `VERB ARGUMENT`; the
 * answer is lines of JSON, one object each, and the last of them alone has the
 * member "ok": true, or false with an "error" in words. Then the next line
 * may be asked. No uv.h here: tarryctl reads it too.
 */
#ifndef PROXY_ADMIN_CONTROL_PROTOCOL_H
#define PROXY_ADMIN_CONTROL_PROTOCOL_H

#define CONTROL_SOCKET_PATH "/run/tarry/control"

/* A line that is asked, its newline included. */
#define CONTROL_LINE_CAP 8192
/* An answer as a whole; what is longer is cut between two lines, and ends
 * with "ok": false. */
#define CONTROL_ANSWER_CAP (1u << 20)

#endif
