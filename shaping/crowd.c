/* Lists by rank, oldest first; a word of bits finds the worst one. */
#include "tarry/crowd.h"

#include <string.h>

#define STRESS_ON 90u
#define STRESS_OFF 70u
#define PERCENT 100u

void
crowd_init(struct crowd *c, struct crowd_link *links, uint32_t limit)
{
	memset(c, 0, sizeof(*c));
	c->links = links;
	c->limit = limit;
}

void
crowd_leave(struct crowd *c, uint32_t seat)
{
	struct crowd_link *l = &c->links[seat];
	uint8_t rank = l->rank;

	if (!l->is_in)
		return;
	if (l->prev != 0)
		c->links[l->prev - 1].next = l->next;
	else
		c->first[rank] = l->next;
	if (l->next != 0)
		c->links[l->next - 1].prev = l->prev;
	else
		c->last[rank] = l->prev;
	if (c->first[rank] == 0)
		c->ranks &= ~((uint64_t)1 << rank);
	memset(l, 0, sizeof(*l));
}

void
crowd_join(struct crowd *c, uint32_t seat, uint8_t rank)
{
	struct crowd_link *l = &c->links[seat];

	if (l->is_in && l->rank == rank)
		return;
	crowd_leave(c, seat);
	l->rank = rank;
	l->is_in = true;
	l->prev = c->last[rank];
	if (l->prev != 0)
		c->links[l->prev - 1].next = seat + 1;
	else
		c->first[rank] = seat + 1;
	c->last[rank] = seat + 1;
	c->ranks |= (uint64_t)1 << rank;
}

static unsigned
worst(const struct crowd *c)
{
	return 63u - (unsigned)__builtin_clzll(c->ranks);
}

uint32_t
crowd_gives_way(const struct crowd *c)
{
	if (c->ranks == 0)
		return CROWD_NONE;
	return c->last[worst(c)] - 1;
}

uint32_t
crowd_is_let_go(const struct crowd *c)
{
	if (c->ranks <= 1) /* nobody, or `pass` alone */
		return CROWD_NONE;
	return c->first[worst(c)] - 1;
}

bool
crowd_is_full(const struct crowd *c, uint32_t sessions)
{
	return sessions > c->limit;
}

bool
crowd_note(struct crowd *c, uint32_t sessions)
{
	uint64_t used = (uint64_t)sessions * PERCENT;
	bool was = c->is_stressed;

	if (used >= (uint64_t)c->limit * STRESS_ON)
		c->is_stressed = true;
	else if (used <= (uint64_t)c->limit * STRESS_OFF)
		c->is_stressed = false;
	return c->is_stressed != was;
}
