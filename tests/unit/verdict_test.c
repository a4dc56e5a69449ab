/* Verdicts: what a line says, and whose it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/evidence/verdict_book.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define NOW UINT64_C(1700000000000)
#define CLIENT "\"client\":\"192.0.2.1:4711\""
#define SPAM "\"verdict\":\"spam\""

static const struct {
	const char *label;
	const char *line;
	const char *why; /* NULL: it is taken */
} lines[] = {
    {"by client", "{" SPAM "," CLIENT "}", NULL},
    {"by id", "{" SPAM ",\"id\":\"4XyZ\"}", NULL},
    {"IPv6", "{" SPAM ",\"client\":\"[2001:db8::1]:1\"}", NULL},
    {"white space", " {" SPAM " , " CLIENT " } \n", NULL},
    {"all of it",
     "{" SPAM "," CLIENT ",\"id\":\"a-b_c.d\",\"time\":1.5,"
     "\"source\":\"rspamd\"}",
     NULL},
    {"members of others", "{" SPAM "," CLIENT ",\"x\":[{}]}", NULL},
    {"bytes of others", "{" SPAM "," CLIENT ",\"x\":\"\xff\xc3\"}", NULL},
    {"nothing", "", "it is not JSON"},
    {"blank", " ", "it is not JSON"},
    {"half", "{" SPAM, "it is not JSON"},
    {"two", "{" SPAM "," CLIENT "}{}", "it is not JSON"},
    {"NUL", "{" SPAM ",\"id\":\"a\\u0000b\"}", "it is not JSON"},
    {"control", "{" SPAM ",\"id\":\"a\nb\"}", "it is not JSON"},
    {"twice", "{" SPAM "," SPAM "," CLIENT "}", "it is not JSON"},
    {"array", "[" SPAM "]", "it is not JSON"},
    {"list", "[1]", "it is no JSON object"},
    {"no verdict", "{" CLIENT "}", "verdict is not there, or no text"},
    {"number", "{\"verdict\":1," CLIENT "}",
     "verdict is not there, or no text"},
    {"case", "{\"verdict\":\"Spam\"," CLIENT "}",
     "verdict is none of those known"},
    {"nobody", "{" SPAM "}", "there is neither client nor id"},
    {"no port", "{" SPAM ",\"client\":\"192.0.2.1\"}",
     "client is no address with a port"},
    {"port 0", "{" SPAM ",\"client\":\"192.0.2.1:0\"}",
     "client is no address with a port"},
    {"port beyond", "{" SPAM ",\"client\":\"192.0.2.1:65536\"}",
     "client is no address with a port"},
    {"client null", "{" SPAM ",\"client\":null}",
     "client is no address with a port"},
    {"id empty", "{" SPAM ",\"id\":\"\"}", "id is no queue id"},
    {"id blank", "{" SPAM ",\"id\":\"a b\"}", "id is no queue id"},
    {"id of 64",
     "{" SPAM ",\"id\":\"0123456789012345678901234567890123456789012345678"
     "901234567890123\"}",
     "id is no queue id"},
    {"id number", "{" SPAM ",\"id\":4}", "id is no queue id"},
    {"time text", "{" SPAM "," CLIENT ",\"time\":\"1\"}",
     "time is no number of seconds since 1970"},
    {"time before", "{" SPAM "," CLIENT ",\"time\":-1}",
     "time is no number of seconds since 1970"},
    {"time beyond", "{" SPAM "," CLIENT ",\"time\":1e300}",
     "time is no number of seconds since 1970"},
    {"source", "{" SPAM "," CLIENT ",\"source\":\"me\"}",
     "source is none of those known"},
    {"source list", "{" SPAM "," CLIENT ",\"source\":[]}", "source is no text"},
};

static void
lines_are_read(void **state)
{
	struct verdict_line line;

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		const char *why = verdict_line_read(&line, lines[i].line,
						    strlen(lines[i].line));

		if ((why == NULL) != (lines[i].why == NULL) ||
		    (why != NULL && strcmp(why, lines[i].why) != 0))
			fail_msg("%s: %s", lines[i].label,
				 why != NULL ? why : "taken");
	}
}

static void
all_of_a_line_is_read(void **state)
{
	static const char text[] =
	    "{\"verdict\":\"bounced\",\"client\":\"192.0.2.1:4711\","
	    "\"id\":\"4XyZ\",\"time\":1700000000.5,\"source\":\"postfix\"}";
	struct verdict_line line;

	(void)state;
	assert_null(verdict_line_read(&line, text, strlen(text)));
	assert_int_equal(line.verdict, VERDICT_BOUNCED);
	assert_int_equal(line.source, VERDICT_SOURCE_POSTFIX);
	assert_int_equal(line.client.port, 4711);
	assert_int_equal(line.client.family, 4);
	assert_string_equal(line.id, "4XyZ");
	assert_int_equal(line.unix_ms, NOW + 500);
}

static void
long_and_deep_lines_are_refused(void **state)
{
	char text[VERDICT_LINE_CAP + 1];
	struct verdict_line line;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_string_equal(verdict_line_read(&line, text, sizeof(text)),
			    "it is too long");
	assert_string_equal(verdict_line_read(&line, text, sizeof(text) - 1),
			    "it is not JSON");
}

static struct verdict_book *
book_of(uint32_t cap)
{
	struct verdict_book *b = verdict_book_new(cap);

	assert_non_null(b);
	return b;
}

static void
note(struct verdict_book *b, enum session_news news, uint64_t id, uint16_t port,
     uint64_t now_ms)
{
	static const uint8_t ip[4] = {192, 0, 2, 1};
	struct session_item item = {.id = id, .news = (uint8_t)news};

	addr_set_v4(&item.client, ip, port);
	verdict_book_note(b, &item, now_ms);
}

