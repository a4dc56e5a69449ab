#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/daemon/log.h"
#include "proxy/daemon/log_line.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

static const struct config_log logfmt = {.format = CONFIG_LOG_LOGFMT};
static const struct config_log json = {.format = CONFIG_LOG_JSON};

static const struct {
	const char *label;
	const char *value;
	const char *logfmt;
	const char *json;
} texts[] = {
    {"plain", "abc", "k=abc\n", "{\"k\":\"abc\"}\n"},
    {"empty", "", "k=\"\"\n", "{\"k\":\"\"}\n"},
    {"blank", "a b", "k=\"a b\"\n", "{\"k\":\"a b\"}\n"},
    {"equals", "a=b", "k=\"a=b\"\n", "{\"k\":\"a=b\"}\n"},
    {"quote", "a\"b", "k=\"a\\\"b\"\n", "{\"k\":\"a\\\"b\"}\n"},
    {"backslash", "a\\b", "k=\"a\\\\b\"\n", "{\"k\":\"a\\\\\\\\b\"}\n"},
    {"newline", "a\nb", "k=\"a\\x0ab\"\n", "{\"k\":\"a\\\\x0ab\"}\n"},
    {"escape", "\033[2J", "k=\"\\x1b[2J\"\n", "{\"k\":\"\\\\x1b[2J\"}\n"},
    {"high", "\xff", "k=\"\\xff\"\n", "{\"k\":\"\\\\xff\"}\n"},
    {"del", "\x7f", "k=\"\\x7f\"\n", "{\"k\":\"\\\\x7f\"}\n"},
};

static void
begin_bare(struct log_line *l, enum config_log_format format)
{
	log_line_begin(l, format, 0, "info");
	l->len = format == CONFIG_LOG_JSON ? 1 : 0;
}

static void
texts_are_escaped(void **state)
{
	struct log_line l;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		print_message("%s\n", texts[i].label);
		begin_bare(&l, CONFIG_LOG_LOGFMT);
		log_line_text(&l, "k", texts[i].value, LOG_PEER_CAP);
		log_line_end(&l);
		assert_int_equal(l.len, strlen(texts[i].logfmt));
		assert_memory_equal(l.text, texts[i].logfmt, l.len);
		begin_bare(&l, CONFIG_LOG_JSON);
		log_line_text(&l, "k", texts[i].value, LOG_PEER_CAP);
		log_line_end(&l);
		assert_int_equal(l.len, strlen(texts[i].json));
		assert_memory_equal(l.text, texts[i].json, l.len);
	}
}

static void
peer_texts_are_cut(void **state)
{
	char value[300];
	struct log_line l;

	(void)state;
	memset(value, 'a', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	begin_bare(&l, CONFIG_LOG_LOGFMT);
	log_line_text(&l, "k", value, LOG_PEER_CAP);
	assert_int_equal(l.len, 2 + LOG_PEER_CAP);
}

static void
times_are_utc(void **state)
{
	static const char want[] = "ts=2026-11-22T15:44:01.007Z level=info";
	struct log_line l;

	(void)state;
	log_line_begin(&l, CONFIG_LOG_LOGFMT, 1795362241007, "info");
	l.text[l.len] = '\0';
	assert_string_equal(l.text, want);
}

/* Whatever is put in, a line ends as a line, within its room. */
static void
full_lines_end(void **state)
{
	static const enum config_log_format formats[] = {CONFIG_LOG_LOGFMT,
							 CONFIG_LOG_JSON};
	static char value[5000];

	(void)state;
	memset(value, 0xff, sizeof value - 1);
	value[sizeof value - 1] = '\0';
	for (size_t i = 0; i < COUNT_OF(formats); i++) {
		for (size_t cap = 1; cap < 1000; cap += 13) {
			static struct log_line l;

			log_line_begin(&l, formats[i], 0, "info");
			for (int n = 0; n < 40; n++) {
				log_line_text(&l, "key", value, cap);
				log_line_number(&l, "number", UINT64_MAX);
				log_line_flag(&l, "flag", true);
			}
			log_line_end(&l);
			assert_true(l.len <= LOG_LINE_CAP);
			assert_int_equal(l.text[l.len - 1], '\n');
			assert_null(memchr(l.text, '\n', l.len - 1));
			if (formats[i] == CONFIG_LOG_JSON)
				assert_int_equal(l.text[l.len - 2], '}');
		}
	}
}

static void
addresses_as_wanted(void **state)
{
	static const struct {
		const char *address;
		const char *full;
		const char *network;
	} rows[] = {
	    {"192.0.2.77", "192.0.2.77", "192.0.2.0/24"},
	    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"},
	};
	char text[ADDR_TEXT_CAP + 4];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct addr a;

		assert_true(addr_parse_ip(&a, rows[i].address,
					  strlen(rows[i].address)));
		log_line_address(CONFIG_LOG_FULL, &a, text, sizeof text);
		assert_string_equal(text, rows[i].full);
		log_line_address(CONFIG_LOG_NETWORK, &a, text, sizeof text);
		assert_string_equal(text, rows[i].network);
		log_line_address(CONFIG_LOG_NONE, &a, text, sizeof text);
		assert_string_equal(text, "-");
	}
}

