/* Which label a SYN gets, and how sure it is. */
#include "tarry/signature.h"

#include "syn_packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define LABELS_CAP 4

struct line {
	const char *name; /* NULL: no more lines */
	const char *pattern;
	enum signature_level level;
	bool generic;
	bool scale_soft;
};

#define LINUX_TTL(n) "*:" n ":0:*:*,7:mss,sok,ts,nop,ws:df,id+:0"

static const struct {
	struct packet packet;
	struct line lines[LABELS_CAP];
	const char *want; /* NULL: none */
	enum label_quality quality;
} rows[] = {
    {{"exact", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"a", "*:64:0:*:M,7:mss,sok,ts,nop,ws:df,id+:0", .generic = false}},
     "a",
     LABEL_EXACT},
    {{"another layout", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"a", "*:64:0:*:M,7:mss,sok,ts,nop:df,id+:0", .generic = false}},
     NULL,
     LABEL_NONE},
    {{"specificity: window", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"literal", "*:64:0:*:64240,7:mss,sok,ts,nop,ws:df,id+:0", .level = 0},
      {"M", "*:64:0:*:M,7:mss,sok,ts,nop,ws:df,id+:0", .level = 0},
      {"any", "*:64:0:*:*,7:mss,sok,ts,nop,ws:df,id+:0", .level = 0}},
     "literal",
     LABEL_EXACT},
    {{"specificity: scale and mss", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"mss", "*:64:0:1460:*,*:mss,sok,ts,nop,ws:df,id+:0", .level = 0},
      {"scale", "*:64:0:*:*,7:mss,sok,ts,nop,ws:df,id+:0", .level = 0}},
     "mss",
     LABEL_EXACT},
    {{"specificity: version", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"4", "4:64:0:*:*,*:mss,sok,ts,nop,ws:df,id+:0", .level = 0},
      {"any", "*:64:0:*:*,*:mss,sok,ts,nop,ws:df,id+:0", .level = 0}},
     "4",
     LABEL_EXACT},
    {{"specificity: hard quirks", 52, DF, 9, 1, .ack = 1, .options = ""},
     {{"ack+", "*:64:0:*:*,*::df,id+,ack+:0", .level = 0},
      {"any", "*:64:0:*:*,*::*:0", .level = 0}},
     "ack+",
     LABEL_EXACT},
    {{"tie: the later line", 52, DF, 9, 1, .options = ""},
     {{"a", "*:64:0:*:*,*::*:0", .level = 0},
      {"b", "*:64:0:*:*,*::*:0", .level = 0}},
     "b",
     LABEL_EXACT},
    {{"tie: specific before generic", 52, DF, 9, 1, .options = ""},
     {{"a", "*:64:0:*:*,*::*:0", .level = 0},
      {"b", "*:64:0:*:*,*::*:0", .generic = true}},
     "a",
     LABEL_EXACT},
    {{"tie: both generic", 52, DF, 9, 1, .options = ""},
     {{"a", "*:64:0:*:*,*::*:0", .generic = true},
      {"b", "*:64:0:*:*,*::*:0", .generic = true}},
     "b",
     LABEL_EXACT},
    {{"a penalty outweighs", 52, DF, 0, 64240, .options = LINUX("07")},
     {{"id+", "*:64:0:*:M,*:mss,sok,ts,nop,ws:df,id+:0", .level = 0},
      {"df", "*:64:0:*:*,*:mss,sok,ts,nop,ws:df:0", .level = 0}},
     "df",
     LABEL_EXACT},
    {{"a penalty does not", 52, DF, 0, 64240, .options = LINUX("07")},
     {{"id+", "*:64:0:1460:64240,7:mss,sok,ts,nop,ws:df,id+:0", .level = 0},
      {"df", "*:64:0:*:*,*:mss,sok,ts,nop,ws:df:0", .level = 0}},
     "id+",
     LABEL_SOFT},
    {{"df and id+ gone", 52, 0, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     "a",
     LABEL_SOFT},
    {{"ecn is soft", 52, DF, 9, 64240, .tos = 2, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     "a",
     LABEL_SOFT},
    {{"ack+ is hard", 52, DF, 9, 64240, .ack = 1, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     NULL,
     LABEL_NONE},
    {{"missing bad is hard", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"a", "*:64:0:*:*,7:mss,sok,ts,nop,ws:df,id+,bad:0", .level = 0}},
     NULL,
     LABEL_NONE},
    {{"optional quirk", 52, DF, 9, 64240, .tos = 2, .options = LINUX("07")},
     {{"a", "*:64:0:*:*,7:mss,sok,ts,nop,ws:df,id+,~ecn:0", .level = 0}},
     "a",
     LABEL_EXACT},
    {{"v6 with flow", 52, .version = 6, .flow = 7, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     "a",
     LABEL_EXACT},
    {{"v6 without flow", 52, .version = 6, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     "a",
     LABEL_EXACT},
    {{"v6, flow is asked", 52, .version = 6, .options = LINUX("07")},
     {{"a", "*:64:0:*:*,7:mss,sok,ts,nop,ws:flow:0", .level = 0}},
     "a",
     LABEL_SOFT},
    {{"v6 and a line for v4", 52, .version = 6, .options = LINUX("07")},
     {{"a", "4:64:0:*:*,7:mss,sok,ts,nop,ws:df,id+:0", .level = 0}},
     NULL,
     LABEL_NONE},
    {{"another scale", 52, DF, 9, 64240, .options = LINUX("06")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     NULL,
     LABEL_NONE},
    {{"another scale, soft", 52, DF, 9, 64240, .options = LINUX("06")},
     {{"a", LINUX_TTL("64"), .scale_soft = true}},
     "a",
     LABEL_SOFT},
    {{"scale costs two", 52, DF, 9, 64240, .options = LINUX("06")},
     {{"scale", "*:64:0:1460:*,7:mss,sok,ts,nop,ws:df,id+:0",
       .scale_soft = true},
      {"ecn", "4:64:0:*:*,*:mss,sok,ts,nop,ws:df,id+,ecn:0", .level = 0}},
     "ecn",
     LABEL_SOFT},
    {{"another mss", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"a", "*:64:0:1440:*,7:mss,sok,ts,nop,ws:df,id+:0", .level = 0}},
     NULL,
     LABEL_NONE},
    {{"another olen", 52, DF, 9, 1, .ip_options = "01010101"},
     {{"a", "*:64:0:*:*,*::df,id+:0", .level = 0}},
     NULL,
     LABEL_NONE},
    {{"payload", 52, DF, 9, 1, .payload = 1},
     {{"a", "*:64:0:*:*,*::df,id+:0", .level = 0}},
     NULL,
     LABEL_NONE},
    {{"ttl: 35 hops", 93, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("128"), .level = 0}},
     "a",
     LABEL_EXACT},
    {{"ttl: 36 hops", 92, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("128"), .level = 0}},
     "a",
     LABEL_SOFT},
    {{"ttl: above", 65, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     NULL,
     LABEL_NONE},
    {{"ttl: 63 hops", 65, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("128"), .level = 0}},
     "a",
     LABEL_SOFT},
    {{"ttl: 64 hops, a nearer", 64, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("128"), .level = 0}},
     NULL,
     LABEL_NONE},
    {{"ttl: 64 hops", 191, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("255"), .level = 0}},
     "a",
     LABEL_SOFT},
    {{"ttl: 65 hops", 190, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("255"), .level = 0}},
     NULL,
     LABEL_NONE},
    {{"ttl: 40 hops, a nearer", 24, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     "a",
     LABEL_SOFT},
    {{"ttl: 41 hops, a nearer", 23, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("64"), .level = 0}},
     NULL,
     LABEL_NONE},
    {{"ttl: random up to", 3, DF, 9, 64240, .options = LINUX("07")},
     {{"a", LINUX_TTL("64-"), .level = 0}},
     "a",
     LABEL_EXACT},
    {{"family alone", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"a", "64:mss,sok,ts,nop,ws:", .level = SIGNATURE_FAMILY}},
     "a",
     LABEL_FAMILY},
    {{"family comes last", 52, 0, 0, 64240, .tos = 2, .options = LINUX("09")},
     {{"soft", LINUX_TTL("64"), .scale_soft = true},
      {"family", "64:mss,sok,ts,nop,ws:", .level = SIGNATURE_FAMILY}},
     "soft",
     LABEL_SOFT},
    {{"family comes last, before", 52, DF, 9, 1, .options = ""},
     {{"family", "64::", .level = SIGNATURE_FAMILY},
      {"any", "*:*:*:*:*,*:*:*:*", .generic = true}},
     "any",
     LABEL_EXACT},
    {{"stack", 52, DF, 9, 64240, .options = LINUX("07")},
     {{"a", "*:64:0:M,7:mss,sok,ts,nop,ws:df,id+:0", .level = SIGNATURE_STACK}},
     "a",
     LABEL_EXACT},
    {{"no lines", 52, DF, 9, 1, .options = ""},
     {{.name = NULL}},
     NULL,
     LABEL_NONE},
};

