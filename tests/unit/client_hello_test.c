#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/client_hello.h"
#include "tarry/ja4.h"
#include "tests/unit/guard.h"
#include "tests/unit/hello_bytes.h"

static const struct {
	const char *who;
	const char *hex;
	const char *raw;
} caught[] = {
#define HELLO(who, hex, raw) {who, hex, raw},
#include "tests/unit/client_hellos.def"
#undef HELLO
};
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

/* What a test reads: too large for a stack that is watched. */
static struct hello_bytes b;
static struct hello_bytes whole;

/* Reads in two parts, each with its end against an unmapped page. */
static void
read_split(struct client_hello *h, size_t split)
{
	memset(h, 0, sizeof(*h));
	(void)client_hello_read(h, guard_copy(b.bytes, split), split);
	(void)client_hello_read(h, guard_copy(b.bytes + split, b.len - split),
				b.len - split);
}

static void
check_raw(const char *who, const struct client_hello *h, const char *want)
{
	char raw[JA4_RAW_CAP];
	size_t len;

	if (h->state != CLIENT_HELLO_DONE)
		fail_msg(
		    "%s: %s", who,
		    client_hello_state_name((enum client_hello_state)h->state));
	len = ja4_raw(h, raw);
	assert_int_equal(len, strlen(raw));
	if (strcmp(raw, want) != 0)
		fail_msg("%s: %s, wanted %s", who, raw, want);
}

static void
real_clients(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAUGHT; i++) {
		hello_from_hex(&b, caught[i].hex);
		struct client_hello h;

		for (size_t split = 0; split <= b.len; split++) {
			read_split(&h, split);
			check_raw(caught[i].who, &h, caught[i].raw);
		}
	}
}

/* The same message in records of 1, 2, .. bytes. */
static void
fragmented(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAUGHT; i++) {
		hello_from_hex(&whole, caught[i].hex);

		for (size_t size = 1; size < 50; size++) {
			hello_in_records(&b, &whole, size);
			struct client_hello h;

			for (size_t split = 0; split < 12; split++) {
				read_split(&h, split);
				check_raw(caught[i].who, &h, caught[i].raw);
			}
		}
	}
}

/* All that is less than a whole message is not one. */
static void
cut_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAUGHT; i++) {
		hello_from_hex(&b, caught[i].hex);

		for (size_t len = 0; len < b.len; len++) {
			struct client_hello h = {0};

			assert_int_equal(client_hello_read(
					     &h, guard_copy(b.bytes, len), len),
					 CLIENT_HELLO_MORE);
		}
	}
}

/* What is behind the message is not looked at. */
static void
more_behind(void **state)
{
	hello_from_hex(&b, caught[0].hex);
	struct client_hello h = {0};

	(void)state;
	memset(b.bytes + b.len, 0xff, 64);
	assert_int_equal(client_hello_read(&h, b.bytes, b.len + 64),
			 CLIENT_HELLO_DONE);
	check_raw("with more behind", &h, caught[0].raw);
	assert_int_equal(client_hello_read(&h, b.bytes, b.len),
			 CLIENT_HELLO_DONE);
	check_raw("read again", &h, caught[0].raw);
}

#define CHROME_CIPHERS                                                         \
	"0020 1a1a 1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 "    \
	"009c 009d 002f 0035"
#define CHROME_SCHEMES "0012 0010 0403 0804 0401 0503 0805 0501 0806 0601"
#define CHROME_VERSIONS "0007 06 fafa 0304 0303"

/*
 * The example of JA4's authors, extensions in some order, with GREASE where a
 * browser puts it: their text and both their hashes are printed beside it.
 */
static const char chrome_extensions[] =
    "2a2a 0000 0000 000e 000c 00 0009 6c6f63616c68 6f7374"
    "002d 0002 0101 0010 000e 000c 02 6832 08 687474702f312e31"
    "000d" CHROME_SCHEMES "0005 0005 0100000000 0023 0000"
    "002b" CHROME_VERSIONS "0017 0000 ff01 0001 00 000b 0002 0100"
    "000a 000a 0008 4a4a 001d 0017 0018 0012 0000 001b 0003 020002"
    "0033 0007 0005 4a4a 0001 00 4469 0005 0003 026832 3a3a 0001 00"
    "0015 0002 0000";
