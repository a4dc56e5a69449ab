/* Bytes of peers as JSON text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/admin/escape.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct {
	const char *label;
	const char *bytes;
	size_t len;
	size_t cap;
	const char *want;
} rows[] = {
    {"plain", "250 ok", 6, 100, "250 ok"},
    {"empty", "", 0, 100, ""},
    {"quotes are for JSON", "a\"b", 3, 100, "a\"b"},
    {"backslash", "a\\b", 3, 100, "a\\\\b"},
    {"control", "a\r\nb", 4, 100, "a\\x0d\\x0ab"},
    {"NUL", "a\0b", 3, 100, "a\\x00b"},
    {"DEL", "\x7f", 1, 100, "\\x7f"},
    {"not UTF-8", "\xff\xc3", 2, 100, "\\xff\\xc3"},
    {"UTF-8 too", "\xc3\xa9", 2, 100, "\\xc3\\xa9"},
    {"just fits", "ab", 2, 3, "ab"},
    {"cut", "abc", 3, 3, "ab"},
    {"cut before an escape", "a\n", 2, 5, "a"},
    {"room for nothing", "abc", 3, 1, ""},
};

static void
text_is_escaped(void **state)
{
	char out[100];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len =
		    escape_text(rows[i].bytes, rows[i].len, out, rows[i].cap);

		if (strcmp(out, rows[i].want) != 0 ||
		    len != strlen(rows[i].want))
			fail_msg("%s: got %s", rows[i].label, out);
	}
}

/* Whatever the bytes are, there is a JSON string of them. */
static void
every_byte_is_json(void **state)
{
	char bytes[256];
	json_t *json;
	char *text;

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	json = escape_json(bytes, sizeof(bytes));
	assert_non_null(json);
	text = json_dumps(json, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	assert_non_null(text);
	assert_null(strpbrk(text, "\r\n\x7f"));
	free(text);
	json_decref(json);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_escaped),
	    cmocka_unit_test(every_byte_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
