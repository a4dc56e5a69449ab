/*
 * The sessions that are held at this moment, for the dashboard: looked at
 * when somebody asks, and not more often than each few seconds. Who asks gets
 * what the last look saw, and how long ago that was.
 *
 * A worker is asked by one at a time: the verb `sessions` goes first.
 */
#include "proxy/daemon/control_state.h"

#include <stdlib.h>

#include "proxy/relay/worker_view.h"

#define LOOK_MS 1500u
#define LIVE_SHOWN 200u

struct control_live {
	bool is_looking;
	uint32_t worker;
	uint32_t held; /* seen so far, shown or not */
	json_t *next;  /* what this look saw so far */
	json_t *last;  /* what the last one saw, or NULL */
	uint32_t last_held;
	uint64_t last_ms;
	struct worker_view view;
};

struct control_live *
control_live_new(void)
{
	return calloc(1, sizeof(struct control_live));
}

void
control_live_free(struct control_live *live)
{
	if (live == NULL)
		return;
	json_decref(live->next);
	json_decref(live->last);
	free(live);
}

bool
control_live_is_looking(const struct control_live *live)
{
	return live != NULL && live->is_looking;
}

static void
give_up(struct control_live *live)
{
	json_decref(live->next);
	live->next = NULL;
	live->is_looking = false;
}

static void
note_rows(struct control *c, struct control_live *live)
{
	for (uint32_t i = 0; i < live->view.count; i++) {
		const struct worker_view_row *row = &live->view.rows[i];

		if (!row->is_held)
			continue;
		if (live->held++ < LIVE_SHOWN)
			json_array_append_new(
			    live->next,
			    control_session_json(c, live->worker, row));
	}
}

static void
finish(struct control *c, struct control_live *live)
{
	json_decref(live->last);
	live->last = live->next;
	live->next = NULL;
	live->last_held = live->held;
	live->last_ms = uv_now(&c->loop);
	live->is_looking = false;
}

void
control_live_looked(struct control *c)
{
	struct control_live *live = c->window.live;

	note_rows(c, live);
	if (live->view.is_end) {
		live->view.next = 0;
		live->worker++;
	}
	if (live->worker >= c->workers_count)
		finish(c, live);
	else if (c->sessions != NULL)
		give_up(live);
	else
		worker_look(c->workers[live->worker], &live->view);
}

static void
look(struct control *c, struct control_live *live)
{
	if (live->is_looking || c->sessions != NULL || c->workers_count == 0)
		return;
	if (live->last != NULL && uv_now(&c->loop) - live->last_ms < LOOK_MS)
		return;
	live->next = json_array();
	if (live->next == NULL)
		return;
	live->is_looking = true;
	live->worker = 0;
	live->held = 0;
	live->view.next = 0;
	atomic_store(&c->has_looked, false);
	worker_look(c->workers[0], &live->view);
}

json_t *
control_live_json(struct control *c)
{
	struct control_live *live = c->window.live;
	json_t *age = json_null();

	look(c, live);
	if (live->last != NULL)
		age = json_integer(
		    (json_int_t)(uv_now(&c->loop) - live->last_ms));
	return json_pack("{so si so}", "age_ms", age, "held",
			 (int)live->last_held, "sessions",
			 live->last != NULL ? json_incref(live->last)
					    : json_array());
}
