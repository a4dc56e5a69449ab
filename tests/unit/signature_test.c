/* Texts of SYNs, patterns in and out, and whether they match. */
#include "tarry/signature.h"

#include "syn_packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tarry/explain.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/*
 * SYNs and their texts. The first group are stacks built to order, the second
 * what real ones were seen to send.
 */
static const struct golden {
	struct packet packet;
	const char *text[3]; /* syn, stack, family */
} golden[] = {
#include "syn_golden.def"
};

static void
texts_are_golden(void **state)
{
	char text[SIGNATURE_TEXT_CAP];

	(void)state;
	for (size_t i = 0; i < COUNT(golden); i++) {
		const struct syn s = packet_syn(&golden[i].packet);
		for (unsigned l = 0; l < 3; l++) {
			const size_t len = signature_text(
			    (enum signature_level)l, &s, text, sizeof(text));
			if (strcmp(text, golden[i].text[l]) != 0 ||
			    len != strlen(text))
				fail_msg("%s: %s, want %s",
					 golden[i].packet.label, text,
					 golden[i].text[l]);
		}
	}
}

/* Parses good text; fails the test if it is not. */
static struct signature_pattern
good_pattern(unsigned level, const char *text)
{
	struct signature_pattern p;
	const char *error;
	size_t at;

	if (!signature_pattern_parse(&p, (enum signature_level)level, text,
				     strlen(text), &error, &at))
		fail_msg("%s: at %zu: %s", text, at, error);
	return p;
}

/* From the finest text alone the others are told again. */
static void
texts_name_a_syn(void **state)
{
	char text[SIGNATURE_TEXT_CAP];

	(void)state;
	for (size_t i = 0; i < COUNT(golden); i++) {
		const struct signature_pattern p =
		    good_pattern(0, golden[i].text[0]);
		struct syn s;
		if (!explain_syn(&p, &s))
			fail_msg("%s: no SYN", golden[i].text[0]);
		for (unsigned l = 0; l < 3; l++) {
			signature_text((enum signature_level)l, &s, text,
				       sizeof(text));
			if (strcmp(text, golden[i].text[l]) != 0)
				fail_msg("%s: %s, want %s",
					 golden[i].packet.label, text,
					 golden[i].text[l]);
		}
	}
}

/* What leaves a choice names none. */
static void
patterns_name_none(void **state)
{
	static const char *const texts[] = {
	    "*:64:0:1460:mss*44,7:mss:df:0",   "4:*:0:1460:mss*44,7:mss:df:0",
	    "4:64:*:1460:mss*44,7:mss:df:0",   "4:64:0:*:mss*44,7:mss:df:0",
	    "4:64:0:1400-1460:64240,7:mss::0", "4:64:0:1460:*,7:mss:df:0",
	    "4:64:0:1460:M,7:mss:df:0",	       "4:64:0:1460:%2,7:mss:df:0",
	    "4:64:0:1460:mss*44,*:mss:df:0",   "4:64:0:1460:mss*44,7:*:df:0",
	    "4:64:0:1460:mss*44,7:mss:*:0",    "4:64:0:1460:mss*44,7:mss:~df:0",
	    "4:64:0:1460:mss*44,7:mss:df:*",   "4:64-:0:1460:mss*44,7:mss:df:0",
	    "4:64:0:1460:mss*99,7:mss:df:0",
	};
	struct syn s;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		const struct signature_pattern p = good_pattern(0, texts[i]);
		if (explain_syn(&p, &s))
			fail_msg("%s names one", texts[i]);
	}
}

