#include "proxy/relay/worker_view.h"

#include "proxy/relay/worker_state.h"

static void
fill_row(const struct worker *w, const struct conn *c,
	 struct worker_view_row *row)
{
	const struct session *s = &c->session;

	*row = (struct worker_view_row){
	    .id = c->id,
	    .client = s->client,
	    .age_ms = worker_now(w) - s->opened_ms,
	    .held_ms = s->counts.held_ms,
	    .class_id = s->plan.class_id,
	    .rule_id = s->plan.rule_id,
	    .phase = (enum session_phase)s->phase,
	    .is_held = session_is_held(s),
	    .mode = plan_mode_name(&s->plan),
	    .is_early = s->is_early,
	    .is_pipelining = s->is_pipelining,
	    .is_non_smtp = s->is_non_smtp,
	    .is_bare_newline = s->is_bare_newline,
	    .dialect = s->dialect,
	};
}

void
worker_view_fill(struct worker *w, struct worker_view *view)
{
	uint32_t end = w->conns.touched;

	if (view->next < end && end - view->next > WORKER_VIEW_SEATS)
		end = view->next + WORKER_VIEW_SEATS;
	view->count = 0;
	for (; view->next < end; view->next++) {
		const struct conn *c = slab_at(&w->conns, view->next);

		if (c->listener != NULL && !c->is_ending)
			fill_row(w, c, &view->rows[view->count++]);
	}
	view->is_end = view->next >= w->conns.touched;
}
