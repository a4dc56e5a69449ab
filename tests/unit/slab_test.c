/*
 * The slab: all seats once, the last freed first, and untouched memory.
 */
#include "proxy/relay/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define CAP 1000
#define SEAT_BYTES 100

static void
every_seat_once(void **state)
{
	static void *seats[CAP];
	struct slab s;
	uint32_t i;

	(void)state;
	assert_int_equal(slab_init(&s, SEAT_BYTES, CAP), 0);
	for (i = 0; i < CAP; i++) {
		seats[i] = slab_take(&s);
		assert_non_null(seats[i]);
		assert_int_equal((uintptr_t)seats[i] % 16, 0);
		assert_int_equal(slab_index(&s, seats[i]), i);
		assert_ptr_equal(slab_at(&s, i), seats[i]);
		memset(seats[i], (int)(i & 0xff), SEAT_BYTES);
	}
	assert_null(slab_take(&s));
	for (i = 0; i < CAP; i++)
		assert_int_equal(((uint8_t *)seats[i])[SEAT_BYTES - 1],
				 i & 0xff);
	for (i = 0; i < CAP; i++)
		slab_give(&s, seats[i]);
	assert_int_equal(s.used, 0);
	for (i = CAP; i-- > 0;)
		assert_ptr_equal(slab_take(&s), seats[i]);
	assert_null(slab_take(&s));
	slab_free(&s);
}

static void
keeps_what_stood_behind_the_link(void **state)
{
	struct slab s;
	uint8_t *seat;

	(void)state;
	assert_int_equal(slab_init(&s, SEAT_BYTES, 2), 0);
	seat = slab_take(&s);
	assert_int_equal(seat[4], 0); /* zeroed at first */
	memset(seat + 4, 0x5a, SEAT_BYTES - 4);
	slab_give(&s, seat);
	assert_ptr_equal(slab_take(&s), seat);
	assert_int_equal(seat[4], 0x5a);
	assert_int_equal(seat[SEAT_BYTES - 1], 0x5a);
	slab_free(&s);
}

static void
untouched_seats_cost_nothing(void **state)
{
	enum { PAGES = 256 };
	static unsigned char resident[PAGES];
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct slab s;
	unsigned count = 0;
	size_t i;

	(void)state;
	assert_int_equal(slab_init(&s, page, PAGES), 0);
	for (i = 0; i < 3; i++)
		memset(slab_take(&s), 1, page);
	assert_int_equal(mincore(s.base, PAGES * page, resident), 0);
	for (i = 0; i < PAGES; i++)
		count += resident[i] & 1;
	assert_int_equal(count, 3);
	slab_free(&s);
}

static void
refuses_nonsense(void **state)
{
	struct slab s;

	(void)state;
	assert_true(slab_init(&s, SEAT_BYTES, 0) < 0);
	slab_free(&s);
	assert_true(slab_init(&s, SIZE_MAX / 2, 4) < 0);
	assert_null(slab_take(&s));
	slab_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_seat_once),
	    cmocka_unit_test(keeps_what_stood_behind_the_link),
	    cmocka_unit_test(untouched_seats_cost_nothing),
	    cmocka_unit_test(refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