static const char chrome_raw[] =
    "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,"
    "c030,cca8,cca9_0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,"
    "0033,4469,ff01_0403,0804,0401,0503,0805,0501,0806,0601";

static void
grease_and_names(void **state)
{
	hello_make(&b, "0303", CHROME_CIPHERS, chrome_extensions);
	struct client_hello h;

	(void)state;
	for (size_t split = 0; split <= b.len; split++) {
		read_split(&h, split);
		check_raw("the published example", &h, chrome_raw);
		assert_int_equal(h.name_len, 9);
		assert_memory_equal(h.name, "localhost", 9);
	}
	/* As sent: GREASE is in the raw lists. */
	assert_int_equal(h.ciphers[0], 0x1a1a);
	assert_int_equal(h.ciphers_count, 16);
	assert_int_equal(h.extensions_count, 18);
}

/* One line a crafted hello: extensions and what JA4 says. */
static const struct {
	const char *label;
	const char *version;
	const char *ciphers;
	const char *extensions; /* NULL: not even their length */
	const char *raw;
} made[] = {
    {"nothing at all", "0303", "0002 002f", NULL, "t12i010000_002f_"},
    {"an empty block", "0303", "0002 002f", "", "t12i010000_002f_"},
    {"TLS 1.0", "0301", "0002 002f", NULL, "t10i010000_002f_"},
    {"TLS 1.1", "0302", "0002 002f", NULL, "t11i010000_002f_"},
    {"SSL 3.0", "0300", "0002 002f", NULL, "ts3i010000_002f_"},
    {"a version of the future", "0399", "0002 002f", NULL, "t00i010000_002f_"},
    {"sorted", "0303", "0006 c013 002f 1301", NULL,
     "t12i030000_002f,1301,c013_"},
    {"GREASE alone", "0303", "0002 fafa", NULL, "t12i000000__"},
    {"no GREASE: 0a1a", "0303", "0002 0a1a", NULL, "t12i010000_0a1a_"},
    {"versions of GREASE alone", "0303", "0002 002f", "002b 0003 02 2a2a",
     "t00i010100_002f_002b"},
    {"no version within", "0303", "0002 002f", "002b 0001 00",
     "t00i010100_002f_002b"},
    {"an odd list of versions", "0303", "0002 002f", "002b 0004 03 0304 03",
     "t13i010100_002f_002b"},
    {"an odd list of versions, and more", "0303", "0002 002f",
     "002b 0006 03 0304 03 9900", "t13i010100_002f_002b"},
    {"the highest counts", "0303", "0002 002f", "002b 0007 06 0302 0304 0303",
     "t13i010100_002f_002b"},
    {"names are left out", "0303", "0002 002f",
     "0010 0005 0003 02 6832 0000 0006 0004 00 0001 61", "t12d0102h2_002f_"},
    {"ALPN of one letter", "0303", "0002 002f", "0010 0004 0002 01 68",
     "t12i0101hh_002f_"},
    {"ALPN of one odd byte", "0303", "0002 002f", "0010 0004 0002 01 ab",
     "t12i0101ab_002f_"},
    {"ALPN with an odd end", "0303", "0002 002f", "0010 0005 0003 02 30ab",
     "t12i01013b_002f_"},
    {"ALPN with odd ends", "0303", "0002 002f", "0010 0007 0005 04 3031abcd",
     "t12i01013d_002f_"},
    {"ALPN odd within", "0303", "0002 002f", "0010 0007 0005 04 30abcd31",
     "t12i010101_002f_"},
    {"ALPN empty", "0303", "0002 002f", "0010 0003 0001 00",
     "t12i010100_002f_"},
    {"ALPN without a list", "0303", "0002 002f", "0010 0000",
     "t12i010100_002f_"},
    {"schemes keep their order", "0303", "0002 002f",
     "000d 0006 0004 0804 0403 0005 0000",
     "t12i010200_002f_0005,000d_0804,0403"},
    {"GREASE of schemes", "0303", "0002 002f", "000d 0006 0004 8a8a 0403",
     "t12i010100_002f_000d_0403"},
    {"no scheme", "0303", "0002 002f", "000d 0002 0000",
     "t12i010100_002f_000d"},
    {"a list longer than its extension", "0303", "0002 002f",
     "000d 0004 0100 0403 0017 0000", "t12i010200_002f_000d,0017_0403"},
    {"an extension longer than its list", "0303", "0002 002f",
     "000d 0008 0002 0403 ffffffff 0017 0000",
     "t12i010200_002f_000d,0017_0403"},
    {"half a number at an end", "0303", "0002 002f",
     "000d 0003 0002 04 0017 0000", "t12i010200_002f_000d,0017"},
    {"twice the same", "0303", "0002 002f",
     "000d 0004 0002 0403 000d 0004 0002 0804",
     "t12i010200_002f_000d,000d_0403"},
};

