/*
 * Everything that happens by itself stands in a wheel, as in a worker:
 * arrivals, sessions, second tries. Its tick is a millisecond here, so that
 * an MTA of a few of them is not rounded.
 */
#include "proxy/simulate/simulation.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/relay/container_of.h"
#include "proxy/relay/drip.h"
#include "proxy/relay/lead.h"
#include "proxy/relay/seat_sizes.h"
#include "proxy/relay/wheel.h"
#include "proxy/simulate/guest.h"
#include "proxy/simulate/who.h"

#define START_MS 1000000u
#define COMEBACKS_CAP 1000000u
#define AT_ONCE_MAX 1000
#define CHUNK_GUESTS 64

enum due_kind { DUE_GUEST, DUE_ARRIVAL, DUE_COMEBACK };

struct due {
	struct wheel_node node;
	enum due_kind kind;
};

/* What it is that a try tries. */
struct errand {
	struct arrivals *from;
	uint64_t first_ms;
	uint32_t number;   /* of the client */
	uint32_t messages; /* UINT32_MAX: as chance says */
	uint32_t try;	   /* from 0 */
};

struct visit {
	struct due due;
	struct simulation *sim;
	struct visit *next_free;
	struct errand errand;
	uint64_t held_since_ms;
	bool is_held;
	bool has_led;	    /* its MTA's time was taken */
	struct guest guest; /* last: its buffers are not cleared */
};

struct comeback {
	struct due due;
	struct errand errand;
};

struct arrivals {
	struct due due;
	struct simulation_kind *out;
	const struct scenario_kind *kind;
	struct evidence facts;
	uint64_t dice;
	double next_ms;
	double until_ms;
	uint64_t come;
	bool is_over;
};

struct chunk {
	struct chunk *next;
	struct visit visits[CHUNK_GUESTS];
};

struct simulation {
	const struct config *config;
	const struct scenario *scenario;
	struct simulation_result *out;
	struct house house;
	struct policy policy; /* in force */
	struct site site;
	struct lead lead;
	struct wheel wheel;
	struct arrivals *arrivals;
	struct chunk *chunks;
	struct visit *free;
	uint64_t end_ms; /* nobody comes any more */
	uint32_t comebacks;
	uint32_t held;
	bool is_broke; /* no memory */
};

static void
set_due(struct simulation *s, struct due *d, uint64_t at_ms)
{
	if (at_ms == GUEST_NEVER)
		wheel_remove(&s->wheel, &d->node);
	else
		wheel_set(&s->wheel, &d->node, at_ms * WHEEL_TICK_MS);
}

static struct visit *
take_visit(struct simulation *s)
{
	struct chunk *c = NULL;
	struct visit *v = s->free;

	if (v == NULL)
		c = malloc(sizeof(*c));
	if (v == NULL && c == NULL)
		return NULL;
	if (c != NULL) {
		c->next = s->chunks;
		s->chunks = c;
		for (size_t i = 0; i < CHUNK_GUESTS; i++) {
			c->visits[i].next_free = s->free;
			s->free = &c->visits[i];
		}
		v = s->free;
	}
	s->free = v->next_free;
	memset(v, 0, offsetof(struct visit, guest.says));
	v->due.kind = DUE_GUEST;
	v->sim = s;
	return v;
}

static struct visit *
visit_of(struct lodger *l)
{
	return container_of(container_of(l, struct guest, lodger), struct visit,
			    guest);
}

/* Evidence as tarryd gathers it, and the plan. */
static void
make_plan(struct guest *g, struct plan *out)
{
	struct visit *v = g->keeper;
	struct simulation *s = v->sim;
	struct evidence e = v->errand.from->facts;
	const struct stress stress = house_stress(&s->house);
	struct place_counts counts;

	e.client = g->w.s.client;
	session_facts(&g->w.s, &e);
	places_look(s->house.places, &g->lodger.place, s->house.now_ms,
		    &counts);
	places_facts(&counts, &e);
	*out = plan_make(&s->policy, &e, &stress, NULL);
}

static void
taken(struct guest *g)
{
	const struct visit *v = g->keeper;

	spread_add(&v->errand.from->out->mail_after,
		   (uint32_t)(g->w.now_ms - v->errand.first_ms), 1);
}

static void
on_step(struct world *w)
{
	struct guest *g = w->on_release_arg;
	struct visit *v = g->keeper;

	house_orders(&v->sim->house, &g->lodger);
}

