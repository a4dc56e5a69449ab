/*
 * What is said on p0f v3's API socket, so that programs that ask p0f can ask
 * Tarry; and one more question, by the 4-tuple of a connection. Numbers are in
 * the host's byte order, as p0f has them (p0f 3.09b, README, section 4).
 *
 * A question of p0f's is 21 bytes: P0F_QUERY_MAGIC (4), 4 or 6 (1), and the
 * address (16; of IPv4 the first four). Ours is 41 bytes: P0F_TUPLE_MAGIC (4),
 * 4 or 6 (1), client's address (16), its port (2), server's address (16), its
 * port (2). The answer to both is P0F_ANSWER_LEN bytes; to ours
 * P0F_TUPLE_ANSWER_LEN: the same, and the raw signature (384), class (64) and
 * rule (64), each NUL-terminated.
 */
#ifndef PROXY_ADMIN_P0F_QUERY_H
#define PROXY_ADMIN_P0F_QUERY_H

#include "tarry/addr.h"

#define P0F_QUERY_MAGIC 0x50304601u
#define P0F_ANSWER_MAGIC 0x50304602u
#define P0F_TUPLE_MAGIC 0x50305401u

#define P0F_QUERY_LEN 21
#define P0F_TUPLE_LEN 41
#define P0F_ANSWER_LEN 232
#define P0F_SIGNATURE_CAP 384
#define P0F_NAME_CAP 64
#define P0F_TUPLE_ANSWER_LEN                                                   \
	(P0F_ANSWER_LEN + P0F_SIGNATURE_CAP + 2 * P0F_NAME_CAP)

enum p0f_status { P0F_BAD_QUERY = 0, P0F_OK = 0x10, P0F_NO_MATCH = 0x20 };

struct p0f_query {
	bool is_tuple;
	struct addr client; /* port 0 unless is_tuple */
	struct addr server; /* family 0 unless is_tuple */
};

/*
 * Reads one question of bytes[0..len). Returns the bytes used (> 0), 0 if
 * more are needed, -1 if it is none: then nothing behind it can be read.
 */
int p0f_query_read(struct p0f_query *q, const uint8_t *bytes, size_t len);

/* What is told. Zeroed, but for the status and the distance: nothing. */
struct p0f_answer {
	enum p0f_status status;
	uint32_t first_seen; /* Unix time */
	uint32_t last_seen;
	uint32_t connections;  /* of the client, at this moment */
	int16_t distance;      /* -1: not known */
	uint8_t quality;       /* 0: exact, 1: fuzzy, 2: generic */
	const char *label;     /* or NULL: what p0f calls name and flavor */
	const char *signature; /* these three for a tuple; or NULL */
	const char *class;
	const char *rule;
};

/* Writes the answer, P0F_TUPLE_ANSWER_LEN bytes if is_tuple, else
 * P0F_ANSWER_LEN. Texts that are too long are cut. Returns the length. */
size_t p0f_answer_write(const struct p0f_answer *a, bool is_tuple,
			uint8_t out[P0F_TUPLE_ANSWER_LEN]);

#endif