static void
crafted(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		hello_make(&b, made[i].version, made[i].ciphers,
			   made[i].extensions);
		struct client_hello h;

		for (size_t split = 0; split <= b.len; split++) {
			read_split(&h, split);
			check_raw(made[i].label, &h, made[i].raw);
		}
	}
}

#define X10 "0001020304050607080900010203040506070809"
#define X50 X10 X10 X10 X10 X10
/* An extension of 1,000 bytes. */
#define PADDING "0015 03e8" X50 X50 X50 X50 X50 X50 X50 X50 X50 X50

/* Bytes that are no hello, and the earliest one that tells. */
static const struct {
	const char *label;
	const char *hex;
	enum client_hello_state want;
} odd[] = {
    {"SSLv2", "802e01030100150000001000", CLIENT_HELLO_NOT_TLS},
    {"HTTP", "47455420", CLIENT_HELLO_NOT_TLS},
    {"plain SMTP", "45484c4f", CLIENT_HELLO_NOT_TLS},
    {"an alert", "15030100020228", CLIENT_HELLO_NOT_TLS},
    {"version 2", "1602", CLIENT_HELLO_NOT_TLS},
    {"an empty record", "1603010000", CLIENT_HELLO_BROKEN},
    {"a record of 16385 bytes", "1603014001", CLIENT_HELLO_BROKEN},
    {"a ServerHello", "160301003002", CLIENT_HELLO_NOT_TLS},
    {"an alert between", "16030100010115", CLIENT_HELLO_BROKEN},
    {"an empty message", "160301003001000000", CLIENT_HELLO_BROKEN},
    {"a message of 16 MiB", "160301003001ffffff", CLIENT_HELLO_TOO_LONG},
    {"a message that ends in the random", "160301003001000010 0303",
     CLIENT_HELLO_BROKEN},
    {"a session id of 33 bytes",
     "16030100ff010000fb0303" X10 "5555555555555555555555552a21",
     CLIENT_HELLO_BROKEN},
};

static void
no_hello(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		hello_from_hex(&b, odd[i].hex);
		struct client_hello h;

		for (size_t split = 0; split <= b.len; split++) {
			read_split(&h, split);
			if (h.state != odd[i].want)
				fail_msg("%s: %s", odd[i].label,
					 client_hello_state_name(
					     (enum client_hello_state)h.state));
		}
	}
}

/* Lengths of a whole hello that do not fit into each other. */
static const struct {
	const char *label;
	const char *ciphers;
	const char *extensions;
	enum client_hello_state want;
} misfits[] = {
    {"no cipher", "0000", NULL, CLIENT_HELLO_BROKEN},
    {"no cipher, and much behind", "0000", PADDING, CLIENT_HELLO_BROKEN},
    {"half a cipher, and much behind", "0003 002f00", PADDING,
     CLIENT_HELLO_BROKEN},
    {"half a cipher", "0003 002f00", NULL, CLIENT_HELLO_BROKEN},
    {"ciphers beyond the message", "0fff 002f", NULL, CLIENT_HELLO_BROKEN},
    {"more ciphers than there are", "0302 002f", NULL, CLIENT_HELLO_BROKEN},
    {"an extension beyond the message", "0002 002f", "0017 0001",
     CLIENT_HELLO_BROKEN},
    {"a known extension beyond the message", "0002 002f", "000d 0003 0000",
     CLIENT_HELLO_BROKEN},
    {"a block shorter than the message", "0002 002f 0100 0005 0017 0002", NULL,
     CLIENT_HELLO_BROKEN},
    {"a block longer than the message", "0002 002f 0100 0007 0017 0002", NULL,
     CLIENT_HELLO_BROKEN},
    {"half an extension", "0002 002f", "0017 00", CLIENT_HELLO_BROKEN},
    {"half a kind", "0002 002f", "00", CLIENT_HELLO_BROKEN},
};

