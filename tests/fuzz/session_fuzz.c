/*
 * Whole sessions: bytes of both sides, time steps and events, all chosen by
 * the fuzzer. A breach of the contract (proxy/simulate/world.h), a hole in the
 * state table, changed bytes or a leaked slot abort.
 *
 * Input: 10 bytes of plan, then operations: a byte whose low 4 bits say what,
 * whose high 4 bits are its argument; `says` is followed by its bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/simulate/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world_room room;
static struct world w = WORLD_IN(room);

struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t
take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

static struct plan
take_plan(struct input *in)
{
	struct plan p;
	uint8_t more;

	memset(&p, 0, sizeof(p));
	p.greet_ms = (uint16_t)(take(in) * 100);
	p.reply_ms = (uint16_t)(take(in) * 50);
	p.error_ms = (uint16_t)(take(in) * 50);
	p.drip_ms = (uint16_t)(take(in) * 50);
	p.reply_cap_ms = (uint16_t)(1000 + take(in) * 94);
	p.data_reply_cap_ms = (uint16_t)(take(in) * 78);
	p.patience_ms = (uint16_t)(take(in) * 40);
	p.session_cap_ms = take(in) * 1000u;
	more = take(in);
	p.class_id = more & 1 ? 0 : PLAN_CLASS_PASS;
	p.is_split = (more & 0x80) != 0;
	more = take(in);
	p.teaser = (more & 1) != 0;
	p.is_shadow = (more & 6) == 6;
	p.caps[0] = (more & 8) != 0;
	p.rank = more >> 6;
	p.data_rate = (more & 48) != 0 ? PLAN_DATA_RATE_MIN * (more >> 4) : 0;
	return p;
}

/*
 * A client that begins no line before it has read a whole reply to the one in
 * front must never be told of as pipelining; and only one that has said LF
 * without CR of that. The first is claimed while all is plain.
 */
static struct {
	bool waits;	 /* it does so far */
	bool is_in_line; /* it has begun one */
	size_t read;	 /* bytes of the last reply it read, and before */
	uint8_t last;	 /* byte that it said */
	bool has_bare;
} client;

/* Whether what we told it since it last read ends with a whole reply. */
static bool
has_reply(void)
{
	const struct world_output *out = &w.out[SIDE_CLIENT];
	size_t line = out->len;

	if (out->len == client.read || out->bytes[out->len - 1] != '\n')
		return false;
	for (line--; line > client.read && out->bytes[line - 1] != '\n';)
		line--;
	/* 353 has more to come, and what is short no code. */
	return out->len - line > 3 && out->bytes[line + 3] != '-' &&
	       memcmp(out->bytes + line, "353", 3) != 0;
}

static void
note_said(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!client.is_in_line && !has_reply())
			client.waits = false;
		if (!client.is_in_line)
			client.read = w.out[SIDE_CLIENT].len;
		client.is_in_line = bytes[i] != '\n';
		if (bytes[i] == '\n' && client.last != '\r')
			client.has_bare = true;
		client.last = bytes[i];
	}
}

static void
check_manners(void)
{
	bool is_plain = w.s.tls == SESSION_TLS_NONE && !w.s.is_opaque &&
			w.s.counts.messages + w.s.counts.messages_refused == 0;

	if (w.s.is_pipelining && client.waits && is_plain)
		world_breach("pipelining was told of a client that waits");
	if (w.s.is_bare_newline && !client.has_bare)
		world_breach("a bare LF was told that was not said");
}

static void
say(struct input *in, enum side side, size_t len)
{
	if (side == SIDE_MTA && !w.is_connected)
		return;
	if (w.in[side].fin)
		return;
	if (len == 15) /* a long one: a line repeated */
		len = 15 + take(in) * 4u;
	if (len > in->left)
		len = in->left;
	if (side == SIDE_CLIENT)
		note_said(in->at, len);
	world_says(&w, side, in->at, len);
	in->at += len;
	in->left -= len;
}

static void
pass_time(uint8_t arg)
{
	static const uint32_t steps[16] = {
	    1,	  2,	5,    10,   50,	   100,	  200,	  300,
	    1000, 2000, 5000, 9000, 20000, 60000, 300000, 900000};
	uint64_t until = w.now_ms + steps[arg];
	int wakes;

	for (wakes = 0; world_deadline(&w) <= until && !w.has_ended; wakes++) {
		if (wakes > 20000)
			world_breach("wakes without end");
		if (world_breach_text != NULL)
			return;
		if (world_deadline(&w) > w.now_ms)
			w.now_ms = world_deadline(&w);
		world_wake(&w);
	}
	w.now_ms = until;
}

