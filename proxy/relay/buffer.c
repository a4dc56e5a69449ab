/*
 * One flat piece of memory and four lengths, not a ring: the observer reads
 * in place and wants its bytes in one piece, and a write wants one vector.
 * Bytes move only when the tail runs out or words of ours come between.
 */
#include "proxy/relay/buffer.h"

#include <assert.h>
#include <string.h>

#include "tarry/session.h"

/* Moving to the front is put off until the tail is this short. */
#define TAIL_LOW 16384

static uint32_t
total(const struct buffer *b)
{
	return b->released + b->held + b->unused;
}

void
buffer_init(struct buffer *b)
{
	b->start = 0;
	b->released = 0;
	b->held = 0;
	b->unused = 0;
	b->fresh = 0;
}

/* Moves all to the front. */
static void
compact(struct buffer *b)
{
	if (b->start == 0)
		return;
	memmove(b->data, b->data + b->start, total(b));
	b->start = 0;
}

static size_t
tail_room(const struct buffer *b)
{
	uint32_t end = b->start + total(b);

	return end < BUFFER_READ_CAP ? BUFFER_READ_CAP - end : 0;
}

static bool
is_worth_moving(const struct buffer *b)
{
	return tail_room(b) < TAIL_LOW;
}

size_t
buffer_room(const struct buffer *b)
{
	uint32_t used = total(b);

	if (!is_worth_moving(b))
		return tail_room(b);
	return used < BUFFER_READ_CAP ? BUFFER_READ_CAP - used : 0;
}

uint8_t *
buffer_tail(struct buffer *b)
{
	if (is_worth_moving(b))
		compact(b);
	return b->data + b->start + total(b);
}

void
buffer_arrived(struct buffer *b, size_t n)
{
	assert(n <= tail_room(b));
	b->unused += (uint32_t)n; /* <= BUFFER_READ_CAP */
}

const uint8_t *
buffer_unused(const struct buffer *b)
{
	return b->data + b->start + b->released + b->held;
}

bool
buffer_use(struct buffer *b, size_t n)
{
	if (n > b->unused)
		return false;
	b->unused -= (uint32_t)n; /* n <= unused */
	b->held += (uint32_t)n;
	return true;
}

bool
buffer_drop(struct buffer *b, size_t n)
{
	uint8_t *at = b->data + b->start + b->released;

	if (n > b->held)
		return false;
	b->held -= (uint32_t)n; /* n <= held */
	if (b->released == 0)
		b->start += (uint32_t)n;
	else
		memmove(at, at + n, b->held + b->unused);
	return true;
}

bool
buffer_release(struct buffer *b, size_t n)
{
	if (n > b->held)
		return false;
	b->held -= (uint32_t)n; /* n <= held */
	b->released += (uint32_t)n;
	return true;
}

bool
buffer_say(struct buffer *b, const char *words, size_t n)
{
	uint8_t *at;

	if (n > sizeof(b->data) - total(b))
		return false;
	if (b->start + total(b) + n > sizeof(b->data))
		compact(b);
	at = b->data + b->start + b->released;
	memmove(at + n, at, b->held + b->unused);
	memcpy(at, words, n);
	b->released += (uint32_t)n; /* <= sizeof(data) */
	return true;
}

const uint8_t *
buffer_out(const struct buffer *b, size_t *len)
{
	*len = b->released;
	return b->data + b->start;
}

void
buffer_written(struct buffer *b, size_t n)
{
	assert(n <= b->released);
	b->start += (uint32_t)n; /* <= released */
	b->released -= (uint32_t)n;
	if (total(b) == 0)
		b->start = 0;
}

bool
buffer_edit(struct buffer *b, const struct session_edit *e)
{
	uint8_t *at;
	size_t rest;

	if (e->at > b->unused || e->cut > b->unused - e->at)
		return false;
	if (b->start + total(b) + e->len > sizeof(b->data))
		compact(b);
	if (b->start + total(b) + e->len > sizeof(b->data))
		return false;
	at = b->data + b->start + b->released + b->held + e->at;
	rest = b->unused - e->at - e->cut;
	memmove(at + e->len, at + e->cut, rest);
	memcpy(at, e->text, e->len);
	b->unused += (uint32_t)e->len - e->cut; /* fits, see above */
	return true;
}

void
buffer_forget_unused(struct buffer *b)
{
	b->unused = 0;
	b->fresh = 0;
}

void
buffer_forget_rest(struct buffer *b)
{
	b->held = 0;
	b->unused = 0;
	b->fresh = 0;
}

void
buffer_forget_released(struct buffer *b)
{
	b->start += b->released;
	b->released = 0;
}

bool
buffer_is_empty(const struct buffer *b)
{
	return total(b) == 0;
}
