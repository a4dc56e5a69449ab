/*
 * See sink.h. One loop, a small buffer a connection; a message goes straight
 * to its file. A client that sends commands and reads no replies is closed.
 */
#include "proxy/sink/sink.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "proxy/sink/message.h"
#include "proxy/sink/proxy_in.h"

#define INPUT_CAP 4096
#define QUEUE_MAX 65536
#define RCPTS_MAX 1000

struct sink {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_signal_t signals[2];
	const struct sink_options *options;
	unsigned connections;
};

struct client {
	uv_tcp_t tcp;
	struct sink *sink;
	struct addr address;
	bool wants_header;
	bool has_sender;
	bool in_data;
	unsigned rcpts;
	struct message message;
	size_t envelope_len;
	size_t len; /* of input[] */
	char input[INPUT_CAP];
	char envelope[MESSAGE_ENVELOPE_CAP];
};

struct reply {
	uv_write_t request;
	char text[];
};

static void
on_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;

	message_drop(&c->message, c->sink->options->directory);
	c->sink->connections--;
	free(c);
}

static void
hang_up(struct client *c)
{
	if (!uv_is_closing((uv_handle_t *)&c->tcp))
		uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void
on_written(uv_write_t *request, int status)
{
	struct reply *r = request->data;

	(void)status;
	free(r);
}

static void
say(struct client *c, const char *text)
{
	size_t len = strlen(text);
	struct reply *r = malloc(sizeof *r + len);
	uv_buf_t buf;

	if (r == NULL || uv_stream_get_write_queue_size(
			     (uv_stream_t *)&c->tcp) > QUEUE_MAX) {
		free(r);
		hang_up(c);
		return;
	}
	memcpy(r->text, text, len);
	r->request.data = r;
	buf = uv_buf_init(r->text, (unsigned)len);
	if (uv_write(&r->request, (uv_stream_t *)&c->tcp, &buf, 1,
		     on_written) != 0) {
		free(r);
		hang_up(c);
	}
}

static void
on_shut(uv_shutdown_t *request, int status)
{
	(void)status;
	hang_up(request->data);
	free(request);
}

/* Closes once what was said is out. */
static void
say_and_close(struct client *c, const char *text)
{
	uv_shutdown_t *request = malloc(sizeof *request);

	say(c, text);
	if (request == NULL) {
		hang_up(c);
		return;
	}
	request->data = c;
	if (uv_shutdown(request, (uv_stream_t *)&c->tcp, on_shut) != 0) {
		free(request);
		hang_up(c);
	}
}

static void
reset(struct client *c)
{
	c->has_sender = false;
	c->rcpts = 0;
	c->envelope_len = 0;
}

/* Adds `key=value` to the envelope; false if it is full. */
static bool
note(struct client *c, const char *key, const char *value)
{
	size_t room = sizeof c->envelope - c->envelope_len;
	int n = snprintf(c->envelope + c->envelope_len, room, "%s=%s\n", key,
			 value);

	if (n < 0 || (size_t)n >= room)
		return false;
	c->envelope_len += (size_t)n;
	return true;
}

static void
do_ehlo(struct client *c, const char *argument)
{
	(void)argument;
	reset(c);
	say(c, "250-tarry-sink\r\n250-PIPELINING\r\n250-SIZE 67108864\r\n"
	       "250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void
do_helo(struct client *c, const char *argument)
{
	(void)argument;
	reset(c);
	say(c, "250 tarry-sink\r\n");
}

static void
do_mail(struct client *c, const char *argument)
{
	char text[ADDR_TEXT_CAP];

	if (c->has_sender || strncasecmp(argument, "FROM:", 5) != 0) {
		say(c, "503 5.5.1 one MAIL FROM:<sender> first\r\n");
		return;
	}
	reset(c);
	addr_text(&c->address, text, sizeof text);
	note(c, "client", text);
	note(c, "from", argument + 5);
	c->has_sender = true;
	say(c, "250 2.1.0 sender noted\r\n");
}

static void
do_rcpt(struct client *c, const char *argument)
{
	if (!c->has_sender || strncasecmp(argument, "TO:", 3) != 0)
		say(c, "503 5.5.1 MAIL first, then RCPT TO:<recipient>\r\n");
	else if (c->rcpts >= RCPTS_MAX || !note(c, "to", argument + 3))
		say(c, "452 4.5.3 too many recipients\r\n");
	else if (++c->rcpts > 0)
		say(c, "250 2.1.5 recipient noted\r\n");
}

static void
do_data(struct client *c, const char *argument)
{
	(void)argument;
	if (c->rcpts == 0) {
		say(c, "503 5.5.1 RCPT first\r\n");
		return;
	}
	if (message_open(&c->message, c->sink->options->directory) != 0) {
		say(c, "451 4.3.0 cannot write a file\r\n");
		return;
	}
	c->in_data = true;
	say(c, "354 the message, then a dot\r\n");
}

static void
do_rset(struct client *c, const char *argument)
{
	(void)argument;
	reset(c);
	say(c, "250 2.0.0 forgotten\r\n");
}

static void
do_noop(struct client *c, const char *argument)
{
	(void)argument;
	say(c, "250 2.0.0 nothing done\r\n");
}

static void
do_quit(struct client *c, const char *argument)
{
	(void)argument;
	say_and_close(c, "221 2.0.0 bye\r\n");
}

static const struct {
	const char *verb;
	void (*act)(struct client *c, const char *argument);
} verbs[] = {
    {"EHLO", do_ehlo}, {"HELO", do_helo}, {"MAIL", do_mail}, {"RCPT", do_rcpt},
    {"DATA", do_data}, {"RSET", do_rset}, {"NOOP", do_noop}, {"QUIT", do_quit},
};

/* One line, without its end, as a string. */
static void
obey(struct client *c, char *line)
{
	size_t len = strcspn(line, " ");
	const char *argument = line[len] != '\0' ? line + len + 1 : "";

	/* They end up in a file of lines. */
	for (char *p = line; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p))
			*p = '?';
	}
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		if (len == 4 && strncasecmp(line, verbs[i].verb, 4) == 0) {
			verbs[i].act(c, argument);
			return;
		}
	}
	say(c, "500 5.5.2 no such command\r\n");
}

