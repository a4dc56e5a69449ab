/*
 * Memory that is taken piece by piece and given back all at once. Opaque.
 */
#ifndef PROXY_CONFIG_ARENA_H
#define PROXY_CONFIG_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* NULL without memory. */
struct arena *arena_new(void);

/* Frees the arena and every piece of it. NULL is fine. */
void arena_free(struct arena *arena);

/*
 * A zeroed piece, aligned for anything. NULL without memory; the arena
 * remembers it, so that a caller may look once at the end.
 */
void *arena_take(struct arena *arena, size_t bytes);

/* A copy of text[0..len) with a final NUL; NULL without memory. */
char *arena_text(struct arena *arena, const char *text, size_t len);

/*
 * Room for item number `count` of a list of items of `size` bytes, whose
 * first `count` are at `items` (NULL for none). Returns where the list is
 * now: with every power of two it moves, and the old place is left unused.
 * NULL without memory; the old list is then as it was.
 */
void *arena_grow(struct arena *arena, void *items, size_t count, size_t size);

/* True once anything has found no memory. */
bool arena_has_failed(const struct arena *arena);

#endif
