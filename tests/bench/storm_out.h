/* What a socket of the sink does not take at once. */
#ifndef TESTS_BENCH_STORM_OUT_H
#define TESTS_BENCH_STORM_OUT_H

#include <stdbool.h>
#include <stddef.h>

struct out {
	char *bytes;
	size_t len;
};

/* Says it, or keeps what is not taken: then o->len is not 0. */
void out_say(struct out *o, int fd, const char *text, size_t len);

/* Says on, when the socket is writable. True if nothing is left. */
bool out_go_on(struct out *o, int fd);

void out_free(struct out *o);

#endif
