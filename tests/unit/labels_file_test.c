/* Label files: what is taken, what is reported, and the file that we ship. */
#include "proxy/config/labels.h"

#include "syn_packets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define SHIPPED "config/signatures.ini"
#define P0F "/etc/p0f/p0f.fp"

/* What was reported, one line each, without the path. */
struct reports {
	char text[2048];
	size_t errors;
	size_t warnings;
};

static void
collect(void *user, enum labels_severity severity, const char *message)
{
	struct reports *r = user;
	const char *line = strchr(message, ':');
	const size_t len = strlen(r->text);

	r->errors += severity == LABELS_ERROR;
	r->warnings += severity == LABELS_WARNING;
	snprintf(r->text + len, sizeof(r->text) - len, "%s\n",
		 line != NULL ? line + 1 : message);
}

/* Loads text as a file; *count is labels_load()'s answer. */
static struct labels *
load_text(const char *text, size_t len, struct reports *r, int *count)
{
	char path[] = "/tmp/labels_file_test.XXXXXX";
	const int fd = mkstemp(path);
	struct labels *labels = labels_new();

	memset(r, 0, sizeof(*r));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	assert_non_null(labels);
	*count = labels_load(labels, path, collect, r);
	labels_check(labels, collect, r);
	unlink(path);
	return labels;
}

#define GOOD "syn = *:64:0:*:*,*::*:0\n"
#define SIG "sig = *:64:0:*:*,*::*:0\n"

