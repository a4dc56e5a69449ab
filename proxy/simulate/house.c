#include "proxy/simulate/house.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SEATS_A_SPARE 20
#define TURNS_MAX 1000

uint32_t
house_seats(uint32_t limit)
{
	return limit + limit / SEATS_A_SPARE + 1;
}

bool
house_open(struct house *h, const struct house_options *o)
{
	const uint32_t seats = house_seats(o->limit);
	const struct places_options places = {
	    .seats = seats, .slots = o->slots, .reserve = o->reserve};
	void *memory = calloc(1, places_bytes(seats));

	*h = (struct house){.options = *o, .seats_count = seats};
	h->links = calloc(seats, sizeof(*h->links));
	h->seats = calloc(seats, sizeof(*h->seats));
	h->free_seats = calloc(seats, sizeof(*h->free_seats));
	if (memory == NULL || h->links == NULL || h->seats == NULL ||
	    h->free_seats == NULL) {
		free(memory);
		house_close(h);
		return false;
	}
	h->places = places_init(memory, &places);
	crowd_init(&h->crowd, h->links, o->limit);
	while (h->free_count < seats) {
		h->free_seats[h->free_count] = seats - 1 - h->free_count;
		h->free_count++;
	}
	return true;
}

void
house_close(struct house *h)
{
	free(h->places);
	free(h->links);
	free(h->seats);
	free(h->free_seats);
	*h = (struct house){.now_ms = h->now_ms};
}

static void
answer(struct lodger *l, enum places_answer a)
{
	if (a == PLACES_WAITS)
		return;
	l->has_slot |= a == PLACES_GRANTED;
	l->events |= 1u << (a == PLACES_GRANTED ? EVENT_GRANTED : EVENT_DENIED);
}

static void
claim(struct house *h, struct lodger *l)
{
	const struct orders *o = &l->w->o;
	enum places_answer a;

	if (o->claim_caps != CAPS_NO_WISH) {
		a = places_claim_caps(h->places, &l->place, &l->w->s.plan,
				      o->claim_caps);
		l->has_caps = a == PLACES_GRANTED;
		if (a != PLACES_WAITS && o->claim_caps == CAPS_WAIT)
			l->events |= 1u << EVENT_CAPS;
	}
	if (o->claim_slot == SLOT_NO_WISH)
		return;
	l->asked_reserve |= o->claim_slot == SLOT_RESERVE;
	answer(l, places_claim_slot(h->places, &l->place, o->claim_slot,
				    session_slot_rank(&l->w->s)));
}

void
house_orders(struct house *h, struct lodger *l)
{
	const struct orders *o = &l->w->o;

	if (o->give_caps) {
		places_give_caps(h->places, &l->place);
		l->events &= ~(1u << EVENT_CAPS);
		l->has_caps = false;
	}
	if (o->give_slot) {
		places_give_slot(h->places, &l->place);
		l->events &= ~(1u << EVENT_GRANTED | 1u << EVENT_DENIED);
		l->has_slot = false;
	}
	if (o->end == REASON_NONE)
		claim(h, l);
}

bool
lodger_is_undialled(const struct lodger *l)
{
	const enum session_phase phase = l->w->s.phase;

	return l->is_open && (phase == PHASE_GREET || phase == PHASE_GATE);
}

uint8_t
lodger_rank(const struct lodger *l)
{
	const struct session *s = &l->w->s;

	return s->is_spent || s->plan.is_shadow ? 0 : s->plan.rank;
}

static void
note_lingering(struct house *h, struct lodger *l)
{
	const bool is = l->w->s.phase == PHASE_LINGER && !l->w->has_ended;

	if (is == l->is_lingering)
		return;
	l->is_lingering = is;
	h->lingering += is ? 1u : 0u - 1u;
}

static uint32_t
served(const struct house *h)
{
	return h->sessions - h->lingering;
}

