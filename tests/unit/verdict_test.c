/* Verdicts: what a line says, and whose it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/evidence/verdict_book.h"
#include "proxy/evidence/verdict_wait.h"

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

static void
note_mail(struct verdict_book *b, uint64_t session, const char *id,
	  uint32_t recipients)
{
	struct session_item item = {
	    .id = session, .news = SESSION_NEWS_MAIL, .recipients = recipients};

	strcpy(item.queue_id, id);
	verdict_book_note(b, &item, NOW);
}

static void
the_mta_names_the_id(void **state)
{
	struct verdict_book *b = book_of(64);
	uint64_t id;

	(void)state;
	note_mail(b, 7, "AAAA", 1); /* of nobody */
	note(b, SESSION_NEWS_OPEN, 7, 1, NOW);
	note(b, SESSION_NEWS_OPEN, 8, 2, NOW);
	assert_string_equal(said(b, 0, "AAAA", 0, NOW, NULL), "unknown");
	note_mail(b, 7, "AAAA", 1);
	note_mail(b, 7, "BBBB", 1);
	assert_string_equal(said(b, 0, "AAAA", 0, NOW, &id), "joined");
	assert_int_equal(id, 7);
	/* What was said is not forgotten when the id is named once more. */
	note_mail(b, 7, "AAAA", 1);
	assert_string_equal(said(b, 0, "AAAA", 0, NOW, NULL), "doubled");
	assert_string_equal(said(b, 2, "BBBB", 0, NOW, NULL), "contradicts");
	/* Ids are used again: then the newest mail is meant. */
	note_mail(b, 8, "AAAA", 1);
	assert_string_equal(said(b, 0, "AAAA", 0, NOW, &id), "joined");
	assert_int_equal(id, 8);
	verdict_book_free(b);
}

static struct reputation_tally heard;
static unsigned heard_count;

/* Each call begins where the one before ended, and changes something. */
static void
hear(void *ctx, const struct learn *l)
{
	(void)ctx;
	assert_int_equal(l->session, 7);
	assert_int_equal(l->rows[LEDGER_POOL], 99);
	assert_memory_equal(&l->before, &heard, sizeof(heard));
	assert_memory_not_equal(&l->after, &heard, sizeof(heard));
	heard = l->after;
	heard_count++;
}

static void
note_end(struct verdict_book *b, uint64_t session, bool is_blind,
	 uint16_t delivered)
{
	struct session_item item = {
	    .id = session, .news = SESSION_NEWS_END, .is_blind = is_blind};

	item.end.tally.messages = delivered > 0;
	item.end.tally.outcomes[OUTCOME_DELIVERED] = delivered;
	item.end.rows[LEDGER_POOL] = 99;
	heard = item.end.tally;
	verdict_book_note(b, &item, NOW);
}

static void
tell(struct verdict_book *b, enum verdict verdict, const char *id)
{
	static const uint8_t ip[4] = {192, 0, 2, 1};
	struct verdict_line line = {.verdict = verdict};
	struct verdict_session found;

	if (id[0] == '\0')
		addr_set_v4(&line.client, ip, 1);
	strcpy(line.id, id);
	(void)verdict_book_join(b, &line, NOW, &found);
}

/* What is known at last, m: messages, d: delivered, s: spam, u: unknown user,
 * p: policy, n: neutral; and how often that was told. */
