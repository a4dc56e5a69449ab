#include "proxy/evidence/verdict_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/admin/socket_file.h"

struct verdict_socket {
	uv_poll_t poll;
	verdict_line_fn *take;
	void *ctx;
	int fd;
	struct socket_file file;
	char datagram[VERDICT_DATAGRAM_CAP];
};

static void
take_lines(struct verdict_socket *s, size_t len)
{
	const char *at = s->datagram;

	while (len > 0) {
		const char *end = memchr(at, '\n', len);
		size_t line = end != NULL ? (size_t)(end - at) : len;

		if (line > 0)
			s->take(s->ctx, at, line);
		at += line;
		len -= line;
		if (end != NULL) {
			at++;
			len--;
		}
	}
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	struct verdict_socket *s = poll->data;

	(void)events;
	for (int i = 0; status == 0 && i < VERDICT_DATAGRAMS_A_TURN; i++) {
		ssize_t len =
		    recv(s->fd, s->datagram, sizeof(s->datagram), MSG_TRUNC);

		if (len < 0)
			return;
		if ((size_t)len > sizeof(s->datagram))
			s->take(s->ctx, s->datagram, sizeof(s->datagram));
		else
			take_lines(s, (size_t)len);
	}
}

int
verdict_socket_start(struct verdict_socket **out, uv_loop_t *loop,
		     const char *path, verdict_line_fn *take, void *ctx)
{
	struct verdict_socket *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	*out = NULL;
	if (s == NULL)
		return rc;
	s->take = take;
	s->ctx = ctx;
	s->fd = rc = socket_file_open(&s->file, path, SOCK_DGRAM);
	if (rc < 0)
		goto free_memory;
	rc = uv_poll_init(loop, &s->poll, s->fd);
	if (rc != 0)
		goto close_file;
	s->poll.data = s;
	rc = uv_poll_start(&s->poll, UV_READABLE, on_readable);
	if (rc == 0)
		*out = s;
	else
		verdict_socket_stop(s);
	return rc;

close_file:
	socket_file_remove(&s->file);
	close(s->fd);
free_memory:
	free(s);
	return rc;
}

static void
on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void
verdict_socket_stop(struct verdict_socket *s)
{
	if (s == NULL)
		return;
	socket_file_remove(&s->file);
	(void)uv_poll_stop(&s->poll);
	close(s->fd);
	uv_close((uv_handle_t *)&s->poll, on_closed);
}
