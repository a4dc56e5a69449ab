/*
 * The way of verdicts from tarryctl to tarryd: datagrams.
 */
#ifndef PROXY_CTL_VERDICT_SENDER_H
#define PROXY_CTL_VERDICT_SENDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#define VERDICT_SOCKET_PATH "/run/tarry/verdict"

struct verdict_sender {
	int fd;
	bool is_said; /* that tarryd is not there */
	uint64_t lost;
	struct sockaddr_un to;
};

/* What is sent; texts that are empty are not. They are ASCII without control
 * characters, quotes and backslashes, at most 80 bytes each. */
struct verdict_out {
	const char *verdict;
	const char *source;
	const char *client;
	const char *id;
};

/* Opens the sender; says what is wrong and returns false if it can not.
 * path NULL: the usual one. */
bool verdict_sender_open(struct verdict_sender *s, const char *path);

/*
 * Sends one. Waits for a tarryd that is slow; what is sent while none is
 * there is lost, counted, and said once. Returns whether it was sent.
 */
bool verdict_sender_send(struct verdict_sender *s,
			 const struct verdict_out *out);

void verdict_sender_close(struct verdict_sender *s);

#endif
