/* What a replay found, for a person or as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/config/condition_text.h"
#include "proxy/ctl/replay.h"

#define SESSIONS_SHOWN 20
#define ROWS_CAP 100

/* Sessions that went from one class and rule to another. */
struct move {
	const struct replay_session *first;
	uint64_t sessions;
	uint64_t good;
	uint64_t later_ms; /* of the good, summed */
	uint32_t most_ms;
};

struct found {
	struct move moves[ROWS_CAP];
	size_t moves_count;
	uint64_t moves_more;
	struct move all;
	uint64_t refused_good; /* in class defer now */
	uint64_t left_before;
	struct patience patience[2]; /* of others, of who delivered good mail */
	struct replay_leaving leaving[2];
};

static bool
is_good(const struct replay_session *s)
{
	return s->has_delivered && !s->is_bad;
}

static uint32_t
later(const struct replay_session *s)
{
	const uint32_t a = s->toll_after.mail_ms;
	const uint32_t b = s->toll_before.mail_ms;

	return a > b ? a - b : 0;
}

static void
count(struct move *m, const struct replay_session *s)
{
	m->sessions++;
	if (!is_good(s))
		return;
	m->good++;
	m->later_ms += later(s);
	if (later(s) > m->most_ms)
		m->most_ms = later(s);
}

static struct move *
move_of(struct found *f, const struct replay_session *s)
{
	for (size_t i = 0; i < f->moves_count; i++) {
		const struct replay_session *t = f->moves[i].first;

		if (memcmp(t->change_from, s->change_from,
			   sizeof(s->change_from)) == 0 &&
		    memcmp(t->change_to, s->change_to, sizeof(s->change_to)) ==
			0)
			return &f->moves[i];
	}
	if (f->moves_count == ROWS_CAP)
		return NULL;
	f->moves[f->moves_count] = (struct move){.first = s};
	return &f->moves[f->moves_count++];
}

static void
add_patience(struct found *f, const struct replay *r)
{
	patience_init(&f->patience[0], PATIENCE_SUM_MS);
	patience_init(&f->patience[1], PATIENCE_SUM_MS);
	for (size_t i = 0; i < r->sessions_count; i++) {
		const struct replay_session *s = &r->sessions[i];

		if (!s->is_ended)
			continue;
		if (s->gave_up_ms > 0)
			patience_add_left(&f->patience[is_good(s)],
					  s->gave_up_ms);
		else
			patience_add_stayed(&f->patience[is_good(s)],
					    s->held_ms);
	}
}

static void
add_session(struct found *f, const struct replay_session *s)
{
	const uint32_t before = s->toll_before.sum_ms;
	const uint32_t after = s->toll_after.sum_ms;
	struct move *m = move_of(f, s);

	if (m != NULL)
		count(m, s);
	else
		f->moves_more++;
	count(&f->all, s);
	if (strcmp(s->after.texts[REPLAY_CLASS], "defer") == 0 && is_good(s))
		f->refused_good++;
	if (s->gave_up_ms > 0)
		f->left_before++;
	else if (s->is_ended && after > before)
		replay_leaving_add(&f->leaving[is_good(s)],
				   &f->patience[is_good(s)], before, after);
}

static struct found *
gather(const struct replay *r)
{
	struct found *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	add_patience(f, r);
	for (size_t i = 0; i < r->sessions_count; i++) {
		if (r->sessions[i].is_changed)
			add_session(f, &r->sessions[i]);
	}
	return f;
}

/* What the rules ask for and no decision in the journal knew. */
static void
say_unknown(const struct replay *r)
{
	const struct policy *p = &r->rules->policy;
	bool said[EVIDENCE_COUNT] = {
	    [EVIDENCE_SCORE] = true, [EVIDENCE_SOURCES] = true};

	for (size_t i = 0; i < p->rules_count && r->decisions > 0; i++) {
		for (size_t k = 0; k < p->rules[i].conditions_count; k++) {
			const struct policy_condition *c =
			    &p->rules[i].conditions[k];
			enum evidence_kind kind = c->kind;

			if (kind == EVIDENCE_LISTED)
				kind = EVIDENCE_NETWORK;
			if (said[kind] || r->known[kind] > 0)
				continue;
			said[kind] = true;
			fprintf(stderr,
				"tarryctl: %s: no decision in it knows "
				"\"%s\", which [rule %s] asks for\n",
				r->path, condition_fact_name(kind),
				p->rules[i].name);
		}
	}
}

