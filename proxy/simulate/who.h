/*
 * Who a session's client is: its address, what is counted of it, and the
 * facts that its kind has.
 */
#ifndef PROXY_SIMULATE_WHO_H
#define PROXY_SIMULATE_WHO_H

#include "proxy/simulate/scenario.h"
#include "tarry/places.h"

/* The address of a kind's client number `number`: spread evenly over the
 * kind's network. */
void who_address(const struct scenario_kind *kind, uint32_t number,
		 struct addr *out);

/* What it is counted by. */
void who_keys(const struct scenario_kind *kind, const struct addr *client,
	      struct place_keys *out);

/* What is known of the kind, whoever of it comes; `listener` where it names
 * none. Points into the kind. */
void who_facts(const struct scenario_kind *kind, const char *listener,
	       struct evidence *out);

/* How many addresses its network has, UINT32_MAX at most. */
uint32_t who_room(const struct net *network);

#endif
