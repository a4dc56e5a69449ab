/* Lines of a journal, one after the other; see replay.h. */
#include "proxy/ctl/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
say_bad(struct replay *r, const char *why)
{
	if (r->bad_lines++ < REPLAY_SAID)
		fprintf(stderr, "tarryctl: %s: line %llu: %s; skipped\n",
			r->path, (unsigned long long)r->lines, why);
}

static bool
get_number(const json_t *line, const char *key, uint64_t *out)
{
	const json_t *value = json_object_get(line, key);

	*out = (uint64_t)json_integer_value(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static uint32_t
small(const json_t *line, const char *key)
{
	uint64_t n;

	(void)get_number(line, key, &n);
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* The place in the index that has the id, or where it would stand. */
static uint32_t *
seat(const struct replay *r, uint64_t id)
{
	size_t at = (size_t)(id * 0x9e3779b97f4a7c15u) % r->index_size;

	while (r->index[at] != 0 && r->sessions[r->index[at] - 1].id != id)
		at = (at + 1) % r->index_size;
	return &r->index[at];
}

/* The session of that id which was opened last. */
static struct replay_session *
find(const struct replay *r, uint64_t id)
{
	const uint32_t *at = r->index_size > 0 ? seat(r, id) : NULL;

	return at != NULL && *at != 0 ? &r->sessions[*at - 1] : NULL;
}

static bool
grow(struct replay *r)
{
	const size_t cap = r->sessions_cap > 0 ? 2 * r->sessions_cap : 1024;
	struct replay_session *sessions =
	    realloc(r->sessions, cap * sizeof(*sessions));
	uint32_t *index = calloc(2 * cap, sizeof(*index));

	if (sessions != NULL)
		r->sessions = sessions;
	if (sessions == NULL || index == NULL || cap > UINT32_MAX / 2) {
		free(index);
		r->is_out_of_memory = true;
		return false;
	}
	free(r->index);
	r->sessions_cap = cap;
	r->index = index;
	r->index_size = 2 * cap;
	for (size_t i = 0; i < r->sessions_count; i++)
		*seat(r, r->sessions[i].id) = (uint32_t)(i + 1);
	return true;
}

/* One of an id that was there before is another: tarryd began anew. */
static void
take_open(struct replay *r, const json_t *line, uint64_t id)
{
	const char *client = json_string_value(json_object_get(line, "client"));
	struct replay_session *s;

	if (r->sessions_count == r->sessions_cap && !grow(r))
		return;
	s = &r->sessions[r->sessions_count];
	*s = (struct replay_session){.id = id};
	*seat(r, id) = (uint32_t)++r->sessions_count;
	(void)get_number(line, "t", &s->began_ms);
	(void)snprintf(s->client, sizeof(s->client), "%s",
		       client != NULL ? client : "-");
	replay_syn_read(&s->syn, json_object_get(line, "syn"));
}

/* A client that is held out stays so whatever slows it. */
static struct plan
decide(const struct config *config, const struct replay_facts *facts,
       const struct stress *stress, const struct replay_plan *recorded)
{
	struct plan plan =
	    plan_make(&config->policy, &facts->evidence, stress, NULL);

	if (strcmp(recorded->texts[REPLAY_MODE], "holdout") == 0 &&
	    !plan.is_shadow && plan_is_slowing(&plan))
		plan.is_shadow = plan.is_held_out = true;
	return plan;
}

/* These rules made that decision, and must make it again. */
static void
check(struct replay *r, const struct replay_session *s, const char *hash,
      const struct replay_plan *recorded, const struct replay_plan *again)
{
	const bool is_own = hash != NULL && hash[0] != '\0' &&
			    strncmp(r->hash, hash, strlen(hash)) == 0;
	char what[400];

	if (r->against != NULL && !is_own)
		r->of_others++;
	if (r->against == NULL && !is_own)
		return;
	r->strict++;
	if (!replay_plan_differs(recorded, again, what, sizeof(what)))
		return;
	if (r->unlike++ < REPLAY_SAID)
		fprintf(stderr,
			"tarryctl: %s: line %llu: session %llu: the same rules "
			"decide otherwise: %s\n",
			r->path, (unsigned long long)r->lines,
			(unsigned long long)s->id, what);
}

static void
compare(struct replay *r, struct replay_session *s, uint32_t at_ms)
{
	char what[sizeof(s->change)];

	if (!replay_plan_differs(&s->before, &s->after, what, sizeof(what)))
		return;
	r->changed++;
	if (s->is_changed)
		return;
	s->is_changed = true;
	s->change_at_ms = at_ms;
	memcpy(s->change, what, sizeof(what));
	memcpy(s->change_from, s->before.texts, sizeof(s->change_from));
	memcpy(s->change_to, s->after.texts, sizeof(s->change_to));
}

static void
count_facts(struct replay *r, const struct replay_facts *f, const json_t *line)
{
	for (int kind = 0; kind < EVIDENCE_COUNT; kind++)
		r->known[kind] +=
		    evidence_has(&f->evidence, (enum evidence_kind)kind);
	r->known_lists |= f->evidence.lists_known;
	r->hidden += f->is_hidden;
	r->odd += f->is_odd;
	r->cut += json_is_true(json_object_get(line, "cut"));
}

static void
take_plan(struct replay *r, struct replay_session *s, const json_t *line)
{
	const json_t *json = json_object_get(line, "facts");
	const char *hash = json_string_value(json_object_get(line, "policy"));
	const struct stress stress = {
	    .sessions = json_is_true(json_object_get(line, "stress_sessions")),
	    .slots = json_is_true(json_object_get(line, "stress_slots")),
	};
	struct replay_facts *facts = &r->facts;
	struct replay_plan recorded;
	struct plan plan;
	const char *why;

	if (!replay_plan_read(&recorded, json_object_get(line, "plan"), &why) ||
	    !replay_facts_read(facts, r->rules, json, &s->syn, &why)) {
		say_bad(r, why);
		return;
	}
	r->decisions++;
	count_facts(r, facts, line);
	plan = decide(r->rules, facts, &stress, &recorded);
	replay_plan_of(&s->after, &r->rules->policy, &plan);
	s->before = recorded;
	if (r->against != NULL &&
	    replay_facts_read(facts, r->against, json, &s->syn, &why)) {
		plan = decide(r->against, facts, &stress, &recorded);
		replay_plan_of(&s->before, &r->against->policy, &plan);
	}
	check(r, s, hash, &recorded,
	      r->against != NULL ? &s->before : &s->after);
	s->has_plan = true;
	compare(r, s, small(line, "at"));
}

static void
take_end(struct replay_session *s, const json_t *line)
{
	replay_toll_end(s);
	s->is_ended = true;
	s->has_delivered = small(line, "delivered") > 0;
	s->is_bad = s->is_bad || small(line, "spam") > 0;
	s->held_ms = small(line, "held_ms");
	s->gave_up_ms = small(line, "gave_up_ms");
}

static void
take_verdict(struct replay_session *s, const json_t *line)
{
	const char *word = json_string_value(json_object_get(line, "verdict"));

	if (word != NULL &&
	    (strcmp(word, "spam") == 0 || strcmp(word, "virus") == 0))
		s->is_bad = true;
}

static void
take(struct replay *r, const json_t *line, const char *ev)
{
	const json_t *notes = json_object_get(line, "notes");
	struct replay_session *s;
	uint64_t id;
	size_t i;
	json_t *note;

	if (strcmp(ev, "policy") == 0)
		return;
	if (!get_number(line, "id", &id)) {
		r->other_lines++;
		return;
	}
	if (strcmp(ev, "open") == 0) {
		take_open(r, line, id);
		return;
	}
	s = find(r, id);
	if (s == NULL || (s->is_ended && strcmp(ev, "verdict") != 0))
		r->lost_session++;
	else if (strcmp(ev, "plan") == 0)
		take_plan(r, s, line);
	else if (strcmp(ev, "syn") == 0)
		replay_syn_read(&s->syn, json_object_get(line, "syn"));
	else if (strcmp(ev, "notes") == 0)
		json_array_foreach((json_t *)(uintptr_t)notes, i, note)
		{
			replay_toll_note(s, note);
		}
	else if (strcmp(ev, "end") == 0)
		take_end(s, line);
	else if (strcmp(ev, "verdict") == 0)
		take_verdict(s, line);
	else
		r->other_lines++;
}

/* Per worker the lines are numbered; from 0 on again if tarryd began anew. */
static void
check_number(struct replay *r, const json_t *line)
{
	uint64_t worker;
	uint64_t n;

	if (!get_number(line, "w", &worker) || !get_number(line, "n", &n) ||
	    worker >= sizeof(r->workers) / sizeof(r->workers[0]))
		return;
	if (r->workers[worker] != 0 && n > r->workers[worker])
		r->missing_lines += n - r->workers[worker];
	r->workers[worker] = n + 1;
}

void
replay_line(struct replay *r, const char *text, size_t len)
{
	json_error_t error;
	json_t *line = json_loadb(text, len, 0, &error);
	const char *ev = json_string_value(json_object_get(line, "ev"));

	r->lines++;
	if (line == NULL)
		say_bad(r, error.text);
	else if (ev == NULL)
		say_bad(r, "it is no line of a journal: it has no \"ev\"");
	else {
		check_number(r, line);
		take(r, line, ev);
	}
	json_decref(line);
}
