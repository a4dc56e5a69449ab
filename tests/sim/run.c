#include "tests/sim/run.h"

#include <string.h>

/* Long beyond any limit of the machine, so that a run that hangs is found. */
#define CLOCK_STEPS_MAX 200000

uint32_t
run_draw(struct run *r, uint32_t n)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = r->rng += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ (z >> 31)) % n);
}

/* From here on only upper bounds hold. */
static void
disturb(struct run *r)
{
	if (r->disturbed_ms > r->w.now_ms)
		r->disturbed_ms = r->w.now_ms;
}

static struct run_chunk *
add_chunk(struct run *r, enum side from, uint16_t len)
{
	struct run_wire *wire = &r->wire[from];
	struct run_chunk *c;
	uint64_t at = r->w.now_ms;

	if (wire->count == RUN_CHUNKS_CAP) {
		world_breach("the run's wire is too small");
		wire->count--;
	}
	if (wire->count > wire->head &&
	    wire->chunks[wire->count - 1].at_ms > at)
		at = wire->chunks[wire->count - 1].at_ms;
	if (r->plot.lag_ms > 0)
		at += run_draw(r, r->plot.lag_ms);
	c = &wire->chunks[wire->count++];
	memset(c, 0, sizeof(*c));
	c->at_ms = at;
	c->len = len;
	return c;
}

static void
send_bytes(struct run *r, enum side from, const char *bytes, size_t len)
{
	struct run_wire *wire = &r->wire[from];

	if (wire->is_dead)
		return;
	memcpy(wire->bytes + wire->len, bytes, len);
	wire->len += len;
	while (len > 0) {
		uint32_t n = 1 + run_draw(r, r->plot.piece_bytes);

		if (n > len)
			n = (uint32_t)len;
		add_chunk(r, from, (uint16_t)n);
		len -= n;
	}
}

static void
send_end(struct run *r, enum side from, bool by_reset)
{
	struct run_chunk *c;

	if (r->wire[from].is_dead)
		return;
	c = add_chunk(r, from, 0);
	c->fin = !by_reset;
	c->reset = by_reset;
	r->wire[from].is_dead = true;
}

static void
note_reply(struct run *r, enum smtp_verb verb, const char *text)
{
	struct run_reply *reply = &r->replies[r->replies_count];

	if (r->replies_count == RUN_REPLIES_CAP) {
		world_breach("the run's replies are too many");
		return;
	}
	r->replies_count++;
	memset(reply, 0, sizeof(*reply));
	reply->verb = verb;
	reply->code = (uint16_t)((text[0] - '0') * 100 + (text[1] - '0') * 10 +
				 (text[2] - '0'));
	reply->asked_ms =
	    verb == SMTP_GREETING ? r->w.s.opened_ms : r->w.now_ms;
	reply->end = r->wire[SIDE_MTA].len;
	reply->edited = r->edited;
	reply->is_callback = r->is_callback;
}

/* Offset behind a reply, as edited. */
static size_t
end_of(const struct run_reply *reply)
{
	return (size_t)((long)reply->end + reply->edited);
}

static void
note_edit(struct world *w, size_t at, long delta)
{
	struct run *r = w->on_release_arg;
	int i;

	r->edited += delta;
	for (i = 0; i < r->replies_count; i++) {
		if (end_of(&r->replies[i]) > at ||
		    (i == r->replies_count - 1 && end_of(&r->replies[i]) == at))
			r->replies[i].edited += delta;
	}
}

static void
model_says(struct mta_model *m, enum smtp_verb verb, const char *text,
	   size_t len)
{
	struct run *r = m->arg;

	if (r->wire[SIDE_MTA].is_dead)
		return;
	if (verb == SMTP_MAIL)
		r->is_callback = m->null_sender;
	if (r->replies_said++ == r->plot.closes_at) {
		if (r->plot.says_421) {
			send_bytes(r, SIDE_MTA, "421 4.3.2 closing\r\n", 19);
			note_reply(r, verb, "421");
		}
		send_end(r, SIDE_MTA, r->plot.closes_by_reset);
		return;
	}
	send_bytes(r, SIDE_MTA, text, len);
	if (m->state != MTA_TLS)
		note_reply(r, verb, text);
	if (m->state == MTA_DEAF)
		send_end(r, SIDE_MTA, false);
}

/* The least time between two pieces. */
static uint64_t
gap_ms(const struct run *r)
{
	const struct plan *p = &r->plot.plan;

	return p->is_split ? p->drip_ms / 2 : r->w.site.drip_gap_ms;
}

