#include "proxy/ctl/asking.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/admin/control_protocol.h"

/* Without a byte from tarryd; a verb of its own may take some time. */
#define SILENCE_MS 120000

/* Who wants to know each line. */
struct reader {
	asking_print_fn *print;
	asking_print_fn *see;
	void *ctx;
};

/* What came of the answer and was not yet taken as lines. */
struct answer {
	char *bytes;
	size_t len;
	size_t taken;
};

static void
say_no_socket(const struct ctl *ctl, int error)
{
	const char *hint = "";

	if (error == ENOENT || error == ECONNREFUSED)
		hint = "; is tarryd running? -s names another socket, "
		       "control.socket of tarry.ini(5) says which";
	else if (error == EACCES)
		hint = "; it is for root and for tarryd's own user and group";
	fprintf(stderr, "tarryctl: %s: %s%s\n", ctl->socket, strerror(error),
		hint);
}

/* A connected socket, or -1; has said why. */
static int
dial(const struct ctl *ctl)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int error;
	int fd;

	if (strlen(ctl->socket) >= sizeof(address.sun_path)) {
		say_no_socket(ctl, ENAMETOOLONG);
		return -1;
	}
	memcpy(address.sun_path, ctl->socket, strlen(ctl->socket));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address,
			       sizeof(address)) == 0)
		return fd;
	error = errno;
	if (fd >= 0)
		close(fd);
	say_no_socket(ctl, error);
	return -1;
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* Sends the question; has said why not. */
static bool
send_question(int fd, const char *verb, const char *argument)
{
	const char *parts[] = {verb, argument != NULL ? " " : "",
			       argument != NULL ? argument : "", "\n"};
	size_t len = strlen(verb) + strlen(parts[1]) + strlen(parts[2]) + 1;

	if (len > CONTROL_LINE_CAP) {
		fprintf(stderr, "tarryctl: an argument is too long\n");
		return false;
	}
	if (strchr(parts[2], '\n') != NULL) {
		fprintf(stderr, "tarryctl: an argument is one line\n");
		return false;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!send_all(fd, parts[i], strlen(parts[i]))) {
			fprintf(stderr, "tarryctl: %s\n", strerror(errno));
			return false;
		}
	}
	return true;
}

/* More bytes; false at the end, and when it takes too long. */
static bool
read_more(int fd, struct answer *a)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char *more = realloc(a->bytes, a->len + 4096);
	ssize_t n;

	if (more == NULL)
		return false;
	a->bytes = more;
	do {
		n = poll(&ready, 1, SILENCE_MS);
		if (n > 0)
			n = recv(fd, a->bytes + a->len, 4096, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		a->len += (size_t)n;
	return n > 0;
}

/* The next line, without its newline, valid until the next call; or NULL. */
static char *
next_line(int fd, struct answer *a)
{
	char *line;
	char *end = NULL;

	if (a->taken > 0)
		memmove(a->bytes, a->bytes + a->taken, a->len - a->taken);
	a->len -= a->taken;
	a->taken = 0;
	do {
		if (a->len > 0)
			end = memchr(a->bytes, '\n', a->len);
	} while (end == NULL && a->len <= CONTROL_ANSWER_CAP &&
		 read_more(fd, a));
	if (end == NULL)
		return NULL;
	line = a->bytes;
	*end = '\0';
	a->taken = (size_t)(end - line) + 1;
	return line;
}

/* The last line of an answer. */
static enum ctl_exit
finish(const struct ctl *ctl, const json_t *line, const char *text)
{
	const char *error = json_string_value(json_object_get(line, "error"));

	if (json_is_true(json_object_get(line, "ok")))
		return CTL_FINE;
	if (ctl->is_json)
		puts(text);
	fprintf(stderr, "tarryctl: %s\n", error != NULL ? error : "refused");
	return CTL_REFUSED;
}

static void
read_line(const struct ctl *ctl, const struct reader *reader,
	  const json_t *line, const char *text)
{
	if (ctl->is_json)
		puts(text);
	else
		reader->print(reader->ctx, line);
	fflush(stdout);
	if (reader->see != NULL)
		reader->see(reader->ctx, line);
}

static enum ctl_exit
read_answer(int fd, struct answer *a, const struct ctl *ctl,
	    const struct reader *reader)
{
	enum ctl_exit status = CTL_LATER;
	bool is_over = false;
	char *text;

	while (!is_over && (text = next_line(fd, a)) != NULL) {
		json_t *line = json_loads(text, 0, NULL);

		is_over = json_object_get(line, "ok") != NULL;
		if (is_over)
			status = finish(ctl, line, text);
		else
			read_line(ctl, reader, line, text);
		json_decref(line);
	}
	if (!is_over)
		fprintf(stderr, "tarryctl: tarryd stopped in its answer\n");
	return status;
}

enum ctl_exit
asking_seen(const struct ctl *ctl, const char *verb, const char *argument,
	    asking_print_fn *print, asking_print_fn *see, void *ctx)
{
	const struct reader reader = {.print = print, .see = see, .ctx = ctx};
	struct answer answer = {0};
	enum ctl_exit status = CTL_LATER;
	int fd = dial(ctl);

	if (fd < 0)
		return CTL_LATER;
	if (send_question(fd, verb, argument))
		status = read_answer(fd, &answer, ctl, &reader);
	free(answer.bytes);
	close(fd);
	return status;
}

enum ctl_exit
asking(const struct ctl *ctl, const char *verb, const char *argument,
       asking_print_fn *print, void *ctx)
{
	return asking_seen(ctl, verb, argument, print, NULL, ctx);
}
