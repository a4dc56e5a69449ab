#include "proxy/simulate/world.h"

#include <stdlib.h>
#include <string.h>

const char *world_breach_text;

void
world_breach(const char *text)
{
	if (world_breach_text == NULL)
		world_breach_text = text;
}

static enum side
other(enum side side)
{
	return side == SIDE_CLIENT ? SIDE_MTA : SIDE_CLIENT;
}

static void
put_out(struct world *w, enum side to, const void *bytes, size_t len)
{
	struct world_output *out = &w->out[to];

	if (out->fin)
		world_breach("bytes behind a FIN of ours");
	if (to == SIDE_CLIENT && w->is_shaking)
		world_breach("bytes into a handshake");
	if (to == SIDE_MTA && w->is_mta_shaking)
		world_breach("bytes into the MTA's handshake");
	if (to == SIDE_MTA && !w->is_connected)
		world_breach("bytes for an MTA that is not connected");
	if (out->bytes != NULL) {
		if (len > out->cap - out->len)
			len = out->cap - out->len;
		memcpy(out->bytes + out->len, bytes, len);
	}
	out->len += len;
}

static void
apply_stream(struct world *w, enum side from)
{
	struct world_stream *in = &w->in[from];
	const struct orders *o = &w->o;
	enum side to = other(from);

	if (in->gone + o->drop[from] > in->used) {
		world_breach("drops what is not held");
		return;
	}
	in->gone += o->drop[from];
	in->dropped += o->drop[from];
	if (o->say_len[to] > 0) {
		put_out(w, to, o->say[to], o->say_len[to]);
		w->out[to].ours += o->say_len[to];
	}
	if (in->gone + o->release[from] > in->used) {
		world_breach("releases what is not held");
		return;
	}
	if (o->release[from] == 0)
		return;
	if (w->on_release != NULL)
		w->on_release(w, from, o->release[from]);
	put_out(w, to, in->in + in->gone, o->release[from]);
	in->gone += o->release[from];
	in->is_relayed = true;
	in->gone_ms = w->now_ms;
}

static void
hang_up(struct world *w)
{
	struct world_stream *in = &w->in[SIDE_MTA];

	w->leg = NULL;
	w->is_dialling = false;
	w->is_connected = false;
	w->is_mta_shaking = false;
	w->hang_ups++;
	if (in->is_relayed)
		return; /* this was the last leg */
	in->len = in->gone = in->used = in->dropped = 0;
	in->fin = false;
	w->out[SIDE_MTA].len = w->out[SIDE_MTA].ours = 0;
	w->out[SIDE_MTA].fin = false;
}

static void
dial(struct world *w)
{
	if (w->leg != NULL || w->is_dialling)
		world_breach("dials twice");
	if (w->in[SIDE_MTA].is_relayed)
		world_breach("dials again behind a greeting");
	if (w->claims != w->returns + 1 || w->asking == SLOT_ANY ||
	    w->asking == SLOT_SHARE)
		world_breach("dials without a slot");
	w->is_dialling = true;
	w->dials++;
}

static void
give(struct world *w, const struct orders *o)
{
	if (o->give_slot) {
		w->returns++;
		w->asking = SLOT_NO_WISH;
		if (w->returns > w->claims)
			world_breach("gives back a slot it has not");
	}
	if (o->give_caps) {
		if (!w->has_caps && !w->wants_caps)
			world_breach("gives back caps it has not");
		w->has_caps = w->wants_caps = false;
	}
}

static void
claim(struct world *w, const struct orders *o)
{
	bool is_change =
	    o->claim_slot == SLOT_INTO_SHARE || o->claim_slot == SLOT_RESERVE;

	if (o->claim_caps != CAPS_NO_WISH) {
		if (w->has_caps || w->wants_caps)
			world_breach("claims caps twice");
		w->wants_caps = o->claim_caps == CAPS_WAIT;
		w->has_caps = o->claim_caps == CAPS_TRY;
	}
	if (o->claim_slot == SLOT_NO_WISH)
		return;
	if (is_change && w->claims != w->returns + 1)
		world_breach("changes a slot it has not");
	if (!is_change && w->claims != w->returns)
		world_breach("claims a second slot");
	if (!is_change && w->claims++ == 0)
		w->claim_ms = w->now_ms;
	w->asking = o->claim_slot;
}

static void
settle_ring(struct world *w, const struct orders *o)
{
	if (o->want_ring && w->has_rings && w->leg != NULL) {
		if (w->leg->ring != NULL)
			world_breach("wants a second ring");
		w->leg->ring = w->ring;
	}
	if (o->give_ring && w->leg != NULL && w->leg->is_in_ring)
		world_breach("gives back a ring and keeps it");
	if (o->give_ring && w->leg != NULL)
		w->leg->ring = NULL;
}

