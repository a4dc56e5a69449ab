/*
 * Bytes of peers as JSON text.
 *
 * jansson refuses what is not UTF-8, and a key set to what it refused is
 * silently not there. So whatever is not printable ASCII becomes \xNN, as it
 * does in the log, and a backslash two.
 */
#ifndef PROXY_ADMIN_ESCAPE_H
#define PROXY_ADMIN_ESCAPE_H

#include <jansson.h>
#include <stddef.h>

/* Of texts that a peer may have chosen so many bytes are shown. */
#define ESCAPE_PEER_CAP 100

/* A JSON string of bytes[0..len), the caller's; NULL if memory is out. */
json_t *escape_json(const char *bytes, size_t len);

/* The same into out[0..cap), NUL-terminated; what does not fit is left out.
 * Returns the length. cap > 0. */
size_t escape_text(const char *bytes, size_t len, char *out, size_t cap);

#endif
