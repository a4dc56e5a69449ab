/*
 * The verbs `explain` and `release`: the workers are asked one after the
 * other, each some seats at a time. One such question at a time.
 */
#include "proxy/daemon/control_ask.h"

#include <stdlib.h>
#include <string.h>

static void
end(struct control *c, const char *error)
{
	struct control_request *r = c->ask->request;

	free(c->ask);
	c->ask = NULL;
	control_request_end(r, error);
}

static void
finish(struct control *c)
{
	struct control_ask *a = c->ask;
	struct worker_question *q = &a->question;

	if (q->what == WORKER_ASK_RELEASE) {
		control_request_say(a->request,
				    json_pack("{si}", "released", q->found));
		end(c, q->found > 0 ? NULL : "there is no such session");
	} else if (q->known.id != 0 && q->known.epoch != c->names_asked.epoch) {
		end(c, "new rules are being put in force, ask again");
	} else if (q->known.id != 0) {
		control_explain_session(c, a->request, &q->known);
		end(c, NULL);
	} else if (q->client.family != 0 && q->client.port == 0) {
		control_explain_client(c, a->request, &q->client);
		end(c, NULL);
	} else {
		end(c, "there is no such session");
	}
}

void
control_watch_ask(struct control *c)
{
	struct control_ask *a = c->ask;

	if (a == NULL || !atomic_exchange(&a->question.is_answered, false))
		return;
	if (a->question.is_end) {
		a->question.next = 0;
		a->worker++;
	}
	/* An id says which worker has it. */
	if (a->worker == c->workers_count ||
	    (a->question.id != 0 && a->question.found > 0))
		finish(c);
	else
		worker_ask(c->workers[a->worker], WORKER_ASKER_CONTROL,
			   &a->question);
}

void
control_end_ask(struct control *c)
{
	if (c->ask != NULL)
		end(c, "broken off: tarryd exits");
}

/* ADDRESS, ADDRESS:PORT, or the id of a session. */
static bool
read_whom(const char *text, struct worker_question *q)
{
	size_t len = strlen(text);

	if (len > 0 && len < 20 && strspn(text, "0123456789") == len) {
		q->id = strtoull(text, NULL, 10);
		return q->id != 0;
	}
	return addr_parse_ip(&q->client, text, len) ||
	       addr_parse(&q->client, text, len);
}

static void
start(struct control *c, struct control_request *r, enum worker_ask what)
{
	if (c->ask != NULL) {
		control_request_end(r, "another is being answered");
		return;
	}
	c->ask = calloc(1, sizeof(*c->ask));
	if (c->ask == NULL) {
		control_request_end(r, "no memory");
		return;
	}
	c->ask->request = r;
	c->ask->question.what = what;
	if (!read_whom(control_request_argument(r), &c->ask->question)) {
		end(c, "expected a client's address, such as 192.0.2.1, "
		       "192.0.2.1:4711 or [2001:db8::1]:4711, or a session's "
		       "id out of the log or of `sessions`");
		return;
	}
	worker_ask(c->workers[0], WORKER_ASKER_CONTROL, &c->ask->question);
}

void
control_explain(void *ctx, struct control_request *r)
{
	start(ctx, r, WORKER_ASK_EXPLAIN);
}

void
control_release(void *ctx, struct control_request *r)
{
	struct control *c = ctx;

	log_say(LOG_LEVEL_INFO, "release of %s asked for by %s",
		control_request_argument(r), control_request_peer(r));
	start(c, r, WORKER_ASK_RELEASE);
}
