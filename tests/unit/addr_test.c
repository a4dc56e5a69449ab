#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tarry/addr.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

/* The text again, its end against a page that must not be touched. */
struct guarded {
	char *pages;
	size_t page_bytes;
	const char *text;
};

static struct guarded
guard(const char *text)
{
	struct guarded g = {.page_bytes = (size_t)sysconf(_SC_PAGESIZE)};
	size_t len = strlen(text);

	g.pages = mmap(NULL, 2 * g.page_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(g.pages != MAP_FAILED);
	assert_int_equal(
	    mprotect(g.pages + g.page_bytes, g.page_bytes, PROT_NONE), 0);
	g.text = memcpy(g.pages + g.page_bytes - len, text, len);
	return g;
}

static void
unguard(struct guarded g)
{
	munmap(g.pages, 2 * g.page_bytes);
}

/* want NULL: no address. */
static const struct row {
	const char *label;
	const char *input;
	const char *want;
} ips[] = {
    {"v4", "192.0.2.1", "192.0.2.1"},
    {"v4 lowest", "0.0.0.0", "0.0.0.0"},
    {"v4 highest", "255.255.255.255", "255.255.255.255"},
    {"v4 empty", "", NULL},
    {"v4 three", "192.0.2", NULL},
    {"v4 five", "192.0.2.1.1", NULL},
    {"v4 octal", "192.0.2.010", NULL},
    {"v4 double zero", "192.0.2.00", NULL},
    {"v4 above 255", "192.0.2.256", NULL},
    {"v4 many digits", "192.0.2.99999999999", NULL},
    {"v4 hex", "0x7f.0.0.1", NULL},
    {"v4 sign", "192.0.2.-1", NULL},
    {"v4 blank", "192.0.2.1 ", NULL},
    {"v4 end dot", "192.0.2.1.", NULL},
    {"v4 start dot", ".192.0.2.1", NULL},
    {"v4 short", "127.1", NULL},
    {"5952 4.1 zeros", "2001:0db8:0:0:0:0:2:0001", "2001:db8::2:1"},
    {"5952 4.2.1 shortest", "2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
    {"5952 4.2.2 one group", "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"5952 4.2.2 undone", "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"5952 4.2.3 longest", "2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
    {"5952 4.2.3 first", "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
    {"5952 4.3 case", "2001:DB8::ABCD", "2001:db8::abcd"},
    {"v6 any", "::", "::"},
    {"v6 loopback", "::1", "::1"},
    {"v6 end gap", "1::", "1::"},
    {"v6 seven and gap", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    {"v6 gap and seven", "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
    {"v6 full", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
    {"v6 dotted end", "64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
    {"v6 six and dotted", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
    {"mapped is v4", "::ffff:192.0.2.1", "192.0.2.1"},
    {"mapped in hex is v4", "::FFFF:c000:0201", "192.0.2.1"},
    {"compat is v6", "::192.0.2.1", "::c000:201"},
    {"v6 gap of nothing", "1:2:3:4::5:6:7:8", NULL},
    {"v6 two gaps", "1::2::3", NULL},
    {"v6 three colons", "1:::2", NULL},
    {"v6 seven", "1:2:3:4:5:6:7", NULL},
    {"v6 nine", "1:2:3:4:5:6:7:8:9", NULL},
    {"v6 end colon", "1:2:3:4:5:6:7:", NULL},
    {"v6 start colon", ":1:2:3:4:5:6:7", NULL},
    {"v6 one colon", ":", NULL},
    {"v6 five digits", "12345::", NULL},
    {"v6 letter", "g::", NULL},
    {"v6 zone", "fe80::1%eth0", NULL},
    {"v6 brackets", "[::1]", NULL},
    {"v6 dotted too late", "1:2:3:4:5:6:7:1.2.3.4", NULL},
    {"v6 dotted early", "::1.2.3.4:5", NULL},
    {"name", "localhost", NULL},
};

static void
ip_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ips); i++) {
		const struct row *row = &ips[i];
		struct guarded g = guard(row->input);
		char text[ADDR_TEXT_CAP] = "none";
		struct addr a = {.port = 7};
		bool is_read = addr_parse_ip(&a, g.text, strlen(row->input));
		if (is_read) {
			size_t len = addr_ip_text(&a, text, sizeof(text));
			assert_int_equal(len, strlen(text));
			assert_int_equal(a.port, 0);
		}
		if (is_read != (row->want != NULL) ||
		    (row->want != NULL && strcmp(text, row->want) != 0))
			fail_msg("%s: got %s", row->label, text);
		unguard(g);
	}
}

static const struct row ports[] = {
    {"v4", "192.0.2.1:25", "192.0.2.1:25"},
    {"v6", "[2001:DB8::1]:25", "[2001:db8::1]:25"},
    {"any v6", "[::]:25", "[::]:25"},
    {"mapped", "[::ffff:1.2.3.4]:25", "1.2.3.4:25"},
    {"highest", "1.2.3.4:65535", "1.2.3.4:65535"},
    {"zero", "1.2.3.4:0", "1.2.3.4:0"},
    {"too high", "1.2.3.4:65536", NULL},
    {"far too high", "1.2.3.4:4294967321", NULL},
    {"no port", "1.2.3.4", NULL},
    {"empty port", "1.2.3.4:", NULL},
    {"leading zero", "1.2.3.4:025", NULL},
    {"port name", "1.2.3.4:smtp", NULL},
    {"v6 bare", "2001:db8::1", NULL},
    {"v6 no brackets", "2001:db8::1:25:", NULL},
    {"v4 in brackets", "[1.2.3.4]:25", NULL},
    {"half bracket", "[::1:25", NULL},
    {"no address", ":25", NULL},
    {"empty", "", NULL},
    {"only brackets", "[]:25", NULL},
};

static void
port_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ports); i++) {
		const struct row *row = &ports[i];
		struct guarded g = guard(row->input);
		char text[ADDR_TEXT_CAP] = "none";
		struct addr a;
		bool is_read = addr_parse(&a, g.text, strlen(row->input));
		if (is_read)
			addr_text(&a, text, sizeof(text));
		if (is_read != (row->want != NULL) ||
		    (row->want != NULL && strcmp(text, row->want) != 0))
			fail_msg("%s: got %s", row->label, text);
		unguard(g);
	}
}

/* want: -1 no network, 0 the client is outside, 1 inside. */
static const struct net_row {
	const char *label;
	const char *net;
	const char *client;
	int want;
} nets[] = {
    {"first", "192.0.2.0/24", "192.0.2.0", 1},
    {"last", "192.0.2.0/24", "192.0.2.255", 1},
    {"behind", "192.0.2.0/24", "192.0.3.0", 0},
    {"odd prefix inside", "192.0.2.128/27", "192.0.2.159", 1},
    {"odd prefix outside", "192.0.2.128/27", "192.0.2.160", 0},
    {"one address", "192.0.2.1", "192.0.2.1", 1},
    {"another address", "192.0.2.1", "192.0.2.2", 0},
    {"32 bits", "192.0.2.1/32", "192.0.2.1", 1},
    {"all of v4", "0.0.0.0/0", "203.0.113.9", 1},
    {"all of v4, not v6", "0.0.0.0/0", "2001:db8::1", 0},
    {"all of v6", "::/0", "2001:db8::1", 1},
    {"all of v6, not v4", "::/0", "192.0.2.1", 0},
    {"v6 inside", "2001:db8::/32", "2001:db8:ffff::", 1},
    {"v6 outside", "2001:db8::/32", "2001:db9::", 0},
    {"v6 one", "2001:db8::1", "2001:db8::1", 1},
    {"v6 127", "2001:db8::2/127", "2001:db8::3", 1},
    {"v6 127 outside", "2001:db8::2/127", "2001:db8::4", 0},
    {"mapped prefix", "::ffff:192.0.2.0/120", "192.0.2.77", 1},
    {"mapped all", "::ffff:0:0/96", "192.0.2.77", 1},
    {"host bits", "192.0.2.1/24", "192.0.2.1", -1},
    {"v6 host bits", "2001:db8::1/64", "2001:db8::1", -1},
    {"33 bits", "192.0.2.0/33", "192.0.2.1", -1},
    {"129 bits", "::/129", "::1", -1},
    {"no bits", "192.0.2.0/", "192.0.2.1", -1},
    {"zeros", "192.0.2.0/024", "192.0.2.1", -1},
    {"mask", "192.0.2.0/255.255.255.0", "192.0.2.1", -1},
    {"two slashes", "192.0.2.0/24/24", "192.0.2.1", -1},
    {"only slash", "/24", "192.0.2.1", -1},
    {"empty", "", "192.0.2.1", -1},
};

static void
networks(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(nets); i++) {
		const struct net_row *row = &nets[i];
		struct guarded g = guard(row->net);
		struct net n;
		struct addr a;
		int got = -1;
		assert_true(
		    addr_parse_ip(&a, row->client, strlen(row->client)));
		if (net_parse(&n, g.text, strlen(row->net)))
			got = net_has(&n, &a) ? 1 : 0;
		if (got != row->want)
			fail_msg("%s: got %d", row->label, got);
		unguard(g);
	}
}

static void
no_address_is_in_no_network(void **state)
{
	struct addr none = {.family = 0};
	char text[ADDR_TEXT_CAP];
	struct net n;

	(void)state;
	assert_true(net_parse(&n, "::/0", 4));
	assert_false(net_has(&n, &none));
	addr_ip_text(&none, text, sizeof(text));
	assert_string_equal(text, "-");
}

static void
same_ip_ignores_ports(void **state)
{
	struct addr a, b, c;

	(void)state;
	assert_true(addr_parse(&a, "192.0.2.1:25", 12));
	assert_true(addr_parse(&b, "[::ffff:192.0.2.1]:26", 21));
	assert_true(addr_parse(&c, "192.0.2.2:25", 12));
	assert_true(addr_same_ip(&a, &b));
	assert_false(addr_same_ip(&a, &c));
}

/* What the C library prints of an address, we read, and print back alike. */
static void
agrees_with_the_c_library(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint8_t ip[16];
		char want[INET6_ADDRSTRLEN];
		char got[ADDR_TEXT_CAP];
		struct addr a;
		for (int j = 0; j < 16; j++) {
			random = random * 1664525 + 1013904223;
			/* Many zero groups, to make runs. */
			ip[j] = (random >> 24 & 3) != 0 && j > 0
				    ? 0
				    : (uint8_t)(random >> 16);
		}
		ip[0] |= 0x20; /* not mapped, not compatible */
		inet_ntop(AF_INET6, ip, want, sizeof(want));
		assert_true(addr_parse_ip(&a, want, strlen(want)));
		assert_memory_equal(a.ip, ip, sizeof(ip));
		addr_ip_text(&a, got, sizeof(got));
		assert_string_equal(got, want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ip_texts),
	    cmocka_unit_test(port_texts),
	    cmocka_unit_test(networks),
	    cmocka_unit_test(no_address_is_in_no_network),
	    cmocka_unit_test(same_ip_ignores_ports),
	    cmocka_unit_test(agrees_with_the_c_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
