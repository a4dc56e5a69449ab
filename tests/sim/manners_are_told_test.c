/* Who does not wait, does not speak SMTP or ends its lines with LF is told,
 * and nobody else is: however the bytes are cut, and however long we hold. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/scenario.h"

/*
 * A scene: lines that begin with C or M and a colon, said by client or MTA, one
 * after the other; `<` is CR LF, `|` LF, `^` CR, `~` the byte 0x16. +N lets N
 * ms pass, T ends a handshake. What is told: p pipelining, n non_smtp, b
 * bare_newline, e early_talker, - none.
 */
struct row {
	const char *label;
	const char *steps[16];
	const char *want;
	bool pipeconnect;
	bool has_tls;
	bool is_early; /* the first step is said before the greeting */
	uint16_t reply_ms;
};

#define OFFER "M:250-mx<250-PIPELINING<250 8BITMIME<"
#define NO_OFFER "M:250-mx<250 8BITMIME<"
#define HELLO "C:EHLO a<", OFFER
#define MAIL "C:MAIL FROM:<a@b>\r\n", "M:250 ok<"

static const struct row rows[] = {
    {"one at a time",
     {"C:EHLO a<", NO_OFFER, "C:MAIL FROM:x<", "M:250 a<", "C:DATA<",
      "M:354 b<", "C:x<.<", "M:250 c<", "C:QUIT<", "M:221 d<"},
     "-"},
    {"a group, as offered",
     {HELLO, "C:MAIL FROM:x<RCPT TO:y<DATA<", "M:250 a<250 b<354 c<",
      "C:x<.<QUIT<"},
     "-"},
    {"a group that was not offered",
     {"C:EHLO a<", NO_OFFER, "C:MAIL FROM:x<RCPT TO:y<"},
     "p"},
    {"behind HELO",
     {"C:HELO a<", "M:250 mx<", "C:MAIL FROM:x<RCPT TO:y<"},
     "p"},
    {"HELO takes the offer back",
     {HELLO, "C:HELO a<", "M:250 mx<", "C:MAIL FROM:x<RCPT TO:y<"},
     "p"},
    {"a second EHLO that is refused does not",
     {HELLO, "C:EHLO a<", "M:503 no<", "C:MAIL FROM:x<RCPT TO:y<"},
     "-"},
    {"behind EHLO", {"C:EHLO a<MAIL FROM:x<"}, "p"},
    {"behind NOOP", {HELLO, "C:NOOP<MAIL FROM:x<"}, "p"},
    {"behind DATA",
     {HELLO, "C:MAIL FROM:x<RCPT TO:y<DATA<x<.<", "M:250 a<250 b<354 c<"},
     "p"},
    {"behind a DATA that is refused",
     {HELLO, "C:DATA<RSET<", "M:503 no<"},
     "p"},
    {"between the lines of the answer to EHLO",
     {"C:EHLO a<", "M:250-mx<", "C:MAIL FROM:x<", "M:250 PIPELINING<"},
     "p"},
    {"the letters of the offer alone",
     {"C:EHLO a<", "M:250-mx<250-PIPELININGS<250 XPIPELINING<",
      "C:MAIL FROM:x<RCPT TO:y<"},
     "p"},
    {"the offer in small letters, and with more",
     {"C:EHLO a<", "M:250-mx<250-pipelining 1<250 x<",
      "C:MAIL FROM:x<RCPT TO:y<"},
     "-"},
    {"a good-bye is always in time",
     {"C:EHLO a<QUIT<", "M:250 mx<221 bye<"},
     "-"},
    {"but not what is behind it", {HELLO, "C:QUIT<RSET<"}, "p"},
    {"an empty line is no command", {"C:EHLO a<<", NO_OFFER}, "-"},
    {"AUTH and its texts",
     {HELLO, "C:AUTH LOGIN<", "M:334 a<", "C:dQ==<", "M:334 b<", "C:dQ==<"},
     "-"},
    {"a text before it is asked for",
     {HELLO, "C:AUTH LOGIN<dQ==<", "M:334 a<"},
     "p"},
    {"octets behind BDAT", {HELLO, "C:BDAT 3 LAST<abcQUIT<"}, "-"},
    {"behind BDAT, not offered",
     {"C:EHLO a<", NO_OFFER, "C:BDAT 3<abcBDAT 3<abc"},
     "p"},
    {"the next mail behind the dot",
     {HELLO, "C:DATA<", "M:354 a<", "C:x<.<MAIL FROM:x<RCPT TO:y<"},
     "-"},
    {"early, one command", {"C:EHLO a<", OFFER}, "e", .is_early = true},
    {"early, and on", {"C:EHLO a<MAIL FROM:x<", OFFER}, "ep", .is_early = true},
    {"PIPECONNECT",
     {"C:EHLO a<MAIL FROM:x<RCPT TO:y<BDAT 1 LAST<aQUIT<", OFFER},
     "-",
     .pipeconnect = true,
     .is_early = true},
    {"PIPECONNECT, but no offer",
     {"C:EHLO a<", NO_OFFER, "C:MAIL FROM:x<RCPT TO:y<"},
     "p",
     .pipeconnect = true},
    {"the reply is held",
     {"C:EHLO a<", NO_OFFER, "+3000", "C:MAIL FROM:x<", "M:250 a<"},
     "-",
     .reply_ms = 2000},
    {"before the held reply is out",
     {"C:EHLO a<", NO_OFFER, "+1000", "C:MAIL FROM:x<"},
     "p",
     .reply_ms = 2000},
    {"a held 354",
     {HELLO, "+3000", "C:MAIL FROM:x<RCPT TO:y<DATA<", "M:250 a<250 b<354 c<",
      "+6000", "C:x<.<"},
     "-",
     .reply_ms = 2000},
    {"before the held 354 is out",
     {HELLO, "+3000", "C:MAIL FROM:x<RCPT TO:y<DATA<", "M:250 a<250 b<354 c<",
      "+1000", "C:x<.<"},
     "p",
     .reply_ms = 2000},
    {"STARTTLS that passes", {HELLO, "C:STARTTLS<", "M:220 go<", "C:~x"}, "-"},
    {"in the clear behind it",
     {HELLO, "C:STARTTLS<MAIL FROM:x<", "M:220 go<"},
     "p"},
    {"STARTTLS that ends here",
     {HELLO, "C:STARTTLS<", "T", HELLO, "C:MAIL FROM:x<RCPT TO:y<"},
     "-",
     .has_tls = true},
    {"in the clear behind that",
     {HELLO, "C:STARTTLS<RSET<", "T"},
     "p",
     .has_tls = true},
    {"an offer in the clear is none inside",
     {HELLO, "C:STARTTLS<", "T", "C:EHLO a<", NO_OFFER,
      "C:MAIL FROM:x<RCPT TO:y<"},
     "p",
     .has_tls = true},
    {"nor is it without a hello inside",
     {HELLO, "C:STARTTLS<", "T", "C:MAIL FROM:x<RCPT TO:y<"},
     "p",
     .has_tls = true},
    {"HTTP inside TLS",
     {HELLO, "C:STARTTLS<", "T", "C:GET / HTTP/1.1<"},
     "n",
     .has_tls = true},
    {"HTTP", {"C:GET / HTTP/1.1<"}, "n"},
    {"a header", {"C:Subject: x<"}, "n"},
    {"TLS on a plain port", {"C:~xy"}, "n"},
    {"0x16 later", {HELLO, "C:~xy<"}, "n"},
    {"a word that no RFC knows", {"C:XFOO-BAR2 x<"}, "-"},
    {"text of a message that was refused",
     {HELLO, "C:DATA<", "M:503 no<", "C:Received: by x<"},
     "n"},
    {"a header inside DATA",
     {HELLO, "C:DATA<", "M:354 a<", "C:a: b<GET<.<"},
     "-"},
    {"HTTP in a chunk", {HELLO, "C:BDAT 7 LAST<GET /<"}, "-"},
    {"LF", {"C:EHLO a|"}, "b"},
    {"an empty line of LF", {"C:|"}, "b"},
    {"CR, then LF alone", {"C:EHLO a<", OFFER, "C:RSET^x|"}, "b"},
    {"LF behind a text of AUTH",
     {HELLO, "C:AUTH LOGIN<", "M:334 a<", "C:dQ==|"},
     "b"},
    {"LF in a text that is taken",
     {HELLO, "C:DATA<", "M:354 a<", "C:a|b<.<", "M:250 ok<"},
     "-"},
    {"LF in a text that is refused for what it says",
     {HELLO, "C:DATA<", "M:354 a<", "C:a|b<.<", "M:550 5.7.1 spam<"},
     "-"},
    {"LF in a text that is refused for it",
     {HELLO, "C:DATA<", "M:354 a<", "C:a|b<.<", "M:550 5.5.2 bare LF<"},
     "b"},
    {"LF in the text before the one that is refused",
     {HELLO, "C:DATA<", "M:354 a<", "C:a|b<.<", "M:250 ok<", "C:DATA<",
      "M:354 a<", "C:ab<.<", "M:550 5.5.2 no<"},
     "-"},
    {"closed at the first LF",
     {HELLO, "C:DATA<", "M:354 a<", "C:a|b", "M:421 4.5.0 bare LF<"},
     "b"},
    {"closed for another reason",
     {HELLO, "C:DATA<", "M:354 a<", "C:a|b", "M:421 4.3.2 down<"},
     "-"},
    {"behind an end that only the MTA takes, nothing is judged",
     {HELLO, "C:DATA<", "M:354 a<", "C:a|.|", "M:250 ok<", "C:GET x|DATA<x<"},
     "-"},
};