static void
say_trouble(const struct replay *r)
{
	const struct {
		uint64_t count;
		const char *what;
	} rows[] = {
	    {r->bad_lines, "lines were not understood"},
	    {r->other_lines, "lines are of a kind that is not known here"},
	    {r->missing_lines, "lines are missing, by their numbers"},
	    {r->lost_session,
	     "lines are of sessions whose beginning is not there"},
	    {r->hidden,
	     "decisions do not tell the whole address (log.addresses): what "
	     "rules say of networks may come out otherwise"},
	    {r->cut, "decisions have only the beginning of JA4's raw text"},
	    {r->odd, "decisions have facts that are not known here"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].count > 0)
			fprintf(stderr, "tarryctl: %s: %llu %s\n", r->path,
				(unsigned long long)rows[i].count,
				rows[i].what);
	}
	say_unknown(r);
}

static void
say_strict(const struct replay *r)
{
	if (r->unlike > 0)
		fprintf(stderr,
			"tarryctl: %s: %llu of %llu decisions did not come out "
			"as they were made\n",
			r->path, (unsigned long long)r->unlike,
			(unsigned long long)r->strict);
	if (r->unlike > 0 && r->of_others > 0)
		fprintf(stderr,
			"tarryctl: %s: %llu decisions were made by other "
			"rules, or the journal does not say by which\n",
			r->path, (unsigned long long)r->of_others);
}

static json_t *
texts_json(const char texts[REPLAY_TEXTS][REPLAY_TEXT_CAP])
{
	json_t *object = json_object();

	for (size_t i = 0; i < REPLAY_TEXTS; i++) {
		if (texts[i][0] != '\0')
			json_object_set_new(object, replay_text_names[i],
					    json_string(texts[i]));
	}
	return object;
}

