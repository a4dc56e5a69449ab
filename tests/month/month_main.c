/*
 * The report of a simulated month: month [SESSIONS [DAYS [SEED]]] FILE...
 *
 * Each population is played twice, with and without learning, two at a time,
 * by the rules, points and classes of the shipped configuration. Exits 1 if
 * a goal is not met.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/month/month.h"

#define PLAYS_CAP 16
#define HOLDOUT 500u

struct play {
	struct population population;
	const char *name;
	pid_t pid;
	int pipe;
	struct month_result result;
};

static uint32_t sessions = 700000;
static uint32_t days = 30;
static uint32_t seed = 20261101;
static struct play plays[PLAYS_CAP];
static size_t plays_count;

static bool
write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		const ssize_t n = write(fd, at, len);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
read_all(int fd, void *bytes, size_t len)
{
	char *at = bytes;

	while (len > 0) {
		const ssize_t n = read(fd, at, len);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* In a process of its own, for the world has globals. */
static bool
start(struct play *p, bool learns)
{
	const struct month_options options = {
	    .population = &p->population,
	    .days = days,
	    .sessions = sessions,
	    .seed = seed,
	    .learns = learns,
	    .holdout = HOLDOUT,
	};
	int ends[2];

	if (pipe(ends) != 0)
		return false;
	p->pipe = ends[0];
	p->pid = fork();
	if (p->pid != 0) {
		(void)close(ends[1]);
		return p->pid > 0;
	}
	if (!month_play(&options, &p->result))
		_exit(1);
	_exit(write_all(ends[1], &p->result, sizeof(p->result)) ? 0 : 1);
}

static bool
finish(struct play *p)
{
	const bool is_well = read_all(p->pipe, &p->result, sizeof(p->result));
	int status;

	(void)close(p->pipe);
	(void)waitpid(p->pid, &status, 0);
	if (!is_well)
		(void)fprintf(stderr, "%s: no result\n", p->name);
	return is_well;
}