static const struct {
	const char *label;
	bool is_blind;
	uint16_t delivered; /* recipients of mail "AAAA", as seen */
	const char *said;   /* first letters of verdicts, `|` for the end, big
			       ones of the session, not of the mail */
	unsigned m, d, s, u, p, n;
	unsigned calls;
} lessons[] = {
    {"seen", false, 2, "|", 1, 2, 0, 0, 0, 0, 0},
    {"seen, and told the same", false, 2, "|d", 1, 2, 0, 0, 0, 0, 0},
    {"seen, and spam after all", false, 2, "|s", 0, 0, 1, 0, 0, 0, 1},
    {"spam before the end", false, 2, "s|", 0, 0, 1, 0, 0, 0, 1},
    {"spam twice, and a virus", false, 2, "|ssv", 0, 0, 1, 0, 0, 0, 1},
    {"spam, and good after all", false, 2, "|sh", 1, 2, 0, 0, 0, 0, 2},
    {"the same before the end", false, 2, "sh|", 1, 2, 0, 0, 0, 0, 0},
    {"spam, good, the first again", false, 2, "|shs", 1, 2, 0, 0, 0, 0, 2},
    {"good, and spam after all", false, 2, "h|s", 0, 0, 1, 0, 0, 0, 1},
    {"spam, and delivered as such", false, 2, "|sd", 0, 0, 1, 0, 0, 0, 1},
    {"spam, and bounced", false, 2, "|sb", 0, 0, 1, 0, 0, 0, 1},
    {"bounced for one of two", false, 2, "|b", 1, 1, 0, 0, 0, 0, 1},
    {"bounced for the only one", false, 1, "|b", 0, 0, 0, 0, 0, 0, 1},
    {"bounced, spam, no spam", false, 2, "|bsh", 1, 1, 0, 0, 0, 0, 3},
    {"refusals were seen", false, 0, "sru|d", 0, 0, 0, 0, 0, 0, 0},
    {"the session is spam", false, 2, "|S", 0, 0, 1, 0, 0, 0, 1},
    {"the same before the end", false, 2, "S|", 0, 0, 1, 0, 0, 0, 1},
    {"session and mail are", false, 2, "|sS", 0, 0, 2, 0, 0, 0, 2},
    {"blind", true, 0, "|", 0, 0, 0, 0, 0, 0, 0},
    {"blind, delivered", true, 0, "|d", 1, 1, 0, 0, 0, 0, 1},
    {"blind, before the end", true, 0, "d|", 1, 1, 0, 0, 0, 0, 1},
    {"blind, ham and delivered", true, 0, "h|d", 1, 1, 0, 0, 0, 0, 1},
    {"blind, delivered as spam", true, 0, "d|s", 0, 0, 1, 0, 0, 0, 2},
    {"blind, spam delivered", true, 0, "s|d", 0, 0, 1, 0, 0, 0, 1},
    {"blind, spam, and good", true, 0, "|sh", 1, 1, 0, 0, 0, 0, 2},
    {"blind, a virus", true, 0, "|v", 0, 0, 1, 0, 0, 0, 1},
    {"blind, nobody", true, 0, "u|", 0, 0, 0, 1, 0, 0, 1},
    {"blind, refused", true, 0, "r|", 0, 0, 0, 0, 1, 0, 1},
    {"blind, later, delivered", true, 0, "e|d", 1, 1, 0, 0, 0, 1, 2},
    {"blind, bounced", true, 0, "d|b", 0, 0, 0, 0, 0, 0, 2},
    {"blind, bounced unsaid", true, 0, "|b", 0, 0, 0, 0, 0, 0, 0},
    {"blind, the session", true, 0, "|DS", 0, 0, 1, 0, 0, 0, 2},
};

static void
say_letter(struct verdict_book *b, char letter)
{
	static const char letters[] = "hsvuredb";
	const bool is_session = letter < 'a';
	const char *at = strchr(letters, letter | 0x20);

	assert_non_null(at);
	tell(b, (enum verdict)(at - letters), is_session ? "" : "AAAA");
}