static void
shell(uint8_t arg)
{
	bool at_once = w.asking == SLOT_RESERVE || w.asking == SLOT_INTO_SHARE;

	if (w.wants_caps && (arg & 8) != 0)
		world_event(&w, EVENT_CAPS, SIDE_CLIENT, NULL);
	if (w.asking != SLOT_NO_WISH && (arg & 1) != 0)
		world_event(&w, EVENT_GRANTED, SIDE_MTA, NULL);
	else if (at_once)
		world_event(&w, EVENT_DENIED, SIDE_MTA, NULL);
	if (w.is_dialling && (arg & 2) != 0)
		world_event(&w, EVENT_MTA_CONNECTED, SIDE_MTA, NULL);
	else if (w.is_dialling && (arg & 4) != 0)
		world_event(&w, EVENT_MTA_FAILED, SIDE_MTA, NULL);
	if (w.is_shaking && (arg & 3) != 0)
		world_event(&w,
			    (arg & 1) != 0 ? EVENT_TLS_UP : EVENT_TLS_FAILED,
			    SIDE_CLIENT, NULL);
	if (w.is_mta_shaking && (arg & 3) != 0)
		world_event(&w,
			    (arg & 1) != 0 ? EVENT_TLS_UP : EVENT_TLS_FAILED,
			    SIDE_MTA, NULL);
	if (w.wants_flushed && (arg & 8) != 0)
		world_event(&w, EVENT_FLUSHED, SIDE_CLIENT, NULL);
}

static void
operate(struct input *in)
{
	uint8_t op = take(in);
	uint8_t arg = op >> 4;
	struct plan plan;

	switch (op & 15) {
	case 0:
	case 1:
	case 2:
	case 3:
		say(in, SIDE_CLIENT, arg);
		break;
	case 4:
	case 5:
	case 6:
		say(in, SIDE_MTA, arg);
		break;
	case 7:
	case 8:
		pass_time(arg);
		break;
	case 9:
	case 10:
		shell(arg);
		break;
	case 11:
		if (arg < 8)
			world_shuts(&w, SIDE_CLIENT);
		else if (w.is_connected)
			world_shuts(&w, SIDE_MTA);
		break;
	case 12:
		if (arg < 8)
			world_event(&w, EVENT_ERROR, SIDE_CLIENT, NULL);
		else if (w.is_connected)
			world_event(&w, EVENT_ERROR, SIDE_MTA, NULL);
		break;
	case 13:
		plan = take_plan(in);
		world_event(&w, EVENT_REPLAN, SIDE_CLIENT, &plan);
		break;
	case 14:
		world_event(&w, EVENT_RELEASED, SIDE_CLIENT, NULL);
		break;
	case 15:
		world_event(&w,
			    arg < 4   ? EVENT_GIVE_WAY
			    : arg < 8 ? EVENT_DRAIN
			    : arg < 9 ? EVENT_CUT
				      : EVENT_WAKE,
			    SIDE_CLIENT, NULL);
		break;
	}
}

static void
check_stream(enum side from, enum side to)
{
	const struct world_stream *in = &w.in[from];
	const struct world_output *out = &w.out[to];

	if (out->len - out->ours != in->gone - in->dropped)
		world_breach("bytes were lost or made up");
	else if (w.reason != REASON_MTA_REFUSED &&
		 w.s.reason != REASON_MTA_REFUSED && w.s.teaser_len == 0 &&
		 w.s.tls == SESSION_TLS_NONE && !w.site.mta_tls &&
		 memcmp(out->bytes + out->ours, in->in, out->len - out->ours))
		world_breach("bytes were changed or reordered");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct site site = {.name = "mx.example.org",
			    .name_len = 14,
			    .connect_timeout_ms = 10000,
			    .drip_gap_ms = 200};
	struct plan plan = take_plan(&in);
	uint8_t more;

	world_breach_text = NULL;
	site.lead_ms = take(&in) * 10u;
	site.client_address = (enum client_address)(take(&in) % 3);
	more = take(&in);
	site.pipeconnect = (more & 1) != 0;
	site.has_tls = (more & 2) != 0;
	w.opens_tls = (more & 4) != 0;
	site.mta_tls = (more & 8) != 0;
	memset(&client, 0, sizeof(client));
	client.waits = true;
	world_open(&w, &site, &plan, 1);
	while (in.left > 0 && !w.has_ended && world_breach_text == NULL)
		operate(&in);
	check_stream(SIDE_CLIENT, SIDE_MTA);
	check_stream(SIDE_MTA, SIDE_CLIENT);
	check_manners();
	if (w.has_ended && w.reason == REASON_BUG)
		world_breach("a hole in the state table");
	if (world_breach_text != NULL) {
		fprintf(stderr, "breach: %s\n", world_breach_text);
		abort();
	}
	return 0;
}