static void
note_release(struct world *w, enum side from, size_t n)
{
	struct run *r = w->on_release_arg;
	size_t from_at = w->in[SIDE_MTA].gone;
	size_t begin = 0;
	int i;

	if (from != SIDE_MTA)
		return;
	for (i = 0; i < r->replies_count; i++) {
		struct run_reply *reply = &r->replies[i];

		if (begin < from_at + n && end_of(reply) > from_at) {
			if (reply->first_ms == 0)
				reply->first_ms = w->now_ms;
			else if (w->now_ms - reply->piece_ms < gap_ms(r))
				reply->has_close_pieces = true;
			reply->pieces += reply->piece_ms != w->now_ms;
			reply->piece_ms = w->now_ms;
			if (end_of(reply) <= from_at + n)
				reply->last_ms = w->now_ms;
		}
		begin = end_of(reply);
	}
}

/* Whole replies in what the client has got. */
static void
count_seen(struct run *r)
{
	const struct world_output *out = &r->w.out[SIDE_CLIENT];

	for (; r->seen_bytes < out->len; r->seen_bytes++) {
		char c = (char)out->bytes[r->seen_bytes];

		if (r->seen_col < 4)
			r->seen_line[r->seen_col++] = c;
		if (c != '\n')
			continue;
		if (r->seen_col == 4 && r->seen_line[3] != '-')
			r->replies_seen++;
		r->seen_col = 0;
	}
}

static void
client_acts(struct run *r)
{
	const struct dialogue *d = r->plot.dialogue;
	int parts = (int)(sizeof(d->parts) / sizeof(d->parts[0]));

	count_seen(r);
	if (r->w.s.phase == PHASE_TLS)
		return; /* it sends nothing in the clear any more */
	while (r->part < parts && d->parts[r->part].text != NULL &&
	       d->parts[r->part].replies <= r->replies_seen) {
		const char *text = d->parts[r->part++].text;

		send_bytes(r, SIDE_CLIENT, text, strlen(text));
	}
	if (r->client_done)
		return;
	if (r->part < parts && d->parts[r->part].text != NULL) {
		if (!r->w.out[SIDE_CLIENT].fin)
			return;
	} else if (d->end != CLIENT_SHUTS && !r->w.out[SIDE_CLIENT].fin &&
		   (d->end == CLIENT_WAITS ||
		    r->replies_seen < d->last_reply)) {
		return;
	}
	r->client_done = true;
	send_end(r, SIDE_CLIENT, false);
}

static void
mta_acts(struct run *r)
{
	struct world_output *out = &r->w.out[SIDE_MTA];

	if (r->w.hang_ups != r->dials_seen) {
		/* A new MTA connection: the old one is forgotten. */
		r->dials_seen = r->w.hang_ups;
		r->wire[SIDE_MTA].head = r->wire[SIDE_MTA].count = 0;
		if (r->w.in[SIDE_MTA].gone > r->w.in[SIDE_MTA].dropped) {
			r->wire[SIDE_MTA].is_dead = true;
			return;
		}
		r->heard = 0;
		r->replies_count = 0;
		r->wire[SIDE_MTA].len = r->wire[SIDE_MTA].sent = 0;
		r->wire[SIDE_MTA].is_dead = false;
		mta_model_reset(&r->mta);
		return;
	}
	if (!r->w.is_connected)
		return;
	if (r->heard == 0)
		r->heard = out->ours; /* the PROXY header */
	if (r->heard < out->len) {
		size_t n = out->len - r->heard;
		const uint8_t *bytes = out->bytes + r->heard;

		r->heard = out->len;
		mta_model_hear(&r->mta, bytes, n);
	}
	if (out->fin)
		send_end(r, SIDE_MTA, false);
}

/* The gate's answers: some at once, some later, caps perhaps never. */
static void
gate_acts(struct run *r)
{
	struct world *w = &r->w;

	if (r->site != NULL)
		return; /* which has a real gate */
	if (w->asking == SLOT_RESERVE || w->asking == SLOT_INTO_SHARE) {
		bool yes = run_draw(r, 2) != 0;

		r->is_reserve |= yes && w->asking == SLOT_RESERVE;
		world_event(w, yes ? EVENT_GRANTED : EVENT_DENIED, SIDE_CLIENT,
			    NULL);
	}
	if (w->wants_caps && r->caps_ms == 0)
		r->caps_ms = run_draw(r, 3) == 0
				 ? UINT64_MAX
				 : w->now_ms + run_draw(r, 30000);
	if (!w->wants_caps)
		r->caps_ms = 0;
	if (w->asking != SLOT_NO_WISH && r->grant_ms == 0)
		r->grant_ms = w->now_ms + run_draw(r, r->plot.lag_ms + 1);
	if (w->asking == SLOT_NO_WISH)
		r->grant_ms = 0;
}