/* A SYN's text is a pattern: it prints as itself, and matches just its like. */
static void
texts_are_patterns(void **state)
{
	char text[SIGNATURE_TEXT_CAP];

	(void)state;
	for (size_t i = 0; i < COUNT(golden) * 3; i++) {
		const unsigned level = (unsigned)(i % 3);
		const char *want = golden[i / 3].text[level];
		const struct signature_pattern p = good_pattern(level, want);
		const size_t len =
		    signature_pattern_text(&p, text, sizeof(text));
		if (strcmp(text, want) != 0 || len != strlen(want))
			fail_msg("%s is printed as %s", want, text);
		for (size_t j = 0; j < COUNT(golden); j++) {
			const struct syn s = packet_syn(&golden[j].packet);
			const bool is_like =
			    strcmp(want, golden[j].text[level]) == 0;
			if (signature_pattern_match(&p, &s) != is_like)
				fail_msg("%s and %s", want,
					 golden[j].packet.label);
		}
	}
}

static const struct packet linux_v4 = {"linux", 64,    DF,
				       9,	64240, .options = LINUX("07")};
static const struct packet linux_v6 = {
    "linux v6",	     64,
    .version = 6,    .flow = 5,
    .window = 64800, .options = LINUX_V6("07")};
static const struct packet no_flow_v6 = {"linux v6, no flow label", 64,
					 .version = 6, .window = 64800,
					 .options = LINUX_V6("07")};
static const struct packet windows_7 = {
    "windows 7", 116, DF, 9, 8192, .options = WINDOWS("08")};
static const struct packet ack_plus = {
    "ack+", 64, DF, 9, 29200, .ack = 7, .options = MSS_1460};
static const struct packet with_data = {
    "data", 64, DF, 9, 24000, .payload = 4, .options = MSS_1460};
static const struct packet ttl_89 = {"ttl 89", 89, DF, 9, 1, .options = ""};
static const struct packet ip_options = {"ip options",
					 64,
					 DF,
					 9,
					 1,
					 .options = "",
					 .ip_options = "0101010101010101"};
static const struct packet eol_3 = {"eol+3", 64, DF,
				    9,	     1,	 .options = "00000000"};
static const struct packet evil = {"evil", 64, EVIL, 9, 1, .options = MSS_1460};

