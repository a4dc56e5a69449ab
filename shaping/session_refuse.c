/*
 * Refusals: the only moments at which a client hears a 421 of ours, each in
 * the list of the design (P1).
 */
#include "shaping/session_step.h"

#include <string.h>

#define UNAVAILABLE " Service not available, try again later\r\n"

/* The words that answer whatever the client says first. */
static enum session_phase
say_unavailable(struct step *st)
{
	char text[SESSION_SAY_CAP];
	size_t at = 4;

	memcpy(text, "421 ", at);
	memcpy(text + at, st->site->name, st->site->name_len);
	at += st->site->name_len;
	memcpy(text + at, UNAVAILABLE, sizeof(UNAVAILABLE) - 1);
	step_say(st, SIDE_CLIENT, text, at + sizeof(UNAVAILABLE) - 1);
	st->s->counts.own_421 = true;
	st->o->shut[SIDE_CLIENT] = true;
	return st->s->client_fin ? PHASE_CLOSING : PHASE_LINGER;
}

void
refuse_early(struct step *st)
{
	if (st->ev->kind == EVENT_BYTES && st->ev->side == SIDE_CLIENT) {
		st->o->used = (uint32_t)st->ev->len;
		st->o->drop[SIDE_CLIENT] = st->o->used;
	}
	st->s->segments_count = 0;
}

/* No MTA for this client: 421, at once or for its first command. */
enum session_phase
refuse(struct step *st, enum session_reason reason)
{
	struct session *s = st->s;
	enum session_phase next;

	step_reason(st, reason);
	step_leave_mta(st);
	place_give_caps(st);
	if (s->teaser_len == 0) {
		next = say_unavailable(st);
	} else {
		teaser_end(st);
		next = PHASE_REFUSED;
		if (s->unused > 0 || s->client_fin)
			next = say_unavailable(st);
	}
	refuse_early(st);
	if (next == PHASE_CLOSING)
		st->o->want_flushed = true;
	return next;
}

enum session_phase
refuse_way(struct step *st)
{
	if (st->s->phase == PHASE_BANNER || st->s->phase == PHASE_DIAL)
		return st->s->phase;
	return refuse(st, REASON_FULL);
}

enum session_phase
refuse_garbled(struct step *st)
{
	return refuse(st, REASON_MTA_REFUSED);
}

/* The first command, once it is whole, gets the refusal. */
enum session_phase
refused_bytes(struct step *st)
{
	st->o->used = (uint32_t)st->ev->len;
	st->o->drop[SIDE_CLIENT] = st->o->used;
	if (memchr(st->ev->bytes, '\n', st->ev->len) == NULL)
		return st->s->phase;
	if (st->leg == NULL)
		return say_unavailable(st);
	reply_release_all(st);
	step_leave_mta(st);
	st->o->shut[SIDE_CLIENT] = true;
	return PHASE_LINGER;
}

enum session_phase
refused_fin(struct step *st)
{
	return step_end(st, REASON_CLIENT_CLOSED);
}

enum session_phase
refused_wake(struct step *st)
{
	if (st->now < st->s->phase_ms + SESSION_REFUSED_MS)
		return st->s->phase;
	return step_end(st, REASON_LINGER);
}