static void
edit(struct world *w, const struct session_edit *e)
{
	struct world_stream *in = &w->in[SIDE_MTA];
	uint8_t *at = in->in + in->used + e->at;
	size_t rest = in->len - in->used - e->at;

	if (in->used + e->at + e->cut > in->len || in->len + e->len > in->cap) {
		world_breach("edits what is not there");
		return;
	}
	if (w->on_edit != NULL)
		w->on_edit(w, in->used + e->at, (long)e->len - e->cut);
	memmove(at + e->len, at + e->cut, rest - e->cut);
	memcpy(at, e->text, e->len);
	in->len += e->len;
	in->len -= e->cut;
}

/* Returns by how much the bytes have grown, modulo 2^32. */
static uint32_t
apply_edits(struct world *w, const struct event *ev)
{
	uint32_t growth = 0;
	unsigned i;

	if (w->o.edits_count > 0 &&
	    (ev->kind != EVENT_BYTES || ev->side != SIDE_MTA))
		world_breach("edits bytes of an event without");
	for (i = w->o.edits_count; i > 0; i--) {
		const struct session_edit *e = &w->o.edits[i - 1];

		edit(w, e);
		growth += (uint32_t)e->len - e->cut;
	}
	return growth;
}

static void
start_tls(struct world *w)
{
	struct world_stream *in = &w->in[SIDE_CLIENT];

	if (w->is_shaking)
		world_breach("a handshake within a handshake");
	if (in->gone < in->used)
		world_breach("a handshake while bytes are held");
	if (w->wants_flushed)
		world_breach("a handshake while words are on their way");
	w->is_shaking = true;
	w->discarded += in->len - in->used;
	in->dropped += in->len - in->used;
	in->gone = in->used = in->len;
}

/* What is held stays: it is the 220. */
static void
start_mta_tls(struct world *w)
{
	struct world_stream *in = &w->in[SIDE_MTA];

	if (w->is_mta_shaking || w->is_shaking)
		world_breach("a handshake within a handshake");
	if (w->leg == NULL)
		world_breach("a handshake without an MTA");
	w->is_mta_shaking = true;
	w->discarded += in->len - in->used;
	in->len = in->used;
}

/* The core knows no leg before it is connected: a dial that it does not wait
 * for any more ends without an order. */
static bool
is_dial_over(const struct world *w)
{
	return w->is_dialling && w->s.phase != PHASE_DIAL;
}

static void
apply_places(struct world *w)
{
	const struct orders *o = &w->o;

	if (o->hang_up || is_dial_over(w))
		hang_up(w);
	give(w, o);
	claim(w, o);
	if (o->dial)
		dial(w);
	settle_ring(w, o);
}

static void
apply(struct world *w)
{
	const struct orders *o = &w->o;

	apply_stream(w, SIDE_CLIENT);
	apply_stream(w, SIDE_MTA);
	if (o->shut[SIDE_CLIENT])
		w->out[SIDE_CLIENT].fin = true;
	if (o->shut[SIDE_MTA])
		w->out[SIDE_MTA].fin = true;
	if (o->start_tls)
		start_tls(w);
	if (o->start_mta_tls)
		start_mta_tls(w);
	apply_places(w);
	if (o->want_plan)
		w->wants_plan = true;
	if (o->want_flushed)
		w->wants_flushed = true;
	if (o->want_hello && w->hello != NULL)
		world_breach("wants a second hello");
	if (o->want_hello) {
		memset(&w->hello_memory, 0, sizeof(w->hello_memory));
		w->hello = &w->hello_memory;
	}
	w->in[SIDE_CLIENT].feed = o->feed[SIDE_CLIENT];
	w->in[SIDE_MTA].feed = o->feed[SIDE_MTA];
	if (o->end == REASON_NONE)
		return;
	if (w->has_ended)
		world_breach("ends twice");
	w->has_ended = true;
	w->reason = o->end;
	if (w->claims != w->returns)
		world_breach("ends with a slot");
	if (w->has_caps || w->wants_caps)
		world_breach("ends with caps");
}

static void
step(struct world *w, const struct event *ev)
{
	struct world_stream *in;

	if (w->has_ended)
		return;
	session_step(&w->site, &w->s, w->leg, ev, w->now_ms, &w->o);
	if (w->on_step != NULL)
		w->on_step(w);
	if (ev->kind == EVENT_BYTES) {
		in = &w->in[ev->side];
		if (w->o.used > (uint32_t)ev->len + apply_edits(w, ev))
			world_breach("uses more than there is");
		else
			in->used += w->o.used;
	} else if (w->o.used > 0) {
		world_breach("uses bytes of an event without");
	}
	apply(w);
	if (!w->has_ended && w->o.deadline_ms == 0)
		world_breach("no deadline: nothing would end this phase");
}

/* Shows unused bytes again while the machine wants them. */
static void
feed(struct world *w, enum side side)
{
	struct world_stream *in = &w->in[side];

	while (!w->has_ended && in->feed && in->used < in->len) {
		struct event ev = {.kind = EVENT_BYTES,
				   .side = side,
				   .bytes = in->in + in->used,
				   .len = in->len - in->used,
				   .hello = w->hello};
		size_t before = in->used;

		step(w, &ev);
		if (in->used == before && in->feed && !w->has_ended &&
		    in->len > 0) {
			world_breach("wants bytes and uses none");
			return;
		}
	}
}