static void
note_levels(struct simulation *s)
{
	const uint64_t now = s->house.now_ms;
	struct places_totals totals;

	places_totals(s->house.places, &totals);
	if (s->out->open.now != s->house.sessions)
		level_set(&s->out->open, s->house.sessions, now);
	if (s->out->slots.now != totals.slots_used)
		level_set(&s->out->slots, totals.slots_used, now);
	if (s->out->held.now != s->held)
		level_set(&s->out->held, s->held, now);
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void
note_held(struct visit *v, bool is_held)
{
	struct simulation *s = v->sim;
	const uint64_t now = sooner(s->house.now_ms, s->end_ms);

	if (v->is_held == is_held)
		return;
	v->is_held = is_held;
	if (is_held)
		v->held_since_ms = now;
	else
		v->errand.from->out->held_ms += now - v->held_since_ms;
	s->held += is_held ? 1u : 0u - 1u;
	s->site.drip_gap_ms = drip_gap_ms(s->held);
}

static void
note_lead(struct visit *v)
{
	struct simulation *s = v->sim;
	const struct guest *g = &v->guest;

	if (v->has_led || !g->is_greeted)
		return;
	v->has_led = true;
	s->site.lead_ms =
	    lead_add(&s->lead, (uint32_t)(g->greeted_ms - g->dialled_ms));
}

static void
acts(struct lodger *l)
{
	struct visit *v = visit_of(l);
	struct simulation *s = v->sim;
	struct guest *g = &v->guest;

	g->w.site = s->site;
	guest_acts(g);
	for (int i = 0;
	     i < AT_ONCE_MAX && !g->w.has_ended && guest_next(g) <= g->w.now_ms;
	     i++) {
		guest_moment(g);
		guest_acts(g);
	}
	note_lead(v);
	note_held(v, !g->w.has_ended && session_is_held(&g->w.s));
	set_due(s, &v->due, g->w.has_ended ? GUEST_NEVER : guest_next(g));
}

/* Another try of what was not taken; or it is lost. */
static void
come_again(struct visit *v, uint32_t left)
{
	struct simulation *s = v->sim;
	struct arrivals *a = v->errand.from;
	const uint64_t at = s->house.now_ms + a->kind->retry_ms;
	struct comeback *c;

	if (a->kind->retry_ms == 0 || v->errand.try + 1 >= a->kind->tries) {
		a->out->lost += left;
		return;
	}
	if (at >= s->end_ms || s->comebacks >= COMEBACKS_CAP) {
		a->out->waiting += left;
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		s->is_broke = true;
		return;
	}
	s->comebacks++;
	c->due.kind = DUE_COMEBACK;
	c->errand = v->errand;
	c->errand.messages = left;
	c->errand.try++;
	set_due(s, &c->due, at);
}

static uint32_t
less(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

static void
count(struct visit *v)
{
	const struct guest *g = &v->guest;
	const struct session *s = &g->w.s;
	struct simulation_kind *out = v->errand.from->out;
	const struct guest_counts *c = &g->counts;

	out->sessions++;
	out->retries += v->errand.try > 0;
	out->ended[g->w.reason]++;
	out->classes[s->plan.rank]++;
	out->gave_up += g->has_given_up;
	out->told_421 += s->counts.own_421;
	out->taken += c->taken;
	out->refused += c->refused;
	spread_add(&out->delay, s->counts.held_ms, 1);
	if (c->taken > 0)
		spread_add(&out->delay_mail, s->counts.held_ms, 1);
	if (g->has_given_up)
		spread_add(&out->gave_up_after,
			   (uint32_t)(v->sim->house.now_ms - g->opened_ms), 1);
}

static void
left(struct lodger *l)
{
	struct visit *v = visit_of(l);
	const struct guest_counts *c = &v->guest.counts;
	const uint32_t remain = less(c->wanted, c->taken + c->refused);

	note_held(v, false);
	count(v);
	if (remain > 0)
		come_again(v, remain);
	v->next_free = v->sim->free;
	v->sim->free = v;
}

/* A client connects. */
static void
come(struct simulation *s, const struct errand *errand, uint64_t seed)
{
	struct arrivals *a = errand->from;
	struct place_keys keys;
	struct addr client;
	struct plan plan;
	struct visit *v = take_visit(s);

	if (v == NULL) {
		s->is_broke = true;
		return;
	}
	v->errand = *errand;
	v->guest.keeper = v;
	v->guest.make_plan = make_plan;
	v->guest.taken = taken;
	v->guest.lodger.w = &v->guest.w;
	v->guest.w.on_release_arg = &v->guest;
	v->guest.w.on_step = on_step;
	guest_draw(&v->guest, s->scenario, a->kind, seed, errand->messages);
	if (errand->try == 0)
		a->out->wanted += v->guest.counts.wanted;
	who_address(a->kind, errand->number, &client);
	who_keys(a->kind, &client, &keys);
	if (!house_enter(&s->house, &v->guest.lodger, &keys)) {
		a->out->no_room++;
		come_again(v, v->guest.counts.wanted);
		v->next_free = s->free;
		s->free = v;
		return;
	}
	v->guest.w.s.client = client;
	make_plan(&v->guest, &plan);
	guest_open(&v->guest, &s->site, &plan, &client, s->house.now_ms);
	house_settle(&s->house, &v->guest.lodger);
	house_make_room(&s->house);
}

/* When it began or the last one came, the next one is drawn. */
static void
draw_next(struct arrivals *a)
{
	const double mean_ms = 60000.0 / a->kind->per_minute;

	a->next_ms += a->kind->arrivals == ARRIVALS_EVEN
			  ? mean_ms
			  : dice_wait(&a->dice, mean_ms);
	if (a->next_ms >= a->until_ms ||
	    (a->kind->sessions > 0 && a->come >= a->kind->sessions))
		a->is_over = true;
}

static void
come_new(struct simulation *s, struct arrivals *a)
{
	const struct errand errand = {
	    .from = a,
	    .first_ms = s->house.now_ms,
	    .number = dice_below(&a->dice, a->kind->clients),
	    .messages = UINT32_MAX,
	};

	a->come++;
	s->out->sessions++;
	come(s, &errand, dice_next(&a->dice));
	house_turn(&s->house);
}

/* All that come in this millisecond. */
static void
arrive(struct simulation *s, struct arrivals *a)
{
	while (!a->is_over && a->next_ms < (double)(s->house.now_ms + 1)) {
		come_new(s, a);
		draw_next(a);
	}
	set_due(s, &a->due, a->is_over ? GUEST_NEVER : (uint64_t)a->next_ms);
}

static void
fire(struct simulation *s, struct due *d)
{
	struct comeback *c;
	struct visit *v;

	switch (d->kind) {
	case DUE_GUEST:
		v = container_of(d, struct visit, due);
		house_settle(&s->house, &v->guest.lodger);
		break;
	case DUE_ARRIVAL:
		arrive(s, container_of(d, struct arrivals, due));
		break;
	case DUE_COMEBACK:
		c = container_of(d, struct comeback, due);
		s->comebacks--;
		s->out->sessions++;
		come(s, &c->errand, dice_next(&c->errand.from->dice));
		free(c);
		break;
	}
	house_turn(&s->house);
	note_levels(s);
}

static void
run(struct simulation *s)
{
	uint64_t next;

	while ((next = wheel_next_ms(&s->wheel)) != WHEEL_NEVER &&
	       !s->is_broke && world_breach_text == NULL) {
		struct wheel_node *n;

		next = (next + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
		if (next > s->house.now_ms)
			s->house.now_ms = next;
		while ((n = wheel_expire(&s->wheel, s->house.now_ms *
							WHEEL_TICK_MS)) != NULL)
			fire(s, container_of(n, struct due, node));
		s->house.now_ms++;
	}
}

static void
open_arrivals(struct simulation *s)
{
	const struct config *c = s->config;
	const char *listener =
	    c->listeners_count > 0 ? c->listeners[0].name : NULL;

	for (size_t i = 0; i < s->scenario->kinds_count; i++) {
		struct arrivals *a = &s->arrivals[i];

		a->due.kind = DUE_ARRIVAL;
		a->kind = &s->scenario->kinds[i];
		a->out = &s->out->kinds[i];
		a->out->kind = a->kind;
		a->dice = dice_mix(s->scenario->seed, i);
		a->next_ms = START_MS + a->kind->from_ms;
		a->until_ms = (double)s->end_ms;
		if (a->kind->until_ms != 0 &&
		    a->kind->until_ms < s->scenario->for_ms)
			a->until_ms = START_MS + a->kind->until_ms;
		who_facts(a->kind, listener, &a->facts);
		draw_next(a);
		arrive(s, a);
	}
}

static void
open_site(struct simulation *s)
{
	const struct config *c = s->config;

	s->policy = c->policy;
	s->policy.is_shadow = false;
	s->site = (struct site){
	    .name = "mx.example.org",
	    .name_len = strlen("mx.example.org"),
	    .client_address = c->mta.client_address,
	    .lead_ms = LEAD_FIRST_MS,
	    .connect_timeout_ms = c->mta.connect_timeout_ms,
	    .drip_gap_ms = drip_gap_ms(0),
	    .counts_matter = c->policy.counts_matter,
	    .has_tls = c->tls.mode == CONFIG_TLS_TERMINATE,
	};
	wheel_init(&s->wheel, START_MS * WHEEL_TICK_MS);
	s->house.now_ms = START_MS;
	s->end_ms = START_MS + s->scenario->for_ms;
}

static bool
open_all(struct simulation *s)
{
	struct simulation_result *out = s->out;
	const struct scenario *sc = s->scenario;
	const struct house_options options = {
	    .limit = out->max_sessions,
	    .slots = out->max_connections,
	    .reserve = (uint32_t)((uint64_t)out->max_connections *
				  s->config->mta.reserve_percent / 100),
	    .acts = acts,
	    .left = left,
	};

	s->arrivals = calloc(sc->kinds_count, sizeof(*s->arrivals));
	out->kinds = calloc(sc->kinds_count, sizeof(*out->kinds));
	out->kinds_count = sc->kinds_count;
	if (s->arrivals == NULL || out->kinds == NULL ||
	    !house_open(&s->house, &options))
		return false;
	open_site(s);
	if (!level_open(&out->open, s->house.seats_count + 1, START_MS,
			s->end_ms) ||
	    !level_open(&out->held, s->house.seats_count + 1, START_MS,
			s->end_ms) ||
	    !level_open(&out->slots, out->max_connections + 1, START_MS,
			s->end_ms))
		return false;
	open_arrivals(s);
	return true;
}

static void
close_all(struct simulation *s)
{
	while (s->chunks != NULL) {
		struct chunk *c = s->chunks;

		s->chunks = c->next;
		free(c);
	}
	free(s->arrivals);
	house_close(&s->house);
	free(s);
}

static uint32_t
first_of(uint32_t a, uint32_t b, uint32_t otherwise)
{
	if (a > 0)
		return a;
	return b > 0 ? b : otherwise;
}

bool
simulation_play(const struct config *config, const struct scenario *scenario,
		struct simulation_result *out)
{
	struct simulation *s = calloc(1, sizeof(*s));
	bool is_well;

	*out = (struct simulation_result){
	    .for_ms = scenario->for_ms,
	    .seed = scenario->seed,
	    .max_sessions =
		first_of(scenario->max_sessions, config->max_sessions,
			 SIMULATION_MAX_SESSIONS),
	    .max_connections = first_of(scenario->max_connections,
					config->mta.max_connections, 1),
	};
	if (s == NULL)
		return false;
	s->config = config;
	s->scenario = scenario;
	s->out = out;
	world_breach_text = NULL;
	is_well = open_all(s);
	if (is_well) {
		run(s);
		level_set(&out->open, 0, s->end_ms);
		level_set(&out->held, 0, s->end_ms);
		level_set(&out->slots, 0, s->end_ms);
		out->end_ms = s->house.now_ms - START_MS;
		out->lead_ms = s->site.lead_ms;
		out->broken = world_breach_text;
		is_well = !s->is_broke;
	}
	close_all(s);
	return is_well;
}

void
simulation_free(struct simulation_result *r)
{
	level_close(&r->open);
	level_close(&r->held);
	level_close(&r->slots);
	free(r->kinds);
	r->kinds = NULL;
}

uint64_t
simulation_memory(const struct simulation_result *r)
{
	const uint64_t leg =
	    SEAT_LEG_BYTES + SESSION_REPLIES_CAP * sizeof(struct pending);
	const uint64_t seat =
	    SEAT_CONN_BYTES + sizeof(struct crowd_link) + sizeof(struct lodger);

	return r->open.max * seat + r->slots.max * leg;
}
