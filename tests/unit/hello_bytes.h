/*
 * ClientHellos as bytes: from hex, from parts, cut into records.
 */
#ifndef TESTS_UNIT_HELLO_BYTES_H
#define TESTS_UNIT_HELLO_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct hello_bytes {
	uint8_t bytes[8192];
	size_t len;
};

/* Appends hex digits; blanks are skipped. */
static inline void
hello_put_hex(struct hello_bytes *b, const char *hex)
{
	unsigned byte;
	int used;

	while (sscanf(hex, " %2x%n", &byte, &used) == 1) {
		b->bytes[b->len++] = (uint8_t)byte; /* two digits */
		hex += used;
	}
}

static inline void
hello_from_hex(struct hello_bytes *b, const char *hex)
{
	b->len = 0;
	hello_put_hex(b, hex);
}

static inline void
hello_put_number(struct hello_bytes *b, size_t at, size_t value)
{
	b->bytes[at] = (uint8_t)(value >> 8); /* a short message */
	b->bytes[at + 1] = (uint8_t)value;    /* its low byte */
}

/*
 * One record with one hello: version, ciphers with their length, extensions
 * without; NULL: no block of them at all.
 */
static inline void
hello_make(struct hello_bytes *b, const char *version, const char *ciphers,
	   const char *extensions)
{
	size_t block;

	hello_from_hex(b, "160301 0000 01 000000");
	hello_put_hex(b, version);
	memset(b->bytes + b->len, 0x55, 32);
	b->len += 32;
	hello_put_hex(b, "00");
	hello_put_hex(b, ciphers);
	hello_put_hex(b, "0100");
	block = b->len;
	if (extensions != NULL) {
		hello_put_hex(b, "0000");
		hello_put_hex(b, extensions);
		hello_put_number(b, block, b->len - block - 2);
	}
	hello_put_number(b, 3, b->len - 5);
	hello_put_number(b, 7, b->len - 9);
}

/* The one record's message again, in records of `size` bytes. */
static inline void
hello_in_records(struct hello_bytes *b, const struct hello_bytes *whole,
		 size_t size)
{
	b->len = 0;
	for (size_t at = 5; at < whole->len; at += size) {
		size_t n = whole->len - at < size ? whole->len - at : size;

		hello_put_hex(b, "160301 0000");
		hello_put_number(b, b->len - 2, n);
		memcpy(b->bytes + b->len, whole->bytes + at, n);
		b->len += n;
	}
}

#endif
