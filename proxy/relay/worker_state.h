/*
 * A worker's inside, shared by the files of this room alone.
 */
#ifndef PROXY_RELAY_WORKER_STATE_H
#define PROXY_RELAY_WORKER_STATE_H

#include <stdatomic.h>
#include <uv.h>

#include "proxy/admin/metrics.h"
#include "proxy/config/config.h"
#include "proxy/relay/buffer.h"
#include "proxy/relay/conn.h"
#include "proxy/relay/container_of.h"
#include "proxy/relay/facts.h"
#include "proxy/relay/hello.h"
#include "proxy/relay/lead.h"
#include "proxy/relay/leg.h"
#include "proxy/relay/listener.h"
#include "proxy/relay/looks.h"
#include "proxy/relay/lookup.h"
#include "proxy/relay/poller.h"
#include "proxy/relay/slab.h"
#include "proxy/relay/sockaddr.h"
#include "proxy/relay/stream.h"
#include "proxy/relay/tls.h"
#include "proxy/relay/wheel.h"
#include "proxy/relay/worker.h"
#include "proxy/relay/worker_ask.h"
#include "tarry/crowd.h"
#include "tarry/ja4.h"
#include "tarry/syn_witness.h"

/* Buffers that reads leave alone, for words of ours. */
#define WORKER_BUFFERS_RESERVE 16
/* Ciphertext of one read, and of one write; a record fits. */
#define WORKER_TLS_IN_CAP 32768
#define WORKER_TLS_OUT_CAP 20480

/* What others want done; copied out once a wake-up. */
struct worker_mailbox {
	uint32_t wants; /* WANT_* of worker.c */
	bool mta_ready;
	bool mta_pipeconnect;
	bool mta_refuses_second_ehlo;
	char mta_name[SESSION_NAME_CAP];
	size_t mta_name_len;
	struct worker_rules rules;
	struct worker_view *view;			  /* to be filled */
	struct worker_question *questions[WORKER_ASKERS]; /* or NULL */
};

/* Written by the worker, read by anyone. */
struct worker_gauges {
	_Atomic uint32_t sessions;
	_Atomic uint32_t held;
	_Atomic uint32_t waiting;
	_Atomic uint32_t dials_failed;
	_Atomic uint32_t legs;
	_Atomic uint32_t buffers_used;
	_Atomic uint32_t lead_ms;
	_Atomic bool knows_mta; /* what worker_set_mta() last told */
	_Atomic bool is_paused;
	_Atomic bool is_stressed;
};

/* More sessions than that do not end in one turn. */
#define WORKER_RESTED_CAP 64

struct worker {
	struct worker_options options;
	uv_thread_t thread;
	uv_loop_t loop; /* of timer and async */
	struct poller poller;
	uv_async_t async;
	uv_timer_t timer;      /* the wheel's */
	uint64_t timer_ms;     /* when it fires; WHEEL_NEVER: not */
	uint64_t asleep_ms;    /* time that sessions did not live through */
	uint64_t overslept_ms; /* of it, what was not yet told them */

	struct listener *listeners;
	size_t listeners_count;
	uint32_t accepts; /* in this turn */

	struct slab conns;
	struct slab legs;
	/* Those of legs that have a socket and no connection. */
	struct leg_seat *rested[WORKER_RESTED_CAP];
	uint32_t rested_count;
	struct slab rings; /* of those who pipeline many commands */
	struct slab buffers;
	struct slab tls;     /* TLS sessions that end here */
	struct slab mta_tls; /* and their other half, if it is TLS */
	unsigned long mta_tls_error_told; /* OpenSSL's, plus 1; 0: none */
	struct slab syns;	   /* those that do not fit struct facts */
	struct slab lookups;	   /* the same */
	struct slab hellos;	   /* one a seat of conns, at its index */
	uint32_t buffers_for_legs; /* not for clients that talk early */
	struct crowd crowd;	   /* who waits for the MTA */
	struct crowd lingering;	   /* who was told 421 and has not gone */
	uint32_t lingering_count;
	uint32_t held;	  /* sessions that wait for a delay of ours */
	uint32_t waiting; /* sessions that wait at the gate */
	uint64_t next_id;
	struct syn_witness witness; /* which SYNs are spent */
	struct looks looks;

	struct site site;
	char name[SESSION_NAME_CAP];
	bool knows_mta_name;
	bool mta_ready;
	bool mta_refuses_second_ehlo;
	struct lead lead;
	struct addr mta_address; /* family 0: where the client was going */
	bool has_told_loop;

	bool has_handles;
	bool has_thread;
	bool is_draining;
	bool is_stopping;
	struct stress stress;
	bool is_replanning;
	uint32_t replan_next; /* seat */

	struct worker_gauges gauges;
	uv_mutex_t mailbox_lock;
	struct worker_mailbox mailbox;
	struct wheel wheel;
	struct orders orders;	   /* of the step that runs */
	struct plan plan;	   /* of the step that is under way */
	char ja4_raw[JA4_RAW_CAP]; /* of the evidence last gathered */
	/* What was read and is in no buffer yet: of one connection, within
	 * one callback. */
	size_t loose;
	enum side loose_side;
	bool end_follows; /* what was read are the MTA's last words */
	uint8_t read_buffer[BUFFER_READ_CAP];
	size_t tls_out_len;
	uint8_t tls_in[WORKER_TLS_IN_CAP];
	uint8_t tls_out[WORKER_TLS_OUT_CAP];
};

static inline struct worker *
worker_of(const struct conn *c)
{
	return c->listener->worker;
}

/* Now, as the times of a connection are kept: ms since it was opened. */
static inline uint32_t
conn_now(const struct conn *c)
{
	/* 49 days are enough. */
	return (uint32_t)(uv_now(&worker_of(c)->loop) - c->session.opened_ms);
}

/*
 * The time of a worker's sessions and of its wheel: the loop's, less what the
 * loop stood still, because the machine or the process did. No deadline
 * passes in such a time.
 */
static inline uint64_t
worker_now(const struct worker *w)
{
	return uv_now(&w->loop) - w->asleep_ms;
}

/* For conn.c and leg.c. */
void worker_conn_freed(struct worker *w);
void worker_set_lead(struct worker *w, uint32_t lead_ms);

/* For listener.c: there was no seat; goes on when one is freed. */
void worker_paused(struct worker *w);

/* Every session is planned again, some in each turn. */
void worker_plan_again(struct worker *w);

/* Another turn before the next wait. */
void worker_want_turn(struct worker *w);

/* Every session hears it. */
void worker_tell_all(struct worker *w, enum event_kind kind);

/* A deadline was set: the wheel's timer fires by then. */
void worker_arm(struct worker *w, uint64_t deadline_ms);

#endif
