#include "proxy/evidence/dns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proxy/evidence/dns_channel.h"
#include "tarry/evidence.h"

#define SETS 4096u
#define WAYS 8u
#define WAITERS 32768u
#define NONE UINT32_MAX
#define TICK_MS 100u
#define TOPICS (CONFIG_LISTS_CAP + 1)
#define TOPIC_PTR CONFIG_LISTS_CAP

#define FAILS_MANY 8u
#define FAILS_FLIGHTS 4u

#define TTL_MIN_S 60u
#define TTL_MAX_S 3600u
#define TTL_NOT_THERE_S 300u
#define TTL_FAILED_S 30u

enum state { FREE, WAITING, FLYING, DONE };

/* What is asked, or was said, of one address. */
struct entry {
	struct addr client;
	uint8_t topic;
	uint8_t state;
	uint8_t kind;		  /* enum dns_kind, if DONE */
	uint32_t waiters;	  /* first of them */
	uint32_t next;		  /* in its topic's queue */
	uint64_t until_ms;	  /* WAITING: when it is too late; DONE: kept */
	char pool[POOL_TEXT_CAP]; /* if DONE; "": none */
};

struct waiter {
	struct name_asker who;
	uint32_t worker;
	uint32_t next;
};

/* A list, or the names. */
struct topic {
	uint32_t head; /* of the queue of those WAITING */
	uint32_t tail;
	uint32_t flying;
	uint32_t fails; /* in a row */
	bool is_blocked;
};

struct dns {
	struct dns_options options;
	uv_loop_t *loop;
	uv_async_t async;
	uv_timer_t tick;
	unsigned open_handles;
	struct dns_channel *channel; /* NULL: nobody is asked */
	const struct config_dns *settings;
	uint32_t epoch;
	uint64_t seed;
	struct entry *entries; /* SETS * WAYS, or NULL */
	struct waiter *waiters;
	struct pools *pools;
	uint32_t free_waiter;
	uint32_t next_topic; /* whose turn it is */
	bool is_launching;
	struct topic topics[TOPICS];
	struct dns_counts counts;
};

static const char *
topic_name(const struct dns *d, uint32_t topic)
{
	return topic == TOPIC_PTR ? "ptr" : d->settings->lists[topic].name;
}

__attribute__((format(printf, 2, 3))) static void
say(const struct dns *d, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->options.say(d->options.ctx, text);
}

/* Tells the log when a list begins and ceases to be of use. */
static void
note_health(struct dns *d, uint32_t topic, enum dns_kind kind)
{
	struct topic *t = &d->topics[topic];
	bool has_failed = kind == DNS_TIMEOUT || kind == DNS_FAILED;

	if (!has_failed && t->fails >= FAILS_MANY)
		say(d, "dns: %s: answers again", topic_name(d, topic));
	t->fails = has_failed ? t->fails + 1 : 0;
	if (t->fails == FAILS_MANY)
		say(d,
		    "dns: %s: no answer %u times in a row; asked less "
		    "until there is one",
		    topic_name(d, topic), FAILS_MANY);
	if (kind == DNS_BLOCKED && !t->is_blocked)
		say(d,
		    "dns: %s: the list does not serve this resolver; ask it "
		    "by a resolver of your own, or with its key",
		    topic_name(d, topic));
	if (kind == DNS_BLOCKED || kind == DNS_LISTED)
		t->is_blocked = kind == DNS_BLOCKED;
}

/* What a session is told; false: nothing. */
static bool
value_of(const struct dns *d, const struct entry *e, uint8_t *value)
{
	switch ((enum dns_kind)e->kind) {
	case DNS_LISTED:
		*value = d->settings->lists[e->topic].weight;
		return true;
	case DNS_CLEAR:
		*value = 0;
		return true;
	case DNS_CONFIRMED:
		*value = EVIDENCE_PTR_CONFIRMED;
		return true;
	case DNS_UNCONFIRMED:
		*value = EVIDENCE_PTR_UNCONFIRMED;
		return true;
	case DNS_NONE:
		*value = EVIDENCE_PTR_NONE;
		return true;
	case DNS_BLOCKED:
	case DNS_ODD:
	case DNS_FAILED:
	case DNS_TIMEOUT:
	case DNS_KINDS:
		break;
	}
	return false;
}

