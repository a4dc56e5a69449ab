/* Who gets OpenMetrics, and who the older text. */
#include "proxy/admin/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPEN "application/openmetrics-text"

static const struct {
	const char *label;
	const char *accept;
	enum metrics_form want;
} rows[] = {
    {"no header", NULL, METRICS_TEXT},
    {"empty", "", METRICS_TEXT},
    {"anything", "*/*", METRICS_TEXT},
    {"a browser", "text/html,application/xhtml+xml,*/*;q=0.8", METRICS_TEXT},
    {"Prometheus 2.42",
     OPEN ";version=1.0.0," OPEN ";version=0.0.1;q=0.75,"
	  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     METRICS_OPEN},
    {"Prometheus 3",
     OPEN ";version=1.0.0;escaping=allow-utf-8;q=0.6," OPEN
	  ";version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;"
	  "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
     METRICS_OPEN},
    {"by its name alone", OPEN, METRICS_OPEN},
    {"in capitals", "APPLICATION/OpenMetrics-Text; Version=1.0.0; Q=1",
     METRICS_OPEN},
    {"blanks everywhere", " \t" OPEN " ; version=1.0.0 ; q=0.9 ,\t*/* ; q=0.1",
     METRICS_OPEN},
    {"a version in quotes", OPEN ";version=\"1.0.0\"", METRICS_OPEN},
    {"another version", OPEN ";version=0.0.1", METRICS_TEXT},
    {"a later version", OPEN ";version=2.0.0,*/*", METRICS_TEXT},
    {"refused", OPEN ";q=0", METRICS_TEXT},
    {"refused, with digits", OPEN ";q=0.000,text/plain;q=0", METRICS_TEXT},
    {"less than text", OPEN ";q=0.4,text/plain;q=0.5", METRICS_TEXT},
    {"more than text by a thousandth", OPEN ";q=0.501,text/plain;q=0.5",
     METRICS_OPEN},
    {"less than any text", OPEN ";q=0.4,text/*;q=0.5", METRICS_TEXT},
    {"less than anything", OPEN ";q=0.4,*/*", METRICS_TEXT},
    {"the same as anything", "*/*," OPEN, METRICS_OPEN},
    {"first of two", OPEN ",text/plain", METRICS_OPEN},
    {"second of two", "text/plain," OPEN, METRICS_TEXT},
    {"the version counts more than the type",
     OPEN ";q=0.1,text/plain;q=0.5," OPEN ";version=1.0.0;q=0.9", METRICS_OPEN},
    {"text of another version", OPEN ";q=0.5,text/plain;version=1.0.0",
     METRICS_OPEN},
    {"text of ours", OPEN ";q=0.5,text/plain;version=0.0.4", METRICS_TEXT},
    {"quality above 1", OPEN ";q=1.5", METRICS_TEXT},
    {"quality 2", OPEN ";q=2", METRICS_TEXT},
    {"quality in words", OPEN ";q=high", METRICS_TEXT},
    {"quality too long", OPEN ";q=0.1234", METRICS_TEXT},
    {"quality without digits", OPEN ";q=", METRICS_TEXT},
    {"a comma in quotes", "a/b;c=\"," OPEN ",\"", METRICS_TEXT},
    {"a quote that stays open", "a/b;c=\"," OPEN, METRICS_TEXT},
    {"a backslash at the end", "a/b;c=\"\\", METRICS_TEXT},
    {"a longer name", OPEN "s", METRICS_TEXT},
    {"nothing between commas", ",,;;,=," OPEN ",,", METRICS_OPEN},
};

static void
forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (accept_form(rows[i].accept) != rows[i].want)
			fail_msg("%s: %s", rows[i].label, rows[i].accept);
	}
}

/* Cut anywhere, in memory that ends there: nothing behind it is read. */
static void
cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 1; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t len = 0; len < strlen(rows[i].accept); len++) {
			char *cut = strndup(rows[i].accept, len);

			assert_non_null(cut);
			(void)accept_form(cut);
			free(cut);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(forms),
	    cmocka_unit_test(cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