static const struct {
	const char *label;
	const char *text;
	int count;
	const char *reports; /* begins of lines, parted by newlines */
} rows[] = {
    {"empty", "", 0, ""},
    {"comments", "; a\n# b\n\n  ; c\n", 0, ""},
    {"one", "[label A]\n" GOOD, 1, ""},
    {"no newline at the end", "[label A]\nsyn = *:64:0:*:*,*::*:0", 1, ""},
    {"carriage returns", "[label A]\r\nsyn = *:64:0:*:*,*::*:0\r\n", 1, ""},
    {"comment behind", "[label A] ; x\nsyn=*:64:0:*:*,*::*:0 ; y\n", 1, ""},
    {"three levels",
     "[label A]\nsyn = *:64:0:*:1,*::*:0\nstack = *:64:0:M,*::*:0\n"
     "family = 64::\n",
     3, ""},
    {"bad pattern", "[label A]\nsyn = *:64:0:*:*,*:nope:*:0\n" GOOD, 1,
     "2: *:64:0:*:*,*:nope:*:0: expected nop, mss, ws, sok, sack, ts, ?KIND, "
     "eol+BYTES or * at byte 14\n"},
    {"level and text differ", "[label A]\nfamily = *:64:0:*:*,*::*:0\n", 0,
     "2: *:64:0:*:*,*::*:0: expected"},
    {"unknown key", "[label A]\nsin = 1\n" GOOD, 1,
     "2: sin: expected syn, stack, family, dialect, generic or scale\n"},
    {"a dialect", "[label A]\ndialect = EHLO:*\ndialect = *:both\n", 2, ""},
    {"bad dialect", "[label A]\ndialect = EHLO\ndialect = EHLO:*,HELO:*\n", 0,
     "2: EHLO: no dialect, expected a text such as\n3: EHLO:*,HELO:*: no"},
    {"empty dialect", "[label A]\ndialect =\n" GOOD, 1, "2: : no dialect"},
    {"a dialect said again",
     "[label A]\ndialect = E:*\n[label B]\ndialect = E:*\n", 2,
     "2: label \"A\" never wins here, \"B\" of "},
    {"bad flag", "[label A]\ngeneric = true\n" GOOD, 1,
     "2: true: expected no or yes\n"},
    {"no equals sign", "[label A]\nsyn\n" GOOD, 1,
     "2: syn: expected name = value\n"},
    {"key before a section", GOOD "[label A]\n" GOOD, 1,
     "1: syn: expected a section before it\n"},
    {"unknown section", "[lable A]\n" GOOD "[label A]\n" GOOD, 1,
     "1: lable A: expected [label NAME] or"},
    {"no name", "[label ]\n" GOOD, 0, "1: label : expected [label NAME] or"},
    {"no bracket", "[label A\n" GOOD, 0, "1: label A: expected [label NAME]\n"},
    {"shadowed by a later line", "[label A]\n" GOOD "[label B]\n" GOOD, 2,
     "2: label \"A\" never wins here, \"B\" of "},
    {"shadowed by a specific line",
     "[label A]\n" GOOD "[label B]\ngeneric = yes\n" GOOD, 2,
     "5: label \"B\" never wins here, \"A\" of "},
    {"not shadowed: finer",
     "[label A]\nsyn = *:64:0:*:1,*::*:0\n[label B]\n" GOOD, 2, ""},
    {"not shadowed: a family",
     "[label A]\nfamily = 64::\n[label B]\nfamily = 128::\n", 2, ""},
    {"not shadowed: soft",
     "[label A]\nscale = soft\nsyn = *:64:0:*:*,7::*:0\n"
     "[label B]\nsyn = *:64:0:*:*,7::*:0\n",
     2, ""},
    {"p0f",
     "classes = win,unix\n[mtu]\nlabel = x\nsig = 1500\n[tcp:request]\n"
     "label = s:unix:Linux:3.x\n" SIG "[tcp:response]\nlabel = ?\nnonsense\n",
     1, ""},
    {"p0f generic",
     "[tcp:request]\nlabel = s:unix:A:\n" SIG "label = g:unix:B:\n" SIG, 2,
     "5: label \"B\" never wins here, \"A\" of"},
    {"p0f tool", "[tcp:request]\nlabel = s:!:NMap:\nsys = @unix\n" SIG, 1, ""},
    {"p0f bad label", "[tcp:request]\nlabel = Linux\n" SIG, 0,
     "2: Linux: expected s or g:class:name:flavor\n"
     "3: *:64:0:*:*,*::*:0: expected a good label before it\n"},
    {"p0f bad sig", "[tcp:request]\nlabel = g:unix:A:\nsig = 1\n" SIG, 1,
     "3: 1: expected 4, 6 or * at byte 1\n"},
    {"p0f's swallowed byte",
     "[tcp:request]\nlabel = g:unix:A:\nsig = *:64-:X:1460:*,*::*:0\n", 0,
     "3: *:64-:X:1460:*,*::*:0: expected bytes of IP options"},
    {"p0f sig without label", "[tcp:request]\n" SIG, 0,
     "2: *:64:0:*:*,*::*:0: expected a good label before it\n"},
};

/* True if each line of `have` begins with the same line of `want`. */
static bool
reports_fit(const char *have, const char *want)
{
	while (*want != '\0') {
		const size_t len = strcspn(want, "\n");
		if (strncmp(have, want, len) != 0)
			return false;
		have += strcspn(have, "\n");
		have += *have == '\n';
		want += len + (want[len] == '\n');
	}
	return *have == '\0';
}

static void
files_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reports r;
		int count;
		struct labels *labels =
		    load_text(rows[i].text, strlen(rows[i].text), &r, &count);
		if (count != rows[i].count ||
		    !reports_fit(r.text, rows[i].reports))
			fail_msg("%s: %d labels, reported\n%s", rows[i].label,
				 count, r.text);
		assert_int_equal(labels_count(labels), rows[i].count);
		labels_free(labels);
	}
}

/* A file cut anywhere is read without harm. */
static void
cut_files_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t len = 0; len < strlen(rows[i].text); len++) {
			struct reports r;
			int count;
			labels_free(load_text(rows[i].text, len, &r, &count));
			assert_true(count >= 0);
		}
}

static void
nul_bytes_are_reported(void **state)
{
	static const char text[] = "[label A]\nsyn\0 = x\n" GOOD;
	struct reports r;
	int count;
	struct labels *labels = load_text(text, sizeof(text) - 1, &r, &count);

	(void)state;
	assert_int_equal(count, 1);
	assert_string_equal(r.text,
			    "2: syn: expected text without NUL bytes\n");
	labels_free(labels);
}

