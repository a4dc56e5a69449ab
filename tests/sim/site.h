/*
 * A site in simulated time: its rules, its gate, its crowd and its clients.
 * site_draw.c makes one up from a seed; site_keeps_promises_test.c plays it.
 */
#ifndef TESTS_SIM_SITE_H
#define TESTS_SIM_SITE_H

#include "proxy/simulate/house.h"
#include "tests/sim/run.h"

#define COMERS 32
#define CLASSES 4
#define RULES 6
#define START_MS 1000000

struct client {
	struct run run;
	struct lodger lodger;
	struct place_keys keys;
	const char *listener;
	uint64_t comes_ms;
	bool has_come;
	bool waits_for_caps;
};

struct sim_site {
	struct run dice;
	struct house house;
	struct policy policy;
	struct policy_class classes[CLASSES];
	struct policy_rule rules[RULES];
	struct policy_condition conditions[RULES][2];
	struct site site;
	struct client clients[COMERS];
};

extern struct sim_site site;

/* A number below n; n > 0. */
uint32_t site_draw(uint32_t n);

/* One of the values. */
uint32_t site_pick(const uint32_t *values, uint32_t count);

/* A site from a seed. What its clients do and what becomes of them is the
 * caller's: see house_options. False if there is no memory. */
bool site_open(uint64_t seed, void (*acts)(struct lodger *l),
	       void (*left)(struct lodger *l));

/* What a client that comes now will do. */
void site_draw_plot(struct run_plot *p);

/* Who it is, for rules and caps. */
void site_draw_client(struct client *c);

#endif