static char
byte_of(char c)
{
	switch (c) {
	case '|':
		return '\n';
	case '^':
		return '\r';
	case '~':
		return 0x16;
	default:
		return c;
	}
}

static size_t
bytes_of(const char *text, char out[256])
{
	size_t len = 0;

	for (; *text != '\0' && len < 250; text++) {
		if (*text == '<')
			out[len++] = '\r';
		out[len++] = *text == '<' ? '\n' : byte_of(*text);
	}
	out[len] = '\0';
	return len;
}

/* The client says it in pieces of `piece` bytes, all at the same time. */
static void
client_says(const char *bytes, size_t len, size_t piece)
{
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;

		world_says(&scene, SIDE_CLIENT, bytes + at, n);
	}
	scene_client("");
}

static void
end_handshake(void)
{
	scene_client("");
	assert_true(scene.is_shaking);
	world_event(&scene, EVENT_TLS_UP, SIDE_CLIENT, NULL);
}

static void
do_step(const char *step, size_t piece, uint32_t *ms)
{
	char bytes[256];
	unsigned wait;

	if (sscanf(step, "+%u", &wait) == 1) {
		*ms += wait;
		scene_until(*ms);
	} else if (strcmp(step, "T") == 0) {
		end_handshake();
	} else if (step[0] == 'C') {
		client_says(bytes, bytes_of(step + 2, bytes), piece);
	} else {
		(void)bytes_of(step + 2, bytes);
		scene_mta(bytes);
	}
}

