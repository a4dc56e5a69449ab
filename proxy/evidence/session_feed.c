#include "proxy/evidence/session_feed.h"

#include <stddef.h>

#define MASK (SESSION_FEED_CAP - 1u)

_Static_assert((SESSION_FEED_CAP & MASK) == 0, "a power of two");

void
session_feed_init(struct session_feed *f)
{
	atomic_init(&f->dropped, 0);
	atomic_init(&f->put, 0);
	atomic_init(&f->taken, 0);
}

void
session_feed_put(struct session_feed *f, const struct session_item *item)
{
	uint64_t put;

	if (f == NULL)
		return;
	put = atomic_load_explicit(&f->put, memory_order_relaxed);
	if (put - atomic_load_explicit(&f->taken, memory_order_acquire) ==
	    SESSION_FEED_CAP) {
		atomic_fetch_add_explicit(&f->dropped, 1, memory_order_relaxed);
		return;
	}
	f->ring[put & MASK] = *item;
	atomic_store_explicit(&f->put, put + 1, memory_order_release);
}

bool
session_feed_take(struct session_feed *f, struct session_item *out)
{
	uint64_t taken = atomic_load_explicit(&f->taken, memory_order_relaxed);

	if (taken == atomic_load_explicit(&f->put, memory_order_acquire))
		return false;
	*out = f->ring[taken & MASK];
	atomic_store_explicit(&f->taken, taken + 1, memory_order_release);
	return true;
}
