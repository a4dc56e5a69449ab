/*
 * The control socket: a unix socket on which tarryd is asked and told things.
 *
 * Runs on the main thread, from its loop; workers know nothing of it. Who may
 * use it is who may write to the socket file: mode 0660, the user and group
 * of tarryd. Bounded in every way: clients, the length of a line and of an
 * answer, and the time that a client may take to read one. A client has one
 * question at a time; while that is answered no further byte of it is read.
 */
#ifndef PROXY_ADMIN_CONTROL_SOCKET_H
#define PROXY_ADMIN_CONTROL_SOCKET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "proxy/admin/control_protocol.h"

#define CONTROL_SOCKET_CLIENTS 16
/* Without a byte read of an answer, or without a question. */
#define CONTROL_SOCKET_STALL_MS 30000
#define CONTROL_SOCKET_IDLE_MS 600000

struct control_socket;
struct control_request;

/*
 * Answers a question: control_request_say() any number of times, then
 * control_request_end() once, in this call or any time later.
 */
typedef void control_verb_fn(void *ctx, struct control_request *r);

struct control_verb {
	const char *name;
	control_verb_fn *run;
	bool is_alone; /* no word may stand behind it */
};

/*
 * Listens on `path`; a socket that nobody serves is replaced. `verbs` are
 * count rows, borrowed; `ctx` is handed to each. Returns 0 with *out the
 * caller's (control_socket_stop()), or a negative errno; why is then in the
 * log.
 */
__attribute__((warn_unused_result)) int
control_socket_start(struct control_socket **out, uv_loop_t *loop,
		     const char *path, const struct control_verb *verbs,
		     size_t count, void *ctx);

/*
 * Removes the socket file, closes all clients. The memory is freed by the
 * loop, once the last request has ended too: ending those that were left open
 * is for who left them so. NULL is fine.
 */
void control_socket_stop(struct control_socket *s);

/* What stood behind the verb and its blank: NUL-terminated, without control
 * characters but tabs, valid until the end. */
const char *control_request_argument(const struct control_request *r);

/* Who asks, for the log: "user id 0, process 4711"; valid until the end. */
const char *control_request_peer(const struct control_request *r);

/*
 * One line of the answer; the reference is taken over. NULL stands for want
 * of memory, which the end will then tell. Nothing is said to a client that
 * has gone.
 */
void control_request_say(struct control_request *r, json_t *line);

/* The end: `error` in words, or NULL if all is well. *r is gone after this. */
void control_request_end(struct control_request *r, const char *error);

#endif
