/*
 * The socket to which verdicts are sent: unix, datagrams, nothing is ever
 * answered. Who may send is who may write to the file, mode 0660. Runs on the
 * loop that it was started with; takes so many datagrams a turn that nobody
 * who sends without end stops the loop.
 */
#ifndef PROXY_EVIDENCE_VERDICT_SOCKET_H
#define PROXY_EVIDENCE_VERDICT_SOCKET_H

#include <stddef.h>
#include <uv.h>

/* A datagram holds one line or several; what is larger is one wrong line. */
#define VERDICT_DATAGRAM_CAP 8192
#define VERDICT_DATAGRAMS_A_TURN 64

struct verdict_socket;

/* A line without its newline, any bytes; len is beyond VERDICT_LINE_CAP for
 * what was cut. Empty lines are not shown. */
typedef void verdict_line_fn(void *ctx, const char *line, size_t len);

/*
 * Binds `path`; a socket that nobody serves is replaced. Returns 0 with *out
 * the caller's (verdict_socket_stop()), or a negative errno, for
 * socket_file_why().
 */
__attribute__((warn_unused_result)) int
verdict_socket_start(struct verdict_socket **out, uv_loop_t *loop,
		     const char *path, verdict_line_fn *take, void *ctx);

/* Removes the file. The memory is freed by the loop. NULL is fine. */
void verdict_socket_stop(struct verdict_socket *s);

#endif