static void
answer(struct dns *d, const struct entry *e, uint32_t worker,
       const struct name_asker *who)
{
	struct name_answer a = {.who = *who, .list = e->topic};

	if (e->topic == TOPIC_PTR)
		a.list = NAME_PTR;
	memcpy(a.pool, e->pool, sizeof(a.pool));
	if (value_of(d, e, &a.value) &&
	    name_feed_answer(&d->options.feeds[worker], &a))
		d->options.wake(d->options.ctx, worker);
}

static void
let_waiters_go(struct dns *d, struct entry *e, bool is_answered)
{
	while (e->waiters != NONE) {
		struct waiter *w = &d->waiters[e->waiters];
		uint32_t next = w->next;

		if (is_answered)
			answer(d, e, w->worker, &w->who);
		w->next = d->free_waiter;
		d->free_waiter = e->waiters;
		e->waiters = next;
	}
}

static void
add_waiter(struct dns *d, struct entry *e, uint32_t worker,
	   const struct name_asker *who)
{
	uint32_t i = d->free_waiter;

	if (i == NONE) {
		d->counts.crowded++;
		return;
	}
	d->free_waiter = d->waiters[i].next;
	d->waiters[i] =
	    (struct waiter){.who = *who, .worker = worker, .next = e->waiters};
	e->waiters = i;
}

static uint32_t
kept_s(enum dns_kind kind, uint32_t ttl_s)
{
	if (kind == DNS_LISTED || kind == DNS_CONFIRMED) {
		if (ttl_s < TTL_MIN_S)
			return TTL_MIN_S;
		return ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S;
	}
	if (kind == DNS_CLEAR || kind == DNS_UNCONFIRMED || kind == DNS_NONE)
		return TTL_NOT_THERE_S;
	return TTL_FAILED_S;
}

/* The entry of the topic that waits longest, taken out of the queue. */
static struct entry *
pop(struct dns *d, struct topic *t)
{
	struct entry *e = &d->entries[t->head];

	t->head = e->next;
	if (t->head == NONE)
		t->tail = NONE;
	d->counts.waiting--;
	return e;
}

static void
push(struct dns *d, struct topic *t, struct entry *e)
{
	uint32_t i = (uint32_t)(e - d->entries); /* < SETS * WAYS */

	e->next = NONE;
	if (t->tail == NONE)
		t->head = i;
	else
		d->entries[t->tail].next = i;
	t->tail = i;
	d->counts.waiting++;
}

/* It waited too long: nobody is told, and the next one may ask. */
static void
expire(struct dns *d, struct topic *t)
{
	struct entry *e = pop(d, t);

	let_waiters_go(d, e, false);
	e->state = FREE;
	d->counts.late++;
}

static bool
may_fly(const struct topic *t)
{
	uint32_t limit = t->fails >= FAILS_MANY ? FAILS_FLIGHTS : DNS_FLIGHTS;

	return t->head != NONE && t->flying < limit;
}

/* The next topic in turn that has a question; or NULL. */
static struct topic *
find_turn(struct dns *d)
{
	for (uint32_t i = 0; i < TOPICS; i++) {
		struct topic *t = &d->topics[d->next_topic];

		d->next_topic = (d->next_topic + 1) % TOPICS;
		while (t->head != NONE &&
		       d->entries[t->head].until_ms < uv_now(d->loop))
			expire(d, t);
		if (may_fly(t))
			return t;
	}
	return NULL;
}

