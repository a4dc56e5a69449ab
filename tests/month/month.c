/*
 * Sessions come one by one, evenly spread; each is played to its end when it
 * comes, and what is learnt of it is told when it is over, or when the
 * verdict comes. So sessions overlap as far as learning goes; places and caps
 * of a class, which need them at the same time, are not part of this.
 */
#include "tests/month/month.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tarry/holdout.h"
#include "tests/month/learner.h"

#define START_S 1700006400u /* midnight */
#define DAY_S 86400u
#define LATE_S 3600u
#define SOON_S 5u
#define NEW_MS 3100u /* class `new`, and a little */
#define STREAK 20u
#define HEAP_CAP (1u << 20)
#define NEW_CAP 8

/* A try at sending, or something to be learnt. */
struct job {
	uint64_t at_ms;
	uint64_t mail;	   /* seed of what is to be sent; 0: learn */
	uint64_t first_ms; /* of the first try; to learn: of the session */
	struct ledger_delta delta;
	uint32_t group;
	uint32_t number;
	uint32_t try;
	uint32_t done; /* messages that have come */
	bool knows_dialect;
};

/* One signature of new-bot. */
struct newcomer {
	uint64_t signature;
	uint32_t sessions;
	uint32_t streak;
	uint32_t before; /* sessions before the streak */
};

struct month {
	const struct month_options *options;
	struct month_result *out;
	struct learner learner;
	struct world *world;
	struct job *heap;
	uint32_t heap_count;
	uint64_t dice;
	uint64_t end_ms;
	struct newcomer newcomers[NEW_CAP];
	uint32_t newcomers_count;
	/* The session that is played. */
	struct member member;
	struct verdict verdict;
	bool knows_dialect;
	bool was_slowed;
	bool was_held_out;
};

static void
push(struct month *m, const struct job *job)
{
	uint32_t i = m->heap_count;

	if (i == HEAP_CAP)
		abort();
	m->heap_count++;
	while (i > 0 && m->heap[(i - 1) / 2].at_ms > job->at_ms) {
		m->heap[i] = m->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	m->heap[i] = *job;
}

static struct job
pop(struct month *m)
{
	const struct job top = m->heap[0];
	const struct job last = m->heap[--m->heap_count];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= m->heap_count)
			break;
		if (child + 1 < m->heap_count &&
		    m->heap[child + 1].at_ms < m->heap[child].at_ms)
			child++;
		if (m->heap[child].at_ms >= last.at_ms)
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = last;
	return top;
}

static uint32_t
seconds(uint64_t ms)
{
	return START_S + (uint32_t)(ms / 1000);
}

static void
make_plan(struct talk *t, bool knows_dialect, struct plan *out)
{
	struct month *m = t->arg;
	struct learner_moment at;

	m->knows_dialect |= knows_dialect;
	at.now_s = seconds(t->w->now_ms);
	at.knows_dialect = m->knows_dialect;
	learner_plan(&m->learner, &m->member, &t->w->s, &at, &m->verdict);
	*out = m->verdict.plan;
	m->was_slowed |= m->verdict.is_slowed;
	m->was_held_out |= m->verdict.is_held_out;
}

/* What one mail is; the same in each try, and whatever the site does. */
struct mail_truth {
	uint32_t caught;
	uint32_t late;
	uint32_t spam;
};

static void
draw_mail(const struct group *g, uint64_t mail, struct talk *t,
	  struct mail_truth *truth)
{
	uint64_t dice = mail;

