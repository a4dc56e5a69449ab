/*
 * Inside of the load generator: storm.c has the sockets, storm_client.c what
 * a client says and when it leaves.
 */
#ifndef TESTS_BENCH_STORM_H
#define TESTS_BENCH_STORM_H

#include <netinet/in.h>
#include <stdio.h>

#include "tests/bench/mix.h"

#define BODY_LARGE 400000
/* More than the kernel's buffers between take while nobody reads. */
#define BODY_MAX 8000000

enum end {
	END_COMPLETE,	 /* went to its end */
	END_LEFT,	 /* left as it was to */
	END_CLOSED,	 /* the other end closed first */
	END_REFUSED,	 /* the same, behind a 4xx or 5xx */
	END_TIMEOUT,	 /* its patience was at an end */
	END_UNREACHABLE, /* could not connect */
	END_COUNT
};

struct client {
	int fd; /* -1: not in use */
	uint32_t id;
	const struct mix_leave *leave;
	enum mix_how how;
	size_t class;
	size_t fault;
	size_t body_len;
	uint32_t later_ms;
	uint64_t deadline_ms;
	uint64_t leave_ms; /* 0: not by time */
	enum mix_step step;
	char *out; /* not yet taken by the socket, or NULL */
	size_t out_len;
	size_t out_at;
	char code[4]; /* the line that is being read begins with */
	size_t line_len;
	size_t opaque_len; /* came back */
	bool is_connected;
	bool has_heard;	  /* something, in this step */
	bool has_left;	  /* its writing side is shut */
	bool was_refused; /* some reply was none that goes on */
	bool was_told;	  /* 250 for its message */
	bool is_holding;
};

struct storm {
	struct sockaddr_in to;
	uint32_t sessions;
	size_t parallel;
	uint64_t seed;
	uint32_t first;
	size_t body_bytes;
	uint64_t patience_ms;
	int leave; /* the cell; -1: by lot */
	int how;
	int class;
	int fault;
	bool is_matrix;
	enum mix_step hold; /* STEP_COUNT: none */
	FILE *results;
	int epoll;
	struct client *clients;
	uint32_t begun;
	uint32_t running;
	uint32_t told;
	uint32_t holding;
	uint32_t ends[END_COUNT];
	bool said_holding;
};

const char *client_end_name(enum end end);

/* The client comes to a step: says what there is to say. */
void client_enter(struct storm *s, struct client *c, enum mix_step step);

/* All it had to say was taken by the socket. */
void client_said(struct storm *s, struct client *c);

void client_heard(struct storm *s, struct client *c, const char *bytes,
		  size_t len);

/* Its moment has come. */
void client_leave(struct storm *s, struct client *c);

/* Closes, counts, writes its line. c->fd is -1 from here on. */
void client_end(struct storm *s, struct client *c, enum end end);

/* storm.c: sends; calls client_said() when all is taken, maybe at once. */
void storm_send(struct storm *s, struct client *c, const void *bytes,
		size_t len);

#endif
