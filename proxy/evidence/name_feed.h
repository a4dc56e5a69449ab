/*
 * What a worker asks the DNS by way of the main thread, and what it hears:
 * two rings, each with one writer and one reader and no lock. A full ring
 * drops and counts: mail never waits.
 */
#ifndef PROXY_EVIDENCE_NAME_FEED_H
#define PROXY_EVIDENCE_NAME_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/evidence/pool.h"
#include "tarry/addr.h"

/* A power of two. */
#define NAME_FEED_CAP 8192u
/* In place of a list's number: the name of the address. */
#define NAME_PTR 255

/* A session, as long as it is there; and the settings that it asked under. */
struct name_asker {
	uint32_t seat;
	uint32_t generation;
	uint32_t epoch;
};

/* For all lists there are, and the name. */
struct name_ask {
	struct name_asker who;
	struct addr client;
};

struct name_answer {
	struct name_asker who;
	uint8_t list;  /* its place in the settings, or NAME_PTR */
	uint8_t value; /* a weight, 0: not listed; or enum evidence_ptr */
	char pool[POOL_TEXT_CAP]; /* with a name that is confirmed; or "" */
};

struct name_ring {
	_Atomic uint64_t dropped;
	_Alignas(64) _Atomic uint64_t put;
	_Alignas(64) _Atomic uint64_t taken;
};

struct name_feed {
	struct name_ring asks; /* written by the worker */
	struct name_ring answers;
	struct name_ask ask[NAME_FEED_CAP];
	struct name_answer answer[NAME_FEED_CAP];
};

/* Each by one thread alone. False: it was full, or is empty. */
bool name_feed_ask(struct name_feed *f, const struct name_ask *ask);
bool name_feed_take_ask(struct name_feed *f, struct name_ask *out);
bool name_feed_answer(struct name_feed *f, const struct name_answer *answer);
bool name_feed_take_answer(struct name_feed *f, struct name_answer *out);

/* Asks and answers that were lost so far. Any thread. */
uint64_t name_feed_dropped(const struct name_feed *f);

#endif