/* Patterns as rules have them. */
static const struct {
	unsigned level;
	const char *pattern;
	const struct packet *packet;
	bool want;
} match_rows[] = {
    {0, "*:128:*:*:8192,*:mss,nop,ws,nop,nop,sok:*:0", &windows_7, true},
    {0, "*:128:*:*:8192,*:mss,nop,ws,nop,nop,sok:*:0", &linux_v4, false},
    {2, "128:mss,nop,ws,nop,nop,sok:", &windows_7, true},
    {2, "64:mss,nop,ws,nop,nop,sok:", &windows_7, false},
    {2, "*:*:*", &windows_7, true},
    {2, "*:*:", &ack_plus, false},
    {2, "*:*:*", &ack_plus, true},
    {2, "*:*:ack+", &ack_plus, true},
    {2, "*:*:~ack+", &ack_plus, true},
    {2, "*:*:~ack+", &linux_v4, true},
    {2, "*:*:*,ack+", &ack_plus, true},
    {2, "*:*:*,ack+", &linux_v4, false},
    {0, "*:*:*:*:*,*:*:*:*", &linux_v6, true},
    /* Version, and the quirks that the other version cannot have. */
    {0, "4:*:*:*:*,*:*:*:*", &linux_v4, true},
    {0, "4:*:*:*:*,*:*:*:*", &linux_v6, false},
    {0, "6:*:*:*:*,*:*:*:*", &linux_v6, true},
    {0, "6:*:*:*:*,*:*:*:*", &linux_v4, false},
    {0, "*:64:0:*:*,*:*:df,id+:0", &linux_v4, true},
    {0, "*:64:0:*:*,*:*:df,id+:0", &linux_v6, false},
    {0, "*:64:0:*:*,*:*:df,id+:0", &no_flow_v6, true},
    {0, "*:64:0:*:*,*:*:df,id+,flow:0", &linux_v4, true},
    {0, "*:64:0:*:*,*:*:df,id+,flow:0", &linux_v6, true},
    {0, "*:64:0:*:*,*:*:df,id+,flow:0", &no_flow_v6, false},
    {0, "*:64:0:*:*,*:*:df,id+,~flow:0", &no_flow_v6, true},
    {0, "*:64:0:*:*,*:*:df,id+,~flow:0", &linux_v6, true},
    {0, "*:64:0:*:*,*:*:df:0", &linux_v4, false},
    {0, "*:64:0:*:*,*:*:df,~id+:0", &linux_v4, true},
    {0, "*:64:0:*:*,*:*:df,id+,~ecn:0", &linux_v4, true},
    {0, "*:64:0:*:*,*:*:df,id+,ecn:0", &linux_v4, false},
    {2, "64:mss:", &evil, false},
    {2, "64:mss:0+", &evil, true},
    {2, "64:*:0+", &no_flow_v6, false},
    /* The initial TTL. */
    {2, "128:*:*", &ttl_89, true},
    {2, "255:*:*", &ttl_89, false},
    {2, "64:*:*", &ttl_89, false},
    {2, "100:*:*", &ttl_89, true},
    {2, "89:*:*", &ttl_89, true},
    {2, "88:*:*", &ttl_89, false},
    {2, "129:*:*", &ttl_89, true},
    {2, "130:*:*", &ttl_89, false},
    {2, "89+39:*:*", &ttl_89, true},
    {2, "255-:*:*", &ttl_89, true},
    {2, "89-:*:*", &ttl_89, true},
    {2, "88-:*:*", &ttl_89, false},
    /* Numbers. */
    {0, "*:*:0:*:*,*:*:*:*", &ip_options, false},
    {0, "*:*:8:*:*,*:*:*:*", &ip_options, true},
    {0, "*:*:*:1460:*,*:*:*:*", &linux_v4, true},
    {0, "*:*:*:1459:*,*:*:*:*", &linux_v4, false},
    {0, "*:*:*:1400-1460:*,*:*:*:*", &linux_v4, true},
    {0, "*:*:*:1461-1500:*,*:*:*:*", &linux_v4, false},
    {0, "*:*:*:1400-1459:*,*:*:*:*", &linux_v4, false},
    {0, "*:*:*:0:*,*:*:*:*", &ttl_89, true},
    {0, "*:*:*:*:*,7:*:*:*", &linux_v4, true},
    {0, "*:*:*:*:*,8-9:*:*:*", &linux_v4, false},
    {0, "*:*:*:*:*,6-7:*:*:*", &linux_v4, true},
    {0, "*:*:*:*:*,0:*:*:*", &ack_plus, true},
    {0, "*:*:*:*:64240,*:*:*:*", &linux_v4, true},
    {0, "*:*:*:*:64000-65000,*:*:*:*", &linux_v4, true},
    {0, "*:*:*:*:mss*44,*:*:*:*", &linux_v4, true},
    {0, "*:*:*:*:mss*43,*:*:*:*", &linux_v4, false},
    {0, "*:*:*:*:mtu*44,*:*:*:*", &linux_v4, false},
    {0, "*:*:*:*:M,*:*:*:*", &linux_v4, true},
    {0, "*:*:*:*:M,*:*:*:*", &linux_v6, true},
    {0, "*:*:*:*:M,*:*:*:*", &ack_plus, false},
    {0, "*:*:*:*:M,*:*:*:*", &windows_7, false},
    {0, "*:*:*:*:mss*20,*:*:*:*", &ack_plus, true},
    {0, "*:*:*:*:mtu*16,*:*:*:*", &with_data, true},
    {0, "*:*:*:*:%8192,*:*:*:*", &windows_7, true},
    {0, "*:*:*:*:%4096,*:*:*:*", &windows_7, true},
    {0, "*:*:*:*:%4097,*:*:*:*", &windows_7, false},
    {1, "*:64:0:M,*:mss,sok,ts,nop,ws:*:0", &linux_v4, true},
    {1, "*:64:0:M,*:mss,sok,ts,nop,ws:*:0", &linux_v6, true},
    {1, "4:128:0:8192,8:mss,nop,ws,nop,nop,sok:df,id+:0", &windows_7, true},
    /* Layout and payload. */
    {2, "64:mss,sok,ts,nop:", &linux_v4, false},
    {2, "64:mss,sok,ts,nop,ws,nop:", &linux_v4, false},
    {2, "64:mss,sok,ts,nop,?3:", &linux_v4, true},
    {2, "64::", &linux_v4, false},
    {2, "64:eol+3:", &eol_3, true},
    {2, "64:eol+2:", &eol_3, false},
    {0, "*:*:*:*:*,*:*:*:0", &with_data, false},
    {0, "*:*:*:*:*,*:*:*:+", &with_data, true},
    {0, "*:*:*:*:*,*:*:*:+", &linux_v4, false},
};

