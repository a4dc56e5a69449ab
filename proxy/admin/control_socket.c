/*
 * See control_socket.h. A client is a seat: its pipe, the line that is being
 * read, the answer that is being written. A request is the seat seen from the
 * side of who answers; so a client that has gone keeps its seat until its
 * request has ended.
 */
#include "proxy/admin/control_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/admin/escape.h"
#include "proxy/admin/socket_file.h"
#include "proxy/daemon/log.h"

#define SWEEP_MS 1000
#define PEER_CAP 64

struct text {
	char *bytes;
	size_t len;
	size_t cap;
};

/* The one who answers sees no more of it than its name. */
struct control_request {
	struct control_socket *server;
	uv_pipe_t pipe;
	uv_write_t write;
	uint64_t deadline_ms;
	bool is_open;	 /* the handle, not yet closing */
	bool is_used;	 /* the seat */
	bool is_asked;	 /* a request runs */
	bool is_writing; /* `sending` is on its way */
	bool is_cut;	 /* the answer found no room, or no memory */
	bool is_last;	 /* closed when all is written */
	bool is_looping; /* in go_on() */
	size_t answered; /* bytes of this answer */
	size_t line_len;
	char *argument;
	struct text out;     /* said, not yet on its way */
	struct text sending; /* on its way */
	char peer[PEER_CAP];
	char line[CONTROL_LINE_CAP];  /* read, not yet asked */
	char asked[CONTROL_LINE_CAP]; /* the question that runs */
};

struct control_socket {
	uv_pipe_t pipe;
	uv_timer_t sweep;
	const struct control_verb *verbs;
	size_t verbs_count;
	void *ctx;
	bool is_stopped;
	bool has_waiting; /* a client for whom there was no seat */
	int open_handles; /* listener, timer, clients */
	struct socket_file file;
	struct control_request seats[CONTROL_SOCKET_CLIENTS];
};

static void go_on(struct control_request *r);
static void take_client(struct control_socket *s);

static void
free_if_done(struct control_socket *s)
{
	if (s->open_handles > 0 || !s->is_stopped)
		return;
	for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS; i++)
		if (s->seats[i].is_used)
			return;
	free(s);
}

/* The seat is free once its handle is closed and its request has ended. */
static void
free_seat(struct control_request *r)
{
	if (r->is_open || r->pipe.data != NULL || r->is_asked)
		return;
	free(r->out.bytes);
	free(r->sending.bytes);
	r->out = r->sending = (struct text){0};
	r->is_used = false;
	if (r->server->has_waiting && !r->server->is_stopped)
		take_client(r->server);
	free_if_done(r->server);
}

static void
on_client_closed(uv_handle_t *handle)
{
	struct control_request *r = handle->data;

	r->pipe.data = NULL;
	r->server->open_handles--;
	free_seat(r);
}

static void
close_client(struct control_request *r)
{
	if (!r->is_open)
		return;
	r->is_open = false;
	uv_close((uv_handle_t *)&r->pipe, on_client_closed);
}

static void
set_deadline(struct control_request *r, uint64_t ms)
{
	r->deadline_ms = uv_now(r->server->sweep.loop) + ms;
}

