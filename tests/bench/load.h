/*
 * Inside of the load generator of the measurements: load.c has the sockets
 * and the command line, load_client.c what a client says, load_times.c what
 * was measured.
 *
 * It does as little as a client can, so that what stands between it and the
 * sink is what is measured. How sessions end badly is storm's business.
 */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_step {
	LOAD_CONNECT,
	LOAD_GREETING,
	LOAD_EHLO,
	LOAD_MAIL,
	LOAD_RCPT,
	LOAD_DATA,
	LOAD_BODY,
	LOAD_QUIT,
	LOAD_DONE
};

struct load_client {
	int fd; /* -1: not in use */
	enum load_step step;
	uint64_t begun_ns;
	uint32_t banner_us;
	uint32_t line_len;
	char code[4];	  /* the line that is read begins with */
	size_t body_left; /* not yet taken by the socket */
	bool is_writing;  /* waits until it can write */
	bool is_holding;
};

/* Samples in us, one array each; taken at the start. */
struct load_times {
	uint32_t *samples;
	size_t count;
	size_t cap;
};

struct load {
	struct sockaddr_in to;
	struct sockaddr_in from; /* port 0; no address: any */
	uint32_t sources;	 /* addresses from there on, in turn */
	uint32_t sessions;
	uint32_t at_once;
	size_t body_bytes;
	enum load_step hold; /* LOAD_DONE: none */
	int epoll;
	struct load_client *clients;
	uint32_t begun;
	uint32_t running;
	uint32_t connecting;
	uint32_t holding;
	uint32_t complete;
	uint32_t failed;
	uint64_t heard_bytes;
	uint64_t heard_reads;
	uint64_t said_bytes; /* of bodies */
	struct load_times banner;
	struct load_times session;
	bool is_said; /* that all are holding */
	bool is_ending;
};

uint64_t load_now_ns(void);

/* CONNECT is over: the greeting is waited for. */
void client_connected(struct load *l, struct load_client *c);

void client_heard(struct load *l, struct load_client *c, const char *bytes,
		  size_t len);

/* The socket takes bytes again. */
void client_writable(struct load *l, struct load_client *c);

/* load.c: closes and counts. c->fd is -1 from here on. */
void load_end(struct load *l, struct load_client *c);

/* load.c: with on, epoll tells when the socket takes bytes. */
void load_watch_writable(struct load *l, struct load_client *c, bool on);

/* Room for cap samples. Exits where there is no memory. */
void times_init(struct load_times *t, size_t cap);

void times_add(struct load_times *t, uint64_t us);

/* The sample that percent of all are not above; 0 of none. Sorts. */
uint32_t times_at(struct load_times *t, unsigned percent);

#endif