static void
patterns_match(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(match_rows); i++) {
		const struct signature_pattern p =
		    good_pattern(match_rows[i].level, match_rows[i].pattern);
		const struct syn s = packet_syn(match_rows[i].packet);
		if (signature_pattern_match(&p, &s) != match_rows[i].want)
			fail_msg("%s and %s: want %d", match_rows[i].pattern,
				 match_rows[i].packet->label,
				 match_rows[i].want);
	}
}

/* What is written in more ways than one, and how it is printed. */
static const struct {
	unsigned level;
	const char *text;
	const char *want;
} print_rows[] = {
    {0, "*:52+12:0:*:*,*:*:*:*", "*:64:0:*:*,*:*:*:*"},
    {0, "*:64+0:0:*:*,*:*:*:*", "*:64:0:*:*,*:*:*:*"},
    {0, "*:64-:0:1460:1024,0:mss::0", "*:64-:0:1460:1024,0:mss::0"},
    {0, "*:64:0:1-9:2-8,3-7:?1,?2,?9::+", "*:64:0:1-9:2-8,3-7:nop,mss,?9::+"},
    {0, "6:1:255:*:%2,*:eol+39:*:*", "6:1:255:*:%2,*:eol+39:*:*"},
    {0, "4:9:0:0:mtu*1000,255:?255:*:0", "4:9:0:0:mtu*1000,255:?255:*:0"},
    {1, "4:64:0:M,7:mss:~ecn,df:0", "4:64:0:M,7:mss:df,~ecn:0"},
    {1, "*:*:*:mss*4,*:*:bad,*:*", "*:*:*:mss*4,*:*:*,bad:*"},
    {2, "32::res,dup", "32::dup,res"},
    {2, "*:*:*,~bad", "*:*:*,~bad"},
};

static void
patterns_are_printed(void **state)
{
	char text[SIGNATURE_TEXT_CAP];

	(void)state;
	for (size_t i = 0; i < COUNT(print_rows); i++) {
		const struct signature_pattern p =
		    good_pattern(print_rows[i].level, print_rows[i].text);
		signature_pattern_text(&p, text, sizeof(text));
		assert_string_equal(text, print_rows[i].want);
		good_pattern(print_rows[i].level, text);
	}
}

