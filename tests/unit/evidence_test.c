/* What the lists in the DNS say, as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/evidence.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void
lists_are_told(void **state)
{
	static const char *const names[EVIDENCE_LISTS_CAP] = {
	    "zen", "good", "other", [11] = "last"};
	static const uint8_t weights[EVIDENCE_LISTS_CAP] = {3, 0,
							    255, [11] = 10};
	static const struct {
		const char *label;
		uint16_t known;
		const char *want;
	} rows[] = {
	    {"nobody answered", 0, ""},
	    {"one", 1, "zen:3"},
	    {"not listed", 2, "good:0"},
	    {"all of them", 0x807, "zen:3,good:0,other:255,last:10"},
	    {"no such list", 0xf000, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct evidence e = {.lists_known = rows[i].known,
					   .list_weights = weights,
					   .list_names = names};
		char text[EVIDENCE_LISTS_TEXT_CAP];
		size_t len = evidence_lists_text(&e, text);

		if (strcmp(text, rows[i].want) != 0 || len != strlen(text))
			fail_msg("%s: got %s", rows[i].label, text);
	}
}

/* What has no room is left out whole. */
static void
long_names_fit(void **state)
{
	char name[EVIDENCE_LISTS_TEXT_CAP];
	char text[EVIDENCE_LISTS_TEXT_CAP];
	const char *names[EVIDENCE_LISTS_CAP];
	uint8_t weights[EVIDENCE_LISTS_CAP];
	struct evidence e = {.list_names = names, .list_weights = weights};
	size_t got;

	(void)state;
	memset(weights, 200, sizeof(weights));
	for (size_t len = 1; len < sizeof(name); len++) {
		memset(name, 'x', len);
		name[len] = '\0';
		for (size_t i = 0; i < EVIDENCE_LISTS_CAP; i++)
			names[i] = name;
		e.lists_known = 0xfff;
		got = evidence_lists_text(&e, text);
		assert_int_equal(got, strlen(text));
		assert_true(strlen(text) % (len + 5) == len + 4 ||
			    text[0] == '\0');
		assert_true(text[0] != '\0' || len > 240);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lists_are_told),
	    cmocka_unit_test(long_names_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
