#include "tests/unit/config_text.h"

static void
value_texts(void **state)
{
	static const struct {
		const char *label;
		char kind; /* d, s, %, n, r */
		const char *text;
		bool is_good;
		uint32_t want;
		uint32_t want_high;
	} rows[] = {
	    {"ms", 'd', "500ms", true, 500, 0},
	    {"s", 'd', "5s", true, 5000, 0},
	    {"m", 'd', "2m", true, 120000, 0},
	    {"h", 'd', "1h", true, 3600000, 0},
	    {"d", 'd', "7d", true, 604800000, 0},
	    {"zero", 'd', "0", true, 0, 0},
	    {"zeros", 'd', "00s", true, 0, 0},
	    {"bare", 'd', "5", false, 0, 0},
	    {"unit alone", 'd', "s", false, 0, 0},
	    {"unit in capitals", 'd', "5S", false, 0, 0},
	    {"two", 'd', "1h30m", false, 0, 0},
	    {"negative", 'd', "-5s", false, 0, 0},
	    {"overflow", 'd', "99999999999999999999d", false, 0, 0},
	    {"49 days", 'd', "49d", true, 4233600000u, 0},
	    {"50 days", 'd', "50d", false, 0, 0},
	    {"bytes", 's', "4096", true, 4096, 0},
	    {"k", 's', "64k", true, 65536, 0},
	    {"M", 's', "1M", true, 1048576, 0},
	    {"G", 's', "3G", true, 3221225472u, 0},
	    {"too many G", 's', "4G", false, 0, 0},
	    {"K", 's', "64K", false, 0, 0},
	    {"no size", 's', "k", false, 0, 0},
	    {"percent", '%', "50%", true, 50, 0},
	    {"all", '%', "100%", true, 100, 0},
	    {"more than all", '%', "101%", false, 0, 0},
	    {"bare percent", '%', "50", false, 0, 0},
	    {"count", 'n', "4294967295", true, UINT32_MAX, 0},
	    {"count above", 'n', "4294967296", false, 0, 0},
	    {"count with blank", 'n', "4 ", false, 0, 0},
	    {"range", 'r', "3..7", true, 3, 7},
	    {"range up", 'r', "3..", true, 3, UINT32_MAX},
	    {"range down", 'r', "..7", true, 0, 7},
	    {"range of one", 'r', "7", true, 7, 7},
	    {"range upside down", 'r', "7..3", false, 0, 0},
	    {"range of nothing", 'r', "..", false, 0, 0},
	    {"range empty", 'r', "", false, 0, 0},
	    {"range of three dots", 'r', "3...7", false, 0, 0},
	    {"range of two", 'r', "1..2..3", false, 0, 0},
	    {"range with a dash", 'r', "3-7", false, 0, 0},
	    {"range above", 'r', "0..4294967296", false, 0, 0},
	};
	const uint32_t max = UINT32_MAX;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *text = rows[i].text;
		struct value_why why = {""};
		uint32_t a = 0;
		uint32_t b = 0;
		bool is_good =
		    rows[i].kind == 'd' ? value_duration(text, 0, max, &a, &why)
		    : rows[i].kind == 's' ? value_size(text, 0, max, &a, &why)
		    : rows[i].kind == '%'
			? value_percent(text, 0, 100, &a, &why)
		    : rows[i].kind == 'n'
			? value_count(text, 0, max, &a, &why)
			: value_range(text, 0, max, &a, &b, &why);
		if (is_good != rows[i].is_good ||
		    (is_good && (a != rows[i].want || b != rows[i].want_high)))
			fail_msg("%s: got %d %" PRIu32 " %" PRIu32 " %s",
				 rows[i].label, is_good, a, b, why.text);
		assert_int_equal(is_good, why.text[0] == '\0');
	}
}

static void
word_distances(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		unsigned want;
	} rows[] = {
	    {"", "", 0},
	    {"abc", "abc", 0},
	    {"abc", "abd", 1},
	    {"abc", "ac", 1},
	    {"ac", "abc", 1},
	    {"abc", "acb", 1},
	    {"kitten", "sitting", 3},
	    {"", "abc", 3},
	    {"abcd", "badc", 2},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (word_distance(rows[i].a, rows[i].b) != rows[i].want)
			fail_msg("%s %s: got %u", rows[i].a, rows[i].b,
				 word_distance(rows[i].a, rows[i].b));
	}
}

static void
report_is_bounded(void **state)
{
	struct report report = {0};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (unsigned i = 0; i < REPORT_NOTES_CAP + 7; i++)
		report_add(&report, REPORT_MISTAKE, "f", 1000 - i, "x\x1by");
	report_sort(&report);
	assert_int_equal(report.count, REPORT_NOTES_CAP);
	assert_int_equal(report.mistakes, REPORT_NOTES_CAP + 7);
	assert_string_equal(report.notes[0].text, "f:801: x?y");
	report_print(&report, out);
	fclose(out);
	assert_non_null(strstr(text, "f:1000: x?y\nand 7 more\n"));
	free(text);
	report_free(&report);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(value_texts),
	    cmocka_unit_test(word_distances),
	    cmocka_unit_test(report_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
