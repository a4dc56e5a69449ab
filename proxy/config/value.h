/*
 * Values as text, both ways. Each parser takes all of the text or returns
 * false and says why in `why`: what is wrong and what was expected, to stand
 * behind `section.key: `. Bounds are included.
 */
#ifndef PROXY_CONFIG_VALUE_H
#define PROXY_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tarry/addr.h"

#define VALUE_WHY_CAP 320
#define VALUE_TEXT_CAP 64

struct value_why {
	char text[VALUE_WHY_CAP];
};

/* Fills why->text like printf, and returns false. */
bool value_fails(struct value_why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* `500ms 5s 2m 1h 7d`, or 0. A bare number is told which unit it wants. */
bool value_duration(const char *text, uint32_t min_ms, uint32_t max_ms,
		    uint32_t *ms, struct value_why *why);

/* `4096 64k 1M 1G`; k is 1024. */
bool value_size(const char *text, uint32_t min_bytes, uint32_t max_bytes,
		uint32_t *bytes, struct value_why *why);

/* `50%` */
bool value_percent(const char *text, uint32_t min, uint32_t max,
		   uint32_t *percent, struct value_why *why);

/* Digits alone. */
bool value_count(const char *text, uint32_t min, uint32_t max, uint32_t *count,
		 struct value_why *why);

/* A whole number within -max..max. */
bool value_points(const char *text, uint32_t max, int32_t *points,
		  struct value_why *why);

/* `yes` or `no`. */
bool value_flag(const char *text, bool *flag, struct value_why *why);

/* `a..b`, `a..`, `..b` or `a`. An open end is min or max. */
bool value_range(const char *text, uint32_t min, uint32_t max, uint32_t *low,
		 uint32_t *high, struct value_why *why);

/* `192.0.2.1:25` or `[::]:25`; min_port 0 or 1. */
bool value_address(const char *text, uint16_t min_port, struct addr *a,
		   struct value_why *why);

/*
 * `192.0.2.0/24`, `2001:db8::/32` or one address: text[0..len), a part of a
 * text that ends with a NUL.
 */
bool value_net(const char *text, size_t len, struct net *n,
	       struct value_why *why);

/*
 * One of the words, which are parted by spaces; its index from 0. A word that
 * stands there with `!` is not built yet, and said so.
 */
bool value_choice(const char *text, const char *words, unsigned *index,
		  struct value_why *why);

/* True if the text is one of the words: *is_built tells which kind. */
bool value_is_word(const char *text, const char *words, bool *is_built);

/* The word number `index`, copied into out; "" if there is none. */
void value_word(const char *words, unsigned index, char out[VALUE_TEXT_CAP]);

/* The shortest text of a duration: 90s, 2m. */
void value_duration_text(uint32_t ms, char out[VALUE_TEXT_CAP]);

/* The shortest text of a size: 1500, 64k. */
void value_size_text(uint32_t bytes, char out[VALUE_TEXT_CAP]);

#endif
