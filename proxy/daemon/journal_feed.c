#include "proxy/daemon/journal_feed.h"

#include <string.h>

#define MASK (JOURNAL_FEED_CAP - 1u)

_Static_assert((JOURNAL_FEED_CAP & MASK) == 0, "a power of two");

void
journal_feed_put(struct journal_feed *f, const char *line, size_t len)
{
	uint64_t put = atomic_load_explicit(&f->put, memory_order_relaxed);
	uint64_t taken = atomic_load_explicit(&f->taken, memory_order_acquire);
	size_t at = (size_t)(put & MASK);
	size_t first = JOURNAL_FEED_CAP - at;

	if (len > JOURNAL_FEED_CAP - (put - taken)) {
		atomic_fetch_add_explicit(&f->dropped, 1, memory_order_relaxed);
		return;
	}
	if (first > len)
		first = len;
	memcpy(f->ring + at, line, first);
	memcpy(f->ring, line + first, len - first);
	atomic_store_explicit(&f->put, put + len, memory_order_release);
}

size_t
journal_feed_peek(const struct journal_feed *f, const char **bytes)
{
	uint64_t taken = atomic_load_explicit(&f->taken, memory_order_relaxed);
	uint64_t put = atomic_load_explicit(&f->put, memory_order_acquire);
	size_t at = (size_t)(taken & MASK);
	size_t len = (size_t)(put - taken);

	*bytes = f->ring + at;
	return len < JOURNAL_FEED_CAP - at ? len : JOURNAL_FEED_CAP - at;
}

void
journal_feed_take(struct journal_feed *f, size_t len)
{
	uint64_t taken = atomic_load_explicit(&f->taken, memory_order_relaxed);

	atomic_store_explicit(&f->taken, taken + len, memory_order_release);
}
