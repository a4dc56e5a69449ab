/* Samples and their percentiles; see load.h. */
#include "tests/bench/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t
load_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
	const uint32_t *x = a;
	const uint32_t *y = b;

	return (*x > *y) - (*x < *y);
}

void
times_init(struct load_times *t, size_t cap)
{
	t->samples = calloc(cap > 0 ? cap : 1, sizeof *t->samples);
	t->cap = cap;
	t->count = 0;
	if (t->samples == NULL) {
		perror("samples");
		exit(1);
	}
}

void
times_add(struct load_times *t, uint64_t us)
{
	if (t->count < t->cap)
		t->samples[t->count++] =
		    us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

uint32_t
times_at(struct load_times *t, unsigned percent)
{
	size_t at = t->count * percent / 100;

	if (t->count == 0)
		return 0;
	qsort(t->samples, t->count, sizeof *t->samples, compare);
	return t->samples[at < t->count ? at : t->count - 1];
}
