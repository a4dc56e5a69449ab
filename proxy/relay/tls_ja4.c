#include "proxy/relay/tls_ja4.h"

#include <openssl/sha.h>
#include <string.h>

/* An underscore, and 12 digits of the hash of text[0..len); of nothing, 12
 * noughts. */
static char *
put_hash(char *out, const char *text, size_t len)
{
	unsigned char digest[SHA256_DIGEST_LENGTH] = {0};

	if (len > 0)
		(void)SHA256((const unsigned char *)text, len, digest);
	*out++ = '_';
	for (size_t i = 0; i < JA4_HASH_LEN / 2; i++) {
		*out++ = "0123456789abcdef"[digest[i] >> 4];
		*out++ = "0123456789abcdef"[digest[i] & 0xf];
	}
	return out;
}

void
tls_ja4(const char *raw, char out[JA4_CAP])
{
	const char *ciphers = raw + JA4_PREFIX_LEN + 1;
	size_t ciphers_len = strcspn(ciphers, "_");
	const char *rest = ciphers + ciphers_len + 1;

	memcpy(out, raw, JA4_PREFIX_LEN);
	out = put_hash(out + JA4_PREFIX_LEN, ciphers, ciphers_len);
	out = put_hash(out, rest, strlen(rest));
	*out = '\0';
}
