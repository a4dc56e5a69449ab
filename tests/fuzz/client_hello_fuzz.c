/*
 * Bytes as what a TLS client says first; the first byte is where they are cut.
 *
 * What must hold: however the bytes come in pieces the hello is the same; what
 * is read stays within its lists; the text of a whole one has JA4's form and
 * fits its room.
 */
#include "tarry/client_hello.h"
#include "tarry/ja4.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* As a heap copy, so that a look beyond its end is seen. */
static void
read_copy(struct client_hello *h, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (copy == NULL)
		abort();
	memcpy(copy + 1, bytes, len);
	(void)client_hello_read(h, copy + 1, len);
	free(copy);
}

static void
check_counts(const struct client_hello *h)
{
	if (h->state >= CLIENT_HELLO_STATES ||
	    h->ciphers_count > CLIENT_HELLO_CIPHERS_CAP ||
	    h->extensions_count > CLIENT_HELLO_EXTENSIONS_CAP ||
	    h->schemes_count > CLIENT_HELLO_SCHEMES_CAP)
		abort();
	if (strlen(client_hello_state_name((enum client_hello_state)h->state)) <
	    4)
		abort();
}

static void
check_text(const struct client_hello *h)
{
	char raw[JA4_RAW_CAP];
	size_t len = ja4_raw(h, raw);
	size_t breaks = 0;

	if (len >= sizeof(raw) || len != strlen(raw) ||
	    raw[JA4_PREFIX_LEN] != '_' || raw[0] != 't')
		abort();
	for (size_t i = JA4_PREFIX_LEN; i < len; i++) {
		if (strchr("0123456789abcdef,_", raw[i]) == NULL)
			abort();
		breaks += raw[i] == '_';
	}
	if (breaks != 2 && breaks != 3)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct client_hello whole;
	struct client_hello parts;
	size_t step;

	if (len == 0)
		return 0;
	step = bytes[0] + 1u;
	memset(&whole, 0, sizeof(whole));
	memset(&parts, 0, sizeof(parts));
	read_copy(&whole, bytes + 1, len - 1);
	for (size_t at = 1; at < len; at += step)
		read_copy(&parts, bytes + at,
			  len - at < step ? len - at : step);
	if (memcmp(&whole, &parts, sizeof(whole)) != 0)
		abort();
	check_counts(&whole);
	if (whole.state == CLIENT_HELLO_DONE)
		check_text(&whole);
	return 0;
}