/* The shell's own answers to orders: grants, connections, plans. */
static void
shell_acts(struct run *r)
{
	struct world *w = &r->w;

	if (w->wants_plan && r->site != NULL)
		r->make_plan(r, &r->plot.plan_again);
	if (w->wants_plan && memcmp(&r->plot.plan, &r->plot.plan_again,
				    sizeof(r->plot.plan)) != 0)
		disturb(r);
	if (w->wants_plan)
		world_event(w, EVENT_REPLAN, SIDE_CLIENT, &r->plot.plan_again);
	while (w->wants_flushed)
		world_event(w, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	gate_acts(r);
	if ((w->is_shaking || w->is_mta_shaking) && r->tls_ms == 0)
		r->tls_ms = w->now_ms + run_draw(r, r->plot.lag_ms + 1);
	if (!w->is_shaking && !w->is_mta_shaking)
		r->tls_ms = 0;
	if (w->is_dialling && r->connect_ms == 0)
		r->connect_ms = w->now_ms + run_draw(r, r->plot.lag_ms + 1);
	if (!w->is_dialling)
		r->connect_ms = 0;
	if (w->s.is_spent || w->s.is_lost)
		disturb(r);
}

static void
connect_or_not(struct run *r)
{
	r->connect_ms = 0;
	if (r->plot.refusals-- > 0) {
		world_event(&r->w, EVENT_MTA_FAILED, SIDE_MTA, NULL);
		return;
	}
	world_event(&r->w, EVENT_MTA_CONNECTED, SIDE_MTA, NULL);
	model_says(&r->mta, SMTP_GREETING, r->plot.greeting,
		   strlen(r->plot.greeting));
}

static void
deliver(struct run *r, enum side from)
{
	struct run_wire *wire = &r->wire[from];
	struct run_chunk c = wire->chunks[wire->head];
	size_t begin = 0;
	int i;

	if (from == SIDE_MTA && !r->w.is_connected)
		return;
	wire->head++;
	if (c.fin || c.reset) {
		disturb(r);
		if (c.reset)
			world_event(&r->w, EVENT_ERROR, from, NULL);
		else
			world_shuts(&r->w, from);
		return;
	}
	if (from == SIDE_MTA) {
		for (i = 0; i < r->replies_count; i++) {
			struct run_reply *reply = &r->replies[i];

			if (reply->end > wire->sent && reply->start_ms == 0 &&
			    begin < wire->sent + c.len)
				reply->start_ms = r->w.now_ms;
			if (reply->end > wire->sent &&
			    reply->end <= wire->sent + c.len)
				reply->ready_ms = r->w.now_ms;
			begin = reply->end;
		}
	}
	wire->sent += c.len;
	world_says(&r->w, from, wire->bytes + wire->sent - c.len, c.len);
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
wire_next(const struct run *r, enum side from)
{
	const struct run_wire *wire = &r->wire[from];

	if (wire->head == wire->count)
		return UINT64_MAX;
	return wire->chunks[wire->head].at_ms;
}

uint64_t
run_next(const struct run *r)
{
	uint64_t at = world_deadline(&r->w);

	at = sooner(at, wire_next(r, SIDE_CLIENT));
	at = sooner(at, wire_next(r, SIDE_MTA));
	if (r->grant_ms > 0)
		at = sooner(at, r->grant_ms);
	if (r->caps_ms > 0)
		at = sooner(at, r->caps_ms);
	if (r->connect_ms > 0)
		at = sooner(at, r->connect_ms);
	if (r->tls_ms > 0)
		at = sooner(at, r->tls_ms);
	if (r->plot.leaves_ms > 0 && !r->wire[SIDE_CLIENT].is_dead)
		at = sooner(at, r->plot.leaves_ms);
	if (r->plot.hurry_ms > 0)
		at = sooner(at, r->plot.hurry_ms);
	return at;
}

/* The MTA begins anew behind its handshake (RFC 3207 4.2). */
static void
shaken(struct run *r)
{
	bool is_mta = r->w.is_mta_shaking;
	bool fails = is_mta ? r->plot.mta_tls_fails : r->plot.tls_fails;

	r->tls_ms = 0;
	if (is_mta && !fails)
		mta_model_reset(&r->mta);
	world_event(&r->w, fails ? EVENT_TLS_FAILED : EVENT_TLS_UP,
		    is_mta ? SIDE_MTA : SIDE_CLIENT, NULL);
}

void
run_moment(struct run *r)
{
	uint64_t now = r->w.now_ms;

	if (r->grant_ms > 0 && r->grant_ms <= now) {
		r->grant_ms = 0;
		world_event(&r->w, EVENT_GRANTED, SIDE_MTA, NULL);
	} else if (r->caps_ms > 0 && r->caps_ms <= now) {
		if (r->caps_granted_ms == 0)
			r->caps_granted_ms = now;
		r->caps_ms = 0;
		world_event(&r->w, EVENT_CAPS, SIDE_CLIENT, NULL);
	} else if (r->connect_ms > 0 && r->connect_ms <= now) {
		connect_or_not(r);
	} else if (r->tls_ms > 0 && r->tls_ms <= now) {
		shaken(r);
	} else if (wire_next(r, SIDE_CLIENT) <= now) {
		deliver(r, SIDE_CLIENT);
	} else if (wire_next(r, SIDE_MTA) <= now) {
		deliver(r, SIDE_MTA);
	} else if (r->plot.hurry_ms > 0 && r->plot.hurry_ms <= now) {
		r->plot.hurry_ms = 0;
		disturb(r);
		world_event(&r->w, r->plot.hurry_kind, SIDE_CLIENT,
			    &r->plot.plan_again);
	} else if (r->plot.leaves_ms > 0 && r->plot.leaves_ms <= now &&
		   !r->wire[SIDE_CLIENT].is_dead) {
		send_end(r, SIDE_CLIENT, r->plot.leaves_by_reset);
		r->client_done = true;
	} else {
		world_wake(&r->w);
	}
}

static void
clear(struct run *r, uint64_t seed, const struct run_plot *plot)
{
	const struct dialogue *d = plot->dialogue;
	int i;

	r->rng = seed;
	r->plot = *plot;
	r->replies_count = r->replies_said = r->replies_seen = 0;
	r->seen_bytes = 0;
	r->seen_col = r->part = 0;
	r->client_done = r->is_callback = false;
	r->disturbed_ms = UINT64_MAX;
	r->tls_ms = 0;
	r->edited = 0;
	r->connect_ms = r->grant_ms = r->caps_ms = r->caps_granted_ms = 0;
	r->is_reserve = false;
	r->w.has_rings = run_draw(r, 4) != 0;
	r->heard = 0;
	r->dials_seen = 0;
	for (i = 0; i < SIDE_COUNT; i++) {
		r->wire[i].len = r->wire[i].sent = 0;
		r->wire[i].head = r->wire[i].count = 0;
		r->wire[i].is_dead = false;
	}
	memset(&r->mta, 0, sizeof(r->mta));
	r->mta.prdr = d->prdr;
	r->mta.refuses_tls = d->ends_tls && !plot->mta_takes_tls;
	r->mta.takes_bare_lf = d->takes_bare_lf;
	r->mta.refuses_rcpt = d->refuses_rcpt;
	r->mta.arg = r;
	r->mta.say = model_says;
	r->w.opens_tls = false;
	r->w.on_edit = note_edit;
	r->w.on_release = note_release;
	r->w.on_release_arg = r;
}

void
run_begin(struct run *r, const struct site *site, uint64_t seed,
	  const struct run_plot *plot, uint64_t now_ms)
{
	clear(r, seed, plot);
	world_lend(&r->w, &r->room);
	world_open(&r->w, site, &plot->plan, now_ms);
}

void
run_settle(struct run *r)
{
	mta_acts(r);
	client_acts(r);
	shell_acts(r);
	/* What that let go is heard now, not at the next deadline. */
	mta_acts(r);
	client_acts(r);
}

int
run_play(struct run *r, const struct site *site, uint64_t seed,
	 const struct run_plot *plot)
{
	int steps;

	r->site = NULL;
	run_begin(r, site, seed, plot, 1000000);
	for (steps = 0; !r->w.has_ended; steps++) {
		uint64_t at;

		run_settle(r);
		if (r->w.has_ended)
			break;
		at = run_next(r);
		if (at == UINT64_MAX || steps == CLOCK_STEPS_MAX)
			return -1;
		if (at > r->w.now_ms)
			r->w.now_ms = at;
		run_moment(r);
	}
	return steps;
}