static double
percent(uint64_t part, uint64_t whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void
print_row(const char *label, const char *without, const char *with)
{
	(void)printf("  %-44s %16s %16s\n", label, without, with);
}

static void
print_counts(const char *label, uint64_t a, uint64_t b)
{
	char without[32];
	char with[32];

	(void)snprintf(without, sizeof(without), "%llu", (unsigned long long)a);
	(void)snprintf(with, sizeof(with), "%llu", (unsigned long long)b);
	print_row(label, without, with);
}

static void
print_shares(const char *label, double a, double b)
{
	char without[32];
	char with[32];

	(void)snprintf(without, sizeof(without), "%.3f %%", a);
	(void)snprintf(with, sizeof(with), "%.3f %%", b);
	print_row(label, without, with);
}

static void
print_seconds(const char *label, uint32_t a, uint32_t b)
{
	char without[32];
	char with[32];

	(void)snprintf(without, sizeof(without), "%.1f s", a / 1000.0);
	(void)snprintf(with, sizeof(with), "%.1f s", b / 1000.0);
	print_row(label, without, with);
}

static void
print_effect(const struct effect *e)
{
	static const char *const names[EFFECT_FACTS] = {
	    "brought spam", "brought good mail", "of it late"};
	struct effect_change c;

	for (unsigned i = 0; i < EFFECT_FACTS; i++) {
		if (!effect_of(e, i, &c)) {
			(void)printf("  effect: too few were held out\n");
			return;
		}
		(void)printf("  of the slowed, %-18s %6.2f %%, of the held out "
			     "%6.2f %%: %+.2f (%+.2f to %+.2f)\n",
			     names[i], 100 * c.shares[EFFECT_SHAPED],
			     100 * c.shares[EFFECT_HELD_OUT], 100 * c.change,
			     100 * c.low, 100 * c.high);
	}
}

static void
print_newcomer(const struct month_result *r)
{
	(void)printf("  new bot: %u of %u signatures slowed", r->new_slowed,
		     r->new_signatures);
	if (r->new_slowed > 0)
		(void)printf(", after %u sessions at most", r->new_sessions);
	(void)printf("\n");
}

static void
print_groups(const struct population *p, const struct month_result *a,
	     const struct month_result *b)
{
	(void)printf("  %-26s %9s %10s %10s %12s\n", "by group", "sessions",
		     "gone, no", "learning", "good late");
	for (uint32_t i = 0; i < p->count; i++)
		(void)printf("  %-26s %9llu %8.2f %% %8.2f %% %10.3f %%\n",
			     p->groups[i].name,
			     (unsigned long long)b->sessions_of[i],
			     percent(a->gone_of[i], a->sessions_of[i]),
			     percent(b->gone_of[i], b->sessions_of[i]),
			     percent(b->late_of[i], b->come_of[i]));
}

static void
print_pair(const struct play *without, const struct play *with)
{
	const struct month_result *a = &without->result;
	const struct month_result *b = &with->result;

	(void)printf("\n%s\n", with->name);
	print_row("", "no learning", "learning");
	print_counts("sessions", a->sessions, b->sessions);
	print_shares("bots' sessions gone before their spam",
		     percent(a->bad_gone, a->bad_sessions),
		     percent(b->bad_gone, b->bad_sessions));
	print_counts("spam messages meant", a->spam_wanted, b->spam_wanted);
	print_counts("spam messages avoided", a->spam_wanted - a->spam_come,
		     b->spam_wanted - b->spam_come);
	print_counts("good messages meant", a->good_wanted, b->good_wanted);
	print_shares("good messages later than class new",
		     percent(a->good_late, a->good_come),
		     percent(b->good_late, b->good_come));
	print_seconds("delay of good messages, p50", month_delay_ms(a, 500),
		      month_delay_ms(b, 500));
	print_seconds("delay of good messages, p99", month_delay_ms(a, 990),
		      month_delay_ms(b, 990));
	print_counts("good messages lost", a->good_lost, b->good_lost);
	print_counts("good messages queued at the end", a->good_waiting,
		     b->good_waiting);
	print_counts("held out", a->held_out, b->held_out);
	print_counts("rows in the ledger", a->ledger_rows, b->ledger_rows);
	print_newcomer(b);
	print_effect(&b->effect);
	print_groups(&with->population, a, b);
}

static bool
goal(const char *words, bool is_met)
{
	(void)printf("  %s  %s\n", is_met ? "pass" : "FAIL", words);
	return is_met;
}

/* What learning is there for, and what it must not do. */
static bool
print_goals(const struct play *without, const struct play *with)
{
	const struct month_result *r = &with->result;
	bool is_met = true;

	is_met &= goal("60 % of bots' sessions gone before their spam",
		       r->bad_gone * 100 >= r->bad_sessions * 60);
	is_met &= goal("0.05 % of good messages at most later than class new",
		       r->good_late * 2000 <= r->good_come);
	is_met &= goal("no good message lost",
		       r->good_lost + without->result.good_lost == 0);
	is_met &=
	    goal("each new bot signature slowed within 200 sessions",
		 r->new_signatures > 0 && r->new_slowed == r->new_signatures &&
		     r->new_sessions <= 200);
	is_met &=
	    goal("the session machine kept its contract",
		 r->breach[0] == '\0' && without->result.breach[0] == '\0');
	if (r->breach[0] != '\0')
		(void)printf("        broken: %s\n", r->breach);
	return is_met;
}

/* False if one could not be played. */
static bool
play_all(bool *is_met)
{
	bool is_well = true;

	for (size_t i = 0; i < plays_count; i += 2) {
		is_well &= start(&plays[i], false);
		is_well &= start(&plays[i + 1], true);
		is_well = is_well && finish(&plays[i]) && finish(&plays[i + 1]);
		if (!is_well)
			return false;
		print_pair(&plays[i], &plays[i + 1]);
		*is_met &= print_goals(&plays[i], &plays[i + 1]);
		(void)fflush(stdout);
	}
	return is_well;
}

int
main(int argc, char **argv)
{
	bool is_met = true;

	for (int i = 1; i < argc; i++) {
		struct play *p = &plays[plays_count];

		if (argv[i][0] >= '0' && argv[i][0] <= '9') {
			*(i == 1   ? &sessions
			  : i == 2 ? &days
				   : &seed) =
			    (uint32_t)strtoul(argv[i], NULL, 10);
			continue;
		}
		if (plays_count + 2 > PLAYS_CAP ||
		    !population_read(&p[0].population, argv[i]))
			return 2;
		p[1].population = p[0].population;
		p[0].name = p[1].name = argv[i];
		plays_count += 2;
	}
	(void)printf(
	    "This is a simulation. %u days, %u sessions each, seed %u; who "
	    "comes is made up:\ntests/month/populations/README says "
	    "what of it is known.\n"
	    "Rules, points and classes are those of "
	    "config/tarry.ini, in force.\n",
	    days, sessions, seed);
	(void)fflush(stdout);
	if (!play_all(&is_met))
		return 2;
	(void)printf("\n%s\n",
		     is_met ? "all goals are met" : "NOT all goals are met");
	return is_met ? 0 : 1;
}