static void
settle(struct world *w)
{
	feed(w, SIDE_CLIENT);
	if (w->leg != NULL)
		feed(w, SIDE_MTA);
	/* An MTA's reply may have opened the way for the client's bytes. */
	feed(w, SIDE_CLIENT);
}

void
world_says(struct world *w, enum side side, const void *bytes, size_t len)
{
	struct world_stream *in = &w->in[side];
	struct event ev = {
	    .kind = EVENT_BYTES, .side = side, .fresh = len, .hello = w->hello};

	if (w->has_ended || len == 0)
		return;
	if (side == SIDE_CLIENT ? w->is_shaking : w->is_mta_shaking)
		return; /* the handshake's */
	if (len > in->cap - in->len) {
		world_breach("says more than there is room for");
		return;
	}
	memcpy(in->in + in->len, bytes, len);
	in->len += len;
	ev.bytes = in->in + in->used;
	ev.len = in->len - in->used;
	step(w, &ev);
	settle(w);
}

void
world_forget(struct world *w, enum side side)
{
	struct world_stream *in = &w->in[side];

	if (in->gone == in->len)
		in->gone = in->used = in->len = in->dropped = 0;
}

void
world_shuts(struct world *w, enum side side)
{
	struct event ev = {.kind = EVENT_FIN, .side = side};

	if (w->has_ended || w->in[side].fin)
		return;
	w->in[side].fin = true;
	step(w, &ev);
	settle(w);
}

void
world_event(struct world *w, enum event_kind kind, enum side side,
	    const struct plan *plan)
{
	struct event ev = {.kind = kind, .side = side, .plan = plan};

	if (kind == EVENT_MTA_CONNECTED) {
		w->is_dialling = false;
		w->is_connected = true;
		memset(&w->leg_memory, 0, sizeof(w->leg_memory));
		w->leg = &w->leg_memory;
	}
	if (kind == EVENT_GRANTED || kind == EVENT_DENIED)
		w->asking = SLOT_NO_WISH;
	if (kind == EVENT_CAPS) {
		w->wants_caps = false;
		w->has_caps = true;
	}
	if (kind == EVENT_MTA_FAILED)
		w->is_dialling = false;
	if (kind == EVENT_FLUSHED)
		w->wants_flushed = false;
	if (kind == EVENT_TLS_UP || kind == EVENT_TLS_FAILED)
		*(side == SIDE_CLIENT ? &w->is_shaking : &w->is_mta_shaking) =
		    false;
	if (kind == EVENT_REPLAN)
		w->wants_plan = false;
	step(w, &ev);
	settle(w);
}

uint64_t
world_deadline(const struct world *w)
{
	if (w->has_ended || w->o.deadline_ms == 0)
		return UINT64_MAX;
	return w->o.deadline_ms;
}

void
world_wake(struct world *w)
{
	if (world_deadline(w) <= w->now_ms)
		world_event(w, EVENT_WAKE, SIDE_CLIENT, NULL);
}

static void
clear_stream(struct world_stream *in)
{
	in->len = in->gone = in->used = in->dropped = 0;
	in->gone_ms = 0;
	in->fin = in->is_relayed = false;
	in->feed = true;
}

void
world_lend(struct world *w, struct world_room *room)
{
	for (int i = 0; i < SIDE_COUNT; i++) {
		w->in[i].in = room->in[i];
		w->in[i].cap = sizeof(room->in[i]);
		w->out[i].bytes = room->out[i];
		w->out[i].cap = sizeof(room->out[i]);
	}
}

struct world *
world_new(void)
{
	struct furnished {
		struct world w;
		struct world_room room;
	} *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	world_lend(&f->w, &f->room);
	return &f->w;
}

void
world_open(struct world *w, const struct site *site, const struct plan *plan,
	   uint64_t now_ms)
{
	static const uint8_t client_ip[4] = {192, 0, 2, 1};
	static const uint8_t server_ip[4] = {192, 0, 2, 25};
	int i;

	w->site = *site;
	memset(&w->s, 0, sizeof(w->s));
	addr_set_v4(&w->s.client, client_ip, 40000);
	addr_set_v4(&w->s.server, server_ip, 25);
	w->leg = NULL;
	w->hello = NULL;
	w->now_ms = now_ms;
	w->claims = w->returns = w->dials = w->hang_ups = 0;
	w->is_dialling = w->is_connected = false;
	w->asking = SLOT_NO_WISH;
	w->has_caps = w->wants_caps = false;
	w->wants_plan = w->wants_flushed = w->has_ended = false;
	w->s.is_implicit_tls = w->opens_tls;
	w->is_shaking = w->is_mta_shaking = false;
	w->discarded = 0;
	w->reason = REASON_NONE;
	for (i = 0; i < SIDE_COUNT; i++) {
		clear_stream(&w->in[i]);
		w->out[i].len = w->out[i].ours = 0;
		w->out[i].fin = false;
	}
	world_event(w, EVENT_OPEN, SIDE_CLIENT, plan);
}
