#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tarry/pace.h"

struct row {
	const char *label;
	struct pace pace;
	uint32_t now_ms;
	uint32_t bytes;
	uint32_t next_ms;
};

static const struct row rows[] = {
    {"before the start", {1000, 3000, 100, 200}, 900, 0, 1200},
    {"at the start", {1000, 3000, 100, 200}, 1000, 0, 1200},
    {"first piece", {1000, 3000, 100, 200}, 1200, 10, 1400},
    {"between pieces", {1000, 3000, 100, 200}, 1399, 10, 1400},
    {"one before the last", {1000, 3000, 100, 200}, 2999, 90, 3000},
    {"due", {1000, 3000, 100, 200}, 3000, 100, 3000},
    {"behind", {1000, 3000, 100, 200}, 9000, 100, 3000},
    {"fewer bytes than pieces", {0, 20000, 4, 200}, 4999, 0, 5000},
    {"one byte each", {0, 20000, 4, 200}, 5000, 1, 10000},
    {"no drip: all at due", {3000, 3000, 100, 200}, 2999, 0, 3000},
    {"no drip, due", {3000, 3000, 100, 200}, 3000, 100, 3000},
    {"shorter than the gap", {1000, 1100, 100, 200}, 1099, 0, 1100},
    {"an uneven span keeps the gap", {0, 999, 10, 200}, 249, 2, 499},
    {"nothing to say", {0, 1000, 0, 200}, 500, 0, 1000},
};

static void
pieces_of_a_drip(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		uint32_t bytes = pace_bytes(&row->pace, row->now_ms);
		uint32_t next = pace_next(&row->pace, row->now_ms);

		if (bytes != row->bytes || next != row->next_ms)
			fail_msg("%s: %u bytes, next at %u; wanted %u, %u",
				 row->label, bytes, next, row->bytes,
				 row->next_ms);
	}
}

/* Walks whole drips: rising, gaps kept, ends exactly at due with all. */
static void
walks_end_at_due(void **state)
{
	uint32_t span;
	uint32_t len;

	(void)state;
	for (span = 0; span < 5000; span += 37) {
		for (len = 1; len < 300; len += 13) {
			struct pace p = {777, 777 + span, len, 200};
			uint32_t now = p.start_ms;
			uint32_t out = 0;

			while (now < p.due_ms) {
				uint32_t next = pace_next(&p, now);

				assert_true(next > now && next <= p.due_ms);
				if (span >= 200)
					assert_true(next - now >= 200);
				assert_true(pace_bytes(&p, next) > out);
				assert_int_equal(pace_bytes(&p, next - 1), out);
				out = pace_bytes(&p, next);
				now = next;
			}
			assert_int_equal(pace_bytes(&p, now), len);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pieces_of_a_drip),
	    cmocka_unit_test(walks_end_at_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
