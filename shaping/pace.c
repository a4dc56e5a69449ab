/* Dripping; see tarry/pace.h. Integers only, so that replays are exact. */
#include "tarry/pace.h"

/* Pieces that fit: one at start + gap, the last at due. */
static uint32_t
pieces(const struct pace *p)
{
	uint32_t n = (p->due_ms - p->start_ms) / p->gap_ms;

	if (n > p->len)
		n = p->len;
	return n > 0 ? n : 1;
}

/* When piece i of n (1..n) goes. */
static uint32_t
piece_at(const struct pace *p, uint32_t i, uint32_t n)
{
	uint64_t span = p->due_ms - p->start_ms;

	return p->start_ms + (uint32_t)(span * i / n);
}

static uint32_t
pieces_out(const struct pace *p, uint32_t now_ms, uint32_t n)
{
	uint64_t span = p->due_ms - p->start_ms;
	uint32_t i = (uint32_t)((uint64_t)(now_ms - p->start_ms) * n / span);

	while (i < n && piece_at(p, i + 1, n) <= now_ms)
		i++;
	return i;
}

uint32_t
pace_bytes(const struct pace *p, uint32_t now_ms)
{
	uint32_t n;

	if (now_ms >= p->due_ms)
		return p->len;
	if (now_ms <= p->start_ms)
		return 0;
	n = pieces(p);
	return (uint32_t)((uint64_t)p->len * pieces_out(p, now_ms, n) / n);
}

uint32_t
pace_next(const struct pace *p, uint32_t now_ms)
{
	uint32_t n;
	uint32_t i;

	if (now_ms >= p->due_ms)
		return p->due_ms;
	n = pieces(p);
	if (now_ms < p->start_ms)
		return piece_at(p, 1, n);
	i = pieces_out(p, now_ms, n);
	return piece_at(p, i + 1, n);
}
