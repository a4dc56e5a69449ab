/*
 * JA4 of its raw text. Apart from all else because of SHA-256: that is
 * OpenSSL's, so it is called where OpenSSL is known, and by this one file.
 */
#ifndef PROXY_RELAY_TLS_JA4_H
#define PROXY_RELAY_TLS_JA4_H

#include "tarry/ja4.h"

/* Puts the two hashes in place of the lists of ja4_raw()'s text. */
void tls_ja4(const char *raw, char out[JA4_CAP]);

#endif
