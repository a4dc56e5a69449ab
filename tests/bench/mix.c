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
	{"complete",      STEP_BYE,      WHEN_NEVER,      false, false},
	{"at-once",       STEP_GREETING, WHEN_ENTER,      false, false},
	{"in-greet",      STEP_GREETING, WHEN_LATER,      false, false},
	{"first-byte",    STEP_GREETING, WHEN_FIRST_BYTE, false, false},
	{"greeted",       STEP_GREETING, WHEN_DONE,       false, false},
	{"ehlo-sent",     STEP_EHLO,     WHEN_SENT,       false, false},
	{"ehlo-later",    STEP_EHLO,     WHEN_LATER,      false, false},
	{"ehlo-answered", STEP_EHLO,     WHEN_DONE,       false, false},
	{"mail-half",     STEP_MAIL,     WHEN_HALF,       false, false},
	{"mail-later",    STEP_MAIL,     WHEN_LATER,      false, false},
	{"rcpt-begun",    STEP_RCPT,     WHEN_FIRST_BYTE, false, false},
	{"data-sent",     STEP_DATA,     WHEN_SENT,       false, false},
	{"mid-data",      STEP_BODY,     WHEN_HALF,       false, false},
	{"dot-sent",      STEP_BODY,     WHEN_SENT,       false, false},
	{"dot-later",     STEP_BODY,     WHEN_LATER,      false, false},
	{"dot-answered",  STEP_BODY,     WHEN_DONE,       false, false},
	{"quit-sent",     STEP_QUIT,     WHEN_SENT,       false, false},
	{"quit-answered", STEP_QUIT,     WHEN_DONE,       false, false},
	{"early",         STEP_BYE,      WHEN_NEVER,      true,  false},
	{"early-gone",    STEP_GREETING, WHEN_ENTER,      true,  false},
	{"early-later",   STEP_GREETING, WHEN_LATER,      true,  false},
	{"starttls-sent", STEP_STARTTLS, WHEN_SENT,       false, true},
	{"opaque-half",   STEP_OPAQUE,   WHEN_HALF,       false, true},
	{"opaque-later",  STEP_OPAQUE,   WHEN_LATER,      false, true},
	{"opaque-done",   STEP_OPAQUE,   WHEN_DONE,       false, true},
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
};
/* clang-format on */

const size_t mix_leaves_count = sizeof mix_leaves / sizeof mix_leaves[0];
const size_t mix_faults_count = sizeof mix_faults / sizeof mix_faults[0];

const char *const mix_classes[MIX_CLASSES] = {"pass", "hold", "teaser",
					      "slow", "drip", "late"};
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
	return find(mix_classes, MIX_CLASSES, name);
}

int
mix_find_how(const char *name)
{
	return find(mix_hows, HOW_COUNT, name);
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