/* Mistakes, and the byte each is reported at. */
static const struct {
	unsigned level;
	const char *text;
	size_t at;
} mistake_rows[] = {
    {0, "", 0},
    {0, "5:64:0:*:*,*:*:*:*", 0},
    {0, "4", 1},
    {0, "4:0:0:*:*,*:*:*:*", 2},
    {0, "4:256:0:*:*,*:*:*:*", 2},
    {0, "4:99999999999:0:*:*,*:*:*:*", 2},
    {0, "4:-1:0:*:*,*:*:*:*", 2},
    {0, "4:200+56:0:*:*,*:*:*:*", 6},
    {0, "4:64+0-:0:*:*,*:*:*:*", 6},
    {0, "4:64-+1:0:*:*,*:*:*:*", 5},
    {0, "4:64-:X:1460:*,*:*:*:*", 6},
    {0, "4:64-X:1460:*,*:*:*:*", 5},
    {0, "4:64:256:*:*,*:*:*:*", 5},
    {0, "4:64:0:65536:*,*:*:*:*", 7},
    {0, "4:64:0:9-8:*,*:*:*:*", 9},
    {0, "4:64:0:*:65536,*:*:*:*", 9},
    {0, "4:64:0:*:%1,*:*:*:*", 10},
    {0, "4:64:0:*:mss*0,*:*:*:*", 13},
    {0, "4:64:0:*:mss*1001,*:*:*:*", 13},
    {0, "4:64:0:*:mss,*:*:*:*", 9},
    {0, "4:64:0:*:m,*:*:*:*", 9},
    {0, "4:64:0:*:*:*:*:*", 10},
    {0, "4:64:0:*:*,256:*:*:*", 11},
    {0, "4:64:0:*:*,*:nope:*:*", 13},
    {0, "4:64:0:*:*,*:mss,:*:*", 17},
    {0, "4:64:0:*:*,*:mss,eol:*:*", 17},
    {0, "4:64:0:*:*,*:eol+40:*:*", 17},
    {0, "4:64:0:*:*,*:eol+1,nop:*:*", 19},
    {0, "4:64:0:*:*,*:?0:*:*", 14},
    {0, "4:64:0:*:*,*:?256:*:*", 14},
    {0, "4:64:0:*:*,*:*,mss:*:*", 14},
    {0, "4:64:0:*:*,*:*:odd:*", 15},
    {0, "4:64:0:*:*,*:*:df,:*", 18},
    {0, "4:64:0:*:*,*:*:df,df:*", 18},
    {0, "4:64:0:*:*,*:*:df,~df:*", 18},
    {0, "4:64:0:*:*,*:*:~:*", 15},
    {0, "4:64:0:*:*,*:*:*:1", 17},
    {0, "4:64:0:*:*,*:*:*:0 ", 18},
    {1, "4:64:0:*:M,7:mss:df:0", 8},
    {2, "64:mss:df", 7},
    {2, "64:mss:~flow", 7},
    {2, "64:mss", 6},
    {2, "64:mss::0", 7},
    {2,
     "64:"
     "nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,"
     "nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,"
     "nop,nop,nop,nop,nop,nop,nop:",
     163},
};

static void
mistakes_are_placed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(mistake_rows); i++) {
		const char *text = mistake_rows[i].text;
		struct signature_pattern p;
		const char *error = NULL;
		size_t at = 0;
		if (signature_pattern_parse(
			&p, (enum signature_level)mistake_rows[i].level, text,
			strlen(text), &error, &at))
			fail_msg("%s: was taken", text);
		if (at != mistake_rows[i].at || error == NULL)
			fail_msg("%s: at %zu, want %zu: %s", text, at,
				 mistake_rows[i].at, error);
	}
}

/* Every length of every text, its end against the guard. */
static void
cut_texts_are_never_overrun(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(golden) * 3; i++) {
		const char *text = golden[i / 3].text[i % 3];
		for (size_t len = 0; len <= strlen(text); len++) {
			struct signature_pattern p;
			const char *error;
			size_t at;
			char *cut = (char *)guarded_end() - len;
			memcpy(cut, text, len);
			signature_pattern_parse(&p,
						(enum signature_level)(i % 3),
						cut, len, &error, &at);
			assert_true(at <= len);
		}
	}
}

