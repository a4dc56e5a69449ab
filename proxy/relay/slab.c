/*
 * Seats of one size. The list of free ones runs through their first bytes;
 * seats that were never used are not on it, or making it would touch them.
 */
#include "proxy/relay/slab.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SEAT_ALIGN 16
/* Of a free seat so many bytes may be looked at. */
#define SEAT_HEAD 16

/* For AddressSanitizer the rest of it is out of bounds. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

int
slab_init(struct slab *s, size_t seat_bytes, uint32_t cap)
{
	size_t bytes = (seat_bytes + SEAT_ALIGN - 1) / SEAT_ALIGN * SEAT_ALIGN;
	void *base;

	assert(seat_bytes >= sizeof(uint32_t));
	memset(s, 0, sizeof(*s));
	s->free_head = SLAB_NONE;
	if (cap == 0 || cap == SLAB_NONE || bytes > SIZE_MAX / cap)
		return -EINVAL;
	base = mmap(NULL, bytes * cap, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	s->base = base;
	s->seat_bytes = bytes;
	s->cap = cap;
	return 0;
}

void
slab_free(struct slab *s)
{
	if (s->base != NULL) {
		ASAN_UNPOISON_MEMORY_REGION(s->base, s->seat_bytes * s->cap);
		(void)munmap(s->base, s->seat_bytes * s->cap);
	}
	memset(s, 0, sizeof(*s));
	s->free_head = SLAB_NONE;
}

void *
slab_at(const struct slab *s, uint32_t index)
{
	assert(index < s->touched);
	return s->base + s->seat_bytes * index;
}

uint32_t
slab_index(const struct slab *s, const void *seat)
{
	size_t at = (size_t)((const unsigned char *)seat - s->base);

	assert(at % s->seat_bytes == 0 && at / s->seat_bytes < s->touched);
	return (uint32_t)(at / s->seat_bytes);
}

void *
slab_take(struct slab *s)
{
	void *seat;

	if (s->free_head != SLAB_NONE) {
		seat = slab_at(s, s->free_head);
		memcpy(&s->free_head, seat, sizeof(s->free_head));
	} else if (s->touched < s->cap) {
		s->touched++;
		seat = slab_at(s, s->touched - 1);
	} else {
		return NULL;
	}
	s->used++;
	ASAN_UNPOISON_MEMORY_REGION(seat, s->seat_bytes);
	return seat;
}

void
slab_give(struct slab *s, void *seat)
{
	uint32_t index = slab_index(s, seat);

	assert(s->used > 0);
	memcpy(seat, &s->free_head, sizeof(s->free_head));
	s->free_head = index;
	s->used--;
	if (s->seat_bytes > SEAT_HEAD)
		ASAN_POISON_MEMORY_REGION((unsigned char *)seat + SEAT_HEAD,
					  s->seat_bytes - SEAT_HEAD);
}
