/*
 * One message on its way into a file.
 */
#ifndef PROXY_SINK_MESSAGE_H
#define PROXY_SINK_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tarry/addr.h"

#define MESSAGE_BYTES_MAX (64u * 1024u * 1024u)
#define MESSAGE_ENVELOPE_CAP 65536

struct message {
	FILE *file;
	uint64_t bytes;
	unsigned number;
	uint8_t at; /* in CRLF . CRLF */
	bool is_too_big;
	bool has_failed; /* the disk is full, say */
};

/*
 * Opens the next file in a directory: N.part, the first N that is free.
 * Returns 0 or a negative errno.
 */
int message_open(struct message *m, const char *directory);

/*
 * Takes payload bytes, less the dots that were put in (RFC 5321 4.5.2).
 * Returns the bytes used; *is_over says whether CRLF . CRLF was the last.
 */
size_t message_take(struct message *m, const char *bytes, size_t len,
		    bool *is_over);

/*
 * Ends the message: N.env with the envelope's text, then N.part becomes
 * N.eml. Returns 0 or a negative errno.
 */
int message_keep(struct message *m, const char *directory,
		 const char *envelope);

/* Forgets the message and its file. Idempotent. */
void message_drop(struct message *m, const char *directory);

#endif
