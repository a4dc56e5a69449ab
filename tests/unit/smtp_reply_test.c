#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tarry/smtp.h"
#include "tests/unit/guard.h"

/* What is seen: "code/len " for each reply, "+" with PIPELINING, "lost", or
 * what is under way. */
struct row {
	const char *label;
	const char *bytes;
	const char *want;
};

static const struct row rows[] = {
    {"one line", "220 hello\r\n", "220/11 "},
    {"two replies", "250 a\r\n354 b\r\n", "250/7 354/7 "},
    {"three lines", "250-a\r\n250-b\r\n250 c\r\n", "250/21 "},
    {"a bare code", "250\r\n", "250/5 "},
    {"a bare code in the middle", "250-\r\n250\r\n", "250/11 "},
    {"bare line feeds", "250-a\n250 b\n250\n", "250/12 250/4 "},
    {"no text", "250 \r\n", "250/6 "},
    {"the last line's code counts", "250-a\r\n451 b\r\n", "451/14 "},
    {"PIPELINING", "250-a\r\n250-PIPELINING\r\n250 b\r\n", "250/30+ "},
    {"PIPELINING last, small, LF", "250-a\n250 pipelining\n", "250/21+ "},
    {"PIPELINING with more", "250 PIPELINING x\r\n", "250/18+ "},
    {"PIPELINING and more letters", "250 PIPELININGX\r\n", "250/17 "},
    {"PIPELINING, less", "250 PIPELININ\r\n", "250/15 "},
    {"PIPELINING not at the beginning", "250 XPIPELINING\r\n", "250/17 "},
    {"PIPELINING twice", "250 PIPELINPIPELINING\r\n", "250/23 "},
    {"PIPELINING of the reply before", "250 PIPELINING\r\n250 a\r\n",
     "250/16+ 250/7 "},
    {"under way", "250-a\r\n25", "(9)"},
    {"under way, text", "250 a\r", "(6)"},
    {"nothing", "", "(0)"},
    {"8 bit text", "250 \xe9\xff\r\n", "250/8 "},
    {"a CR in the text", "250 a\rb\r\n", "250/9 "},
    {"a letter", "2x0 a\r\n", "lost"},
    {"a blank in front", " 220 a\r\n", "lost"},
    {"no mark behind the code", "220***\r\n", "lost"},
    {"a tab as mark", "220\ta\r\n", "lost"},
    {"code 6xx", "620 a\r\n", "lost"},
    {"code 0xx", "020 a\r\n", "lost"},
    {"an empty line", "\r\n", "lost"},
    {"lost behind a good one", "250 a\r\nQ", "250/7 lost"},
    {"lost inside a reply", "250-a\r\nxyz\r\n", "lost"},
};

/* Reads a part; false once lost. */
static bool
read_part(struct smtp_reply *r, const uint8_t *bytes, size_t len, char *seen)
{
	size_t at = 0;

	while (at < len) {
		size_t used = 99999;
		enum smtp_reply_event what =
		    smtp_reply_read(r, bytes + at, len - at, &used);

		assert_true(used <= len - at);
		at += used;
		if (what == SMTP_REPLY_LOST) {
			strcat(seen, "lost");
			return false;
		}
		if (what == SMTP_REPLY_MORE) {
			assert_int_equal(at, len);
			return true;
		}
		assert_true(used > 0);
		sprintf(seen + strlen(seen), "%u/%u%s ", r->code, r->len,
			r->has_pipelining ? "+" : "");
		smtp_reply_next(r);
	}
	return true;
}

static void
check(const struct row *row, size_t len, size_t split)
{
	struct smtp_reply r = {0};
	char seen[128] = "";
	const uint8_t *part = guard_copy(row->bytes, split);
	bool fine = read_part(&r, part, split, seen);

	part = guard_copy(row->bytes + split, len - split);
	if (fine && read_part(&r, part, len - split, seen) &&
	    (r.len > 0 || len == 0))
		sprintf(seen + strlen(seen), "(%u)", r.len);
	if (strcmp(seen, row->want) != 0)
		fail_msg("%s, split at %zu: saw %s, wanted %s", row->label,
			 split, seen, row->want);
}

static void
mta_streams(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].bytes);
		size_t split;

		for (split = 0; split <= len; split++)
			check(&rows[i], len, split);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mta_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
