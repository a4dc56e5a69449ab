/*
 * What `tarryctl simulate` found, as an object and for a person.
 */
#ifndef PROXY_CTL_SIMULATE_H
#define PROXY_CTL_SIMULATE_H

#include <jansson.h>

#include "proxy/simulate/simulation.h"

/* All of it; `wall_s` is what it took. The caller's. */
json_t *simulate_object(const struct simulation_result *r,
			const struct policy *policy, double wall_s);

/* The same object, as tables. */
void simulate_print(const json_t *object);

#endif
