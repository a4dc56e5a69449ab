/*
 * A slab: a fixed number of seats of one size, taken at start.
 *
 * The memory is mapped and not touched, so that seats which were never used
 * cost nothing. The seat freed last is taken next, which keeps what is in use
 * warm. One thread.
 */
#ifndef PROXY_RELAY_SLAB_H
#define PROXY_RELAY_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_NONE UINT32_MAX

/* Embedded by the owner; the fields are the slab's. */
struct slab {
	unsigned char *base;
	size_t seat_bytes;
	uint32_t cap;
	uint32_t touched; /* seats from here on were never used */
	uint32_t free_head;
	uint32_t used;
};

/*
 * Maps `cap` seats of `seat_bytes` (4 at least, rounded up to 16) bytes.
 * Returns 0 or a negative errno. slab_free() gives the memory back.
 */
__attribute__((warn_unused_result)) int
slab_init(struct slab *s, size_t seat_bytes, uint32_t cap);

/* Unmaps all. A zeroed slab is fine. */
void slab_free(struct slab *s);

/*
 * A seat, or NULL when all are used. A seat used for the first time is
 * zeroed; another one holds what its last user left, the first 4 bytes
 * excepted.
 */
void *slab_take(struct slab *s);

/*
 * Gives a seat back; its first 4 bytes become the slab's. Of a free seat only
 * the first 16 may be looked at.
 */
void slab_give(struct slab *s, void *seat);

uint32_t slab_index(const struct slab *s, const void *seat);

/* The seat of an index below slab.touched; used or not. */
void *slab_at(const struct slab *s, uint32_t index);

#endif
