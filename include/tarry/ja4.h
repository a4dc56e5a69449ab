/*
 * JA4, the fingerprint of a TLS client: the raw text, here called by its
 * authors' name JA4_r. Only this one of their family is free for everyone.
 *
 *   t13i181000_002f,0035,.._000a,000b,.._0403,0503,..
 *
 * t, version, server name or not, how many ciphers and extensions, ALPN; the
 * ciphers, sorted; the extensions but for server name and ALPN, sorted; the
 * signature schemes as sent. JA4 itself has 12 digits of SHA-256 in place of
 * the ciphers, and 12 in place of the rest; hashing is the shell's.
 * Source: the technical details of JA4 by FoxIO, BSD 3-clause.
 */
#ifndef TARRY_JA4_H
#define TARRY_JA4_H

#include "tarry/client_hello.h"

#define JA4_PREFIX_LEN 10
/* Each number is four digits and a comma, or what stands in its place. */
#define JA4_RAW_CAP                                                            \
	(JA4_PREFIX_LEN + 4 +                                                  \
	 5 * (CLIENT_HELLO_CIPHERS_CAP + CLIENT_HELLO_EXTENSIONS_CAP +         \
	      CLIENT_HELLO_SCHEMES_CAP))

/*
 * Writes the raw text of a hello that is DONE, with a NUL. Returns its length.
 * Never allocates.
 */
size_t ja4_raw(const struct client_hello *h, char out[JA4_RAW_CAP]);

/* JA4 as everyone prints it: the prefix and two hashes of 12 digits. */
#define JA4_HASH_LEN 12
#define JA4_CAP (JA4_PREFIX_LEN + 2 * (1 + JA4_HASH_LEN) + 1)

#endif
