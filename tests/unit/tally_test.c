/* What is counted of signatures: who stays, who gives way, and sums. */
#include "proxy/admin/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/daemon/session_report.h"
#include "tarry/session.h"
#include "tarry/signature.h"
#include "tarry/syn.h"

static struct tally_signature rows[TALLY_SIGNATURES];

/* Signatures that differ in their window scale and options. */
static struct syn
stack(uint16_t n)
{
	return (struct syn){.version = 4, .ttl = 64, .mss = 1460, .window = n};
}

static void
end_session(struct tally *t, const struct syn *syn, const char *label,
	    enum session_reason reason, uint16_t delivered, uint16_t spam)
{
	static struct session s;
	struct signature_texts texts;
	const struct session_report report = {.session = &s, .label = label};

	memset(&s, 0, sizeof(s));
	s.reason = (uint8_t)reason; /* a small enum */
	s.counts.outcomes[OUTCOME_DELIVERED] = delivered;
	s.counts.outcomes[OUTCOME_SPAM] = spam;
	if (syn != NULL)
		signature_texts_make(&texts, syn);
	tally_session(t, syn != NULL ? &texts : NULL, &report);
}

static void
counts_add_up(void **state)
{
	struct tally *t = tally_new(4711);
	const struct syn a = stack(1000);

	(void)state;
	assert_non_null(t);
	assert_int_equal(tally_copy(t, rows), 0);
	end_session(t, &a, NULL, REASON_QUIT, 3, 0);
	end_session(t, &a, "Linux", REASON_GAVE_UP, 0, 2);
	end_session(t, &a, NULL, REASON_QUIT, 0, 0);
	end_session(t, NULL, NULL, REASON_QUIT, 1, 0);
	tally_session(NULL, NULL, NULL); /* nobody asks */
	assert_int_equal(tally_merge(rows, tally_copy(t, rows)), 2);
	assert_int_equal(rows[0].counts[TALLY_SESSIONS], 3);
	assert_int_equal(rows[0].counts[TALLY_GAVE_UP], 1);
	assert_int_equal(rows[0].counts[TALLY_OUTCOMES + OUTCOME_DELIVERED], 3);
	assert_int_equal(rows[0].counts[TALLY_OUTCOMES + OUTCOME_SPAM], 2);
	assert_string_equal(rows[0].label, "Linux");
	assert_string_equal(rows[1].text, "unknown");
	assert_string_equal(rows[1].label, "");
	tally_free(t);
}

/* A flood of made-up signatures pushes out the like of itself. */
static void
floods_push_out_themselves(void **state)
{
	struct tally *t = tally_new(1);
	const struct syn good = stack(5);
	struct syn made_up;
	uint32_t count;
	uint32_t found = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		made_up = stack((uint16_t)(1000 + i));
		end_session(t, &made_up, NULL, REASON_QUIT, 0, 1);
		if (i % 100 == 0)
			end_session(t, &good, NULL, REASON_QUIT, 1, 0);
	}
	count = tally_copy(t, rows);
	assert_int_equal(count, TALLY_SIGNATURES);
	for (uint32_t i = 0; i < count; i++)
		found += rows[i].counts[TALLY_OUTCOMES + OUTCOME_DELIVERED];
	/* All of it but what came before it weighed enough. */
	assert_in_range(found, 190, 200);
	tally_free(t);
}

static void
tables_are_merged(void **state)
{
	static const struct tally_signature three[] = {
	    {.hash = 7, .weight = 2, .counts = {2, 1}, .text = "seven"},
	    {.hash = 9, .weight = 3, .counts = {3, 0}, .text = "nine"},
	    {.hash = 7, .weight = 4, .counts = {4, 2}, .text = "seven"},
	};

	(void)state;
	memcpy(rows, three, sizeof(three));
	assert_int_equal(tally_merge(rows, 0), 0);
	assert_int_equal(tally_merge(rows, 3), 2);
	assert_string_equal(rows[0].text, "seven");
	assert_int_equal(rows[0].weight, 6);
	assert_int_equal(rows[0].counts[TALLY_SESSIONS], 6);
	assert_int_equal(rows[0].counts[TALLY_GAVE_UP], 3);
	assert_string_equal(rows[1].text, "nine");
}

static void
weights_fade_and_counts_do_not(void **state)
{
	struct tally *t = tally_new(1);
	const struct syn a = stack(5);

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		end_session(t, &a, NULL, REASON_QUIT, 0, 0);
	for (unsigned minute = 0; minute < 12 * 60; minute++)
		tally_fade(t);
	assert_int_equal(tally_copy(t, rows), 1);
	assert_in_range(rows[0].weight, 4500, 5500);
	assert_int_equal(rows[0].counts[TALLY_SESSIONS], 10000);
	tally_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counts_add_up),
	    cmocka_unit_test(floods_push_out_themselves),
	    cmocka_unit_test(tables_are_merged),
	    cmocka_unit_test(weights_fade_and_counts_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