/* Pairs of syn patterns: does the first cover the second? */
static const struct {
	const char *a;
	const char *b;
	bool want;
} cover_rows[] = {
    {"*:64:0:*:M,7:mss:df:0", "*:64:0:*:M,7:mss:df:0", true},
    {"*:64:0:*:*,*:mss:df:0", "*:64:0:1460:M,7:mss:df:0", true},
    {"*:64:0:1460:M,7:mss:df:0", "*:64:0:*:*,*:mss:df:0", false},
    {"*:*:*:*:*,*:*:*:*", "4:64:0:*:M,7:mss:df:0", true},
    {"4:64:0:*:M,7:mss:df:0", "*:64:0:*:M,7:mss:df:0", false},
    {"*:64:0:*:M,6-8:mss:df:0", "*:64:0:*:M,7:mss:df:0", true},
    {"*:64:0:*:M,6-8:mss:df:0", "*:64:0:*:M,9:mss:df:0", false},
    {"*:64:0:*:M,7:mss:df:0", "*:128:0:*:M,7:mss:df:0", false},
    {"*:64-:0:*:M,7:mss:df:0", "*:64:0:*:M,7:mss:df:0", false},
    {"*:64:0:*:M,7:mss:df:0", "*:64:0:*:M,7:ws:df:0", false},
    {"*:64:0:*:M,7:mss:df:0", "*:64:0:*:M,7:*:df:0", false},
    {"*:64:0:*:M,7:mss:*:0", "*:64:0:*:M,7:mss:df,id+:0", true},
    {"*:64:0:*:M,7:mss:*,ecn:0", "*:64:0:*:M,7:mss:df:0", false},
    {"*:64:0:*:M,7:mss:df,~ecn:0", "*:64:0:*:M,7:mss:df:0", true},
    {"*:64:0:*:M,7:mss:df:0", "*:64:0:*:M,7:mss:df,~ecn:0", false},
    {"*:64:0:*:M,7:mss:df:0", "*:64:*:*:M,7:mss:df:0", false},
    {"*:64:0:*:M,7:mss:df:*", "*:64:0:*:M,7:mss:df:+", true},
    {"*:64:0:*:M,7:mss:df:0", "*:64:0:*:M,7:mss:df:+", false},
};

static void
patterns_cover(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cover_rows); i++) {
		const struct signature_pattern a =
		    good_pattern(0, cover_rows[i].a);
		const struct signature_pattern b =
		    good_pattern(0, cover_rows[i].b);
		if (signature_pattern_covers(&a, &b) != cover_rows[i].want)
			fail_msg("%s covers %s: want %d", cover_rows[i].a,
				 cover_rows[i].b, cover_rows[i].want);
	}
}

static void
initial_ttl_is_the_next_usual_one(void **state)
{
	static const uint8_t rows[][2] = {
	    {0, 32},   {1, 32},	   {32, 32},   {33, 64},   {64, 64},
	    {65, 128}, {128, 128}, {129, 255}, {254, 255}, {255, 255}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct syn s = {.ttl = rows[i][0]};
		assert_int_equal(signature_initial_ttl(rows[i][0]), rows[i][1]);
		assert_int_equal(signature_distance(&s),
				 rows[i][1] - rows[i][0]);
	}
}

/* The longest texts there are still fit, and a short buffer is kept to. */
static void
texts_are_bounded(void **state)
{
	struct syn s = {.version = 6,
			.ttl = 255,
			.ip_olen = 215,
			.mss = 65535,
			.window = 65534,
			.wscale = 255,
			.payload_bytes = 1,
			.quirks = (1u << SYN_QUIRK_COUNT) - 1,
			.kinds_count = SYN_OPTIONS_CAP};
	char text[SIGNATURE_TEXT_CAP + 1];

	(void)state;
	memset(s.kinds, 255, sizeof(s.kinds));
	text[SIGNATURE_TEXT_CAP] = 'x';
	const size_t len =
	    signature_text(SIGNATURE_SYN, &s, text, SIGNATURE_TEXT_CAP);
	assert_true(len < SIGNATURE_TEXT_CAP - 20);
	assert_int_equal(text[len], '\0');
	assert_int_equal(text[len - 1], '+');
	memset(text, 'x', sizeof(text));
	assert_int_equal(signature_text(SIGNATURE_SYN, &s, text, 8), 7);
	assert_string_equal(text, "6:255:2");
	assert_int_equal(text[8], 'x');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts_are_golden),
	    cmocka_unit_test(texts_name_a_syn),
	    cmocka_unit_test(patterns_name_none),
	    cmocka_unit_test(texts_are_patterns),
	    cmocka_unit_test(patterns_match),
	    cmocka_unit_test(patterns_are_printed),
	    cmocka_unit_test(mistakes_are_placed),
	    cmocka_unit_test(cut_texts_are_never_overrun),
	    cmocka_unit_test(patterns_cover),
	    cmocka_unit_test(initial_ttl_is_the_next_usual_one),
	    cmocka_unit_test(texts_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