static size_t
fill(struct label labels[LABELS_CAP], const struct line lines[LABELS_CAP])
{
	size_t n = 0;

	for (; n < LABELS_CAP && lines[n].name != NULL; n++) {
		const char *error;
		size_t at;
		labels[n].name = lines[n].name;
		labels[n].specific = !lines[n].generic;
		labels[n].wscale_soft = lines[n].scale_soft;
		if (!signature_pattern_parse(
			&labels[n].pattern, lines[n].level, lines[n].pattern,
			strlen(lines[n].pattern), &error, &at))
			fail_msg("%s: %s", lines[n].pattern, error);
	}
	return n;
}

static void
labels_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct label labels[LABELS_CAP];
		enum label_quality quality;
		const size_t count = fill(labels, rows[i].lines);
		const struct syn s = packet_syn(&rows[i].packet);
		const int have = label_find(labels, count, &s, &quality);
		const char *name = have < 0 ? "-" : labels[have].name;
		const char *want = rows[i].want == NULL ? "-" : rows[i].want;
		if (strcmp(name, want) != 0 || quality != rows[i].quality)
			fail_msg("%s: %s (%s), want %s (%s)",
				 rows[i].packet.label, name,
				 label_quality_name(quality), want,
				 label_quality_name(rows[i].quality));
	}
}