static void
lengths_do_not_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(misfits) / sizeof(misfits[0]); i++) {
		hello_make(&b, "0303", misfits[i].ciphers,
			   misfits[i].extensions);
		struct client_hello h;

		for (size_t split = 0; split <= b.len; split++) {
			read_split(&h, split);
			if (h.state != misfits[i].want)
				fail_msg("%s: %s", misfits[i].label,
					 client_hello_state_name(
					     (enum client_hello_state)h.state));
		}
	}
}

static void
long_lists(void **state)
{
	static char ciphers[8 + 8 * CLIENT_HELLO_CIPHERS_CAP];
	static char raw[JA4_RAW_CAP];

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		unsigned count = CLIENT_HELLO_CIPHERS_CAP + more;
		struct client_hello h = {0};
		size_t len =
		    (size_t)sprintf(ciphers, "%04x", (unsigned)(2 * count));

		for (unsigned i = 0; i < count; i++)
			len +=
			    (size_t)sprintf(ciphers + len, "%04x", 0xc000 - i);
		hello_make(&b, "0303", ciphers, NULL);
		(void)client_hello_read(&h, b.bytes, b.len);
		assert_int_equal(h.state, more > 0 ? CLIENT_HELLO_TOO_LONG
						   : CLIENT_HELLO_DONE);
		if (more > 0)
			continue;
		(void)ja4_raw(&h, raw);
		assert_memory_equal(raw, "t12i990000_be81,be82,", 21);
	}
}

/* Extensions and schemes: as many as are kept, and one more. */
static void
many_items(void **state)
{
	static char text[32 + 8 * CLIENT_HELLO_EXTENSIONS_CAP];

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		enum client_hello_state want =
		    more > 0 ? CLIENT_HELLO_TOO_LONG : CLIENT_HELLO_DONE;
		unsigned count = CLIENT_HELLO_EXTENSIONS_CAP + more;
		struct client_hello h = {0};
		size_t len = 0;

		for (unsigned i = 0; i < count; i++)
			len += (size_t)sprintf(text + len, "%04x0000", i + 99);
		hello_make(&b, "0303", "0002 002f", text);
		assert_int_equal(client_hello_read(&h, b.bytes, b.len), want);
		memset(&h, 0, sizeof(h));
		count = CLIENT_HELLO_SCHEMES_CAP + more;
		len = (size_t)sprintf(text, "000d%04x%04x", 2 * count + 2,
				      2 * count);
		for (unsigned i = 0; i < count; i++)
			len += (size_t)sprintf(text + len, "0403");
		hello_make(&b, "0303", "0002 002f", text);
		assert_int_equal(client_hello_read(&h, b.bytes, b.len), want);
	}
}

/* The room of the text is enough for the longest lists that are kept. */
static void
longest_text(void **state)
{
	static char raw[JA4_RAW_CAP + 1];
	struct client_hello h = {.state = CLIENT_HELLO_DONE,
				 .ciphers_count = CLIENT_HELLO_CIPHERS_CAP,
				 .extensions_count =
				     CLIENT_HELLO_EXTENSIONS_CAP,
				 .schemes_count = CLIENT_HELLO_SCHEMES_CAP};

	(void)state;
	memset(h.ciphers, 0xff, sizeof(h.ciphers));
	memset(h.extensions, 0xff, sizeof(h.extensions));
	memset(h.schemes, 0xff, sizeof(h.schemes));
	raw[JA4_RAW_CAP] = 'x';
	assert_true(ja4_raw(&h, raw) < JA4_RAW_CAP);
	assert_int_equal(raw[JA4_RAW_CAP], 'x');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(real_clients),
	    cmocka_unit_test(fragmented),
	    cmocka_unit_test(cut_short),
	    cmocka_unit_test(more_behind),
	    cmocka_unit_test(grease_and_names),
	    cmocka_unit_test(crafted),
	    cmocka_unit_test(no_hello),
	    cmocka_unit_test(lengths_do_not_fit),
	    cmocka_unit_test(long_lists),
	    cmocka_unit_test(many_items),
	    cmocka_unit_test(longest_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