static void
launch(struct dns *d)
{
	if (d->is_launching)
		return;
	d->is_launching = true;
	while (dns_channel_flying(d->channel) < DNS_FLIGHTS) {
		struct topic *t = find_turn(d);
		struct entry *e;

		if (t == NULL)
			break;
		e = pop(d, t);
		e->state = FLYING;
		t->flying++;
		dns_channel_ask(
		    d->channel, (uint32_t)(e - d->entries), &e->client,
		    e->topic == TOPIC_PTR ? NULL
					  : &d->settings->lists[e->topic]);
	}
	d->is_launching = false;
}

static void
on_done(void *ctx, uint32_t tag, const struct dns_result *result)
{
	struct dns *d = ctx;
	struct entry *e = &d->entries[tag];

	d->topics[e->topic].flying--;
	d->counts.kinds[result->kind]++;
	d->options.took(d->options.ctx, result->took_ms);
	note_health(d, e->topic, result->kind);
	e->state = DONE;
	e->kind = (uint8_t)result->kind; /* a small enum */
	e->until_ms = uv_now(d->loop) +
		      1000 * (uint64_t)kept_s(result->kind, result->ttl_s);
	if (result->name != NULL)
		(void)pools_find(d->pools, &e->client, result->name, e->pool);
	let_waiters_go(d, e, true);
	launch(d);
}

static bool
is_of(const struct entry *e, uint8_t topic, const struct addr *a)
{
	return e->state != FREE && e->topic == topic &&
	       addr_same_ip(&e->client, a);
}

/* True if `a` can be given up rather than `b`, which may be NULL. */
static bool
is_cheaper(const struct entry *a, const struct entry *b)
{
	if (a->state != FREE && a->state != DONE)
		return false;
	if (b == NULL || b->state == FREE)
		return b == NULL;
	return a->state == FREE || a->until_ms < b->until_ms;
}

/* The entry of that address, or room for it; or NULL. */
static struct entry *
find(struct dns *d, uint8_t topic, const struct addr *a, bool *is_there)
{
	uint64_t hash =
	    XXH3_64bits_withSeed(a->ip, sizeof(a->ip), d->seed + topic);
	struct entry *set = &d->entries[hash % SETS * WAYS];
	struct entry *room = NULL;

	*is_there = false;
	for (size_t i = 0; i < WAYS; i++) {
		if (is_of(&set[i], topic, a)) {
			*is_there = true;
			return &set[i];
		}
		if (is_cheaper(&set[i], room))
			room = &set[i];
	}
	return room;
}

static void
begin(struct dns *d, struct entry *e, uint8_t topic, const struct addr *a)
{
	*e = (struct entry){
	    .client = *a,
	    .topic = topic,
	    .state = WAITING,
	    .waiters = NONE,
	    .until_ms = uv_now(d->loop) + d->settings->timeout_ms,
	};
	push(d, &d->topics[topic], e);
}

static void
look(struct dns *d, uint32_t worker, const struct name_ask *ask, uint8_t topic)
{
	bool is_there;
	struct entry *e = find(d, topic, &ask->client, &is_there);

	if (e == NULL) {
		d->counts.crowded++;
		return;
	}
	if (is_there && e->state == DONE && uv_now(d->loop) < e->until_ms) {
		d->counts.hits++;
		answer(d, e, worker, &ask->who);
		return;
	}
	if (is_there && e->state != DONE)
		d->counts.joined++;
	else
		begin(d, e, topic, &ask->client);
	add_waiter(d, e, worker, &ask->who);
}

static void
take_ask(struct dns *d, uint32_t worker, const struct name_ask *ask)
{
	if (d->channel == NULL || ask->who.epoch != d->epoch)
		return;
	for (uint8_t i = 0; i < d->settings->lists_count; i++)
		look(d, worker, ask, i);
	if (d->settings->has_ptr)
		look(d, worker, ask, TOPIC_PTR);
}

static void
on_tick(uv_timer_t *tick)
{
	struct dns *d = tick->data;

	if (d->channel != NULL) {
		dns_channel_tick(d->channel);
		launch(d);
	}
	if (d->channel == NULL ||
	    (d->counts.waiting == 0 && dns_channel_flying(d->channel) == 0))
		(void)uv_timer_stop(tick);
}

