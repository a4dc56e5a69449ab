/*
 * What is pending of one stream, in order: released, held, unused.
 *
 * Buffers come from a bounded pool and are taken only while bytes are
 * pending. They are as large as one read, so that whatever was read always
 * fits; pages that are not reached are never touched. Beyond what may be read
 * there is room for words of ours.
 */
#ifndef PROXY_RELAY_BUFFER_H
#define PROXY_RELAY_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One read at most; below 64 KiB, because segments are counted in 16 bits. */
#define BUFFER_READ_CAP 61440
#define BUFFER_SAY_CAP 2048

struct session_edit;

/* The fields are buffer.c's, but for `fresh`. */
struct buffer {
	uint32_t start;
	uint32_t released;
	uint32_t held;
	uint32_t unused;
	uint32_t fresh; /* of the unused: not shown yet; stream.c's */
	uint8_t data[BUFFER_READ_CAP + BUFFER_SAY_CAP];
};

/* Makes a buffer empty. */
void buffer_init(struct buffer *b);

/* How much may be read into it now; buffer_tail() gives room for just that. */
size_t buffer_room(const struct buffer *b);

/* Where the next buffer_room() bytes go. May move what is there. */
uint8_t *buffer_tail(struct buffer *b);

/* n <= buffer_room() bytes were put at the tail: unused. */
void buffer_arrived(struct buffer *b, size_t n);

/* The unused bytes, of b->unused. */
const uint8_t *buffer_unused(const struct buffer *b);

/* These four return false, and change nothing, if there is not so much. */

/* The oldest n unused bytes become held. */
bool buffer_use(struct buffer *b, size_t n);

/* Forgets the oldest n held bytes. */
bool buffer_drop(struct buffer *b, size_t n);

/* The oldest n held bytes become released. */
bool buffer_release(struct buffer *b, size_t n);

/* Words of ours, behind what is released, ahead of what is held. */
bool buffer_say(struct buffer *b, const char *words, size_t n);

/* The released bytes; *len > 0 if there are any. */
const uint8_t *buffer_out(const struct buffer *b, size_t *len);

/* The oldest n released bytes are written. */
void buffer_written(struct buffer *b, size_t n);

/*
 * Changes the unused bytes. False, and nothing is changed, if it does not fit
 * them or there is no room.
 */
bool buffer_edit(struct buffer *b, const struct session_edit *e);

/* Forgets what is unused. */
void buffer_forget_unused(struct buffer *b);

/* Forgets what is held and unused. */
void buffer_forget_rest(struct buffer *b);

/* Forgets what is released. */
void buffer_forget_released(struct buffer *b);

bool buffer_is_empty(const struct buffer *b);

#endif