static void
print_json(json_t *object)
{
	if (object != NULL)
		(void)json_dumpf(object, stdout,
				 JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(object);
}

static json_t *
leaving_json(const struct replay_leaving *l)
{
	return json_pack("{sI sf sf}", "of", (json_int_t)l->sessions, "least",
			 l->low, "most", l->high);
}

static void
show_json(const struct replay *r, const struct found *f)
{
	print_json(json_pack(
	    "{sI sI sI sI sI sI sI sI sI}", "sessions",
	    (json_int_t)r->sessions_count, "decisions",
	    (json_int_t)r->decisions, "same_rules", (json_int_t)r->strict,
	    "not_reproduced", (json_int_t)r->unlike, "decisions_otherwise",
	    (json_int_t)r->changed, "sessions_otherwise",
	    (json_int_t)f->all.sessions, "bad_lines", (json_int_t)r->bad_lines,
	    "missing_lines", (json_int_t)r->missing_lines, "other_rules",
	    (json_int_t)r->of_others));
	print_json(json_pack("{sI sI sI sI so so sI}", "good_mail_sessions",
			     (json_int_t)f->all.good, "later_ms_sum",
			     (json_int_t)f->all.later_ms, "later_ms_most",
			     (json_int_t)f->all.most_ms, "good_mail_refused",
			     (json_int_t)f->refused_good, "leaving",
			     leaving_json(&f->leaving[0]), "leaving_good",
			     leaving_json(&f->leaving[1]), "left_before",
			     (json_int_t)f->left_before));
	for (size_t i = 0; i < f->moves_count; i++) {
		const struct move *m = &f->moves[i];

		print_json(json_pack("{so so sI sI sI sI}", "from",
				     texts_json(m->first->change_from), "to",
				     texts_json(m->first->change_to),
				     "sessions", (json_int_t)m->sessions,
				     "good_mail", (json_int_t)m->good,
				     "later_ms_sum", (json_int_t)m->later_ms,
				     "later_ms_most", (json_int_t)m->most_ms));
	}
	for (size_t i = 0; i < r->sessions_count; i++) {
		const struct replay_session *s = &r->sessions[i];

		if (s->is_changed)
			print_json(json_pack(
			    "{sI sI ss sI ss so so so sb sI sI}", "session",
			    (json_int_t)s->id, "t", (json_int_t)s->began_ms,
			    "client", s->client, "at",
			    (json_int_t)s->change_at_ms, "change", s->change,
			    "from", texts_json(s->change_from), "to",
			    texts_json(s->change_to), "last",
			    texts_json(s->after.texts), "good_mail", is_good(s),
			    "later_ms", (json_int_t)later(s), "gave_up_ms",
			    (json_int_t)s->gave_up_ms));
	}
}

static void
show_leaving(const struct replay_leaving *l, const char *who)
{
	if (l->sessions > 0)
		printf("  of %llu %s that stayed and would wait longer, %.0f "
		       "to %.0f would leave\n",
		       (unsigned long long)l->sessions, who, l->low, l->high);
}

static void
show_moves(const struct found *f)
{
	for (size_t i = 0; i < f->moves_count; i++) {
		const struct move *m = &f->moves[i];
		const char(*a)[REPLAY_TEXT_CAP] = m->first->change_from;
		const char(*b)[REPLAY_TEXT_CAP] = m->first->change_to;

		printf("  %6llu  %s (%s, %s) -> %s (%s, %s); %llu with good "
		       "mail\n",
		       (unsigned long long)m->sessions, a[REPLAY_CLASS],
		       a[REPLAY_RULE], a[REPLAY_MODE], b[REPLAY_CLASS],
		       b[REPLAY_RULE], b[REPLAY_MODE],
		       (unsigned long long)m->good);
	}
	if (f->moves_more > 0)
		printf("  %6llu  otherwise\n",
		       (unsigned long long)f->moves_more);
}

static void
show_sessions(const struct replay *r)
{
	size_t shown = 0;

	printf("sessions (the first %d):\n", SESSIONS_SHOWN);
	for (size_t i = 0; i < r->sessions_count && shown < SESSIONS_SHOWN;
	     i++) {
		const struct replay_session *s = &r->sessions[i];

		if (!s->is_changed)
			continue;
		shown++;
		printf("  %llu %s, %u ms after its accept: %s%s\n",
		       (unsigned long long)s->id, s->client, s->change_at_ms,
		       s->change, is_good(s) ? "; delivered good mail" : "");
	}
}

static void
show_person(const struct replay *r, const struct found *f)
{
	printf("%llu sessions, %llu decisions\n",
	       (unsigned long long)r->sessions_count,
	       (unsigned long long)r->decisions);
	if (r->strict > 0)
		printf("%llu of %llu decisions of the same rules came out as "
		       "they were made\n",
		       (unsigned long long)(r->strict - r->unlike),
		       (unsigned long long)r->strict);
	if (f->all.sessions == 0) {
		printf("no session would be treated otherwise\n");
		return;
	}
	printf("%llu sessions would be treated otherwise:\n",
	       (unsigned long long)f->all.sessions);
	show_moves(f);
	printf("good mail: %llu of them delivered some; it would have come "
	       "later by %.1f s on average, %.1f s at most (an estimate)\n",
	       (unsigned long long)f->all.good,
	       f->all.good > 0
		   ? (double)f->all.later_ms / 1000 / (double)f->all.good
		   : 0.0,
	       (double)f->all.most_ms / 1000);
	if (f->refused_good > 0)
		printf("  %llu of those would have heard 421 (defer)\n",
		       (unsigned long long)f->refused_good);
	printf("leaving, by the patience of those in the journal, from the "
	       "least to the most\n(95 %%; where nobody was seen to wait so "
	       "long, all of them):\n");
	show_leaving(&f->leaving[0], "senders without good mail");
	show_leaving(&f->leaving[1], "senders of good mail");
	if (f->left_before > 0)
		printf("  %llu had left already\n",
		       (unsigned long long)f->left_before);
	show_sessions(r);
}

enum ctl_exit
replay_say(struct replay *r, const struct ctl *ctl)
{
	struct found *f = gather(r);

	say_trouble(r);
	if (f == NULL || r->is_out_of_memory) {
		fprintf(stderr, "tarryctl: there is not enough memory for so "
				"many sessions\n");
		free(f);
		return CTL_REFUSED;
	}
	if (ctl->is_json)
		show_json(r, f);
	else
		show_person(r, f);
	say_strict(r);
	free(f);
	if (r->decisions == 0)
		fprintf(stderr, "tarryctl: %s: there is no decision in it\n",
			r->path);
	return r->unlike > 0 || r->decisions == 0 ? CTL_REFUSED : CTL_FINE;
}
