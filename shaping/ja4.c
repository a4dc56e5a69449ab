/*
 * JA4's raw text. Lists are sorted, as copies: a client that shuffles
 * its extensions with each connection, as browsers do, is still one client.
 */
#include "tarry/ja4.h"

struct text {
	char *out;
	size_t len;
};

static void
put(struct text *t, char c)
{
	t->out[t->len++] = c;
}

static void
put_hex(struct text *t, unsigned value, unsigned digits)
{
	while (digits-- > 0)
		put(t, "0123456789abcdef"[value >> 4 * digits & 0xf]);
}

static size_t
drop_grease(uint16_t *out, const uint16_t *values, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (!client_hello_is_grease(values[i]))
			out[kept++] = values[i];
	}
	return kept;
}

/* By insertion: lists are short, and often sorted by halves. */
static void
sort(uint16_t *values, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint16_t value = values[i];
		size_t at = i;

		while (at > 0 && values[at - 1] > value) {
			values[at] = values[at - 1];
			at--;
		}
		values[at] = value;
	}
}

static void
put_count(struct text *t, size_t count)
{
	if (count > 99)
		count = 99;
	put(t, (char)('0' + count / 10));
	put(t, (char)('0' + count % 10));
}

static void
put_list(struct text *t, const uint16_t *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			put(t, ',');
		put_hex(t, values[i], 4);
	}
}

static const char *
version_text(uint16_t version)
{
	switch (version) {
	case 0x0304:
		return "13";
	case 0x0303:
		return "12";
	case 0x0302:
		return "11";
	case 0x0301:
		return "10";
	case 0x0300:
		return "s3";
	case 0x0002:
		return "s2";
	default:
		return "00";
	}
}

static bool
is_alphanumeric(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z');
}

/* The first and last letter of the first protocol; if one of them is none,
 * the first and last digit of it in hex. */
static void
put_protocol(struct text *t, const struct client_hello *h)
{
	uint8_t first = h->protocol_first;
	uint8_t last = h->protocol_last;

	if (h->protocol_len == 0) {
		put(t, '0');
		put(t, '0');
	} else if (is_alphanumeric(first) && is_alphanumeric(last)) {
		put(t, (char)first);
		put(t, (char)last);
	} else {
		put_hex(t, first >> 4, 1);
		put_hex(t, last & 0xf, 1);
	}
}

static void
put_prefix(struct text *t, const struct client_hello *h, size_t ciphers,
	   size_t extensions)
{
	uint16_t version = client_hello_has(h, CLIENT_HELLO_VERSIONS)
			       ? h->version
			       : h->legacy_version;
	const char *text = version_text(version);

	put(t, 't');
	put(t, text[0]);
	put(t, text[1]);
	put(t, client_hello_has(h, CLIENT_HELLO_SERVER_NAME) ? 'd' : 'i');
	put_count(t, ciphers);
	put_count(t, extensions);
	put_protocol(t, h);
	put(t, '_');
}

static size_t
drop_names(uint16_t *values, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (values[i] != CLIENT_HELLO_SERVER_NAME &&
		    values[i] != CLIENT_HELLO_ALPN)
			values[kept++] = values[i];
	}
	return kept;
}

size_t
ja4_raw(const struct client_hello *h, char out[JA4_RAW_CAP])
{
	uint16_t ciphers[CLIENT_HELLO_CIPHERS_CAP];
	uint16_t extensions[CLIENT_HELLO_EXTENSIONS_CAP];
	uint16_t schemes[CLIENT_HELLO_SCHEMES_CAP];
	size_t ciphers_count =
	    drop_grease(ciphers, h->ciphers, h->ciphers_count);
	size_t extensions_count =
	    drop_grease(extensions, h->extensions, h->extensions_count);
	size_t schemes_count =
	    drop_grease(schemes, h->schemes, h->schemes_count);
	struct text t = {.out = out};

	put_prefix(&t, h, ciphers_count, extensions_count);
	sort(ciphers, ciphers_count);
	put_list(&t, ciphers, ciphers_count);
	put(&t, '_');
	extensions_count = drop_names(extensions, extensions_count);
	sort(extensions, extensions_count);
	put_list(&t, extensions, extensions_count);
	if (schemes_count > 0) {
		put(&t, '_');
		put_list(&t, schemes, schemes_count);
	}
	out[t.len] = '\0';
	return t.len;
}
