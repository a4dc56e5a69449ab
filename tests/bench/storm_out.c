/*
 * See storm_out.h. A peer that is gone is told of by read: what is said to it
 * counts as taken.
 */
#include "tests/bench/storm_out.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static size_t
taken(int fd, const char *text, size_t len)
{
	ssize_t n = send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? 0 : len;
	return (size_t)n;
}

void
out_say(struct out *o, int fd, const char *text, size_t len)
{
	size_t n = o->len == 0 ? taken(fd, text, len) : 0;

	if (n == len)
		return;
	o->bytes = realloc(o->bytes, o->len + len - n);
	if (o->bytes == NULL) {
		perror("realloc");
		exit(1);
	}
	memcpy(o->bytes + o->len, text + n, len - n);
	o->len += len - n;
}

bool
out_go_on(struct out *o, int fd)
{
	size_t n = taken(fd, o->bytes, o->len);

	o->len -= n;
	memmove(o->bytes, o->bytes + n, o->len);
	return o->len == 0;
}

void
out_free(struct out *o)
{
	free(o->bytes);
	o->bytes = NULL;
	o->len = 0;
}
