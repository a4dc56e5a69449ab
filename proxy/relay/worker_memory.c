/*
 * How much of everything, and what it comes to.
 *
 * A leg seat is in use until its handle's close callback, one turn longer
 * than its MTA slot: hence some more seats than slots. Each session with the
 * MTA may have something pending in both directions, and is sure of it;
 * clients that talk early share a bounded number of buffers, and wait unread
 * when those are used up.
 */
#include "proxy/relay/worker_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proxy/daemon/log.h"
#include "proxy/relay/shortage.h"
#include "proxy/relay/worker_state.h"

#define LEGS_SPARE 16
#define RING_BYTES (SESSION_REPLIES_CAP * sizeof(struct pending))
#define EARLY_BUFFERS_MAX 1024
/* What OpenSSL takes for a session that waits, measured; for the print. */
#define TLS_LIBRARY_BYTES 16384

struct pools {
	uint32_t seats;
	uint32_t legs;
	uint32_t for_legs; /* of the buffers */
	uint32_t buffers;
	uint32_t tls;
};

static struct pools
pools_of(const struct worker_options *o)
{
	uint32_t slots = o->rules.config->mta.max_connections;
	uint32_t early =
	    o->seats < EARLY_BUFFERS_MAX ? o->seats : EARLY_BUFFERS_MAX;

	const struct config *config = o->rules.config;
	uint32_t tls =
	    (config->tls.max_sessions + config->workers - 1) / config->workers;

	return (struct pools){
	    .seats = shortage_seats(o->seats),
	    .legs = 2 * slots + LEGS_SPARE,
	    .for_legs = 2 * slots,
	    .buffers = 2 * slots + early + WORKER_BUFFERS_RESERVE,
	    /* A seat is given back a turn later than its session. */
	    .tls = tls,
	};
}

static int
take_slabs(struct worker *w)
{
	struct pools p = pools_of(&w->options);
	int error = slab_init(&w->conns, sizeof(struct conn), p.seats);
	struct crowd_link *links = calloc(p.seats, sizeof(*links));

	if (links == NULL)
		return -ENOMEM;
	crowd_init(&w->crowd, links, w->options.seats);
	crowd_init(&w->lingering, links, w->options.seats);
	w->buffers_for_legs = p.for_legs;
	if (error == 0)
		error = slab_init(&w->legs, sizeof(struct leg_seat), p.legs);
	if (error == 0)
		error = slab_init(&w->rings, RING_BYTES, p.legs);
	if (error == 0)
		error =
		    slab_init(&w->buffers, sizeof(struct buffer), p.buffers);
	if (error == 0)
		error = slab_init(&w->tls, tls_size(), p.tls);
	if (error == 0)
		error = slab_init(&w->mta_tls, tls_size(), p.tls);
	/* As many as sessions: most are never touched. */
	if (error == 0)
		error = slab_init(&w->syns, SYN_RAW_CAP, p.seats);
	if (error == 0)
		error =
		    slab_init(&w->hellos, sizeof(struct hello_seat), p.seats);
	if (error == 0)
		error =
		    slab_init(&w->lookups, sizeof(struct lookup_seat), p.seats);
	return error;
}

static size_t
count_addresses(const struct config *config)
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < config->listeners_count; i++)
		n += config->listeners[i].addresses_count;
	return n;
}

static void
free_memory(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->listeners_count; i++)
		listener_free(&w->listeners[i]);
	free(w->listeners);
	free(w->crowd.links);
	slab_free(&w->conns);
	slab_free(&w->legs);
	slab_free(&w->rings);
	slab_free(&w->buffers);
	slab_free(&w->tls);
	slab_free(&w->mta_tls);
	slab_free(&w->syns);
	slab_free(&w->hellos);
	slab_free(&w->lookups);
	free(w);
}

static int
take_rest(struct worker *w)
{
	uint64_t seed;
	int error;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -EIO;
	syn_witness_init(&w->witness, seed, uv_hrtime());
	w->listeners = calloc(count_addresses(w->options.rules.config),
			      sizeof(*w->listeners));
	if (w->listeners == NULL)
		return -ENOMEM;
	error = take_slabs(w);
	if (error != 0)
		return error;
	error = uv_mutex_init(&w->mailbox_lock);
	if (error != 0)
		return error;
	error = uv_loop_init(&w->loop);
	if (error != 0)
		uv_mutex_destroy(&w->mailbox_lock);
	return error;
}

