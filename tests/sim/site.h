/*
 * A site in simulated time: its rules, its gate, its crowd and its clients.
 * site_draw.c makes one up from a seed; site_keeps_promises_test.c plays it.
 */
#ifndef TESTS_SIM_SITE_H
#define TESTS_SIM_SITE_H

#include "tarry/crowd.h"
#include "tarry/places.h"
#include "tarry/policy.h"
#include "tests/sim/run.h"

#define COMERS 32
#define SEATS_CAP 24
#define CLASSES 4
#define RULES 6
#define START_MS 1000000

struct client {
	struct run run;
	struct place place;
	struct place_keys keys;
	const char *listener;
	uint64_t comes_ms;
	uint32_t events; /* of the gate, to be told: one bit each */
	uint64_t asked_ms;
	uint32_t seat; /* SEATS_CAP: none */
	bool is_open;
	bool has_come;
	bool has_slot;
	bool has_caps;
	bool asked_reserve;
};

struct sim_site {
	uint64_t now_ms;
	struct run dice;
	struct places_options options;
	uint32_t limit;
	struct places *places;
	struct crowd crowd;
	struct crowd_link links[SEATS_CAP];
	struct client *seats[SEATS_CAP];
	uint32_t sessions;
	struct policy policy;
	struct policy_class classes[CLASSES];
	struct policy_rule rules[RULES];
	struct policy_condition conditions[RULES][2];
	struct site site;
	bool is_slot_stress;
	struct client clients[COMERS];
};

extern struct sim_site site;

/* A number below n; n > 0. */
uint32_t site_draw(uint32_t n);

/* One of the values. */
uint32_t site_pick(const uint32_t *values, uint32_t count);

/* A site from a seed, places in `memory` of places_bytes(SEATS_CAP) bytes. */
void site_open(uint64_t seed, void *memory);

/* What a client that comes now will do. */
void site_draw_plot(struct run_plot *p);

/* Who it is, for rules and caps. */
void site_draw_client(struct client *c);

#endif
