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

/* What a client was told, against what the MTA says. */
enum said {
	SAID_EXACT, /* byte for byte the MTA's, or the beginning of it */
	SAID_421,   /* but for a 421 that the MTA did not say */
	SAID_OTHER
};

/* The longest reply that is judged; a longer one is another one. */
#define HEARD_CAP 512

struct client {
	int fd; /* -1: not in use */
	uint32_t id;
	const struct mix_leave *leave;
	enum mix_how how;
	size_t class;
	size_t fault;
	size_t body_len;
	uint32_t later_ms;
	uint64_t start_ms;
	uint64_t deadline_ms;
	uint64_t leave_ms; /* 0: not by time */
	uint64_t deaf_ms;  /* until then it reads nothing; 0: it reads */
	enum mix_step step;
	char *out; /* not yet taken by the socket, or NULL */
	size_t out_len;
	size_t out_at;
	char code[4]; /* the line that is being read begins with */
	size_t line_len;
	char heard[HEARD_CAP]; /* of the reply */
	size_t heard_len;
	unsigned replies;  /* to this step, so far */
	size_t opaque_len; /* came back */
	uint64_t garbage;  /* the hash of what it said */
	enum said said;
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
	uint64_t per_s; /* begun a second; 0: as soon as there is room */
	uint64_t start_ms;
	uint64_t begun_ms; /* the last one, from start_ms on */
	uint64_t seed;
	uint32_t first;
	size_t body_bytes;
	uint64_t patience_ms;
	uint64_t leave; /* the cell: a bit for each that may be; 0: any */
	uint64_t how;
	uint64_t class;
	uint64_t fault;
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
	uint32_t others; /* clients with SAID_OTHER */
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

/* storm.c: reads nothing before c->deaf_ms. */
void storm_go_deaf(struct storm *s, struct client *c);

/* storm.c: sends; calls client_said() when all is taken, maybe at once. */
void storm_send(struct storm *s, struct client *c, const void *bytes,
		size_t len);

#endif
