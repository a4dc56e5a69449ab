#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tarry/session.h"

struct row {
	const char *label;
	const char *client;
	uint16_t client_port;
	const char *server;
	uint16_t server_port;
	const char *want_v1;
	const char *want_v2; /* behind the 12 bytes of the signature */
	size_t want_v2_len;
};

#define V6_A "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define V6_B "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x19"

static const struct row rows[] = {
    {"IPv4", "192.0.2.1", 40000, "192.0.2.25", 25,
     "PROXY TCP4 192.0.2.1 192.0.2.25 40000 25\r\n",
     "\x21\x11\x00\x0c\xc0\0\x02\x01\xc0\0\x02\x19\x9c\x40\x00\x19", 16},
    {"IPv6", "2001:db8::1", 1, "2001:db8::2", 65535,
     "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
     "\x21\x21\x00\x24" V6_A V6_B "\x00\x01\xff\xff", 40},
    {"IPv6 to IPv4", "2001:db8::1", 1, "192.0.2.25", 25,
     "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.25 1 25\r\n",
     "\x21\x21\x00\x24" V6_A MAPPED "\x00\x01\x00\x19", 40},
};

static void
headers(void **state)
{
	static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
	char out[SESSION_SAY_CAP];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct addr client;
		struct addr server;
		size_t len;

		assert_true(
		    addr_parse_ip(&client, row->client, strlen(row->client)));
		assert_true(
		    addr_parse_ip(&server, row->server, strlen(row->server)));
		client.port = row->client_port;
		server.port = row->server_port;
		len = proxy_header(CLIENT_ADDRESS_V1, &client, &server, out,
				   sizeof(out));
		if (len != strlen(row->want_v1) ||
		    memcmp(out, row->want_v1, len) != 0)
			fail_msg("%s: v1 is %.*s", row->label, (int)len, out);
		len = proxy_header(CLIENT_ADDRESS_V2, &client, &server, out,
				   sizeof(out));
		if (len != 12 + row->want_v2_len ||
		    memcmp(out, signature, 12) != 0 ||
		    memcmp(out + 12, row->want_v2, row->want_v2_len) != 0)
			fail_msg("%s: v2 differs, %zu bytes", row->label, len);
		assert_int_equal(proxy_header(CLIENT_ADDRESS_NONE, &client,
					      &server, out, sizeof(out)),
				 0);
		assert_int_equal(proxy_header(CLIENT_ADDRESS_TRANSPARENT,
					      &client, &server, out,
					      sizeof(out)),
				 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