int
worker_memory_take(struct worker **out, const struct worker_options *options)
{
	struct worker *w = calloc(1, sizeof(*w));
	int error;

	*out = NULL;
	if (w == NULL)
		return -ENOMEM;
	w->poller.fd = -1;
	w->options = *options;
	/* Worker and number: no two sessions of a daemon have the same id. */
	w->next_id = ((uint64_t)options->id << 48) + 1;
	error = take_rest(w);
	if (error != 0) {
		free_memory(w);
		return error;
	}
	*out = w;
	return 0;
}

/* Every seat is given back by then, or some path out forgot one. */
static void
check_slab(const struct slab *s, const char *what)
{
	if (s->used > 0)
		log_say(LOG_LEVEL_ERROR,
			"broken invariant: %u %s not given back, please "
			"report it",
			(unsigned)s->used, what);
}

/* All sessions are over: whatever is still in use now was lost. */
static void
say_lost(const struct slab *s, const char *what)
{
	if (s->used > 0)
		log_say(LOG_LEVEL_ERROR,
			"%u of the %s seats were not given back, please "
			"report it",
			(unsigned)s->used, what);
}

void
worker_memory_give(struct worker *w)
{
	say_lost(&w->conns, "session");
	say_lost(&w->legs, "mta");
	say_lost(&w->rings, "ring");
	say_lost(&w->buffers, "buffer");
	say_lost(&w->tls, "TLS");
	say_lost(&w->mta_tls, "TLS to the MTA");
	say_lost(&w->syns, "syn");
	check_slab(&w->conns, "sessions");
	check_slab(&w->legs, "MTA connections");
	check_slab(&w->rings, "rings");
	check_slab(&w->buffers, "buffers");
	check_slab(&w->tls, "TLS sessions");
	check_slab(&w->mta_tls, "TLS sessions with the MTA");
	check_slab(&w->syns, "long SYNs");
	poller_close(&w->poller);
	(void)uv_loop_close(&w->loop);
	uv_mutex_destroy(&w->mailbox_lock);
	free_memory(w);
}

void
worker_counters(const struct worker *w, struct worker_counters *out)
{
	const struct worker_gauges *g = &w->gauges;

	*out = (struct worker_counters){
	    .seats = w->conns.cap,
	    .sessions = atomic_load(&g->sessions),
	    .held = atomic_load(&g->held),
	    .waiting = atomic_load(&g->waiting),
	    .dials_failed = atomic_load(&g->dials_failed),
	    .legs = atomic_load(&g->legs),
	    .buffers = w->buffers.cap,
	    .buffers_used = atomic_load(&g->buffers_used),
	    .lead_ms = atomic_load(&g->lead_ms),
	    .knows_mta = atomic_load(&g->knows_mta),
	    .is_paused = atomic_load(&g->is_paused),
	    .is_stressed = atomic_load(&g->is_stressed),
	};
}

static void
print_pool(FILE *out, const char *what, size_t bytes, uint32_t count)
{
	fprintf(out, "%-8s %8zu bytes x %7u = %8.1f MiB at most\n", what, bytes,
		(unsigned)count,
		(double)bytes * (double)count / (1024.0 * 1024.0));
}

void
worker_print_sizes(const struct worker_options *options, FILE *out)
{
	struct pools p = pools_of(options);

	print_pool(out, "session", sizeof(struct conn), p.seats);
	print_pool(out, "crowd", sizeof(struct crowd_link), p.seats);
	print_pool(out, "mta", sizeof(struct leg_seat), p.legs);
	print_pool(out, "ring", RING_BYTES, p.legs);
	print_pool(out, "buffer", sizeof(struct buffer), p.buffers);
	if (options->rules.tls != NULL)
		print_pool(out, "tls", tls_size() + TLS_LIBRARY_BYTES, p.tls);
	if (options->rules.config->mta.tls != CONFIG_MTA_CLEAR)
		print_pool(out, "mta tls", tls_size() + TLS_LIBRARY_BYTES,
			   p.tls);
	print_pool(out, "syn", SYN_RAW_CAP, p.seats);
	print_pool(out, "lookup", sizeof(struct lookup_seat), p.seats);
	print_pool(out, "hello", sizeof(struct hello_seat), p.seats);
	print_pool(out, "worker", sizeof(struct worker), 1);
}
