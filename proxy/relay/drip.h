/*
 * How far apart the pieces of all drips are.
 *
 * Dripping costs sends and nothing else, 6 to 9 us each on top of a step of
 * the session. So a worker has a budget of them: with few sessions held the
 * pieces are as close as may be, with many they get larger and further apart,
 * and all drips together cost a worker less than 2 % of a core.
 */
#ifndef PROXY_RELAY_DRIP_H
#define PROXY_RELAY_DRIP_H

#include <stdint.h>

/* No two pieces of one session are closer. */
#define DRIP_GAP_MS 200
/* Pieces a second of a worker at most, if each session held drips. */
#define DRIP_BUDGET_PER_S 800

/* The gap between two pieces of one session while so many are held. */
uint32_t drip_gap_ms(uint32_t held);

#endif
