/*
 * See mix.h.
 */
#include "tests/bench/mix.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE 64

/* clang-format off */
const struct mix_leave mix_leaves[] = {
	{"complete",      STEP_BYE,      WHEN_NEVER,      MANNER_USUAL},
	{"at-once",       STEP_GREETING, WHEN_ENTER,      MANNER_USUAL},
	{"in-greet",      STEP_GREETING, WHEN_LATER,      MANNER_USUAL},
	{"first-byte",    STEP_GREETING, WHEN_FIRST_BYTE, MANNER_USUAL},
	{"greeted",       STEP_GREETING, WHEN_DONE,       MANNER_USUAL},
	{"ehlo-sent",     STEP_EHLO,     WHEN_SENT,       MANNER_USUAL},
	{"ehlo-later",    STEP_EHLO,     WHEN_LATER,      MANNER_USUAL},
	{"ehlo-answered", STEP_EHLO,     WHEN_DONE,       MANNER_USUAL},
	{"mail-half",     STEP_MAIL,     WHEN_HALF,       MANNER_USUAL},
	{"mail-later",    STEP_MAIL,     WHEN_LATER,      MANNER_USUAL},
	{"rcpt-begun",    STEP_RCPT,     WHEN_FIRST_BYTE, MANNER_USUAL},
	{"data-sent",     STEP_DATA,     WHEN_SENT,       MANNER_USUAL},
	{"mid-data",      STEP_BODY,     WHEN_HALF,       MANNER_USUAL},
	{"dot-sent",      STEP_BODY,     WHEN_SENT,       MANNER_USUAL},
	{"dot-later",     STEP_BODY,     WHEN_LATER,      MANNER_USUAL},
	{"dot-answered",  STEP_BODY,     WHEN_DONE,       MANNER_USUAL},
	{"quit-sent",     STEP_QUIT,     WHEN_SENT,       MANNER_USUAL},
	{"quit-answered", STEP_QUIT,     WHEN_DONE,       MANNER_USUAL},
	{"early",         STEP_BYE,      WHEN_NEVER,      MANNER_EARLY},
	{"early-gone",    STEP_GREETING, WHEN_ENTER,      MANNER_EARLY},
	{"early-later",   STEP_GREETING, WHEN_LATER,      MANNER_EARLY},
	{"starttls-sent", STEP_STARTTLS, WHEN_SENT,       MANNER_TLS},
	{"opaque-half",   STEP_OPAQUE,   WHEN_HALF,       MANNER_TLS},
	{"opaque-later",  STEP_OPAQUE,   WHEN_LATER,      MANNER_TLS},
	{"opaque-done",   STEP_OPAQUE,   WHEN_DONE,       MANNER_TLS},
	{"garbage",       STEP_BYE,      WHEN_NEVER,      MANNER_GARBAGE},
	{"garbage-sent",  STEP_EHLO,     WHEN_SENT,       MANNER_GARBAGE},
	{"pipeline",      STEP_BYE,      WHEN_NEVER,      MANNER_PIPELINE},
	{"pipeline-sent", STEP_MAIL,     WHEN_SENT,       MANNER_PIPELINE},
	{"pipeline-half", STEP_RCPT,     WHEN_FIRST_BYTE, MANNER_PIPELINE},
	{"deaf",          STEP_BYE,      WHEN_NEVER,      MANNER_DEAF},
	{"deaf-later",    STEP_HELP,     WHEN_LATER,      MANNER_DEAF},
};