/* A session of class `new` that was greeted after three seconds. */
static struct session
some_session(void)
{
	struct session s = {
	    .plan = {.greet_ms = 3000,
		     .rule_id = 1,
		     .shadow_rule_id = PLAN_NO_RULE,
		     .class_id = 0},
	    .counts = {.greet_ms = 3000, .held_ms = 3000},
	    .is_greeted = true,
	    .reason = REASON_QUIT,
	};

	addr_parse_ip(&s.client, "192.0.2.1", 9);
	s.client.port = 4711;
	return s;
}

static struct session_report
some_report(const struct session *s)
{
	return (struct session_report){
	    .session = s,
	    .id = 7,
	    .listener = "smtp",
	    .mta_port = 40000,
	    .signature = "4:64:0:1460:64240,7:mss,sok,ts,nop,ws:df,id+:0",
	    .syn_source = SYN_FROM_KERNEL,
	    .label = "Linux 4.20 or newer",
	    .label_quality = LABEL_EXACT,
	    .rule = "everyone",
	    .class = "new",
	    .mode = "enforce",
	    .phase = PHASE_RELAY,
	    .duration_ms = 3500,
	};
}

static void
why_says_what_was_slow(void **state)
{
	struct session s = some_session();
	struct session_report r = some_report(&s);
	char why[256];

	(void)state;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(
	    why, "rule everyone gave class new: greeting after 3.0s");

	s.counts.greet_ms = 8500;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why,
			    "rule everyone gave class new: greeting after 8.5s "
			    "(5.5s of it waiting for the MTA)");

	s.counts.greet_ms = 3000;
	s.counts.replies_held = 2;
	s.counts.held_ms = 13000;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(
	    why, "rule everyone gave class new: greeting after 3.0s, "
		 "2 replies held for 10.0s");
}

static void
why_knows_the_gate_from_the_mta(void **state)
{
	struct session s = some_session();
	struct session_report r = some_report(&s);
	char why[256];

	(void)state;
	s.counts.greet_ms = 8500;
	s.counts.gate_ms = 5500;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why,
			    "rule everyone gave class new: greeting after 8.5s"
			    ", 5.5s waiting for a free MTA connection");

	s.plan.greet_ms = 0;
	s.plan.rule_id = PLAN_NO_RULE;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why, "no rule decided: the MTA took 3.0s to greet"
				 ", 5.5s waiting for a free MTA connection");
}

static void
why_says_who_left(void **state)
{
	struct session s = some_session();
	struct session_report r = some_report(&s);
	char why[256];

	(void)state;
	s.is_greeted = false;
	s.reason = REASON_GAVE_UP;
	s.counts.gave_up_ms = 1200;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why,
			    "rule everyone gave class new: greeting due "
			    "after 3.0s; the client left after 1.2s of it");
}

static void
why_blames_no_rule_for_the_mta(void **state)
{
	struct session s = some_session();
	struct session_report r = some_report(&s);
	char why[256];

	(void)state;
	s.plan.greet_ms = 0;
	s.plan.rule_id = PLAN_NO_RULE;
	s.counts.greet_ms = 4000;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why, "no rule decided: the MTA took 4.0s to greet");

	s.is_greeted = false;
	s.reason = REASON_MTA_UNREACHABLE;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why, "no rule decided: not greeted; the MTA could "
				 "not be reached: 421");
}

static void
why_fits_any_room(void **state)
{
	struct session s = some_session();
	struct session_report r = some_report(&s);
	char why[64];

	(void)state;
	for (size_t cap = 1; cap <= sizeof why; cap++) {
		memset(why, 'x', sizeof why);
		log_line_why(&r, why, cap);
		assert_int_equal(strnlen(why, sizeof why),
				 cap - 1 < 49 ? cap - 1 : 49);
	}
}