/* Appends, or marks the answer as cut. */
static void
append(struct control_request *r, const char *bytes, size_t len)
{
	struct text *t = &r->out;
	size_t cap = t->cap != 0 ? t->cap : 1024;
	char *more;

	while (cap < t->len + len)
		cap *= 2;
	if (cap != t->cap) {
		more = realloc(t->bytes, cap);
		if (more == NULL) {
			r->is_cut = true;
			return;
		}
		t->bytes = more;
		t->cap = cap;
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void on_written(uv_write_t *write, int status);

/* Sends what was said, unless some of it is on its way already. */
static void
flush(struct control_request *r)
{
	struct text was = r->sending;
	uv_buf_t buf;

	if (!r->is_open || r->is_writing || r->out.len == 0)
		return;
	r->sending = r->out;
	was.len = 0;
	r->out = was;
	buf = uv_buf_init(r->sending.bytes, (unsigned)r->sending.len);
	if (uv_write(&r->write, (uv_stream_t *)&r->pipe, &buf, 1, on_written) !=
	    0) {
		close_client(r);
		return;
	}
	r->is_writing = true;
	set_deadline(r, CONTROL_SOCKET_STALL_MS);
}

static void
on_written(uv_write_t *write, int status)
{
	struct control_request *r = write->handle->data;

	r->is_writing = false;
	if (status != 0 || (r->is_last && r->out.len == 0)) {
		close_client(r);
		return;
	}
	flush(r);
	go_on(r);
}

/* Text of a line, with its newline; or NULL. */
static char *
dump(json_t *line, size_t *len)
{
	char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (text == NULL)
		return NULL;
	*len = strlen(text);
	text[(*len)++] = '\n'; /* in place of its NUL */
	return text;
}

void
control_request_say(struct control_request *r, json_t *line)
{
	size_t len = 0;
	char *text = line != NULL ? dump(line, &len) : NULL;

	json_decref(line);
	if (text == NULL || r->answered + len > CONTROL_ANSWER_CAP)
		r->is_cut = true;
	if (r->is_open && !r->is_cut) {
		r->answered += len;
		append(r, text, len);
		flush(r);
	}
	free(text);
}

/* The last line has room of its own: an answer that was cut says so. */
static void
say_end(struct control_request *r, const char *error)
{
	json_t *end;
	char *text;
	size_t len;

	if (error == NULL && r->is_cut)
		error = "there is more than one answer can hold";
	end = error == NULL ? json_pack("{sb}", "ok", 1)
			    : json_pack("{sbso}", "ok", 0, "error",
					escape_json(error, strlen(error)));
	text = end != NULL ? dump(end, &len) : NULL;
	json_decref(end);
	if (text == NULL) {
		close_client(r); /* no end is an end, too */
		return;
	}
	append(r, text, len);
	free(text);
	flush(r);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct control_request *r = handle->data;

	(void)suggested;
	*buf = uv_buf_init(r->line + r->line_len,
			   (unsigned)(CONTROL_LINE_CAP - r->line_len));
}

static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct control_request *r = stream->data;

	(void)buf;
	if (nread < 0) {
		close_client(r);
		return;
	}
	r->line_len += (size_t)nread;
	if (nread > 0)
		go_on(r);
}

/* True while no further question is taken, so that answers never pile up. */
static bool
is_busy(const struct control_request *r)
{
	return r->is_asked || r->is_writing || r->out.len > 0;
}

static void
want_read(struct control_request *r)
{
	if (!r->is_open || r->is_last)
		return;
	if (is_busy(r))
		(void)uv_read_stop((uv_stream_t *)&r->pipe);
	else
		(void)uv_read_start((uv_stream_t *)&r->pipe, on_alloc, on_read);
}

void
control_request_end(struct control_request *r, const char *error)
{
	if (r->is_open)
		say_end(r, error);
	r->is_asked = false;
	/* The next answer's room is measured anew. */
	r->answered = 0;
	r->is_cut = false;
	if (!r->is_looping)
		go_on(r);
}

static void
run_verb(struct control_request *r, const char *name)
{
	struct control_socket *s = r->server;
	char why[160];

	for (size_t i = 0; i < s->verbs_count; i++) {
		if (strcmp(s->verbs[i].name, name) != 0)
			continue;
		if (!s->verbs[i].is_alone || r->argument[0] == '\0') {
			s->verbs[i].run(s->ctx, r);
			return;
		}
		(void)snprintf(
		    why, sizeof(why),
		    "%.20s stands alone, and nothing was done; behind "
		    "it was \"%.40s\"",
		    name, r->argument);
		control_request_end(r, why);
		return;
	}
	(void)snprintf(why, sizeof(why), "this tarryd knows no verb \"%.40s\"",
		       name);
	control_request_end(r, why);
}

/* Splits off the verb. Control characters have no business in a line. */
static void
ask(struct control_request *r, size_t len)
{
	char *line = r->asked;
	char *blank;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' && line[i] != '\t')
			line[i] = '?';
	line[len] = '\0';
	blank = strchr(line, ' ');
	if (blank != NULL)
		*blank = '\0';
	r->argument = blank != NULL ? blank + 1 : line + len;
	r->is_asked = true;
	run_verb(r, line);
}

/* Moves the oldest whole line to `asked`; false if there is none. */
static bool
take_line(struct control_request *r, size_t *len)
{
	const char *end = memchr(r->line, '\n', r->line_len);

	if (end == NULL)
		return false;
	*len = (size_t)(end - r->line);
	memcpy(r->asked, r->line, *len);
	r->line_len -= *len + 1;
	memmove(r->line, end + 1, r->line_len);
	return true;
}

/* A line that never ends. */
static void
refuse_line(struct control_request *r)
{
	(void)uv_read_stop((uv_stream_t *)&r->pipe);
	r->is_last = true;
	say_end(r, "that line is too long");
}

/* Asks what was read, one line after the other, and then reads on. */
static void
go_on(struct control_request *r)
{
	size_t len;

	r->is_looping = true;
	while (r->is_open && !is_busy(r) && take_line(r, &len))
		ask(r, len);
	r->is_looping = false;
	want_read(r);
	if (!r->is_open)
		free_seat(r);
	else if (!is_busy(r) && r->line_len == CONTROL_LINE_CAP)
		refuse_line(r);
	else if (!is_busy(r))
		set_deadline(r, CONTROL_SOCKET_IDLE_MS);
}

static void
name_peer(struct control_request *r)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uv_os_fd_t fd;

	r->peer[0] = '\0';
	if (uv_fileno((uv_handle_t *)&r->pipe, &fd) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		(void)snprintf(r->peer, sizeof(r->peer),
			       "user id %u, process %d", (unsigned)peer.uid,
			       (int)peer.pid);
}

/* Gives the one who waits a seat, or lets it wait for one. */
static void
take_client(struct control_socket *s)
{
	struct control_request *r = NULL;

	for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS && r == NULL; i++)
		if (!s->seats[i].is_used)
			r = &s->seats[i];
	s->has_waiting = r == NULL;
	if (r == NULL)
		return;
	memset(r, 0, offsetof(struct control_request, line));
	r->server = s;
	(void)uv_pipe_init(s->pipe.loop, &r->pipe, 0); /* cannot fail */
	s->open_handles++;
	r->pipe.data = r;
	r->is_used = r->is_open = true;
	set_deadline(r, CONTROL_SOCKET_IDLE_MS);
	if (uv_accept((uv_stream_t *)&s->pipe, (uv_stream_t *)&r->pipe) != 0) {
		close_client(r);
		return;
	}
	name_peer(r);
	want_read(r);
}