static void
missing_files_are_errors(void **state)
{
	struct labels *labels = labels_new();

	(void)state;
	assert_int_equal(labels_load(labels, "/no/such/file", NULL, NULL),
			 -ENOENT);
	assert_int_equal(labels_load(labels, "/", NULL, NULL), -EISDIR);
	assert_int_equal(labels_count(labels), 0);
	labels_free(labels);
	labels_free(NULL);
}

static void
the_most_literal_dialect_wins(void **state)
{
	static const char text[] = "[label EHLO]\ndialect = EHLO:*\n"
				   "[label both]\ndialect = *:crlf\n"
				   "dialect = *HELO:*\n"
				   "[label plain]\ndialect = EHLO:fqdn:*\n"
				   "[label wide]\ndialect = *************:*\n"
				   "[label last]\ndialect = *:crlf*\n";
	static const struct {
		const char *text;
		const char *want;
	} said[] = {{"EHLO:fqdn:MAIL.FROM<:-", "plain"},
		    {"EHLO:label:-", "EHLO"},
		    {"HELO:none:-:crlf", "last"},
		    {"EHLO+HELO:none:-", "both"},
		    {"HELO:none:-", "both"},
		    {"-:-", "wide"},
		    {"-", NULL}};
	struct reports r;
	int count;
	struct labels *labels = load_text(text, strlen(text), &r, &count);

	(void)state;
	assert_int_equal(count, 6);
	assert_int_equal(labels_count(labels), 6);
	for (size_t i = 0; i < COUNT(said); i++) {
		const char *name = labels_dialect(labels, said[i].text);

		if (strcmp(name == NULL ? "-" : name,
			   said[i].want == NULL ? "-" : said[i].want) != 0)
			fail_msg("%s: %s", said[i].text,
				 name == NULL ? "-" : name);
	}
	labels_free(labels);
}

/* docs/DIALECTS.md, and the same clients with an MTA that offers less. */
static void
shipped_file_names_dialects(void **state)
{
	static const struct {
		const char *text;
		const char *want; /* in its name */
	} said[] = {
	    {"EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE+BODY:ORCPT:wRDQ:DATA:QUIT:-:"
	     "crlf",
	     "Postfix"},
	    {"EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE+BODY:none:wwww:DATA:QUIT:-:"
	     "crlf",
	     "Postfix"},
	    {"EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:none:wRDQ:BDAT:QUIT:-:crlf",
	     "Exim"},
	    {"EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:none:wRDQ:DATA:QUIT:-:crlf",
	     "Exim"},
	    {"EHLO:fqdn:MAIL.From<:RCPT.To<:SIZE:none:wRDw:DATA:QUIT:-:crlf",
	     "sendmail"},
	    {"ehlo:label:mail.FROM<:rcpt.TO<:none:none:wwww:data:QUIT:-:crlf",
	     "smtplib"},
	    {"EHLO:fqdn:MAIL.FROM<:RCPT.TO<:SIZE:none:wwww:DATA:QUIT:-:crlf",
	     "curl"},
	    {"HELO:fqdn:MAIL.FROM<:RCPT.TO<:none:none:wwww:DATA:QUIT:-:crlf",
	     "s-nail"},
	    {"EHLO:fqdn:MAIL.FROM<:RCPT.TO<:none:none:wwww:DATA:QUIT:-:crlf",
	     "swaks"},
	    {"EHLO:fqdn:MAIL.FROM<:RCPT.TO<:none:none:www-:DATA:fin:-:crlf",
	     "nodemailer"},
	    {"EHLO:ip4:MAIL.FROM<:RCPT.TO<:x:none:wwww:DATA:fin:-:lf", NULL},
	};
	struct labels *labels = labels_new();

	(void)state;
	assert_true(labels_load(labels, SHIPPED, NULL, NULL) > 0);
	for (size_t i = 0; i < COUNT(said); i++) {
		const char *name = labels_dialect(labels, said[i].text);

		if (said[i].want == NULL
			? name != NULL
			: name == NULL || strstr(name, said[i].want) == NULL)
			fail_msg("%s: %s", said[i].text,
				 name == NULL ? "-" : name);
	}
	labels_free(labels);
}