static void
begin(const struct row *row)
{
	scene_open((struct plan){.greet_ms = row->is_early ? 3000 : 0,
				 .reply_ms = row->reply_ms});
	scene.site.pipeconnect = row->pipeconnect;
	scene.site.has_tls = row->has_tls;
}

/* The greeting is out at `ms`. */
static uint32_t
greet(const struct row *row)
{
	uint32_t ms = row->is_early ? 3000 : 0;

	scene_until(ms > 1000 ? ms - 1000 : 0);
	scene_connect();
	scene_mta("220 mx\r\n");
	scene_until(ms);
	if (scene.asking == SLOT_INTO_SHARE)
		world_event(&scene, EVENT_GRANTED, SIDE_MTA, NULL);
	return ms;
}

static void
told(char out[8])
{
	const struct session *s = &scene.s;

	sprintf(out, "%s%s%s%s", s->is_early ? "e" : "",
		s->is_pipelining ? "p" : "", s->is_non_smtp ? "n" : "",
		s->is_bare_newline ? "b" : "");
	if (out[0] == '\0')
		strcpy(out, "-");
}

static void
play(const struct row *row, size_t piece)
{
	uint32_t ms = 0;
	unsigned i = 0;
	char seen[8];

	begin(row);
	if (row->is_early)
		do_step(row->steps[i++], piece, &ms);
	ms = greet(row);
	for (; i < 16 && row->steps[i] != NULL; i++)
		do_step(row->steps[i], piece, &ms);
	told(seen);
	if (strcmp(seen, row->want) != 0)
		fail_msg("%s, in pieces of %zu: %s told, not %s", row->label,
			 piece, seen, row->want);
	if (strpbrk(row->want, "pnb") != NULL && !scene.wants_plan)
		fail_msg("%s: no plan was asked for", row->label);
}

static void
what_is_so_is_told(void **state)
{
	static const size_t pieces[] = {1000, 1, 2, 3, 5, 7, 11};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++) {
			/* Early segments are few. */
			if (!rows[i].is_early || pieces[k] > 5)
				play(&rows[i], pieces[k]);
		}
	}
}

/* The plan is asked for again once a fact, not with each time it is seen. */
static void
it_is_told_once(void **state)
{
	(void)state;
	begin(&rows[0]);
	(void)greet(&rows[0]);
	scene_client("GET / HTTP/1.1\r\n");
	assert_true(scene.wants_plan);
	scene.wants_plan = false;
	scene_mta("500 no\r\n");
	scene_client("Host: x\r\n");
	assert_false(scene.wants_plan);
}

SCENES(cmocka_unit_test(what_is_so_is_told), cmocka_unit_test(it_is_told_once))
