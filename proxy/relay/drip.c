#include "proxy/relay/drip.h"

#define MS_PER_S 1000
/* So many sessions use the budget up with the least gap. */
#define PER_GAP (DRIP_BUDGET_PER_S * DRIP_GAP_MS / MS_PER_S)

uint32_t
drip_gap_ms(uint32_t held)
{
	/* In whole gaps, so that the pieces of a drip rarely move. */
	uint32_t gaps = (held + PER_GAP - 1) / PER_GAP;

	return gaps > 1 ? gaps * DRIP_GAP_MS : DRIP_GAP_MS;
}