static void
names_and_flags_are_taken(void **state)
{
	static const char text[] =
	    "[tcp:request]\nlabel = g:unix:Linux:3.x\n"
	    "sig = *:64:0:*:*,7:mss,sok,ts,nop,ws:df,id+:0\n"
	    "label = s:!:NMap:\nsig = *:64:0:*:*,*::*:0\n"
	    "[label Soft one]\nscale = soft\n"
	    "syn = *:64:0:*:*,8:mss,sok,ts,nop,ws:df,id+:0\n";
	const struct packet seven = {"", 64, DF, 9, 1, .options = LINUX("07")};
	const struct packet nine = {"", 64, DF, 9, 1, .options = LINUX("09")};
	const struct packet bare = {"", 64, DF, 9, 1, .options = ""};
	enum label_quality quality;
	struct reports r;
	int count;
	struct labels *labels = load_text(text, strlen(text), &r, &count);
	struct syn s = packet_syn(&seven);

	(void)state;
	assert_int_equal(count, 3);
	assert_string_equal(labels_find(labels, &s, &quality), "Linux 3.x");
	assert_int_equal(quality, LABEL_EXACT);
	s = packet_syn(&nine);
	assert_string_equal(labels_find(labels, &s, &quality), "Soft one");
	assert_int_equal(quality, LABEL_SOFT);
	s = packet_syn(&bare);
	assert_string_equal(labels_find(labels, &s, &quality), "NMap");
	s.ttl = 65;
	assert_null(labels_find(labels, &s, &quality));
	assert_int_equal(quality, LABEL_NONE);
	labels_free(labels);
}

static void
a_later_file_wins(void **state)
{
	const struct packet bare = {"", 64, DF, 9, 1, .options = ""};
	const struct syn s = packet_syn(&bare);
	enum label_quality quality;
	struct reports r;
	int count;
	struct labels *labels = load_text(
	    "[label A]\n" GOOD, strlen("[label A]\n" GOOD), &r, &count);
	char path[] = "/tmp/labels_file_test.XXXXXX";
	const int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "[label B]\n" GOOD, 10 + strlen(GOOD)),
			 10 + strlen(GOOD));
	close(fd);
	assert_int_equal(labels_load(labels, path, NULL, NULL), 1);
	unlink(path);
	assert_string_equal(labels_find(labels, &s, &quality), "B");
	assert_int_equal(labels_check(labels, NULL, NULL), 1);
	labels_free(labels);
}

