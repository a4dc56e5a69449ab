/*
 * One configuration is thousands of small things with one life. Each piece is
 * a block of its own, linked to the next: loading is rare, and the sanitizers
 * see every overrun of a piece.
 */
#include "proxy/config/arena.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct block {
	struct block *next;
	max_align_t bytes[];
};

struct arena {
	struct block *blocks;
	bool has_failed;
};

struct arena *
arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

void
arena_free(struct arena *arena)
{
	if (arena == NULL)
		return;
	for (struct block *b = arena->blocks, *next; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(arena);
}

void *
arena_take(struct arena *arena, size_t bytes)
{
	struct block *b = NULL;

	if (bytes <= SIZE_MAX - sizeof(*b))
		b = calloc(1, sizeof(*b) + bytes);
	if (b == NULL) {
		arena->has_failed = true;
		return NULL;
	}
	b->next = arena->blocks;
	arena->blocks = b;
	return b->bytes;
}

char *
arena_text(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_take(arena, len + 1);

	if (copy != NULL)
		memcpy(copy, text, len);
	return copy;
}

void *
arena_grow(struct arena *arena, void *items, size_t count, size_t size)
{
	void *moved;

	if (count > 0 && (count & (count - 1)) != 0)
		return items;
	if (count > SIZE_MAX / 2 / size) {
		arena->has_failed = true;
		return NULL;
	}
	moved = arena_take(arena, count == 0 ? size : 2 * count * size);
	if (moved != NULL && count > 0)
		memcpy(moved, items, count * size);
	return moved;
}

bool
arena_has_failed(const struct arena *arena)
{
	return arena->has_failed;
}