	*truth = (struct mail_truth){0};
	t->count = dice_range(&dice, g->messages);
	if (t->count > TALK_MESSAGES_CAP)
		t->count = TALK_MESSAGES_CAP;
	t->is_tls = dice_percent(&dice, g->tls);
	t->is_early = dice_percent(&dice, g->early);
	t->is_unknown = dice_percent(&dice, g->unknown);
	for (uint32_t i = 0; i < t->count; i++) {
		struct talk_message *message = &t->messages[i];
		const uint32_t filter = dice_below(&dice, 100);

		*message = (struct talk_message){
		    .bytes = dice_range(&dice, g->bytes),
		    .is_spam = dice_percent(&dice, g->spam),
		};
		if (!message->is_spam)
			continue;
		truth->spam++;
		message->is_refused = filter < g->caught;
		truth->caught += filter < g->caught;
		truth->late +=
		    filter >= g->caught && filter < g->caught + g->late;
	}
}

/* What a verdict from behind the MTA tells of the messages that came. */
static void
tell_verdict(struct month *m, const struct job *job, const struct talk *t,
	     uint32_t late, uint32_t come)
{
	const bool is_blind = t->w->s.is_opaque;
	struct job learn = *job;
	const struct reputation_tally before = reputation_tally(&t->w->s);
	struct reputation_tally after = before;
	uint32_t spam = late < come ? late : come;
	uint32_t refused = 0;

	for (uint32_t i = 0; i < t->count; i++)
		refused += t->messages[i].has_come && t->messages[i].is_refused;
	if (is_blind)
		spam = spam + refused < come ? spam + refused : come;
	if ((is_blind ? come : spam) == 0)
		return;
	after.messages = (is_blind ? come : before.messages) - spam;
	after.outcomes[OUTCOME_SPAM] += spam;
	learn.mail = 0;
	learn.first_ms = job->at_ms;
	learn.at_ms = m->world->now_ms + (late > 0 ? LATE_S : SOON_S) * 1000;
	learn.knows_dialect = m->knows_dialect;
	reputation_change(&before, &after, &learn.delta);
	push(m, &learn);
}

static void
tell_session(struct month *m, const struct job *job)
{
	struct job learn = *job;

	learn.mail = 0;
	learn.first_ms = job->at_ms;
	learn.at_ms = m->world->now_ms;
	learn.knows_dialect = m->knows_dialect;
	reputation_session(&m->world->s, &learn.delta);
	push(m, &learn);
}

static void
count_good(struct month *m, const struct job *job, uint64_t delay_ms)
{
	const uint64_t bin = delay_ms / MONTH_DELAY_MS;

	m->out->good_come++;
	m->out->come_of[job->group]++;
	m->out->delays[bin < MONTH_DELAY_BINS ? bin : MONTH_DELAY_BINS - 1]++;
	if (delay_ms <= NEW_MS)
		return;
	m->out->good_late++;
	m->out->late_of[job->group]++;
}

/* Returns how many messages have come in this try. */
static uint32_t
count_messages(struct month *m, const struct job *job, const struct talk *t,
	       uint64_t began_ms)
{
	const bool is_bad = m->options->population->groups[job->group].is_bad;
	uint32_t come = 0;

	for (uint32_t i = 0; i < t->count; i++) {
		const struct talk_message *message = &t->messages[i];

		if (!message->has_come)
			continue;
		come++;
		if (message->is_spam)
			m->out->spam_come++;
		else if (!is_bad)
			count_good(m, job,
				   began_ms - job->first_ms +
				       message->delay_ms);
	}
	return come;
}

static void
count_wanted(struct month *m, const struct job *job, const struct talk *t)
{
	const bool is_bad = m->options->population->groups[job->group].is_bad;

	for (uint32_t i = 0; i < t->count; i++) {
		if (t->messages[i].is_spam)
			m->out->spam_wanted++;
		else if (!is_bad)
			m->out->good_wanted++;
	}
}

static uint32_t
good_left(const struct month *m, const struct job *job, const struct talk *t)
{
	uint32_t n = 0;

	if (m->options->population->groups[job->group].is_bad)
		return 0;
	for (uint32_t i = 0; i < t->count; i++)
		n += !t->messages[i].has_come && !t->messages[i].is_spam;
	return n;
}