static void
why_says_what_only_would_have_been(void **state)
{
	struct session s = some_session();
	struct session_report r = some_report(&s);
	char why[256];

	(void)state;
	r.shadow_rule = "bot";
	s.plan.is_shadow = true;
	s.counts.greet_ms = 20;
	s.counts.held_ms = 0;
	s.counts.would_ms = 3400;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why, "rule everyone would give class new: greeting "
				 "not delayed, would have been held for 3.4s");
	s = some_session();
	s.plan.shadow_rule_id = 7;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(
	    why, "rule everyone gave class new (rule bot, in shadow, would "
		 "have decided before): greeting after 3.0s");
}

static void
why_knows_the_caps(void **state)
{
	struct session s = some_session();
	struct session_report r = some_report(&s);
	char why[256];

	(void)state;
	s.counts.caps_ms = 2000;
	log_line_why(&r, why, sizeof why);
	assert_string_equal(why, "rule everyone gave class new: greeting after "
				 "3.0s, 2.0s waiting for a place in its class");
}

static void
session_line_has_it_all(void **state)
{
	static const char *const want[] = {
	    " event=session session=7 client=192.0.2.1 port=4711 ",
	    " mta_port=40000 listener=smtp ",
	    " why=\"rule everyone gave class new: greeting after 3.0s\" ",
	    " rule=everyone class=new mode=enforce ",
	    " syn=4:64:0:1460:64240,7:mss,sok,ts,nop,ws:df,id+:0 ",
	    " syn_source=kernel label=\"Linux 4.20 or newer\" ",
	    " label_quality=exact ",
	    " greet_ms=3000 gate_ms=0 caps_ms=0 held_ms=3000 would_ms=0 ",
	    " gave_up_ms=0 replies_held=0 ",
	    " last_verb=RCPT early_talker=yes pipelining=yes non_smtp=yes ",
	    " bare_newline=yes gap_low_ms=0 gap_high_ms=0 phase=relay ",
	    " phase=relay reason=quit duration_ms=3500\n",
	};
	struct session s = some_session();
	struct session_report r = some_report(&s);
	struct log_line l;

	(void)state;
	s.is_early = s.is_pipelining = s.has_gaps = true;
	s.is_non_smtp = s.is_bare_newline = true;
	s.last_verb = SMTP_RCPT;
	log_line_session(&l, &logfmt, 0, &r);
	l.text[l.len] = '\0';
	for (size_t i = 0; i < COUNT_OF(want); i++) {
		if (strstr(l.text, want[i]) == NULL)
			fail_msg("%s is not in %s", want[i], l.text);
	}
}

/* Fills text[0..len) with any bytes but NUL, and ends it. */
static void
fill_hostile(char *text, size_t len, unsigned *seed)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(rand_r(seed) % 255 + 1);
	text[len] = '\0';
}

static void
json_parses_whatever_it_holds(void **state)
{
	FILE *python = popen("python3 -c 'import json, sys\n"
			     "lines = sys.stdin.buffer.read().split(b\"\\n\")\n"
			     "assert len(lines) == 501, len(lines)\n"
			     "for line in lines[:-1]: json.loads(line)'",
			     "w");
	struct session s = some_session();
	struct session_report r = some_report(&s);
	static char hostile[3][SIGNATURE_TEXT_CAP];
	unsigned seed = 1;
	struct log_line l;

	(void)state;
	assert_non_null(python);
	r.signature = hostile[0];
	r.label = hostile[1];
	r.rule = hostile[2];
	for (int i = 0; i < 500; i++) {
		for (int n = 0; n < 3; n++)
			fill_hostile(hostile[n],
				     (size_t)rand_r(&seed) %
					 (SIGNATURE_TEXT_CAP - 1),
				     &seed);
		log_line_session(&l, &json, 0, &r);
		fwrite(l.text, 1, l.len, python);
	}
	assert_int_equal(pclose(python), 0);
}

/* The log with a pipe behind it. */
struct sink {
	int read_fd;
	int write_fd;
};

static struct sink
open_sink(void)
{
	struct sink sink;
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	sink.read_fd = fds[0];
	sink.write_fd = fds[1];
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0); /* as stderr is */
	log_open(sink.write_fd, &logfmt, NULL, NULL);
	return sink;
}

static void
close_sink(struct sink sink)
{
	log_open(STDERR_FILENO, &logfmt, NULL, NULL);
	close(sink.read_fd);
	close(sink.write_fd);
}