static void
specificity_is_as_told(void **state)
{
	static const struct {
		const char *pattern;
		int want;
	} weights[] = {
	    {"*:*:*:*:*,*:*:*:*", 0},
	    {"*:64:0:*:*,*:mss:df,id+:0", 0},
	    {"4:*:*:*:*,*:*:*:*", 1},
	    {"*:*:*:1460:*,*:*:*:*", 3},
	    {"*:*:*:1-9:*,*:*:*:*", 1},
	    {"*:*:*:*:5,*:*:*:*", 4},
	    {"*:*:*:*:M,*:*:*:*", 3},
	    {"*:*:*:*:mss*4,*:*:*:*", 3},
	    {"*:*:*:*:mtu*4,*:*:*:*", 3},
	    {"*:*:*:*:%4,*:*:*:*", 1},
	    {"*:*:*:*:*,0:*:*:*", 2},
	    {"*:*:*:*:*,0-3:*:*:*", 1},
	    {"*:*:*:*:*,*:*:bad,ack+,df,~dup:*", 4},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(weights); i++) {
		const struct line lines[LABELS_CAP] = {
		    {"a", weights[i].pattern, .level = 0}};
		struct label labels[LABELS_CAP];
		fill(labels, lines);
		if (label_specificity(labels) != weights[i].want)
			fail_msg("%s: %d, want %d", weights[i].pattern,
				 label_specificity(labels), weights[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(labels_are_found),
	    cmocka_unit_test(specificity_is_as_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