/* Says spam of a port (0: of none) and an id ("": none); time 0: none. */
static const char *
said(struct verdict_book *b, uint16_t port, const char *id, uint64_t time,
     uint64_t now_ms, uint64_t *session)
{
	static const uint8_t ip[4] = {192, 0, 2, 1};
	struct verdict_line line = {.verdict = VERDICT_SPAM, .unix_ms = time};
	struct verdict_session found = {0};
	enum verdict_result result;

	if (port != 0)
		addr_set_v4(&line.client, ip, port);
	strcpy(line.id, id);
	result = verdict_book_join(b, &line, now_ms, &found);
	if (session != NULL)
		*session = found.id;
	return verdict_result_name(result);
}

static void
a_session_is_found_and_doubles_are_not(void **state)
{
	struct verdict_book *b = book_of(64);
	uint64_t id;

	(void)state;
	assert_string_equal(said(b, 1, "", 0, NOW, NULL), "unknown");
	note(b, SESSION_NEWS_OPEN, 7, 1, NOW);
	assert_string_equal(said(b, 2, "", 0, NOW, NULL), "unknown");
	assert_string_equal(said(b, 1, "", 0, NOW, &id), "joined");
	assert_int_equal(id, 7);
	assert_string_equal(said(b, 1, "", 0, NOW, NULL), "doubled");
	verdict_book_free(b);
}

static void
a_queue_id_is_learned(void **state)
{
	struct verdict_book *b = book_of(64);
	uint64_t id;

	(void)state;
	note(b, SESSION_NEWS_OPEN, 7, 1, NOW);
	note(b, SESSION_NEWS_OPEN, 8, 2, NOW);
	assert_string_equal(said(b, 0, "AAAA", 0, NOW, NULL), "unknown");
	assert_string_equal(said(b, 1, "AAAA", 0, NOW, NULL), "joined");
	assert_string_equal(said(b, 0, "AAAA", 0, NOW, NULL), "doubled");
	/* Another mail of the session. */
	assert_string_equal(said(b, 1, "BBBB", 0, NOW, &id), "joined");
	assert_int_equal(id, 7);
	/* Two who say that it is theirs. */
	assert_string_equal(said(b, 2, "AAAA", 0, NOW, NULL), "contradicts");
	verdict_book_free(b);
}

static void
times_tell_sessions_apart(void **state)
{
	struct verdict_book *b = book_of(64);
	uint64_t id;

	(void)state;
	note(b, SESSION_NEWS_OPEN, 7, 1, NOW);
	note(b, SESSION_NEWS_END, 7, 1, NOW + 1000);
	note(b, SESSION_NEWS_OPEN, 8, 1, NOW + 60000);
	assert_string_equal(said(b, 1, "", NOW + 500, NOW + 61000, &id),
			    "joined");
	assert_int_equal(id, 7);
	assert_string_equal(said(b, 1, "", 0, NOW + 61000, &id), "joined");
	assert_int_equal(id, 8);
	assert_string_equal(said(b, 1, "", NOW + 99000, NOW + 61000, NULL),
			    "contradicts");
	verdict_book_free(b);
}

static void
late_is_an_hour(void **state)
{
	struct verdict_book *b = book_of(64);

	(void)state;
	note(b, SESSION_NEWS_OPEN, 7, 1, NOW);
	note(b, SESSION_NEWS_END, 7, 1, NOW);
	assert_string_equal(said(b, 1, "", 0, NOW + VERDICT_LATE_MS + 1, NULL),
			    "late");
	assert_string_equal(said(b, 1, "", 0, NOW + VERDICT_LATE_MS, NULL),
			    "joined");
	verdict_book_free(b);
}

static void
the_port_that_the_mta_sees_will_do(void **state)
{
	struct verdict_book *b = book_of(64);
	uint64_t id;

	(void)state;
	note(b, SESSION_NEWS_OPEN, 7, 1, NOW);
	note(b, SESSION_NEWS_GUISE, 7, 9, NOW);
	assert_string_equal(said(b, 9, "", 0, NOW, &id), "joined");
	assert_int_equal(id, 7);
	verdict_book_free(b);
}

/* Old ones make room, and are then nobody's. */
static void
memory_is_fixed(void **state)
{
	struct verdict_book *b = book_of(64);
	char id[8];

	(void)state;
	for (uint16_t i = 1; i <= 1000; i++) {
		(void)snprintf(id, sizeof(id), "Q%u", (unsigned)i);
		note(b, SESSION_NEWS_OPEN, i, i, NOW);
		note(b, SESSION_NEWS_GUISE, i, (uint16_t)(i + 2000), NOW);
		assert_string_equal(said(b, i, id, 0, NOW, NULL), "joined");
	}
	for (uint16_t i = 1; i <= 936; i++) {
		(void)snprintf(id, sizeof(id), "Q%u", (unsigned)i);
		assert_string_equal(said(b, i, "", 0, NOW, NULL), "unknown");
		assert_string_equal(said(b, 0, id, 0, NOW, NULL), "unknown");
	}
	assert_string_equal(said(b, 937, "", 0, NOW, NULL), "joined");
	verdict_book_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_are_read),
	    cmocka_unit_test(all_of_a_line_is_read),
	    cmocka_unit_test(long_and_deep_lines_are_refused),
	    cmocka_unit_test(a_session_is_found_and_doubles_are_not),
	    cmocka_unit_test(a_queue_id_is_learned),
	    cmocka_unit_test(times_tell_sessions_apart),
	    cmocka_unit_test(late_is_an_hour),
	    cmocka_unit_test(the_port_that_the_mta_sees_will_do),
	    cmocka_unit_test(memory_is_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
