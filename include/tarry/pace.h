/*
 * Dripping: how many of `len` bytes may be out at a moment, and when the next
 * piece goes.
 *
 * The bytes leave in equal pieces between `start` and `due`; the last byte
 * leaves at `due`, never later, and no two pieces are closer than `gap`.
 */
#ifndef TARRY_PACE_H
#define TARRY_PACE_H

#include <stdint.h>

struct pace {
	uint32_t start_ms;
	uint32_t due_ms; /* >= start_ms */
	uint32_t len;	 /* bytes in all */
	uint32_t gap_ms; /* > 0, least time between two pieces */
};

/* Bytes of the whole that may be out at `now_ms`: 0 .. len; len from due on. */
uint32_t pace_bytes(const struct pace *p, uint32_t now_ms);

/* When the next piece behind `now_ms` goes; due_ms at the latest. */
uint32_t pace_next(const struct pace *p, uint32_t now_ms);

#endif