static void
come_again(struct month *m, const struct job *job, const struct talk *t,
	   uint32_t come)
{
	const struct group *g = &m->options->population->groups[job->group];
	struct job again = *job;

	again.try++;
	again.done += come;
	again.at_ms = m->world->now_ms + (uint64_t)g->retry_min * 60000;
	if (g->retry_min == 0 || again.try >= g->tries) {
		m->out->good_lost += good_left(m, job, t);
		return;
	}
	if (again.at_ms >= m->end_ms) {
		m->out->good_waiting += good_left(m, job, t);
		return;
	}
	push(m, &again);
}

/* How many sessions a signature of new-bot has before it is slowed for
 * good. */
static void
count_newcomer(struct month *m, const struct job *job)
{
	const struct group *g = &m->options->population->groups[job->group];
	struct newcomer *n = m->newcomers;

	if (strcmp(g->name, "new-bot") != 0)
		return;
	while (n < m->newcomers + m->newcomers_count &&
	       n->signature != m->member.signature)
		n++;
	if (n == m->newcomers + NEW_CAP)
		return;
	if (n == m->newcomers + m->newcomers_count) {
		m->newcomers_count++;
		*n = (struct newcomer){.signature = m->member.signature};
	}
	if (n->streak >= STREAK)
		return;
	n->streak = m->was_slowed ? n->streak + 1 : 0;
	n->sessions++;
	n->before = n->sessions - n->streak;
}

static void
count_session(struct month *m, const struct job *job, const struct talk *t,
	      uint32_t come)
{
	const bool is_bad = m->options->population->groups[job->group].is_bad;
	unsigned facts = 0;

	m->out->sessions++;
	m->out->sessions_of[job->group]++;
	m->out->held_out += m->was_held_out;
	if (is_bad) {
		m->out->bad_sessions++;
		m->out->bad_gone += t->has_left && come == 0;
	}
	m->out->gone_of[job->group] += t->has_left && come == 0;
	count_newcomer(m, job);
	if (!m->was_slowed)
		return;
	for (uint32_t i = 0; i < t->count; i++) {
		if (!t->messages[i].has_come)
			continue;
		facts |=
		    1u << (t->messages[i].is_spam ? EFFECT_SPAM : EFFECT_GOOD);
		if (!t->messages[i].is_spam && t->messages[i].delay_ms > NEW_MS)
			facts |= 1u << EFFECT_DELAYED;
	}
	effect_add(&m->out->effect,
		   m->was_held_out ? EFFECT_HELD_OUT : EFFECT_SHAPED,
		   holdout_network(LEARNER_SALT, &m->member.client), facts);
}

/* A try: of the mail, what has not come yet. */
static void
play(struct month *m, const struct job *job)
{
	const struct group *g = &m->options->population->groups[job->group];
	struct mail_truth truth;
	const struct learner_moment first = {.now_s = seconds(job->at_ms)};
	struct talk t = {.member = &m->member,
			 .make_plan = make_plan,
			 .arg = m,
			 .w = m->world};
	uint32_t come;

	population_member(m->options->population, job->group, job->number,
			  (uint32_t)(job->at_ms / 1000), &m->member);
	draw_mail(g, job->mail, &t, &truth);
	if (job->try == 0)
		count_wanted(m, job, &t);
	t.count -= job->done;
	memmove(t.messages, t.messages + job->done,
		t.count * sizeof(t.messages[0]));
	m->knows_dialect = m->was_slowed = m->was_held_out = false;
	learner_plan(&m->learner, &m->member, NULL, &first, &m->verdict);
	t.plan = m->verdict.plan;
	m->was_slowed = m->verdict.is_slowed;
	m->was_held_out = m->verdict.is_held_out;
	m->world->now_ms = job->at_ms;
	talk_play(&t);
	come = count_messages(m, job, &t, job->at_ms);
	count_session(m, job, &t, come);
	if (m->learner.is_on) {
		tell_session(m, job);
		tell_verdict(m, job, &t, truth.late, come);
	}
	if (come < t.count)
		come_again(m, job, &t, come);
}