static void
what_is_learnt(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lessons); i++) {
		struct verdict_book *b = book_of(4);
		const uint32_t *out = heard.outcomes;

		heard_count = 0;
		verdict_book_set_learner(b, hear, NULL);
		note(b, SESSION_NEWS_OPEN, 7, 1, NOW);
		note_mail(b, 7, "AAAA", lessons[i].delivered);
		for (const char *at = lessons[i].said; *at != '\0'; at++) {
			if (*at == '|')
				note_end(b, 7, lessons[i].is_blind,
					 lessons[i].delivered);
			else
				say_letter(b, *at);
		}
		if (heard_count != lessons[i].calls ||
		    heard.messages != lessons[i].m ||
		    out[OUTCOME_DELIVERED] != lessons[i].d ||
		    out[OUTCOME_SPAM] != lessons[i].s ||
		    out[OUTCOME_UNKNOWN_USER] != lessons[i].u ||
		    out[OUTCOME_POLICY] != lessons[i].p ||
		    out[OUTCOME_NEUTRAL] != lessons[i].n)
			fail_msg("%s: %u calls, m %u d %u s %u u %u p %u n %u",
				 lessons[i].label, heard_count, heard.messages,
				 out[OUTCOME_DELIVERED], out[OUTCOME_SPAM],
				 out[OUTCOME_UNKNOWN_USER], out[OUTCOME_POLICY],
				 out[OUTCOME_NEUTRAL]);
		verdict_book_free(b);
	}
}

static void
who_is_told_of_is_not_blind(void **state)
{
	struct verdict_book *b = book_of(4);

	(void)state;
	for (uint16_t i = 1; i <= 4; i++)
		note(b, SESSION_NEWS_OPEN, i, i, NOW);
	assert_string_equal(said(b, 1, "", 0, NOW, NULL), "joined");
	note_end(b, 1, true, 0);
	note_end(b, 2, true, 0);
	note_end(b, 3, false, 0);
	note_end(b, 4, true, 0);
	assert_int_equal(verdict_book_told(b), 1);
	assert_string_equal(said(b, 2, "", 0, NOW, NULL), "joined");
	assert_string_equal(said(b, 2, "X", 0, NOW, NULL), "joined");
	assert_string_equal(said(b, 3, "", 0, NOW, NULL), "joined");
	assert_int_equal(verdict_book_told(b), 2);
	verdict_book_free(b);
}

/* ctx: how many are to be given up. */
static bool
only_b(void *ctx, const struct verdict_line *line, bool is_last)
{
	unsigned *given_up = ctx;

	*given_up += is_last;
	return line->id[0] == 'B';
}

static void
lines_wait_for_their_id(void **state)
{
	struct verdict_wait *w = calloc(1, sizeof(*w));
	struct verdict_line line = {.id = "A"};
	unsigned given_up = 0;

	(void)state;
	assert_non_null(w);
	for (unsigned i = 0; i < VERDICT_WAIT_CAP; i++) {
		line.id[0] = i % 2 == 0 ? 'A' : 'B';
		assert_true(verdict_wait_put(w, &line, NOW + i % 2));
	}
	assert_false(verdict_wait_put(w, &line, NOW));
	verdict_wait_try(w, NOW + 1, only_b, &given_up);
	assert_int_equal(w->count, VERDICT_WAIT_CAP / 2);
	assert_int_equal(given_up, 0);
	assert_int_equal(w->waiting[w->count - 1].line.id[0], 'A');
	assert_true(verdict_wait_put(w, &line, NOW + 5));
	line.id[0] = 'C';
	assert_true(verdict_wait_put(w, &line, NOW + 6));
	verdict_wait_try(w, NOW + VERDICT_WAIT_MS, only_b, &given_up);
	assert_int_equal(given_up, VERDICT_WAIT_CAP / 2);
	assert_int_equal(w->count, 1);
	verdict_wait_try(w, NOW, only_b, &given_up);
	assert_int_equal(w->count, 0);
	free(w);
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
	    cmocka_unit_test(the_mta_names_the_id),
	    cmocka_unit_test(what_is_learnt),
	    cmocka_unit_test(who_is_told_of_is_not_blind),
	    cmocka_unit_test(lines_wait_for_their_id),
	    cmocka_unit_test(memory_is_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
