#include "proxy/memory/pins.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct pins {
	pthread_mutex_t lock;
	_Atomic size_t count; /* read without the lock: none is common */
	_Atomic uint32_t changes;
	struct pin all[PINS_CAP];
};

struct pins *
pins_new(void)
{
	struct pins *p = calloc(1, sizeof(*p));

	if (p != NULL)
		(void)pthread_mutex_init(&p->lock, NULL);
	return p;
}

void
pins_free(struct pins *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

bool
pin_read(struct pin *out, const char *text)
{
	const size_t len = strlen(text);
	const char *error;
	size_t error_at;

	if (len >= sizeof(out->who))
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(out->who, text, len + 1);
	out->is_net = net_parse(&out->net, text, len);
	if (out->is_net)
		return true;
	for (int level = 0; level < SIGNATURE_LEVELS; level++)
		if (signature_pattern_parse(&out->pattern,
					    (enum signature_level)level, text,
					    len, &error, &error_at))
			return true;
	return false;
}

/* Those whose time is over make room. */
static void
drop_over(struct pins *p, uint64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->count; i++)
		if (p->all[i].until_ms > now_ms)
			p->all[kept++] = p->all[i];
	p->count = kept;
}

static size_t
find_text(const struct pins *p, const char *who)
{
	size_t i = 0;

	while (i < p->count && strcmp(p->all[i].who, who) != 0)
		i++;
	return i;
}

bool
pins_set(struct pins *p, const struct pin *pin, uint64_t now_ms)
{
	size_t at;
	bool has_room;

	(void)pthread_mutex_lock(&p->lock);
	drop_over(p, now_ms);
	at = find_text(p, pin->who);
	has_room = at < PINS_CAP;
	if (has_room)
		p->all[at] = *pin;
	if (has_room && at == p->count)
		p->count++;
	p->changes += has_room;
	(void)pthread_mutex_unlock(&p->lock);
	return has_room;
}

bool
pins_unset(struct pins *p, const char *who, uint64_t now_ms)
{
	size_t at;
	bool is_there;

	(void)pthread_mutex_lock(&p->lock);
	drop_over(p, now_ms);
	at = find_text(p, who);
	is_there = at < p->count;
	if (is_there)
		p->all[at] = p->all[--p->count];
	p->changes += is_there;
	(void)pthread_mutex_unlock(&p->lock);
	return is_there;
}

uint32_t
pins_changes(const struct pins *p)
{
	return p->changes;
}

size_t
pins_list(struct pins *p, uint64_t now_ms, struct pin *out)
{
	size_t count;

	(void)pthread_mutex_lock(&p->lock);
	drop_over(p, now_ms);
	count = p->count;
	memcpy(out, p->all, count * sizeof(*out));
	(void)pthread_mutex_unlock(&p->lock);
	return count;
}

/* How near a pin is to its client: 0 not at all, 1 by a pattern, more by a
 * network, the smaller the more. */
static unsigned
nearness(const struct pin *pin, const struct addr *client,
	 const struct syn *syn)
{
	if (pin->is_net)
		return net_has(&pin->net, client) ? 2u + pin->net.bits : 0;
	return syn != NULL && signature_pattern_match(&pin->pattern, syn);
}

bool
pins_find(struct pins *p, const struct addr *client, const struct syn *syn,
	  uint64_t now_ms, enum reputation_standing *standing)
{
	unsigned best = 0;

	if (atomic_load_explicit(&p->count, memory_order_relaxed) == 0)
		return false;
	(void)pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->count; i++) {
		const struct pin *pin = &p->all[i];
		const unsigned near =
		    pin->until_ms > now_ms ? nearness(pin, client, syn) : 0;

		if (near > best) {
			best = near;
			*standing = pin->standing;
		}
	}
	(void)pthread_mutex_unlock(&p->lock);
	return best > 0;
}

void
pin_apply(struct reputation *r, enum reputation_standing standing)
{
	*r = (struct reputation){
	    .standing = (uint8_t)standing,
	    .number = standing == REPUTATION_GOOD ? 0 : 100,
	    .confidence = 100,
	    .level = LEDGER_ALL,
	    .is_proven = standing == REPUTATION_GOOD,
	    .is_pinned = true,
	};
}
