/*
 * A slot moves: free -> granted -> holding -> free, or straight to the oldest
 * waiter. A semaphore would do for counting, but not for leaving the queue in
 * its middle or for order across workers. The wake-up is made under the lock,
 * so that none comes after gate_join() has taken the function away.
 */
#include "proxy/relay/gate.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct list {
	struct gate_waiter *head;
	struct gate_waiter *tail;
};

struct member {
	gate_wake_fn *wake;
	void *ctx;
	struct list granted;
};

struct gate {
	pthread_mutex_t lock;
	uint32_t slots;
	uint32_t used; /* granted ones too */
	uint32_t waiting;
	struct list queue;
	struct member workers[GATE_WORKERS_CAP];
};

static void
list_append(struct list *l, struct gate_waiter *w)
{
	w->next = NULL;
	w->prev = l->tail;
	if (l->tail != NULL)
		l->tail->next = w;
	else
		l->head = w;
	l->tail = w;
}

static void
list_remove(struct list *l, struct gate_waiter *w)
{
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		l->head = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	else
		l->tail = w->prev;
	w->next = NULL;
	w->prev = NULL;
}

/* Gives a free slot to the oldest waiter. */
static void
grant_next(struct gate *g)
{
	struct gate_waiter *w = g->queue.head;
	struct member *m;

	if (w == NULL || g->used >= g->slots)
		return;
	m = &g->workers[w->worker];
	list_remove(&g->queue, w);
	g->waiting--;
	g->used++;
	w->state = GATE_GRANTED;
	list_append(&m->granted, w);
	if (m->wake != NULL)
		m->wake(m->ctx);
}

struct gate *
gate_new(uint32_t slots)
{
	struct gate *g = calloc(1, sizeof(*g));

	assert(slots > 0);
	if (g == NULL)
		return NULL;
	if (pthread_mutex_init(&g->lock, NULL) != 0) {
		free(g);
		return NULL;
	}
	g->slots = slots;
	return g;
}

void
gate_free(struct gate *g)
{
	if (g == NULL)
		return;
	assert(g->used == 0 && g->waiting == 0);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void
gate_join(struct gate *g, uint32_t worker, gate_wake_fn *wake, void *ctx)
{
	assert(worker < GATE_WORKERS_CAP);
	pthread_mutex_lock(&g->lock);
	g->workers[worker].wake = wake;
	g->workers[worker].ctx = ctx;
	pthread_mutex_unlock(&g->lock);
}

bool
gate_ask(struct gate *g, struct gate_waiter *w, uint32_t worker)
{
	bool holding;

	assert(w->state == GATE_OUT && worker < GATE_WORKERS_CAP);
	w->worker = (uint16_t)worker; /* < GATE_WORKERS_CAP */
	pthread_mutex_lock(&g->lock);
	/* Nobody waits while a slot is free: gate_leave() sees to that. */
	holding = g->used < g->slots;
	if (holding) {
		g->used++;
		w->state = GATE_HOLDING;
	} else {
		g->waiting++;
		w->state = GATE_WAITING;
		list_append(&g->queue, w);
	}
	pthread_mutex_unlock(&g->lock);
	return holding;
}

void
gate_leave(struct gate *g, struct gate_waiter *w)
{
	pthread_mutex_lock(&g->lock);
	switch ((enum gate_state)w->state) {
	case GATE_OUT:
		break;
	case GATE_WAITING:
		list_remove(&g->queue, w);
		g->waiting--;
		break;
	case GATE_GRANTED:
		list_remove(&g->workers[w->worker].granted, w);
		g->used--;
		break;
	case GATE_HOLDING:
		g->used--;
		break;
	}
	w->state = GATE_OUT;
	grant_next(g);
	pthread_mutex_unlock(&g->lock);
}

struct gate_waiter *
gate_take_granted(struct gate *g, uint32_t worker)
{
	struct list *l = &g->workers[worker].granted;
	struct gate_waiter *w;

	pthread_mutex_lock(&g->lock);
	w = l->head;
	if (w != NULL) {
		list_remove(l, w);
		w->state = GATE_HOLDING;
	}
	pthread_mutex_unlock(&g->lock);
	return w;
}

void
gate_counts(struct gate *g, uint32_t *used, uint32_t *waiting)
{
	pthread_mutex_lock(&g->lock);
	*used = g->used;
	*waiting = g->waiting;
	pthread_mutex_unlock(&g->lock);
}
