#include "proxy/evidence/verdict_wait.h"

bool
verdict_wait_put(struct verdict_wait *w, const struct verdict_line *line,
		 uint64_t unix_ms)
{
	if (w->count == VERDICT_WAIT_CAP)
		return false;
	w->waiting[w->count].since_ms = unix_ms;
	w->waiting[w->count++].line = *line;
	return true;
}

void
verdict_wait_try(struct verdict_wait *w, uint64_t unix_ms,
		 verdict_wait_fn *again, void *ctx)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < w->count; i++) {
		uint64_t since_ms = w->waiting[i].since_ms;
		bool is_last =
		    unix_ms < since_ms || unix_ms - since_ms >= VERDICT_WAIT_MS;

		if (again(ctx, &w->waiting[i].line, is_last) || is_last)
			continue;
		if (kept != i)
			w->waiting[kept] = w->waiting[i];
		kept++;
	}
	w->count = kept;
}