/* Reads what has been written; counts lines, checks that each is whole. */
static size_t
take_lines(struct sink sink, char *last, size_t cap)
{
	static char text[1 << 20];
	size_t len = 0;
	size_t lines = 0;
	bool is_all;

	do {
		ssize_t n;

		is_all = log_flush();
		while ((n = read(sink.read_fd, text + len, sizeof text - len)) >
		       0)
			len += (size_t)n;
	} while (!is_all);
	for (char *at = text; at < text + len;) {
		char *end = memchr(at, '\n', (size_t)(text + len - at));

		assert_non_null(end);
		assert_memory_equal(at, "ts=", 3);
		snprintf(last, cap, "%.*s", (int)(end - at), at);
		at = end + 1;
		lines++;
	}
	return lines;
}

static void
what_is_said_comes_out(void **state)
{
	struct sink sink = open_sink();
	static char last[4000];

	(void)state;
	log_say(LOG_LEVEL_WARNING, "the number is %d,\nand no more", 42);
	assert_int_equal(take_lines(sink, last, sizeof last), 1);
	assert_non_null(strstr(last, " level=warning msg=\"the number is 42,"
				     "\\x0aand no more\""));
	close_sink(sink);
}

/* Nobody reads: lines are dropped whole and counted, nothing waits. */
static void
slow_reader_costs_lines(void **state)
{
	struct sink sink = open_sink();
	uint64_t dropped = log_dropped();
	static char last[4000];
	size_t said = 0;

	(void)state;
	while (log_dropped() == dropped && said < 100000) {
		log_say(LOG_LEVEL_INFO, "line %zu", said++);
		log_flush();
	}
	assert_true(said < 100000);
	assert_false(log_flush());
	assert_int_equal(take_lines(sink, last, sizeof last), said - 1);
	close_sink(sink);
}

/* A reader that is gone: log_flush() ends, and counts. */
static void
gone_reader_costs_lines(void **state)
{
	struct sink sink = open_sink();
	uint64_t dropped = log_dropped();

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	close(sink.read_fd);
	log_say(LOG_LEVEL_INFO, "one");
	log_say(LOG_LEVEL_INFO, "two");
	assert_true(log_flush());
	assert_int_equal(log_dropped() - dropped, 2);
	close_sink(sink);
}

static void
held_sessions_are_always_said(void **state)
{
	struct sink sink = open_sink();
	struct session s = some_session();
	struct session_report r = some_report(&s);
	uint64_t dropped = log_dropped();
	static char last[4000];
	size_t lines = 0;

	(void)state;
	s.counts.held_ms = 0;
	for (int i = 0; i < 10000; i++) {
		log_session(&r);
		if (i % 100 == 0)
			lines += take_lines(sink, last, sizeof last);
	}
	lines += take_lines(sink, last, sizeof last);
	assert_true(log_dropped() > dropped);
	assert_int_equal(log_dropped() - dropped, 10000 - lines);

	dropped = log_dropped();
	s.counts.held_ms = 1;
	for (int i = 0; i < 100; i++)
		log_session(&r);
	assert_int_equal(take_lines(sink, last, sizeof last), 100);
	assert_int_equal(log_dropped(), dropped);
	close_sink(sink);
}

#define THREADS 4
#define LINES 500

static void *
say_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < LINES; i++)
		log_say(LOG_LEVEL_INFO, "line %d of a thread", i);
	return NULL;
}

static void
threads_do_not_mix_lines(void **state)
{
	struct sink sink = open_sink();
	pthread_t threads[THREADS];
	static char last[4000];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, say_many, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(take_lines(sink, last, sizeof last), THREADS * LINES);
	close_sink(sink);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts_are_escaped),
	    cmocka_unit_test(peer_texts_are_cut),
	    cmocka_unit_test(times_are_utc),
	    cmocka_unit_test(full_lines_end),
	    cmocka_unit_test(addresses_as_wanted),
	    cmocka_unit_test(why_says_what_was_slow),
	    cmocka_unit_test(why_knows_the_gate_from_the_mta),
	    cmocka_unit_test(why_says_who_left),
	    cmocka_unit_test(why_blames_no_rule_for_the_mta),
	    cmocka_unit_test(why_fits_any_room),
	    cmocka_unit_test(why_says_what_only_would_have_been),
	    cmocka_unit_test(why_knows_the_caps),
	    cmocka_unit_test(session_line_has_it_all),
	    cmocka_unit_test(json_parses_whatever_it_holds),
	    cmocka_unit_test(what_is_said_comes_out),
	    cmocka_unit_test(slow_reader_costs_lines),
	    cmocka_unit_test(gone_reader_costs_lines),
	    cmocka_unit_test(held_sessions_are_always_said),
	    cmocka_unit_test(threads_do_not_mix_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