const struct mix_fault mix_faults[] = {
	{"well",           STEP_BYE,      ACT_WELL,  NULL, false},
	{"greet-fin",      STEP_GREETING, ACT_FIN,   NULL, false},
	{"greet-rst",      STEP_GREETING, ACT_RST,   NULL, false},
	{"greet-554",      STEP_GREETING, ACT_FIN,   "554 no\r\n", false},
	{"greet-421",      STEP_GREETING, ACT_FIN,   "421 later\r\n", false},
	{"greet-cut",      STEP_GREETING, ACT_RST,   "220-sink", false},
	{"greet-no-smtp",  STEP_GREETING, ACT_SAY,   "hello\r\n", false},
	{"greet-slow",     STEP_GREETING, ACT_SLOW,  NULL, false},
	{"greet-stall",    STEP_GREETING, ACT_STALL, NULL, false},
	{"ehlo-rst",       STEP_EHLO,     ACT_RST,   NULL, false},
	{"ehlo-cut",       STEP_EHLO,     ACT_FIN,   "250-sink\r\n25", false},
	{"mail-rst",       STEP_MAIL,     ACT_RST,   NULL, false},
	{"mail-421",       STEP_MAIL,     ACT_FIN,   "421 bye\r\n", false},
	{"mail-half",      STEP_MAIL,     ACT_HALF,  "250 ok\r\n", false},
	{"rcpt-450",       STEP_RCPT,     ACT_SAY,   "450 later\r\n", false},
	{"rcpt-450-fin",   STEP_RCPT,     ACT_FIN,   "450 later\r\n", false},
	{"rcpt-cut",       STEP_RCPT,     ACT_RST,   "250 o", false},
	{"data-rst",       STEP_DATA,     ACT_RST,   NULL, false},
	{"body-rst",       STEP_BODY,     ACT_RST,   NULL, true},
	{"body-fin",       STEP_BODY,     ACT_FIN,   NULL, true},
	{"body-pause",     STEP_BODY,     ACT_PAUSE, NULL, true},
	{"body-stall",     STEP_BODY,     ACT_STALL, NULL, true},
	{"dot-rst",        STEP_BODY,     ACT_RST,   NULL, false},
	{"dot-fin",        STEP_BODY,     ACT_FIN,   NULL, false},
	{"dot-cut",        STEP_BODY,     ACT_RST,   "25", false},
	{"dot-451",        STEP_BODY,     ACT_SAY,   "451 later\r\n", false},
	{"dot-stall",      STEP_BODY,     ACT_STALL, NULL, false},
	{"dot-250-fin",    STEP_BODY,     ACT_FIN,   "250 took\r\n", false},
	{"dot-250-rst",    STEP_BODY,     ACT_RST,   "250 took\r\n", false},
	{"quit-rst",       STEP_QUIT,     ACT_RST,   NULL, false},
	{"quit-fin",       STEP_QUIT,     ACT_FIN,   NULL, false},
	{"starttls-rst",   STEP_STARTTLS, ACT_RST,   NULL, false},
	{"opaque-rst",     STEP_OPAQUE,   ACT_RST,   NULL, false},
	{"opaque-half",    STEP_OPAQUE,   ACT_HALF,  "\x15\x03", false},
	{"ehlo-stall",     STEP_EHLO,     ACT_STALL, NULL, false},
	{"mail-stall",     STEP_MAIL,     ACT_STALL, NULL, false},
	{"rcpt-stall",     STEP_RCPT,     ACT_STALL, NULL, false},
	{"data-stall",     STEP_DATA,     ACT_STALL, NULL, false},
	{"quit-stall",     STEP_QUIT,     ACT_STALL, NULL, false},
	{"mail-cut",       STEP_MAIL,     ACT_RST,   "25", false},
	{"data-cut",       STEP_DATA,     ACT_FIN,   "354 g", false},
	{"quit-cut",       STEP_QUIT,     ACT_RST,   "221", false},
	{"ehlo-slow",      STEP_EHLO,     ACT_SLOW,  NULL, false},
	{"mail-slow",      STEP_MAIL,     ACT_SLOW,  NULL, false},
	{"rcpt-slow",      STEP_RCPT,     ACT_SLOW,  NULL, false},
	{"data-slow",      STEP_DATA,     ACT_SLOW,  NULL, false},
	{"dot-slow",       STEP_BODY,     ACT_SLOW,  NULL, false},
	{"quit-slow",      STEP_QUIT,     ACT_SLOW,  NULL, false},
};
/* clang-format on */

