/*
 * The verb `sessions`: each is a line of the answer, worker by worker, so many
 * at most. One such question at a time.
 */
#include "proxy/daemon/control_state.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/relay/worker_view.h"

#define SESSIONS_USUAL 100
#define SESSIONS_MOST 2000

struct control_sessions {
	struct control_request *request;
	uint32_t worker; /* that looks */
	uint32_t left;	 /* rows that may be said */
	struct worker_view view;
};

static void
end(struct control *c, const char *error)
{
	struct control_request *r = c->sessions->request;

	free(c->sessions);
	c->sessions = NULL;
	control_request_end(r, error);
}

/* The facts that are so, by their names. */
static json_t *
manners(const struct worker_view_row *row)
{
	const struct {
		const char *name;
		bool is_so;
	} facts[] = {
	    {"early_talker", row->is_early},
	    {"pipelining", row->is_pipelining},
	    {"non_smtp", row->is_non_smtp},
	    {"bare_newline", row->is_bare_newline},
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
		if (facts[i].is_so)
			json_array_append_new(list, json_string(facts[i].name));
	}
	return list;
}

json_t *
control_session_json(const struct control *c, uint32_t worker,
		     const struct worker_view_row *row)
{
	char client[LOG_ADDRESS_CAP];
	char dialect[DIALECT_TEXT_CAP];
	const struct labels *labels = c->settings.labels;
	const char *class = names_class(c->names, row->class_id);
	const char *rule = names_rule(c->names, row->rule_id);
	const char *label = NULL;

	log_address(&row->client, client);
	if (dialect_text(&row->dialect, dialect) > 0 && labels != NULL)
		label = labels_dialect(labels, dialect);
	return json_pack(
	    "{sI si ss so so ss ss sb sI sI so ss so}", "id",
	    (json_int_t)row->id, "worker", (int)worker, "client", client,
	    "class", escape_json(class, strlen(class)), "rule",
	    escape_json(rule, strlen(rule)), "mode", row->mode, "phase",
	    session_phase_name(row->phase), "held", (int)row->is_held, "age_ms",
	    (json_int_t)row->age_ms, "held_ms", (json_int_t)row->held_ms,
	    "manners", manners(row), "dialect", dialect, "dialect_label",
	    label != NULL ? escape_json(label, strlen(label))
			  : json_string(""));
}

static void
say_row(const struct control *c, const struct worker_view_row *row)
{
	struct control_sessions *s = c->sessions;

	control_request_say(s->request,
			    control_session_json(c, s->worker, row));
	s->left--;
}

void
control_watch_sessions(struct control *c)
{
	struct control_sessions *s = c->sessions;

	if (!atomic_exchange(&c->has_looked, false))
		return;
	if (control_live_is_looking(c->window.live)) {
		control_live_looked(c);
		if (s != NULL && !control_live_is_looking(c->window.live))
			worker_look(c->workers[0], &s->view);
		return;
	}
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->view.count && s->left > 0; i++)
		say_row(c, &s->view.rows[i]);
	if (s->view.is_end) {
		s->view.next = 0;
		s->worker++;
	}
	if (s->left == 0 || s->worker == c->workers_count)
		end(c, NULL);
	else
		worker_look(c->workers[s->worker], &s->view);
}

void
control_end_sessions(struct control *c)
{
	if (c->sessions != NULL)
		end(c, "broken off: tarryd exits");
}

void
control_say_sessions(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	const char *argument = control_request_argument(r);
	unsigned long most = SESSIONS_USUAL;

	if (argument[0] != '\0')
		most = strtoul(argument, NULL, 10);
	if (strspn(argument, "0123456789") != strlen(argument) || most == 0 ||
	    most > SESSIONS_MOST) {
		control_request_end(r, "the number of sessions is 1 to 2000");
		return;
	}
	if (c->sessions == NULL)
		c->sessions = calloc(1, sizeof(*c->sessions));
	else
		most = 0;
	if (c->sessions == NULL || most == 0) {
		control_request_end(r, most == 0 ? "another is being answered"
						 : "no memory");
		return;
	}
	c->sessions->request = r;
	c->sessions->left = (uint32_t)most;
	/* It begins when the dashboard's look is done. */
	if (control_live_is_looking(c->window.live))
		return;
	atomic_store(&c->has_looked, false);
	worker_look(c->workers[0], &c->sessions->view);
}
