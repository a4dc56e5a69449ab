/* Questions to the p0f socket: good, cut at each byte, and nasty ones. */
#include "proxy/admin/p0f_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

struct raw {
	size_t len;
	uint8_t bytes[64];
};

static struct raw
question(uint32_t magic, uint8_t version, size_t len)
{
	struct raw r = {.len = len};
	const uint16_t port = 4711;

	memcpy(r.bytes, &magic, sizeof(magic));
	r.bytes[4] = version;
	memcpy(r.bytes + 5, "\xc0\x00\x02\x07", 4);
	memcpy(r.bytes + 21, &port, sizeof(port));
	memcpy(r.bytes + 23, "\xc6\x33\x64\x01", 4);
	memcpy(r.bytes + 39, &port, sizeof(port));
	return r;
}

static const struct {
	const char *label;
	uint32_t magic;
	uint8_t version;
	size_t len;
	int want;
} rows[] = {
    {"p0f's, IPv4", P0F_QUERY_MAGIC, 4, 21, 21},
    {"p0f's, IPv6", P0F_QUERY_MAGIC, 6, 21, 21},
    {"two at once", P0F_QUERY_MAGIC, 4, 42, 21},
    {"a tuple", P0F_TUPLE_MAGIC, 4, 41, 41},
    {"a tuple of IPv6", P0F_TUPLE_MAGIC, 6, 41, 41},
    {"nothing", P0F_QUERY_MAGIC, 4, 0, 0},
    {"too short", P0F_QUERY_MAGIC, 4, 20, 0},
    {"a tuple too short", P0F_TUPLE_MAGIC, 4, 40, 0},
    {"no family", P0F_QUERY_MAGIC, 0, 21, -1},
    {"family 5", P0F_QUERY_MAGIC, 5, 21, -1},
    {"family 255", P0F_TUPLE_MAGIC, 255, 41, -1},
    {"other magic", 0x50304602, 4, 21, -1},
    {"other byte order", 0x01463050, 4, 21, -1},
    {"SMTP", 0x4f4c4548, 4, 21, -1},
    {"zero", 0, 4, 21, -1},
};

static void
questions_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct raw r =
		    question(rows[i].magic, rows[i].version, rows[i].len);
		struct p0f_query q;
		int have;

		have = p0f_query_read(&q, r.bytes, r.len);
		if (have != rows[i].want)
			fail_msg("%s: %d, want %d", rows[i].label, have,
				 rows[i].want);
		for (size_t cut = 0; have > 0 && cut < (size_t)have; cut++) {
			/* A copy of just that length, for ASan. */
			uint8_t *part = malloc(cut + 1);
			memcpy(part, r.bytes, cut);
			assert_int_equal(p0f_query_read(&q, part, cut), 0);
			free(part);
		}
	}
}

static void
a_tuple_is_taken_apart(void **state)
{
	struct raw r = question(P0F_TUPLE_MAGIC, 4, 41);
	char text[ADDR_TEXT_CAP];
	struct p0f_query q;

	(void)state;
	assert_int_equal(p0f_query_read(&q, r.bytes, r.len), 41);
	addr_text(&q.client, text, sizeof(text));
	assert_string_equal(text, "192.0.2.7:4711");
	addr_text(&q.server, text, sizeof(text));
	assert_string_equal(text, "198.51.100.1:4711");
	assert_true(q.is_tuple);
}

static void
answers_are_written(void **state)
{
	char longest[600];
	uint8_t out[P0F_TUPLE_ANSWER_LEN];
	struct p0f_answer a = {.status = P0F_OK,
			       .distance = 7,
			       .quality = 1,
			       .connections = 3,
			       .label = "Windows 10 or newer"};
	uint32_t number;

	(void)state;
	assert_int_equal(p0f_answer_write(&a, false, out), 232);
	memcpy(&number, out, 4);
	assert_int_equal(number, 0x50304602);
	memcpy(&number, out + 4, 4);
	assert_int_equal(number, 0x10);
	memcpy(&number, out + 16, 4);
	assert_int_equal(number, 3);
	assert_memory_equal(out + 36, "\x07\x00\x00\x01", 4);
	assert_string_equal((char *)out + 40, "Windows");
	assert_string_equal((char *)out + 72, "10 or newer");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	a.label = a.signature = a.class = a.rule = longest;
	assert_int_equal(p0f_answer_write(&a, true, out), 744);
	assert_int_equal(strlen((char *)out + 40), 31);
	assert_int_equal(out[72], 0);
	assert_int_equal(strlen((char *)out + 232), 383);
	assert_int_equal(strlen((char *)out + 616), 63);
	assert_int_equal(strlen((char *)out + 680), 63);
	a.status = P0F_NO_MATCH;
	assert_int_equal(p0f_answer_write(&a, true, out), 744);
	assert_int_equal(out[40] | out[232] | out[616] | out[743], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(questions_are_read),
	    cmocka_unit_test(a_tuple_is_taken_apart),
	    cmocka_unit_test(answers_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
