/*
 * Answers of the p0f socket: the latest live session of a client, or that of
 * a 4-tuple, from its worker. Nothing is kept of who has gone, for the next
 * one with that address is another.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "proxy/admin/p0f_socket.h"
#include "proxy/admin/socket_file.h"
#include "proxy/relay/worker_ask.h"

struct control_p0f {
	struct p0f_socket *socket;
	bool is_asking;
	uint32_t worker; /* that answers */
	struct p0f_query query;
	struct worker_question question;
};

static uint8_t
quality_of(enum label_quality quality)
{
	return quality == LABEL_EXACT ? 0 : quality == LABEL_SOFT ? 1 : 2;
}

static bool
is_the_one(const struct control_p0f *p)
{
	const struct session_known *k = &p->question.known;

	if (k->id == 0 || !evidence_has(&k->evidence, EVIDENCE_SYN))
		return false;
	return !p->query.is_tuple ||
	       (addr_same_ip(&k->session.server, &p->query.server) &&
		k->session.server.port == p->query.server.port);
}

static void
answer(struct control *c, struct control_p0f *p)
{
	const struct session_known *k = &p->question.known;
	const struct syn *syn = &k->evidence.syn;
	struct p0f_answer a = {.status = P0F_NO_MATCH, .distance = -1};
	enum label_quality quality = LABEL_NONE;
	char signature[SIGNATURE_TEXT_CAP];

	p->is_asking = false;
	if (is_the_one(p)) {
		const time_t now = time(NULL);

		signature_text(SIGNATURE_SYN, syn, signature,
			       sizeof(signature));
		a.status = P0F_OK;
		/* 32 bits, as the protocol has it. */
		a.first_seen = (uint32_t)(now - k->age_ms / 1000);
		a.last_seen = (uint32_t)now;
		a.connections = p->question.found;
		a.distance = signature_distance(syn);
		if (c->settings.labels != NULL)
			a.label =
			    labels_find(c->settings.labels, syn, &quality);
		a.quality = quality_of(quality);
		a.signature = signature;
		a.class = names_class(c->names, k->session.plan.class_id);
		a.rule = names_rule(c->names, k->session.plan.rule_id);
	}
	p0f_socket_answer(p->socket, &a);
}

static void
ask(void *ctx, const struct p0f_query *q)
{
	struct control *c = ctx;
	struct control_p0f *p = c->p0f;

	p->query = *q;
	p->is_asking = true;
	p->worker = 0;
	p->question.what = WORKER_ASK_EXPLAIN;
	p->question.client = q->client;
	p->question.next = 0;
	p->question.found = 0;
	p->question.known.id = 0;
	worker_ask(c->workers[0], WORKER_ASKER_P0F, &p->question);
}

void
control_watch_p0f(struct control *c)
{
	struct control_p0f *p = c->p0f;

	if (p == NULL || !p->is_asking ||
	    !atomic_exchange(&p->question.is_answered, false))
		return;
	if (p->question.is_end) {
		p->question.next = 0;
		p->worker++;
	}
	if (p->worker == c->workers_count)
		answer(c, p);
	else
		worker_ask(c->workers[p->worker], WORKER_ASKER_P0F,
			   &p->question);
}

int
control_open_p0f(struct control *c)
{
	const char *path = c->settings.config->p0f_socket;
	int rc;

	if (path[0] == '\0')
		return 0;
	c->p0f = calloc(1, sizeof(*c->p0f));
	if (c->p0f == NULL)
		return -ENOMEM;
	rc = p0f_socket_start(&c->p0f->socket, &c->loop, path, ask, c);
	if (rc == 0)
		log_say(LOG_LEVEL_INFO, "p0f socket %s", path);
	else /* Mail is worth more: without it all else goes on. */
		log_say(LOG_LEVEL_ERROR, "p0f.socket: %s: %s%s", path,
			uv_strerror(rc), socket_file_why(rc));
	return rc == -ENOMEM ? rc : 0;
}

void
control_close_p0f(struct control *c)
{
	if (c->p0f != NULL)
		p0f_socket_stop(c->p0f->socket);
	free(c->p0f);
	c->p0f = NULL;
}
