/*
 * What is packed comes back byte for byte, and what does not fit says so.
 */
#include "proxy/relay/packed_syn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/syn_packets.h"

struct row {
	struct packet packet;
	bool fits;
};

static const struct row rows[] = {
    {{"Linux", .ttl = 64, .window = 64240, .options = LINUX("07")}, true},
    {{"no options", .ttl = 64, .window = 1024}, true},
    {{"Linux, IPv6", .version = 6, .ttl = 64, .window = 64800,
      .options = LINUX_V6("07")},
     true},
    {{"Windows, odd fields", .ttl = 128, .window = 8192, .tos = 0xfe,
      .urgent = 7, .ack = 9, .isn_is_zero = true, .options = WINDOWS("08")},
     true},
    {{"IP options with few of TCP's", .ttl = 64, .window = 1,
      .ip_options = "94040000", .options = WINDOWS("08")},
     true},
    {{"IP options with more of TCP's", .ttl = 64, .window = 1,
      .ip_options = "94040000", .options = LINUX("07")},
     false},
    {{"all of TCP's options", .ttl = 64, .window = 1,
      .options = LINUX("07") LINUX("07")},
     false},
    {{"an IPv6 extension header", .version = 6, .ttl = 64, .window = 1,
      .ip_options = "0600000000000000", .first_header = 60,
      .options = LINUX_V6("07")},
     false},
};

static void
comes_back_as_it_was(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t raw[PACKET_CAP];
		uint8_t out[SYN_RAW_CAP];
		uint8_t packed[PACKED_SYN_CAP];
		size_t len = packet_build(&rows[i].packet, raw);
		size_t packed_len = packed_syn_make(packed, raw, len);
		struct syn syn;

		if ((packed_len > 0) != rows[i].fits)
			fail_msg("%s: packed to %zu of %zu bytes",
				 rows[i].packet.label, packed_len, len);
		if (packed_len == 0)
			continue;
		assert_true(syn_parse(&syn, raw, len) > 0);
		if (packed_syn_open(out, packed, packed_len, &syn.src,
				    &syn.dst) != len ||
		    memcmp(out, raw, len) != 0)
			fail_msg("%s: came back as something else",
				 rows[i].packet.label);
	}
}

/* Never reads behind the bytes, whatever they say. */
static void
cut_short_does_not_fit(void **state)
{
	static const uint8_t v6[7] = {0x60, 0, 0, 0, 0, 20, 6};
	static const uint8_t long_header[24] = {0x4f};
	static const uint8_t short_header[24] = {0x41};
	uint8_t packed[PACKED_SYN_CAP];

	(void)state;
	assert_int_equal(packed_syn_make(packed, v6, 0), 0);
	assert_int_equal(packed_syn_make(packed, v6, sizeof(v6)), 0);
	assert_int_equal(
	    packed_syn_make(packed, long_header, sizeof(long_header)), 0);
	assert_int_equal(
	    packed_syn_make(packed, short_header, sizeof(short_header)), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_back_as_it_was),
	    cmocka_unit_test(cut_short_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
