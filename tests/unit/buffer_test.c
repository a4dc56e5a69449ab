/*
 * The stream buffer against a model: three strings one behind the other.
 */
#include "proxy/relay/buffer.h"
#include "tarry/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct buffer buffer;

static void
arrive(const char *text)
{
	size_t n = strlen(text);

	assert_true(buffer_room(&buffer) >= n);
	memcpy(buffer_tail(&buffer), text, n);
	buffer_arrived(&buffer, n);
}

static void
assert_out(const char *want)
{
	size_t len;
	const uint8_t *out = buffer_out(&buffer, &len);

	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
}

static void
assert_unused(const char *want)
{
	assert_int_equal(buffer.unused, strlen(want));
	assert_memory_equal(buffer_unused(&buffer), want, strlen(want));
}

static int
fresh(void **state)
{
	(void)state;
	buffer_init(&buffer);
	return 0;
}

static void
words_go_between(void **state)
{
	(void)state;
	arrive("abcdef");
	assert_true(buffer_use(&buffer, 4));
	assert_true(buffer_release(&buffer, 1));
	assert_true(buffer_say(&buffer, "XY", 2));
	assert_out("aXY");
	assert_unused("ef");
	assert_true(buffer_release(&buffer, 3));
	assert_out("aXYbcd");
	buffer_written(&buffer, 6);
	assert_unused("ef");
	assert_false(buffer_is_empty(&buffer));
}

static void
dropped_bytes_are_the_oldest_held(void **state)
{
	(void)state;
	arrive("abcdef");
	assert_true(buffer_use(&buffer, 5));
	assert_true(buffer_drop(&buffer, 1)); /* nothing released yet */
	assert_true(buffer_release(&buffer, 1));
	assert_true(buffer_drop(&buffer, 2)); /* behind something released */
	assert_out("b");
	assert_true(buffer_release(&buffer, 1));
	assert_out("be");
	assert_unused("f");
}

static void
too_much_is_refused(void **state)
{
	(void)state;
	arrive("abc");
	assert_false(buffer_use(&buffer, 4));
	assert_true(buffer_use(&buffer, 2));
	assert_false(buffer_release(&buffer, 3));
	assert_false(buffer_drop(&buffer, 3));
	assert_true(buffer_release(&buffer, 2));
	assert_out("ab");
	assert_unused("c");
}

static void
room_for_words_is_kept(void **state)
{
	static char words[BUFFER_SAY_CAP + 1];

	(void)state;
	assert_int_equal(buffer_room(&buffer), BUFFER_READ_CAP);
	buffer_arrived(&buffer, BUFFER_READ_CAP);
	assert_int_equal(buffer_room(&buffer), 0);
	assert_false(buffer_say(&buffer, words, BUFFER_SAY_CAP + 1));
	assert_true(buffer_say(&buffer, words, BUFFER_SAY_CAP));
	assert_false(buffer_say(&buffer, words, 1));
}

static void
forgets(void **state)
{
	(void)state;
	arrive("abcdef");
	assert_true(buffer_use(&buffer, 4));
	assert_true(buffer_release(&buffer, 2));
	buffer_forget_released(&buffer);
	assert_out("");
	assert_unused("ef");
	assert_true(buffer_release(&buffer, 2));
	assert_out("cd");
	buffer_forget_rest(&buffer);
	assert_unused("");
	assert_out("cd");
	buffer_written(&buffer, 2);
	assert_true(buffer_is_empty(&buffer));
	assert_int_equal(buffer_room(&buffer), BUFFER_READ_CAP);
}

static void
edits_are_of_what_is_unused(void **state)
{
	const struct session_edit put = {.at = 2, .len = 3, .text = "XYZ"};
	const struct session_edit swap = {
	    .at = 0, .cut = 4, .len = 1, .text = "-"};
	const struct session_edit end = {.at = 3, .len = 1, .text = "!"};
	const struct session_edit beyond = {.at = 3, .cut = 2, .text = ""};
	const struct session_edit far = {.at = 5, .text = ""};

	(void)state;
	arrive("abcdef");
	assert_true(buffer_use(&buffer, 3));
	assert_true(buffer_release(&buffer, 1));
	assert_true(buffer_edit(&buffer, &put));
	assert_unused("deXYZf");
	assert_true(buffer_edit(&buffer, &swap));
	assert_unused("-Zf");
	assert_true(buffer_edit(&buffer, &end));
	assert_unused("-Zf!");
	assert_false(buffer_edit(&buffer, &beyond));
	assert_false(buffer_edit(&buffer, &far));
	assert_unused("-Zf!");
	assert_true(buffer_release(&buffer, 2));
	assert_out("abc");
	buffer_forget_unused(&buffer);
	assert_unused("");
	assert_out("abc");
}

/* Where there is no room for what is put in, nothing is changed. */
static void
an_edit_that_does_not_fit(void **state)
{
	const struct session_edit one = {.len = 1, .text = "x"};
	unsigned i;

	(void)state;
	while (buffer_room(&buffer) > 0)
		arrive("a");
	for (i = 0; i < BUFFER_SAY_CAP; i++)
		assert_true(buffer_edit(&buffer, &one));
	assert_false(buffer_edit(&buffer, &one));
	assert_int_equal(buffer.unused, sizeof(buffer.data));
}

/* A long random life: what comes out is what went in, in order. */
static void
agrees_with_a_counter(void **state)
{
	uint64_t r = 88172645463325252u;
	uint64_t in = 0;
	uint64_t out_count = 0;
	unsigned step;

	(void)state;
	for (step = 0; step < 300000; step++) {
		size_t len;
		size_t i;
		const uint8_t *out;
		size_t room = buffer_room(&buffer);
		size_t n;
		uint8_t *tail;

		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		n = (r >> 8) % 3000;
		n = n < room ? n : room;
		tail = buffer_tail(&buffer);
		for (i = 0; i < n; i++)
			tail[i] = (uint8_t)(in++ % 251);
		buffer_arrived(&buffer, n);
		(void)buffer_use(&buffer, (r >> 20) % 4000);
		(void)buffer_release(&buffer, (r >> 33) % 4000);
		out = buffer_out(&buffer, &len);
		n = (r >> 45) % 5000;
		n = n < len ? n : len;
		for (i = 0; i < n; i++)
			assert_int_equal(out[i], out_count++ % 251);
		buffer_written(&buffer, n);
	}
	assert_true(out_count > 100000000 / 251);
}

#define FRESH(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    FRESH(words_go_between),
	    FRESH(dropped_bytes_are_the_oldest_held),
	    FRESH(too_much_is_refused),
	    FRESH(room_for_words_is_kept),
	    FRESH(forgets),
	    FRESH(edits_are_of_what_is_unused),
	    FRESH(an_edit_that_does_not_fit),
	    FRESH(agrees_with_a_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