/* What the shipped file calls some SYNs. */
static const struct {
	struct packet packet;
	const char *want;
	enum label_quality quality;
} shipped[] = {
    {{"linux 6.18", 52, DF, 9, 64240, .options = LINUX("0a")},
     "Linux 6.16 or newer",
     LABEL_EXACT},
    {{"linux 6.18, v6", 52, .version = 6, .flow = 3, .window = 64800,
      .options = LINUX_V6("0a")},
     "Linux 6.16 or newer",
     LABEL_EXACT},
    {{"linux 6.1", 52, DF, 9, 64240, .options = LINUX("07")},
     "Linux 4.20 or newer",
     LABEL_EXACT},
    {{"linux, scale 4", 52, DF, 9, 64240, .options = LINUX("04")},
     "Linux 4.20 or newer",
     LABEL_SOFT},
    {{"linux, window of its own", 52, DF, 9, 12345, .options = LINUX("04")},
     "Linux",
     LABEL_FAMILY},
    {{"linux 3.11", 52, DF, 9, 29200, .options = LINUX("07")},
     "Linux 3.11 to 4.19",
     LABEL_EXACT},
    {{"linux 6.6", 52, DF, 9, 32120, .options = LINUX("07")},
     "Linux 6.5 to 6.8",
     LABEL_EXACT},
    {{"windows 10", 116, DF, 9, 64240, .options = WINDOWS("08")},
     "Windows 10 or newer, Server 2016 or newer",
     LABEL_EXACT},
    {{"windows 7", 116, DF, 9, 8192, .options = WINDOWS("08")},
     "Windows Vista to 8.1, Server 2008 to 2012",
     LABEL_EXACT},
    {{"windows, odd window", 116, DF, 9, 4321, .options = WINDOWS("08")},
     "Windows",
     LABEL_FAMILY},
    {{"macos", 52, DF, 0, 65535, .options = APPLE("06")},
     "macOS 10.13 or newer, iOS 11 or newer",
     LABEL_EXACT},
    {{"macos, v6", 52, .version = 6, .flow = 4, .window = 65535,
      .options = "020405a0" NOP WS("05") NOP NOP TS SOK "0000"},
     "macOS 10.13 or newer, iOS 11 or newer",
     LABEL_EXACT},
    {{"old mac", 52, DF, 9, 65535, .options = APPLE("05")},
     "Mac OS X 10.12 or older",
     LABEL_EXACT},
    {{"android", 52, DF, 9, 65535, .options = LINUX("09")},
     "Android",
     LABEL_EXACT},
    {{"freebsd", 52, DF, 0, 65535, .options = MSS_1460 NOP WS("06") SOK TS},
     "FreeBSD 12 or newer",
     LABEL_EXACT},
    {{"masscan", 240, 0, 4660, 1024, .options = ""}, "masscan", LABEL_EXACT},
    {{"no options", 120, 0, 9, 7, .options = ""},
     "no TCP options",
     LABEL_FAMILY},
    {{"nmap", 41, 0, 9, 1024, .options = MSS_1460},
     "Nmap SYN scan",
     LABEL_EXACT},
    {{"24000, mss only", 110, 0, 9, 24000, .options = MSS_1460},
     NULL,
     LABEL_NONE},
};

static void
shipped_file_names_stacks(void **state)
{
	struct labels *labels = labels_new();
	struct reports r = {.errors = 0};

	(void)state;
	assert_true(labels_load(labels, SHIPPED, collect, &r) > 60);
	labels_check(labels, collect, &r);
	if (r.errors + r.warnings != 0)
		fail_msg("%s", r.text);
	for (size_t i = 0; i < COUNT(shipped); i++) {
		const struct syn s = packet_syn(&shipped[i].packet);
		enum label_quality quality;
		const char *name = labels_find(labels, &s, &quality);
		const char *want = shipped[i].want;
		if (quality != shipped[i].quality ||
		    strcmp(name == NULL ? "-" : name,
			   want == NULL ? "-" : want) != 0)
			fail_msg("%s: %s (%s)", shipped[i].packet.label,
				 name == NULL ? "-" : name,
				 label_quality_name(quality));
	}
	labels_free(labels);
}

/* p0f's own file, where the administrator has it: nothing of it is bad. */
static void
p0f_file_is_taken_whole(void **state)
{
	struct labels *labels = labels_new();
	struct reports r = {.errors = 0};

	(void)state;
	if (access(P0F, R_OK) != 0) {
		labels_free(labels);
		skip();
	}
	assert_int_equal(labels_load(labels, P0F, collect, &r), 91);
	if (r.errors != 0)
		fail_msg("%s", r.text);
	labels_free(labels);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_are_read),
	    cmocka_unit_test(cut_files_are_read),
	    cmocka_unit_test(nul_bytes_are_reported),
	    cmocka_unit_test(missing_files_are_errors),
	    cmocka_unit_test(names_and_flags_are_taken),
	    cmocka_unit_test(the_most_literal_dialect_wins),
	    cmocka_unit_test(shipped_file_names_dialects),
	    cmocka_unit_test(a_later_file_wins),
	    cmocka_unit_test(shipped_file_names_stacks),
	    cmocka_unit_test(p0f_file_is_taken_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
