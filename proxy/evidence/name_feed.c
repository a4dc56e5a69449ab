/* Two rings; see session_feed.c for the order of loads and stores. */
#include "proxy/evidence/name_feed.h"

#define MASK (NAME_FEED_CAP - 1)

_Static_assert((NAME_FEED_CAP & MASK) == 0, "a power of two");

/* The place to write at; NAME_FEED_CAP: there is none. */
static uint64_t
place_to_put(struct name_ring *r)
{
	uint64_t put = atomic_load_explicit(&r->put, memory_order_relaxed);
	uint64_t taken = atomic_load_explicit(&r->taken, memory_order_acquire);

	if (put - taken < NAME_FEED_CAP)
		return put & MASK;
	atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed);
	return NAME_FEED_CAP;
}

/* The place to read at; NAME_FEED_CAP: there is none. */
static uint64_t
place_to_take(struct name_ring *r)
{
	uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);

	if (taken == atomic_load_explicit(&r->put, memory_order_acquire))
		return NAME_FEED_CAP;
	return taken & MASK;
}

static void
step(_Atomic uint64_t *at)
{
	uint64_t was = atomic_load_explicit(at, memory_order_relaxed);

	atomic_store_explicit(at, was + 1, memory_order_release);
}

bool
name_feed_ask(struct name_feed *f, const struct name_ask *ask)
{
	uint64_t at = place_to_put(&f->asks);

	if (at == NAME_FEED_CAP)
		return false;
	f->ask[at] = *ask;
	step(&f->asks.put);
	return true;
}

bool
name_feed_take_ask(struct name_feed *f, struct name_ask *out)
{
	uint64_t at = place_to_take(&f->asks);

	if (at == NAME_FEED_CAP)
		return false;
	*out = f->ask[at];
	step(&f->asks.taken);
	return true;
}

bool
name_feed_answer(struct name_feed *f, const struct name_answer *answer)
{
	uint64_t at = place_to_put(&f->answers);

	if (at == NAME_FEED_CAP)
		return false;
	f->answer[at] = *answer;
	step(&f->answers.put);
	return true;
}

bool
name_feed_take_answer(struct name_feed *f, struct name_answer *out)
{
	uint64_t at = place_to_take(&f->answers);

	if (at == NAME_FEED_CAP)
		return false;
	*out = f->answer[at];
	step(&f->answers.taken);
	return true;
}

uint64_t
name_feed_dropped(const struct name_feed *f)
{
	return atomic_load_explicit(&f->asks.dropped, memory_order_relaxed) +
	       atomic_load_explicit(&f->answers.dropped, memory_order_relaxed);
}