static void
end_message(struct client *c)
{
	struct message *m = &c->message;
	const char *directory = c->sink->options->directory;
	uint64_t bytes = m->bytes;
	unsigned number = m->number;
	char text[ADDR_TEXT_CAP];

	c->in_data = false;
	if (m->is_too_big) {
		message_drop(m, directory);
		say(c, "552 5.3.4 too big\r\n");
	} else if (message_keep(m, directory, c->envelope) != 0) {
		say(c, "451 4.3.0 cannot write a file\r\n");
	} else {
		addr_text(&c->address, text, sizeof text);
		printf("tarry-sink: kept %s/%u.eml, %llu bytes, from %s\n",
		       directory, number, (unsigned long long)bytes, text);
		fflush(stdout);
		say(c, "250 2.0.0 kept\r\n");
	}
	reset(c);
}

/* Uses up what it can of the input; returns the bytes used, 0: needs more. */
static size_t
use_header(struct client *c)
{
	struct addr address;
	int n = proxy_in_parse(c->sink->options->proxy,
			       (const uint8_t *)c->input, c->len, &address);

	if (n < 0) {
		fprintf(stderr, "tarry-sink: a connection without the PROXY "
				"header that --proxy names, closed\n");
		hang_up(c);
		return 0;
	}
	if (n > 0) {
		if (address.family != 0)
			c->address = address;
		c->wants_header = false;
		say(c, "220 tarry-sink ESMTP keeps mail in files\r\n");
	}
	return (size_t)n;
}

static size_t
use_line(struct client *c)
{
	char *end = memchr(c->input, '\n', c->len);
	size_t used;

	if (end == NULL && c->len < sizeof c->input)
		return 0;
	if (end == NULL) {
		say_and_close(c, "500 5.5.2 line too long\r\n");
		return 0;
	}
	used = (size_t)(end - c->input) + 1;
	if (end > c->input && end[-1] == '\r')
		end--;
	*end = '\0';
	obey(c, c->input);
	return used;
}