static void
on_asks(uv_async_t *async)
{
	struct dns *d = async->data;
	struct name_ask ask;

	for (uint32_t i = 0; i < d->options.feeds_count; i++) {
		while (name_feed_take_ask(&d->options.feeds[i], &ask))
			take_ask(d, i, &ask);
	}
	if (d->channel == NULL)
		return;
	launch(d);
	if (!uv_is_active((uv_handle_t *)&d->tick))
		(void)uv_timer_start(&d->tick, on_tick, TICK_MS, TICK_MS);
}

int
dns_open(struct dns **out, uv_loop_t *loop, const struct dns_options *options)
{
	struct dns *d = calloc(1, sizeof(*d));
	int rc;

	*out = NULL;
	if (d == NULL)
		return -ENOMEM;
	d->options = *options;
	d->loop = loop;
	if (getrandom(&d->seed, sizeof(d->seed), 0) !=
	    (ssize_t)sizeof(d->seed)) {
		free(d);
		return -EIO;
	}
	rc = uv_async_init(loop, &d->async, on_asks);
	if (rc != 0) {
		free(d);
		return rc;
	}
	d->async.data = d;
	(void)uv_timer_init(loop, &d->tick); /* cannot fail */
	d->tick.data = d;
	d->open_handles = 2;
	*out = d;
	return 0;
}

static int
take_memory(struct dns *d)
{
	if (d->entries == NULL)
		d->entries = calloc(SETS * WAYS, sizeof(*d->entries));
	if (d->waiters == NULL)
		d->waiters = calloc(WAITERS, sizeof(*d->waiters));
	if (d->pools == NULL)
		d->pools = pools_open();
	return d->entries != NULL && d->waiters != NULL ? 0 : -ENOMEM;
}

static void
forget_all(struct dns *d)
{
	for (size_t i = 0; i < SETS * WAYS; i++)
		d->entries[i].state = FREE;
	for (uint32_t i = 0; i < WAITERS; i++)
		d->waiters[i].next = i + 1 < WAITERS ? i + 1 : NONE;
	d->free_waiter = 0;
	d->counts.waiting = 0;
	for (size_t i = 0; i < TOPICS; i++)
		d->topics[i] = (struct topic){.head = NONE, .tail = NONE};
}

int
dns_set(struct dns *d, const struct config_dns *dns, uint32_t epoch)
{
	const struct dns_channel_options options = {
	    .dns = dns, .done = on_done, .ctx = d};
	int rc;

	if (d->channel != NULL)
		d->counts.sent += dns_channel_sent(d->channel);
	dns_channel_close(d->channel);
	d->channel = NULL;
	d->settings = dns;
	d->epoch = epoch;
	if (dns->lists_count == 0 && !dns->has_ptr)
		return 0;
	rc = take_memory(d);
	if (rc != 0)
		return rc;
	forget_all(d);
	return dns_channel_open(&d->channel, d->loop, &options);
}

void
dns_wake(struct dns *d)
{
	(void)uv_async_send(&d->async);
}

static void
on_closed(uv_handle_t *handle)
{
	struct dns *d = handle->data;

	if (--d->open_handles > 0)
		return;
	free(d->entries);
	free(d->waiters);
	pools_close(d->pools);
	free(d);
}

void
dns_close(struct dns *d)
{
	if (d == NULL)
		return;
	dns_channel_close(d->channel);
	d->channel = NULL;
	uv_close((uv_handle_t *)&d->async, on_closed);
	uv_close((uv_handle_t *)&d->tick, on_closed);
}

void
dns_count(const struct dns *d, struct dns_counts *out)
{
	*out = (struct dns_counts){0};
	if (d == NULL)
		return;
	*out = d->counts;
	if (d->channel == NULL)
		return;
	out->sent += dns_channel_sent(d->channel);
	out->flying = dns_channel_flying(d->channel);
}
