/*
 * What a TLS client says first, read as it passes and never changed.
 *
 * Lists come out raw: as sent, in the order sent, GREASE and all. The message
 * is not kept; so its length costs nothing, and it may come in as many records
 * and segments as it likes. Embedded by callers; zeroed is the beginning.
 * Sources: RFC 8446 4.1.2, 4.2 and 5.1, RFC 5246 7.4.1.2, RFC 6066 3,
 * RFC 7301 3.1, RFC 8701.
 */
#ifndef TARRY_CLIENT_HELLO_H
#define TARRY_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer lists are nobody's: there are about 350 cipher suites in all. */
#define CLIENT_HELLO_CIPHERS_CAP 384
#define CLIENT_HELLO_EXTENSIONS_CAP 128
#define CLIENT_HELLO_SCHEMES_CAP 128
/* A host name ends here (RFC 1035 2.3.4); more is counted, not kept. */
#define CLIENT_HELLO_NAME_CAP 255
/* A message longer than this is not read: 2^16 is what a list may take. */
#define CLIENT_HELLO_LEN_MAX 131072u

#define CLIENT_HELLO_SERVER_NAME 0x0000
#define CLIENT_HELLO_SCHEMES 0x000d
#define CLIENT_HELLO_ALPN 0x0010
#define CLIENT_HELLO_VERSIONS 0x002b

enum client_hello_state {
	CLIENT_HELLO_MORE,     /* it goes on, or has not begun */
	CLIENT_HELLO_DONE,     /* the lists are whole */
	CLIENT_HELLO_NOT_TLS,  /* not a TLS handshake: SSLv2, HTTP, garbage */
	CLIENT_HELLO_BROKEN,   /* lengths that do not fit into each other */
	CLIENT_HELLO_TOO_LONG, /* more of something than is kept */
	CLIENT_HELLO_STATES
};

struct client_hello {
	uint8_t state; /* enum client_hello_state */
	/* Where it is being read. */
	uint8_t field; /* enum field of client_hello.c */
	uint8_t gathered;
	uint8_t header_at; /* of a record's header */
	bool is_in_extension;
	bool is_first_of_kind; /* of the extensions */
	uint32_t number;       /* of which `gathered` bytes are there */
	uint32_t record_left;
	uint32_t message_left;
	uint32_t extension_left;
	uint32_t skip;
	uint32_t list_left;
	/* What was read. */
	uint16_t legacy_version;
	uint16_t version; /* the highest of supported_versions; 0: none */
	uint16_t ciphers_count;
	uint16_t extensions_count;
	uint16_t schemes_count; /* of signature_algorithms */
	uint8_t name_len;	/* of the server name; 0: none */
	uint8_t protocol_len;	/* of the first one of ALPN; 0: none */
	uint8_t protocol_first; /* its first and last byte */
	uint8_t protocol_last;
	uint16_t ciphers[CLIENT_HELLO_CIPHERS_CAP];
	uint16_t extensions[CLIENT_HELLO_EXTENSIONS_CAP];
	uint16_t schemes[CLIENT_HELLO_SCHEMES_CAP];
	char name[CLIENT_HELLO_NAME_CAP]; /* as sent: any byte, no NUL */
};

/*
 * Reads the next bytes of the client's stream, from its first TLS record on.
 * Returns h->state. Once that is not MORE nothing is read any more. Of an
 * extension whose inside does not fit its length the inside counts as far as
 * it goes; JA4 is made of the outside.
 */
enum client_hello_state client_hello_read(struct client_hello *h,
					  const uint8_t *bytes, size_t len);

/* "more", "done", "not_tls", "broken", "too_long": for logs. Static text. */
const char *client_hello_state_name(enum client_hello_state state);

/* Values that mean nothing, and keep servers from choking on new ones: both
 * bytes alike, their low halves 0xa (RFC 8701 2). */
static inline bool
client_hello_is_grease(uint32_t value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* True if the extension was sent. */
bool client_hello_has(const struct client_hello *h, uint16_t extension);

#endif