static void
leave(struct house *h, struct lodger *l)
{
	places_exit(h->places, &l->place);
	crowd_leave(&h->crowd, l->seat);
	h->seats[l->seat] = NULL;
	h->free_seats[h->free_count++] = l->seat;
	h->sessions--;
	l->is_open = false;
}

static void
note_stress(struct house *h)
{
	const bool slots = places_is_slot_stress(h->places);
	const bool has_changed = crowd_note(&h->crowd, served(h));

	if (!has_changed && slots == h->is_slot_stress)
		return;
	h->is_slot_stress = slots;
	h->has_news = true;
}

static void
look_after(struct house *h, struct lodger *l)
{
	const bool is_over = l->w->has_ended;

	note_lingering(h, l);
	if (is_over)
		leave(h, l);
	else if (lodger_is_undialled(l))
		crowd_join(&h->crowd, l->seat, lodger_rank(l));
	else
		crowd_leave(&h->crowd, l->seat);
	note_stress(h);
	if (is_over)
		h->options.left(l);
}

void
house_settle(struct house *h, struct lodger *l)
{
	l->w->now_ms = h->now_ms;
	h->options.acts(l);
	while (l->events != 0 && !l->w->has_ended) {
		const int kind = __builtin_ctz(l->events);

		l->events &= l->events - 1;
		world_event(l->w, (enum event_kind)kind, SIDE_CLIENT, NULL);
		h->options.acts(l);
	}
	look_after(h, l);
}

void
house_tell(struct house *h, struct lodger *l, enum event_kind kind)
{
	l->w->now_ms = h->now_ms;
	world_event(l->w, kind, SIDE_CLIENT, NULL);
	house_settle(h, l);
}

bool
house_enter(struct house *h, struct lodger *l, const struct place_keys *keys)
{
	struct place_counts counts;

	if (h->free_count == 0)
		return false;
	l->seat = h->free_seats[--h->free_count];
	l->is_open = true;
	h->seats[l->seat] = l;
	h->sessions++;
	places_enter(h->places, &l->place, 0, keys, h->now_ms, &counts);
	return true;
}

void
house_make_room(struct house *h)
{
	uint32_t who = CROWD_NONE;

	if (crowd_is_full(&h->crowd, served(h))) {
		who = crowd_gives_way(&h->crowd);
		if (who != CROWD_NONE)
			house_tell(h, h->seats[who], EVENT_GIVE_WAY);
	} else if (h->crowd.is_stressed) {
		who = crowd_is_let_go(&h->crowd);
		if (who != CROWD_NONE)
			house_tell(h, h->seats[who], EVENT_RELEASED);
	}
}

static void
hand_out_grants(struct house *h)
{
	enum places_grant grant;
	struct place *p;

	while ((p = places_next_granted(h->places, 0, &grant)) != NULL) {
		struct lodger *l =
		    (void *)((char *)p - offsetof(struct lodger, place));

		if (grant == PLACES_GRANT_CAPS) {
			l->has_caps = true;
			l->events |= 1u << EVENT_CAPS;
		} else {
			answer(l, PLACES_GRANTED);
		}
		house_settle(h, l);
	}
}

static void
spread_news(struct house *h)
{
	for (uint32_t i = 0; i < h->seats_count; i++) {
		struct lodger *l = h->seats[i];

		if (l == NULL)
			continue;
		l->w->wants_plan = true;
		house_settle(h, l);
	}
}

void
house_turn(struct house *h)
{
	for (int i = 0; places_woken(h->places) != 0 || h->has_news; i++) {
		if (i > TURNS_MAX) {
			world_breach("the site does not settle");
			return;
		}
		hand_out_grants(h);
		if (!h->has_news)
			continue;
		h->has_news = false;
		spread_news(h);
	}
}

struct stress
house_stress(const struct house *h)
{
	return (struct stress){.sessions = h->crowd.is_stressed,
			       .slots = places_is_slot_stress(h->places)};
}
