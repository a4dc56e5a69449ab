/*
 * The commands that wait for their reply, in the order in which they passed.
 *
 * Few at a time is the rule: so many fit into the leg. A client that
 * pipelines more is lent a ring by the shell, as long as it needs one.
 */
#include "shaping/session_step.h"

static unsigned
capacity(const struct leg *leg)
{
	return leg->is_in_ring ? SESSION_REPLIES_CAP : SESSION_REPLIES_FEW;
}

struct pending *
queue_entry(struct leg *leg, unsigned i)
{
	struct pending *all = leg->is_in_ring ? leg->ring : leg->few;

	return &all[(leg->head + i) % capacity(leg)];
}

bool
queue_is_full(const struct leg *leg)
{
	return leg->count >= capacity(leg);
}

void
queue_use_ring(struct leg *leg)
{
	unsigned i;

	if (leg->ring == NULL || leg->is_in_ring)
		return;
	for (i = 0; i < leg->count; i++)
		leg->ring[i] = *queue_entry(leg, i);
	leg->head = 0;
	leg->is_in_ring = true;
}

void
queue_settle(struct step *st)
{
	struct leg *leg = st->leg;

	if (leg->ring != NULL && leg->count == 0) {
		leg->is_in_ring = false;
		leg->head = 0;
		st->o->give_ring = true;
	}
	st->o->want_ring =
	    leg->ring == NULL && leg->count >= SESSION_REPLIES_FEW - 1;
}

void
queue_note(struct step *st, const struct session_note *note)
{
	struct orders *o = st->o;

	if (o->notes_count < SESSION_NOTES_CAP)
		o->notes[o->notes_count++] = *note;
}

bool
queue_has_no_notes(const struct step *st)
{
	return st->o->notes_count >= SESSION_NOTES_CAP - 1 ||
	       st->o->messages_count >= SESSION_MESSAGES_CAP;
}

void
queue_expect(struct step *st, enum smtp_verb verb, uint8_t marks)
{
	struct leg *leg = st->leg;
	struct pending *e = queue_entry(leg, leg->count);
	struct session_note note = {
	    .at_ms = st->now, .verb = (uint8_t)verb, .marks = marks};

	e->time_ms = verb == SMTP_GREETING ? 0 : st->now;
	e->len = 0;
	e->verb = (uint8_t)verb;
	e->marks = marks;
	leg->count++;
	queue_note(st, &note);
	place_move(st);
}

void
queue_pop(struct leg *leg)
{
	leg->head = (uint8_t)((leg->head + 1) % capacity(leg));
	leg->answered--;
	leg->count--;
}