static void
learn(struct month *m, struct job *job)
{
	struct member member;

	population_member(m->options->population, job->group, job->number,
			  (uint32_t)(job->first_ms / 1000), &member);
	learner_add(&m->learner, &member, job->knows_dialect, &job->delta,
		    seconds(job->at_ms));
}

/* Everything that is due before a moment. */
static void
catch_up(struct month *m, uint64_t until_ms)
{
	while (m->heap_count > 0 && m->heap[0].at_ms <= until_ms) {
		struct job job = pop(m);

		if (job.mail == 0)
			learn(m, &job);
		else
			play(m, &job);
	}
}

/* Who comes: a group by its share of those there on that day, a member. */
static void
draw_comer(struct month *m, uint64_t at_ms, struct job *job)
{
	const struct population *p = m->options->population;
	const uint32_t day = (uint32_t)(at_ms / 1000 / DAY_S);
	uint32_t sum = 0;
	uint32_t pick;
	uint32_t i;

	for (i = 0; i < p->count; i++)
		sum += p->groups[i].share;
	do {
		pick = dice_below(&m->dice, sum);
		for (i = 0; pick >= p->groups[i].share; i++)
			pick -= p->groups[i].share;
	} while (day < p->groups[i].from_day || day >= p->groups[i].until_day);
	*job = (struct job){
	    .at_ms = at_ms,
	    .first_ms = at_ms,
	    .group = i,
	    .number = dice_below(&m->dice, p->groups[i].addresses),
	    .mail = dice_next(&m->dice) | 1,
	};
}

static void
sum_up(struct month *m)
{
	for (uint32_t i = 0; i < m->newcomers_count; i++) {
		const struct newcomer *n = &m->newcomers[i];

		m->out->new_signatures++;
		if (n->streak < STREAK)
			continue;
		m->out->new_slowed++;
		if (n->before > m->out->new_sessions)
			m->out->new_sessions = n->before;
	}
	for (uint32_t s = 0; s < LEDGER_SHARDS; s++) {
		for (uint32_t k = 0; k < LEDGER_KINDS; k++)
			m->out->ledger_rows +=
			    m->learner.ledger.shards[s].rows[k];
	}
	if (world_breach_text != NULL)
		(void)snprintf(m->out->breach, sizeof(m->out->breach), "%s",
			       world_breach_text);
}

static void
play_all(struct month *m)
{
	const uint32_t sessions = m->options->sessions;

	m->end_ms = (uint64_t)m->options->days * DAY_S * 1000;
	m->dice = m->options->seed;
	for (uint32_t i = 0; i < sessions; i++) {
		struct job job;

		draw_comer(m, m->end_ms * i / sessions, &job);
		catch_up(m, job.at_ms);
		play(m, &job);
	}
	catch_up(m, m->end_ms);
	sum_up(m);
}

bool
month_play(const struct month_options *options, struct month_result *out)
{
	struct month *m = calloc(1, sizeof(*m));
	bool is_well = false;

	memset(out, 0, sizeof(*out));
	if (m == NULL)
		return false;
	m->options = options;
	m->out = out;
	m->world = world_new();
	m->heap = malloc(HEAP_CAP * sizeof(*m->heap));
	if (m->world != NULL && m->heap != NULL &&
	    learner_open(&m->learner, options->learns, options->holdout)) {
		play_all(m);
		learner_close(&m->learner);
		is_well = true;
	}
	free(m->heap);
	free(m->world);
	free(m);
	return is_well;
}

uint32_t
month_delay_ms(const struct month_result *r, uint32_t per_mille)
{
	uint64_t below = 0;
	uint32_t i;

	for (i = 0; i < MONTH_DELAY_BINS - 1; i++) {
		below += r->delays[i];
		if (below * 1000 >= r->good_come * per_mille)
			break;
	}
	return i * MONTH_DELAY_MS;
}
