#include "proxy/admin/p0f_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/admin/socket_file.h"

struct client {
	uv_poll_t poll;
	struct p0f_socket *socket;
	int fd;
	bool is_used; /* until the handle is closed */
	bool is_closing;
	bool is_waiting; /* `query` was not answered */
	uint64_t turn;	 /* when it last asked or came, in order */
	struct p0f_query query;
	size_t len;
	uint8_t bytes[P0F_TUPLE_LEN];
};

struct p0f_socket {
	uv_poll_t poll;
	struct socket_file file;
	p0f_ask_fn *ask;
	void *ctx;
	int fd;
	unsigned open;	/* handles */
	bool is_asking; /* the answerer has a question */
	bool is_stopping;
	struct client *asker; /* of it; NULL: it has gone */
	uint64_t turns;
	struct client clients[P0F_SOCKET_CLIENTS];
};

static void
free_if_closed(struct p0f_socket *s)
{
	if (--s->open == 0)
		free(s);
}

static void
on_client_closed(uv_handle_t *handle)
{
	struct client *cl = handle->data;

	cl->is_used = false;
	free_if_closed(cl->socket);
}

static void
close_client(struct client *cl)
{
	if (cl->is_closing)
		return;
	cl->is_closing = true;
	if (cl->socket->asker == cl)
		cl->socket->asker = NULL;
	(void)uv_poll_stop(&cl->poll);
	close(cl->fd);
	uv_close((uv_handle_t *)&cl->poll, on_client_closed);
}

/* The client who waits longest, or NULL. */
static struct client *
next_asker(struct p0f_socket *s)
{
	struct client *first = NULL;

	for (size_t i = 0; i < P0F_SOCKET_CLIENTS; i++) {
		struct client *cl = &s->clients[i];

		if (!cl->is_used || cl->is_closing || !cl->is_waiting)
			continue;
		if (first == NULL || cl->turn < first->turn)
			first = cl;
	}
	return first;
}

static void
ask_next(struct p0f_socket *s)
{
	struct client *cl = s->is_asking ? NULL : next_asker(s);

	if (cl == NULL || s->is_stopping)
		return;
	s->is_asking = true;
	s->asker = cl;
	s->ask(s->ctx, &cl->query);
}

/* A few hundred bytes fit the buffer of who reads what he asked for. */
static bool
send_answer(const struct client *cl, const struct p0f_answer *a)
{
	uint8_t out[P0F_TUPLE_ANSWER_LEN];
	size_t len = p0f_answer_write(a, cl->query.is_tuple, out);

	return send(cl->fd, out, len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)len;
}

/* Takes a question, if there is a whole one. */
static void
take_question(struct client *cl)
{
	const struct p0f_answer bad = {.status = P0F_BAD_QUERY};
	int used = p0f_query_read(&cl->query, cl->bytes, cl->len);

	if (used < 0) {
		(void)send_answer(cl, &bad);
		close_client(cl);
		return;
	}
	if (used == 0)
		return;
	cl->len -= (size_t)used;
	memmove(cl->bytes, cl->bytes + used, cl->len);
	cl->is_waiting = true;
	cl->turn = ++cl->socket->turns;
	(void)uv_poll_stop(&cl->poll);
	ask_next(cl->socket);
}

static void
on_client(uv_poll_t *poll, int status, int events)
{
	struct client *cl = poll->data;
	ssize_t n;

	(void)events;
	n = status == 0 ? recv(cl->fd, cl->bytes + cl->len,
			       sizeof(cl->bytes) - cl->len, 0)
			: 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_client(cl);
		return;
	}
	cl->len += (size_t)n;
	take_question(cl);
}

/* A free seat, or NULL; then one is being made free. */
static struct client *
find_seat(struct p0f_socket *s)
{
	struct client *oldest = NULL;

	for (size_t i = 0; i < P0F_SOCKET_CLIENTS; i++) {
		struct client *cl = &s->clients[i];

		if (!cl->is_used)
			return cl;
		if (!cl->is_closing && !cl->is_waiting &&
		    (oldest == NULL || cl->turn < oldest->turn))
			oldest = cl;
	}
	if (oldest != NULL)
		close_client(oldest);
	return NULL;
}

static int
open_client(struct p0f_socket *s, struct client *cl, int fd)
{
	int rc = uv_poll_init(s->poll.loop, &cl->poll, fd);

	if (rc != 0)
		return rc;
	cl->poll.data = cl;
	cl->socket = s;
	cl->fd = fd;
	cl->is_used = true;
	cl->is_closing = cl->is_waiting = false;
	cl->len = 0;
	cl->turn = ++s->turns;
	s->open++;
	(void)uv_poll_start(&cl->poll, UV_READABLE, on_client);
	return 0;
}

static void
on_connection(uv_poll_t *poll, int status, int events)
{
	struct p0f_socket *s = poll->data;
	struct client *cl = status == 0 ? find_seat(s) : NULL;
	int fd;

	(void)events;
	if (cl == NULL)
		return; /* it stays in the queue until the next turn */
	fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0 && open_client(s, cl, fd) != 0)
		close(fd);
}

void
p0f_socket_answer(struct p0f_socket *s, const struct p0f_answer *a)
{
	struct client *cl = s->asker;

	s->is_asking = false;
	s->asker = NULL;
	if (cl != NULL) {
		cl->is_waiting = false;
		if (!send_answer(cl, a) ||
		    uv_poll_start(&cl->poll, UV_READABLE, on_client) != 0)
			close_client(cl);
		else
			take_question(cl);
	}
	ask_next(s);
}

static void
on_closed(uv_handle_t *handle)
{
	free_if_closed(handle->data);
}

void
p0f_socket_stop(struct p0f_socket *s)
{
	if (s == NULL)
		return;
	s->is_stopping = true;
	socket_file_remove(&s->file);
	for (size_t i = 0; i < P0F_SOCKET_CLIENTS; i++) {
		if (s->clients[i].is_used)
			close_client(&s->clients[i]);
	}
	(void)uv_poll_stop(&s->poll);
	close(s->fd);
	uv_close((uv_handle_t *)&s->poll, on_closed);
}

int
p0f_socket_start(struct p0f_socket **out, uv_loop_t *loop, const char *path,
		 p0f_ask_fn *ask, void *ctx)
{
	struct p0f_socket *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	*out = NULL;
	if (s == NULL)
		return rc;
	s->ask = ask;
	s->ctx = ctx;
	s->fd = rc = socket_file_open(&s->file, path, SOCK_STREAM);
	if (rc < 0)
		goto free_memory;
	rc = listen(s->fd, P0F_SOCKET_CLIENTS) == 0 ? 0 : -errno;
	if (rc == 0)
		rc = uv_poll_init(loop, &s->poll, s->fd);
	if (rc != 0)
		goto close_file;
	s->poll.data = s;
	s->open = 1;
	rc = uv_poll_start(&s->poll, UV_READABLE, on_connection);
	if (rc == 0)
		*out = s;
	else
		p0f_socket_stop(s);
	return rc;

close_file:
	socket_file_remove(&s->file);
	close(s->fd);
free_memory:
	free(s);
	return rc;
}