const size_t mix_leaves_count = sizeof mix_leaves / sizeof mix_leaves[0];
const size_t mix_faults_count = sizeof mix_faults / sizeof mix_faults[0];

const char *const mix_classes[MIX_CLASSES_ALL] = {
    "pass", "hold", "teaser", "slow", "drip", "late", "crowd"};
const char *const mix_hows[HOW_COUNT] = {"fin", "rst", "half"};

int
mix_find_leave(const char *name)
{
	for (size_t i = 0; i < mix_leaves_count; i++)
		if (strcmp(mix_leaves[i].name, name) == 0)
			return (int)i;
	return -1;
}

int
mix_find_fault(const char *name)
{
	for (size_t i = 0; i < mix_faults_count; i++)
		if (strcmp(mix_faults[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int
find(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

int
mix_find_class(const char *name)
{
	return find(mix_classes, MIX_CLASSES_ALL, name);
}

int
mix_find_how(const char *name)
{
	return find(mix_hows, HOW_COUNT, name);
}

/* So long that a thousand of them fill what is between the two ends. */
#define HELP_LINE                                                              \
	"214-this sink takes mail and keeps nothing but its number and "       \
	"a hash of it\r\n"

const char *
mix_reply(enum mix_step step)
{
	static const char *const replies[STEP_COUNT] = {
	    [STEP_GREETING] = "220 sink.example ESMTP\r\n",
	    [STEP_EHLO] = "250-sink.example\r\n250-SIZE 10000000\r\n"
			  "250-PIPELINING\r\n250 STARTTLS\r\n",
	    [STEP_HELP] =
		HELP_LINE HELP_LINE HELP_LINE HELP_LINE "214 no more\r\n",
	    [STEP_STARTTLS] = "220 go\r\n",
	    [STEP_DATA] = "354 go\r\n",
	    [STEP_QUIT] = "221 bye\r\n",
	};

	return replies[step] != NULL ? replies[step] : "250 ok\r\n";
}

size_t
mix_garbage(uint32_t id, char *out)
{
	uint64_t state = id + 1u;
	size_t len = 3 + mix_random(&state) % (MIX_GARBAGE_CAP - 3);

	for (size_t i = 0; i < len - 1; i++) {
		out[i] = (char)(mix_random(&state) % 256);
		if (out[i] == '\n')
			out[i] = '\r';
	}
	out[len - 1] = '\n';
	return len;
}

void
mix_unknown(uint64_t hash, char *out)
{
	(void)snprintf(out, 64, "500 what is %016" PRIx64 "\r\n", hash);
}

uint64_t
mix_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1du;
}

uint64_t
mix_hash(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * 0x100000001b3u;
	return hash;
}

size_t
mix_body(uint32_t id, size_t len, char *out)
{
	uint64_t state = id + 1u;
	char head[MIX_BODY_EXTRA];
	size_t rest = 0;
	int head_len;

	/* The rest first: the head tells its hash. */
	while (rest + LINE <= len) {
		for (size_t i = 0; i < LINE - 2; i++)
			out[MIX_BODY_EXTRA + rest + i] =
			    (char)('a' + mix_random(&state) % 26);
		memcpy(out + MIX_BODY_EXTRA + rest + LINE - 2, "\r\n", 2);
		rest += LINE;
	}
	head_len = snprintf(
	    head, sizeof head, "X-Storm: %" PRIu32 " %016" PRIx64 "\r\n", id,
	    mix_hash(MIX_HASH_FIRST, out + MIX_BODY_EXTRA, rest));
	memcpy(out, head, (size_t)head_len); /* it fits */
	memmove(out + head_len, out + MIX_BODY_EXTRA, rest);
	memcpy(out + (size_t)head_len + rest, ".\r\n", 3);
	return (size_t)head_len + rest + 3;
}

uint64_t
mix_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

void
mix_reset(int fd)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
}
