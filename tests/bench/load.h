/*
 * Inside of the load generator of the measurements: load.c has the sockets
 * and the command line, load_client.c what a client says, load_tls.c its TLS,
 * load_times.c what was measured.
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
#include <sys/types.h>

enum load_step {
	LOAD_CONNECT,
	LOAD_SHAKE, /* TLS */
	LOAD_GREETING,
	LOAD_EHLO,
	LOAD_MAIL,
	LOAD_RCPT,
	LOAD_DATA,
	LOAD_BODY,
	LOAD_QUIT,
	LOAD_DONE
};

struct ssl_st;
struct ssl_ctx_st;

struct load_client {
	int fd;		    /* -1: not in use */
	struct ssl_st *ssl; /* NULL: plain */
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
	uint32_t rate; /* begun a second; 0: when a seat is free */
	size_t body_bytes;
	enum load_step hold; /* LOAD_DONE: none */
	bool is_short;	     /* QUIT behind the greeting */
	bool has_tls;
	struct ssl_ctx_st *tls;
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

/* CONNECT is over: TLS begins, or the greeting is waited for. */
void client_connected(struct load *l, struct load_client *c);

/* More of the handshake is there. */
void client_shakes(struct load *l, struct load_client *c);

void client_heard(struct load *l, struct load_client *c, const char *bytes,
		  size_t len);

/* The socket takes bytes again. */
void client_writable(struct load *l, struct load_client *c);

/* load.c: closes and counts. c->fd is -1 from here on. */
void load_end(struct load *l, struct load_client *c);

/* load.c: with on, epoll tells when the socket takes bytes. */
void load_watch_writable(struct load *l, struct load_client *c, bool on);

/* load_tls.c. They print and exit where there is no memory. */
enum load_shake { LOAD_SHAKES, LOAD_SHAKEN, LOAD_NOT_SHAKEN };
void tls_init(struct load *l);
void tls_begin(const struct load *l, struct load_client *c);
enum load_shake tls_shake(struct load_client *c);
void tls_end(struct load_client *c);

/* As read() and send(), through the client's TLS if it has one. */
ssize_t load_recv(struct load_client *c, void *bytes, size_t cap);
ssize_t load_send(struct load_client *c, const void *bytes, size_t len);

/* Room for cap samples. Exits where there is no memory. */
void times_init(struct load_times *t, size_t cap);

void times_add(struct load_times *t, uint64_t us);

/* The sample that percent of all are not above; 0 of none. Sorts. */
uint32_t times_at(struct load_times *t, unsigned percent);

#endif
