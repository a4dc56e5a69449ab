/*
 * A socket that is asked as p0f v3's is; see p0f_query.h. Unix, a stream,
 * mode 0660. Runs on the loop that it was started with.
 *
 * Bounded: so many clients; where one more comes, the one that has asked
 * nothing for the longest time is hung up on. One question is with the answerer
 * at a time, and one of a client, so that who reads nothing stalls nobody.
 */
#ifndef PROXY_ADMIN_P0F_SOCKET_H
#define PROXY_ADMIN_P0F_SOCKET_H

#include <uv.h>

#include "proxy/admin/p0f_query.h"

#define P0F_SOCKET_CLIENTS 32

struct p0f_socket;

/* Must lead to one p0f_socket_answer(), in this call or later. */
typedef void p0f_ask_fn(void *ctx, const struct p0f_query *q);

/*
 * Listens on `path`; a socket that nobody serves is replaced. Returns 0 with
 * *out the caller's (p0f_socket_stop()), or a negative errno, for
 * socket_file_why().
 */
__attribute__((warn_unused_result)) int
p0f_socket_start(struct p0f_socket **out, uv_loop_t *loop, const char *path,
		 p0f_ask_fn *ask, void *ctx);

/* Answers the question that was asked last, and asks the next if there is
 * one. A client that has gone gets nothing. */
void p0f_socket_answer(struct p0f_socket *s, const struct p0f_answer *a);

/* Removes the file, closes all. The memory is freed by the loop; no answer is
 * wanted any more. NULL is fine. */
void p0f_socket_stop(struct p0f_socket *s);

#endif
