/*
 * The door of the sink: its listener, and the times at which nobody comes in.
 *
 * A port is taken for good by a socket that never listens, so that nobody else
 * has it while connections are refused.
 */
#ifndef TESTS_BENCH_STORM_DOOR_H
#define TESTS_BENCH_STORM_DOOR_H

#include <netinet/in.h>

#include "tests/bench/mix.h"

struct door {
	int epoll;
	int listener; /* -1 while connections are refused */
	struct sockaddr_in address;
	uint64_t period_ms; /* between windows; 0: none */
	uint64_t window_ms; /* when the next window begins or ends; 0: never */
	bool is_window;
	unsigned windows; /* so far */
};

/* Listens on 127.0.0.1; port 0: one that is free. Ends the program if not. */
void door_make(struct door *d, int epoll, uint16_t port);

unsigned door_port(const struct door *d);

/* From now on windows come and go, if there is a period. */
void door_first_client(struct door *d);

/* To be called often while d->window_ms is not 0. */
void door_tick(struct door *d, uint64_t now_ms);

/* Connections are refused; or their handshakes hang; or all is well. */
void door_refuse(struct door *d);
void door_hang(struct door *d);
void door_open(struct door *d);

#endif
