/*
 * The slow upload: payload is read no faster than the plan's rate.
 *
 * A sender's clock for the reply to the dot begins when its own kernel has
 * taken the last byte, not when we read it; so an upload is slow for no longer
 * than any reply may take, and goes on at full speed then.
 *
 * The sender feels it because its bytes stay in the kernel, whose buffer was
 * made small when the plan came. What was used is paid for in time: paid_ms
 * is when the bytes so far would be over at the plan's rate. Bytes are used
 * in pieces, at most a window's worth at once, so that the MTA never waits
 * long and each piece costs one wake.
 */
#include "shaping/session_step.h"

#define WINDOW_MS 250u
#define PIECE_LEAST 512u
#define MS_PER_S 1000u
#define SAVED_MS 4000u

/* A window is as long as the smallest piece takes, at least WINDOW_MS. */
static uint32_t
window_ms(const struct plan *p)
{
	uint32_t ms = PIECE_LEAST * MS_PER_S / p->data_rate;

	return ms > WINDOW_MS ? ms : WINDOW_MS;
}

static uint32_t
cost_ms(const struct plan *p, size_t n)
{
	uint64_t ms =
	    ((uint64_t)n * MS_PER_S + p->data_rate - 1) / p->data_rate;

	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static bool
is_payload(const struct step *st)
{
	const struct session *s = st->s;

	if (s->phase == PHASE_BLIND)
		return s->is_opaque && s->tls_bytes >= SESSION_TLS_FREE;
	return s->phase == PHASE_RELAY && st->leg != NULL &&
	       (st->leg->client.mode == SMTP_PAYLOAD ||
		st->leg->client.mode == SMTP_OCTETS);
}

/* When an upload is slowed no more. */
static uint32_t
slow_end(const struct session *s)
{
	if (s->upload_ms == 0)
		return UINT32_MAX;
	return s->upload_ms + s->plan.reply_cap_ms;
}

bool
upload_is_slowed(const struct step *st)
{
	const struct session *s = st->s;

	return s->plan.data_rate > 0 && place_may_delay(s) && !s->client_fin &&
	       is_payload(st) && st->now < slow_end(s);
}

/*
 * Time in which nothing came is not saved, but for what the kernel needs: it
 * opens a small window in large steps, seconds apart at the lowest rates, and
 * the rate is to hold over those (P4: never slower than 1 KiB/s).
 */
static uint32_t
paid(const struct step *st)
{
	const struct session *s = st->s;
	uint32_t saved = 2 * window_ms(&s->plan);
	uint32_t least;

	if (s->upload_ms != 0 && saved < SAVED_MS)
		saved = SAVED_MS;
	least = st->now > saved ? st->now - saved : 0;
	return s->paid_ms > least ? s->paid_ms : least;
}

size_t
upload_room(const struct step *st)
{
	const struct session *s = st->s;
	uint32_t from;
	uint64_t room;

	if (!upload_is_slowed(st))
		return SIZE_MAX;
	from = paid(st);
	if (from >= st->now)
		return 0;
	room = (uint64_t)s->plan.data_rate * (st->now - from) / MS_PER_S;
	/* Not for every byte one by one. */
	return room >= PIECE_LEAST / 4 ? (size_t)room : 0;
}

uint32_t
upload_hold_end(const struct step *st)
{
	const struct session *s = st->s;

	if (!upload_is_slowed(st) || (s->upload_ms == 0 && s->unused == 0))
		return 0;
	if (upload_room(st) == 0)
		return UINT32_MAX;
	return s->last_byte_ms + SAVED_MS;
}

void
upload_spend(struct step *st, size_t n)
{
	struct session *s = st->s;

	if (upload_is_slowed(st))
		s->paid_ms = paid(st) + cost_ms(&s->plan, n);
	else if (s->plan.is_shadow && s->plan.data_rate > 0)
		s->paid_ms += cost_ms(&s->plan, n);
	if (s->upload_ms == 0)
		s->upload_ms = st->now > 0 ? st->now : 1;
}

void
upload_begin(struct step *st)
{
	/* A chunk goes on where the one before it has paid. */
	struct session *s = st->s;

	if (!s->plan.is_shadow ? s->paid_ms > st->now : s->paid_ms < st->now)
		s->paid_ms = st->now;
	st->s->upload_ms = 0;
}

uint32_t
upload_next(const struct step *st)
{
	if (upload_room(st) > 0)
		return UINT32_MAX;
	return step_earlier(paid(st) + window_ms(&st->s->plan),
			    slow_end(st->s));
}

uint32_t
upload_would_ms(const struct step *st)
{
	const struct session *s = st->s;

	if (!s->plan.is_shadow || s->plan.data_rate == 0 ||
	    step_earlier(s->paid_ms, slow_end(s)) <= st->now)
		return 0;
	return step_earlier(s->paid_ms, slow_end(s)) - st->now;
}

void
upload_set_buffer(struct step *st)
{
	struct session *s = st->s;
	bool is_small;

	/* What is left of a large mail must not creep through a small one. */
	if (s->plan.data_rate > 0 && is_payload(st) && st->now >= slow_end(s))
		s->is_wide = true;
	is_small = s->plan.data_rate > 0 && !s->is_spent &&
		   !s->plan.is_shadow && !s->client_fin &&
		   (s->slot != PLACE_HELD || s->is_in_share) &&
		   s->phase <= PHASE_BLIND && !s->is_lost && !s->is_wide;

	if (is_small == s->is_small)
		return;
	s->is_small = is_small;
	st->o->receive_buffer = is_small ? RECEIVE_SMALL : RECEIVE_FULL;
}
