/*
 * A verdict as somebody behind the MTA sends it: one JSON object.
 *
 *   {"verdict":"spam","client":"192.0.2.1:4711","id":"4XyZ12","time":1700000000,
 *    "source":"rspamd"}
 *
 * `verdict` must be there, and one of `client`, as the MTA saw it, and `id`,
 * the MTA's queue id. With both, the id is learned: lines after it may name
 * the id alone. `time` is when it was decided, in seconds since 1970; `source`
 * is "other" if it is not said. Members of other names are passed over. What
 * has a wrong type, a word that is not in verdict.def, or a member twice is
 * refused as a whole.
 */
#ifndef PROXY_EVIDENCE_VERDICT_LINE_H
#define PROXY_EVIDENCE_VERDICT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tarry/addr.h"

#define VERDICT_LINE_CAP 2048
/* Longest queue id. Letters, digits, `-`, `_` and `.` only. */
#define VERDICT_ID_CAP 63

enum verdict {
#define VERDICT(id, name, help) VERDICT_##id,
#include "tarry/verdict.def"
	VERDICT_COUNT
};

enum verdict_source {
#define VERDICT_SOURCE(id, name, help) VERDICT_SOURCE_##id,
#include "tarry/verdict.def"
	VERDICT_SOURCE_COUNT
};

struct verdict_line {
	enum verdict verdict;
	enum verdict_source source;
	struct addr client;	     /* family 0: not said */
	char id[VERDICT_ID_CAP + 1]; /* "": not said */
	uint64_t unix_ms;	     /* 0: not said */
};

/*
 * Reads bytes[0..len), with or without white space around the object. Returns
 * NULL and fills *out, or says what is wrong with it: static text, nothing of
 * the line in it. Allocates and frees.
 */
__attribute__((warn_unused_result)) const char *
verdict_line_read(struct verdict_line *out, const char *bytes, size_t len);

/* The words of verdict.def. Static text. */
const char *verdict_name(enum verdict verdict);
const char *verdict_source_name(enum verdict_source source);

#endif