static size_t
use_some(struct client *c)
{
	bool is_over;
	size_t used;

	if (c->wants_header)
		return use_header(c);
	if (!c->in_data)
		return use_line(c);
	used = message_take(&c->message, c->input, c->len, &is_over);
	if (is_over)
		end_message(c);
	return used;
}

static void
on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct client *c = handle->data;

	(void)suggested;
	*buf = uv_buf_init(c->input + c->len,
			   (unsigned)(sizeof c->input - c->len));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = stream->data;
	size_t used;

	(void)buf;
	if (n < 0) {
		hang_up(c);
		return;
	}
	c->len += (size_t)n;
	while (c->len > 0 && !uv_is_closing((uv_handle_t *)&c->tcp) &&
	       uv_is_writable((uv_stream_t *)&c->tcp)) {
		used = use_some(c);
		if (used == 0)
			return;
		c->len -= used;
		memmove(c->input, c->input + used, c->len);
	}
	if (!uv_is_writable((uv_stream_t *)&c->tcp))
		c->len = 0; /* behind QUIT */
}

static void
set_address(struct client *c)
{
	struct sockaddr_storage ss;
	int len = sizeof ss;

	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&ss, &len) != 0)
		return;
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&ss;

		addr_set_v4(&c->address, (const uint8_t *)&v4->sin_addr,
			    ntohs(v4->sin_port));
	} else {
		const struct sockaddr_in6 *v6 =
		    (const struct sockaddr_in6 *)&ss;

		addr_set_v6(&c->address, (const uint8_t *)&v6->sin6_addr,
			    ntohs(v6->sin6_port));
	}
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct sink *sink = listener->data;
	struct client *c = calloc(1, sizeof *c);

	if (status < 0 || c == NULL) {
		free(c);
		return;
	}
	c->sink = sink;
	c->tcp.data = c;
	sink->connections++;
	uv_tcp_init(&sink->loop, &c->tcp);
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
	    sink->connections > SINK_CONNECTIONS) {
		hang_up(c);
		return;
	}
	set_address(c);
	c->wants_header = sink->options->proxy != CLIENT_ADDRESS_NONE;
	if (!c->wants_header)
		say(c, "220 tarry-sink ESMTP keeps mail in files\r\n");
	uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
}

static void
on_signal(uv_signal_t *signal, int number)
{
	(void)number;
	uv_stop(signal->loop);
}

static int
listen_on(struct sink *sink)
{
	struct sockaddr_storage ss = {0};
	int len = sizeof ss;
	struct addr at = sink->options->listen;
	char text[ADDR_TEXT_CAP];
	int rc;

	addr_ip_text(&at, text, sizeof text);
	rc = at.family == 4
		 ? uv_ip4_addr(text, at.port, (struct sockaddr_in *)&ss)
		 : uv_ip6_addr(text, at.port, (struct sockaddr_in6 *)&ss);
	if (rc != 0)
		return rc;
	sink->listener.data = sink;
	uv_tcp_init(&sink->loop, &sink->listener);
	rc = uv_tcp_bind(&sink->listener, (struct sockaddr *)&ss, 0);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&sink->listener, 128,
			       on_connection);
	if (rc != 0)
		return rc;
	uv_tcp_getsockname(&sink->listener, (struct sockaddr *)&ss, &len);
	at.port =
	    ntohs(at.family == 4 ? ((struct sockaddr_in *)&ss)->sin_port
				 : ((struct sockaddr_in6 *)&ss)->sin6_port);
	addr_text(&at, text, sizeof text);
	printf("tarry-sink: listening on %s, messages go to %s\n", text,
	       sink->options->directory);
	fflush(stdout);
	return 0;
}

int
sink_run(const struct sink_options *options)
{
	static struct sink sink;
	int rc;

	sink.options = options;
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&sink.loop);
	rc = listen_on(&sink);
	if (rc != 0)
		return rc;
	uv_signal_init(&sink.loop, &sink.signals[0]);
	uv_signal_init(&sink.loop, &sink.signals[1]);
	uv_signal_start(&sink.signals[0], on_signal, SIGTERM);
	uv_signal_start(&sink.signals[1], on_signal, SIGINT);
	uv_run(&sink.loop, UV_RUN_DEFAULT);
	return 0;
}