static void
on_connection(uv_stream_t *stream, int status)
{
	if (status == 0)
		take_client(stream->data);
}

/* Closes who takes too long; but not who waits for us. */
static void
on_sweep(uv_timer_t *timer)
{
	struct control_socket *s = timer->data;

	for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS; i++) {
		struct control_request *r = &s->seats[i];

		if (r->is_used && uv_now(timer->loop) >= r->deadline_ms &&
		    (r->is_writing || !r->is_asked))
			close_client(r);
	}
}

static int
listen_on(struct control_socket *s, const char *path)
{
	int fd = socket_file_open(&s->file, path, SOCK_STREAM);
	int rc;

	if (fd < 0)
		return fd;
	rc = uv_pipe_open(&s->pipe, fd);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	rc = uv_listen((uv_stream_t *)&s->pipe, CONTROL_SOCKET_CLIENTS,
		       on_connection);
	if (rc == 0)
		rc = uv_timer_start(&s->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	return rc;
}

static void
on_closed(uv_handle_t *handle)
{
	struct control_socket *s = handle->data;

	s->open_handles--;
	free_if_done(s);
}

int
control_socket_start(struct control_socket **out, uv_loop_t *loop,
		     const char *path, const struct control_verb *verbs,
		     size_t count, void *ctx)
{
	struct control_socket *s;
	int rc;

	*out = NULL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->verbs = verbs;
	s->verbs_count = count;
	s->ctx = ctx;
	(void)uv_pipe_init(loop, &s->pipe, 0); /* these two cannot fail */
	(void)uv_timer_init(loop, &s->sweep);
	s->pipe.data = s->sweep.data = s;
	s->open_handles = 2;
	rc = listen_on(s, path);
	if (rc != 0) {
		log_say(LOG_LEVEL_WARNING,
			"no control socket, tarryctl will not work: %s: %s",
			path, socket_file_why(rc));
		control_socket_stop(s);
		return rc;
	}
	*out = s;
	return 0;
}

void
control_socket_stop(struct control_socket *s)
{
	if (s == NULL)
		return;
	s->is_stopped = true;
	socket_file_remove(&s->file);
	for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS; i++)
		close_client(&s->seats[i]);
	uv_close((uv_handle_t *)&s->pipe, on_closed);
	uv_close((uv_handle_t *)&s->sweep, on_closed);
}

const char *
control_request_argument(const struct control_request *r)
{
	return r->argument;
}

const char *
control_request_peer(const struct control_request *r)
{
	return r->peer;
}
