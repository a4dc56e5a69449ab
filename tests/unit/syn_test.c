/* The SYN parser: fields, quirks, options, malformed bytes, truncation. */
#include "syn_packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
check(const char *label, const char *what, long have, long want)
{
	if (have != want)
		fail_msg("%s: %s is %ld, want %ld", label, what, have, want);
}

/* Every length below the whole is a truncation, and nothing is read past it. */
static void
check_truncated(const struct packet *p)
{
	uint8_t raw[PACKET_CAP];
	struct syn s;
	const size_t len = packet_build(p, raw);
	const int hlen = raw[0] >> 4 == 6 ? 40 : (raw[0] & 15) * 4;

	for (int cut = 0; cut < (int)len; cut++) {
		const int have = guarded_parse(&s, raw, (size_t)cut);
		int want = SYN_BAD_TCP_TRUNCATED;
		if (cut < hlen)
			want = SYN_BAD_IP_TRUNCATED;
		else if (raw[0] >> 4 == 6 && p->ip_options != NULL &&
			 cut < 40 + (int)strlen(p->ip_options) / 2)
			want = SYN_BAD_EXTENSIONS;
		if (cut == 0)
			want = SYN_BAD_EMPTY;
		check(p->label, "the truncated packet's value", have, want);
	}
	check(p->label, "length", guarded_parse(&s, raw, len), (long)len);
}

/* Quirks and the packets that have them. */
static const struct {
	struct packet packet;
	uint32_t quirks;
} quirk_rows[] = {
    {{"nothing odd", 64, 0, 7, 1024, .options = NULL}, 0},
    {{"df", 64, DF, 0, 1024, .options = NULL}, SYN_QUIRK_DF},
    {{"id+", 64, DF, 256, 1, .options = NULL},
     SYN_QUIRK_DF | SYN_QUIRK_ID_PLUS},
    {{"id-", 64, 0, 0, 1024, .options = NULL}, SYN_QUIRK_ID_MINUS},
    {{"0+", 64, EVIL, 7, 1024, .options = NULL}, SYN_QUIRK_ZERO_PLUS},
    {{"more fragments", 64, MF, 7, 1024, .options = NULL}, 0},
    {{"ect(1)", 64, 0, 7, 1024, NULL, .tos = 1}, SYN_QUIRK_ECN},
    {{"ect(0)", 64, 0, 7, 1024, NULL, .tos = 2}, SYN_QUIRK_ECN},
    {{"tos alone", 64, 0, 7, 1024, NULL, .tos = 0xfc}, 0},
    {{"ece", 64, 0, 7, 1024, NULL, .flags = SYN | ECE}, SYN_QUIRK_ECN},
    {{"cwr", 64, 0, 7, 1024, NULL, .flags = SYN | CWR}, SYN_QUIRK_ECN},
    {{"ae", 64, 0, 7, 1024, NULL, .flags = SYN | AE}, SYN_QUIRK_ECN},
    {{"res 200", 64, 0, 7, 1, NULL, .flags = SYN | 0x200}, SYN_QUIRK_RES},
    {{"res 800", 64, 0, 7, 1, NULL, .flags = SYN | 0x800}, SYN_QUIRK_RES},
    {{"seq-", 64, 0, 7, 1024, NULL, .isn_is_zero = true}, SYN_QUIRK_SEQ_MINUS},
    {{"ack+ low", 64, 0, 7, 1024, NULL, .ack = 1}, SYN_QUIRK_ACK_PLUS},
    {{"ack+ high", 64, 0, 7, 1, NULL, .ack = 1u << 31}, SYN_QUIRK_ACK_PLUS},
    {{"uptr+", 64, 0, 7, 1024, NULL, .urgent = 256}, SYN_QUIRK_UPTR_PLUS},
    {{"urgf+", 64, 0, 7, 1, NULL, .flags = SYN | URG, .urgent = 1},
     SYN_QUIRK_URGF_PLUS},
    {{"pushf+", 64, 0, 7, 1, NULL, .flags = SYN | PSH}, SYN_QUIRK_PUSHF_PLUS},
    {{"v6", 64, .version = 6}, 0},
    {{"v6 flow", 64, .version = 6, .flow = 0x10000}, SYN_QUIRK_FLOW},
    {{"v6 flow 1", 64, .version = 6, .flow = 1}, SYN_QUIRK_FLOW},
    {{"v6 ect", 64, .version = 6, .tos = 2}, SYN_QUIRK_ECN},
    {{"v6 class alone", 64, .version = 6, .tos = 0xfc}, 0},
};

static void
quirks_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(quirk_rows); i++) {
		const struct packet *p = &quirk_rows[i].packet;
		const struct syn s = packet_syn(p);
		check(p->label, "quirks", s.quirks, quirk_rows[i].quirks);
		check_truncated(p);
	}
}

/* TCP options in hex, and what is read of them. */
static const struct {
	const char *label;
	const char *options;
	const char *kinds; /* hex */
	uint16_t mss;
	uint8_t wscale;
	uint8_t eol_pad;
	uint32_t quirks;
} option_rows[] = {
    {"none", "", "", 0, 255, 255, 0},
    {"linux", LINUX("07"), "0204080103", 1460, 7, 255, 0},
    {"windows", WINDOWS("08"), "020103010104", 1460, 8, 255, 0},
    {"apple", APPLE("06"), "0201030101080400", 1460, 6, 1, 0},
    {"eol at once", "00000000", "00", 0, 255, 3, 0},
    {"eol as last byte", "01010100", "01010100", 0, 255, 0, 0},
    {"dirt behind eol", "00616263", "00", 0, 255, 3, SYN_QUIRK_OPT_PLUS},
    {"dirt in the last byte", "00000001", "00", 0, 255, 3, SYN_QUIRK_OPT_PLUS},
    {"40 nops",
     "01010101010101010101010101010101010101010101010101010101010101010101"
     "010101010101",
     "01010101010101010101010101010101010101010101010101010101010101010101"
     "010101010101",
     0, 255, 255, 0},
    {"mss of 0", "02040000", "02", 0, 255, 255, 0},
    {"mss of 65535", "0204ffff", "02", 65535, 255, 255, 0},
    {"scale 14", WS("0e") NOP, "0301", 0, 14, 255, 0},
    {"scale 15", WS("0f") NOP, "0301", 0, 15, 255, SYN_QUIRK_EXWS},
    {"scale 255", WS("ff") NOP, "0301", 0, 255, 255, SYN_QUIRK_EXWS},
    {"ts1-", NOP NOP "080a0000000000000000", "010108", 0, 255, 255,
     SYN_QUIRK_TS1_MINUS},
    {"ts2+", NOP NOP "080a0000000100000001", "010108", 0, 255, 255,
     SYN_QUIRK_TS2_PLUS},
    {"unknown option", "fe040000", "fe", 0, 255, 255, 0},
    {"unknown option of 2", "fe020101", "fe0101", 0, 255, 255, 0},
    {"length 0", MSS_1460 "fe000101", "02fe", 1460, 255, 255, SYN_QUIRK_BAD},
    {"length 1", MSS_1460 "fe010101", "02fe", 1460, 255, 255, SYN_QUIRK_BAD},
    {"runs past", MSS_1460 "fe280101", "02fe", 1460, 255, 255, SYN_QUIRK_BAD},
    {"runs past by one", "fe050101", "fe", 0, 255, 255, SYN_QUIRK_BAD},
    {"no length byte", "010101fe", "010101fe", 0, 255, 255, SYN_QUIRK_BAD},
    {"mss runs past", "01010204", "010102", 0, 255, 255, SYN_QUIRK_BAD},
    {"ws runs past", "01010303", "010103", 0, 255, 255, SYN_QUIRK_BAD},
    {"sok runs past", "01010104", "01010104", 0, 255, 255, SYN_QUIRK_BAD},
    {"ts runs past", "080a000000010000", "08", 0, 255, 255, SYN_QUIRK_BAD},
    {"mss with length 5", "020505b401010101", "0201010101", 1460, 255, 255,
     SYN_QUIRK_BAD},
    {"mss with length 0", "020005b4", "02", 1460, 255, 255, SYN_QUIRK_BAD},
    {"ws with length 4", "03040701", "0301", 0, 7, 255, SYN_QUIRK_BAD},
    {"sok with length 3", "04030101", "040101", 0, 255, 255, SYN_QUIRK_BAD},
    {"sack", "050a0000000000000000" NOP NOP, "050101", 0, 255, 255, 0},
    {"sack of 9", "05090000000000000001" NOP NOP, "05", 0, 255, 255,
     SYN_QUIRK_BAD},
    {"two mss", MSS_1460 "02040218", "0202", 1460, 255, 255, SYN_QUIRK_DUP},
    {"two ws", WS("07") WS("0f") NOP NOP, "03030101", 0, 7, 255, SYN_QUIRK_DUP},
    {"mptcp", "1e0c0081000000000000000a", "1e", 0, 255, 255, 0},
};

static void
options_are_walked(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(option_rows); i++) {
		struct packet p = {.label = option_rows[i].label,
				   .ttl = 64,
				   .id = 7,
				   .options = option_rows[i].options};
		uint8_t kinds[SYN_OPTIONS_CAP];
		const size_t count = hex_bytes(option_rows[i].kinds, kinds);
		const struct syn s = packet_syn(&p);
		check(p.label, "kinds_count", s.kinds_count, (long)count);
		check(p.label, "kinds", memcmp(s.kinds, kinds, count), 0);
		check(p.label, "mss", s.mss, option_rows[i].mss);
		check(p.label, "wscale", s.wscale, option_rows[i].wscale);
		check(p.label, "eol_pad", s.eol_pad, option_rows[i].eol_pad);
		check(p.label, "quirks", s.quirks, option_rows[i].quirks);
		check_truncated(&p);
	}
}

/* Chains of IPv6 extension headers that are good. */
static const struct packet extension_rows[] = {
    {"hop by hop", .ip_options = "0600010400000000", .first_header = 0},
    {"routing", .ip_options = "0600000000000000", .first_header = 43},
    {"first fragment", .ip_options = "0600000100000001", .first_header = 44},
    {"ah of 12", .ip_options = "060100000000000000000000", .first_header = 51},
    {"destination", .ip_options = "0600010400000000", .first_header = 60},
    {"mobility", .ip_options = "0600010400000000", .first_header = 135},
    {"destination of 16", .ip_options = "0601010c000000000000000000000000",
     .first_header = 60},
    {"eight headers",
     .ip_options = "3c000104000000003c000104000000003c00010400000000"
		   "3c000104000000003c000104000000003c00010400000000"
		   "3c000104000000000600010400000000",
     .first_header = 60},
};

static void
extensions_are_walked(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(extension_rows); i++) {
		struct packet p = extension_rows[i];
		p.version = 6;
		const long bytes = (long)strlen(p.ip_options) / 2;
		const struct syn s = packet_syn(&p);
		check(p.label, "ip_olen", s.ip_olen, bytes);
		check(p.label, "ip_hlen", s.ip_hlen, 40 + bytes);
		check(p.label, "port", s.dst.port, 25);
		check_truncated(&p);
	}
}

/* One byte of a good packet changed, and the malformation it makes. */
static const struct {
	const char *label;
	uint8_t version;
	uint8_t at;
	uint8_t byte;
	int want;
} malformed_rows[] = {
    {"version 0", 4, 0, 0x05, SYN_BAD_VERSION},
    {"version 5", 4, 0, 0x55, SYN_BAD_VERSION},
    {"version 15", 4, 0, 0xf5, SYN_BAD_VERSION},
    {"ihl 0", 4, 0, 0x40, SYN_BAD_IP_LENGTH},
    {"ihl 4", 4, 0, 0x44, SYN_BAD_IP_LENGTH},
    {"ihl beyond the packet", 4, 0, 0x4f, SYN_BAD_IP_TRUNCATED},
    {"total length too small", 4, 3, 43, SYN_BAD_IP_LENGTH},
    {"fragment offset 1", 4, 7, 1, SYN_BAD_FRAGMENT},
    {"fragment offset 4096", 4, 6, 0x10, SYN_BAD_FRAGMENT},
    {"udp", 4, 9, 17, SYN_BAD_NOT_TCP},
    {"data offset 0", 4, 32, 0x00, SYN_BAD_TCP_LENGTH},
    {"data offset 4", 4, 32, 0x40, SYN_BAD_TCP_LENGTH},
    {"data offset 7", 4, 32, 0x70, SYN_BAD_TCP_TRUNCATED},
    {"data offset 15", 4, 32, 0xf0, SYN_BAD_TCP_TRUNCATED},
    {"no syn", 4, 33, 0, SYN_BAD_NOT_SYN},
    {"ack", 4, 33, SYN | ACK, SYN_BAD_NOT_SYN},
    {"fin", 4, 33, SYN | FIN, SYN_BAD_NOT_SYN},
    {"rst", 4, 33, SYN | RST, SYN_BAD_NOT_SYN},
    {"v6 payload too small", 6, 5, 23, SYN_BAD_IP_LENGTH},
    {"v6 udp", 6, 6, 17, SYN_BAD_NOT_TCP},
    {"v6 no next header", 6, 6, 59, SYN_BAD_NOT_TCP},
    {"v6 esp", 6, 6, 50, SYN_BAD_NOT_TCP},
    {"v6 data offset 4", 6, 52, 0x40, SYN_BAD_TCP_LENGTH},
};

static void
malformed_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(malformed_rows); i++) {
		const struct packet p = {.ttl = 64,
					 .id = 7,
					 .version = malformed_rows[i].version,
					 .options = MSS_1460};
		uint8_t raw[PACKET_CAP];
		struct syn s;
		const size_t len = packet_build(&p, raw);
		raw[malformed_rows[i].at] = malformed_rows[i].byte;
		check(malformed_rows[i].label, "value",
		      guarded_parse(&s, raw, len), malformed_rows[i].want);
		for (size_t cut = 0; cut < len; cut++)
			if (guarded_parse(&s, raw, cut) >= 0)
				fail_msg("%s: good at %zu bytes",
					 malformed_rows[i].label, cut);
	}
}

/* Chains of IPv6 extension headers that are not. */
static const struct {
	struct packet packet;
	int want;
} bad_extension_rows[] = {
    {{"nine headers", .first_header = 60,
      .ip_options = "3c000104000000003c000104000000003c00010400000000"
		    "3c000104000000003c000104000000003c00010400000000"
		    "3c000104000000003c000104000000000600010400000000"},
     SYN_BAD_EXTENSIONS},
    {{"length beyond the packet", .first_header = 60,
      .ip_options = "06ff010400000000"},
     SYN_BAD_EXTENSIONS},
    {{"ah beyond the packet", .first_header = 51,
      .ip_options = "06ff010400000000"},
     SYN_BAD_EXTENSIONS},
    {{"second fragment", .first_header = 44, .ip_options = "0600000800000001"},
     SYN_BAD_FRAGMENT},
    {{"udp behind it", .first_header = 60, .ip_options = "1100010400000000"},
     SYN_BAD_NOT_TCP},
};

static void
bad_extensions_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad_extension_rows); i++) {
		struct packet p = bad_extension_rows[i].packet;
		uint8_t raw[PACKET_CAP];
		struct syn s;
		p.version = 6;
		const size_t len = packet_build(&p, raw);
		check(p.label, "value", guarded_parse(&s, raw, len),
		      bad_extension_rows[i].want);
		for (size_t cut = 0; cut < len; cut++)
			if (guarded_parse(&s, raw, cut) >= 0)
				fail_msg("%s: good at %zu", p.label, cut);
	}
}

/* 216 bytes of extensions are one step too many for ip_hlen. */
static void
extensions_of_256_bytes_are_too_long(void **state)
{
	const struct packet p = {.ttl = 64, .version = 6};
	uint8_t raw[PACKET_CAP];
	struct syn s;

	(void)state;
	for (size_t bytes = 208; bytes <= 2048; bytes += 8) {
		const size_t len = packet_build(&p, raw);
		memmove(raw + 40 + bytes, raw + 40, len - 40);
		memset(raw + 40, 0, bytes);
		raw[6] = 60;
		raw[40] = 6;
		raw[41] = (uint8_t)(bytes / 8 - 1);
		put16(raw + 4, (uint32_t)(len - 40 + bytes));
		const int have = guarded_parse(&s, raw, len + bytes);
		check("long extension", "value", have,
		      bytes == 208 ? (long)(len + bytes) : SYN_BAD_EXTENSIONS);
	}
}

static void
fields_of_ipv4(void **state)
{
	const struct packet p = {"fields",
				 52,
				 DF,
				 0x1234,
				 64240,
				 LINUX("07"),
				 .tos = 0x48,
				 .ack = 0x05060708,
				 .flags = SYN | PSH | AE,
				 .payload = 9,
				 .ip_options = "01010101"};
	const struct syn s = packet_syn(&p);
	static const uint8_t src[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};

	(void)state;
	assert_int_equal(s.version, 4);
	assert_int_equal(s.src.family, 4);
	assert_memory_equal(s.src.ip, src, 16);
	assert_int_equal(s.src.port, 40000);
	assert_int_equal(s.dst.ip[15], 2);
	assert_int_equal(s.dst.port, 25);
	assert_int_equal(s.isn, 0x01020304);
	assert_int_equal(s.ack, 0x05060708);
	assert_int_equal(s.tsval, 0x0001e240);
	assert_int_equal(s.tsecr, 0);
	assert_int_equal(s.ip_id, 0x1234);
	assert_int_equal(s.window, 64240);
	assert_int_equal(s.flags, SYN | PSH | AE);
	assert_int_equal(s.payload_bytes, 9);
	assert_int_equal(s.ttl, 52);
	assert_int_equal(s.tos, 0x48);
	assert_int_equal(s.ip_olen, 4);
	assert_int_equal(s.ip_hlen, 24);
	assert_int_equal(s.tcp_hlen, 40);
}

static void
fields_of_ipv6(void **state)
{
	const struct packet p = {"fields",	  57,
				 .window = 64800, .version = 6,
				 .tos = 0xb8,	  .flow = 0xabcde,
				 .payload = 3,	  .options = LINUX_V6("07")};
	const struct syn s = packet_syn(&p);

	(void)state;
	assert_int_equal(s.version, 6);
	assert_int_equal(s.src.family, 6);
	assert_int_equal(s.src.ip[0], 0x20);
	assert_int_equal(s.src.ip[15], 1);
	assert_int_equal(s.src.port, 40000);
	assert_int_equal(s.dst.ip[15], 2);
	assert_int_equal(s.ttl, 57);
	assert_int_equal(s.tos, 0xb8);
	assert_int_equal(s.ip_id, 0);
	assert_int_equal(s.ip_olen, 0);
	assert_int_equal(s.ip_hlen, 40);
	assert_int_equal(s.tcp_hlen, 40);
	assert_int_equal(s.mss, 1440);
	assert_int_equal(s.payload_bytes, 3);
}

/* A SYNPROXY's SYN has ack+, IP ID 0, and ts2+ or no timestamps. */
static const struct {
	struct packet packet;
	bool want;
} made_up_rows[] = {
    {{"no ts", 64, DF, 0, 1024, MSS_1460, .ack = 5}, true},
    {{"ts2+", 64, DF, 0, 1024, NOP NOP "080a0000000100000001", .ack = 5}, true},
    {{"ts", 64, DF, 0, 1024, LINUX("07"), .ack = 5}, false},
    {{"id", 64, DF, 9, 1024, MSS_1460, .ack = 5}, false},
    {{"no ack", 64, DF, 0, 1024, .options = MSS_1460}, false},
    {{"v6", 64, .version = 6, .options = MSS_1440, .ack = 5}, true},
};

static void
made_up_is_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(made_up_rows); i++) {
		const struct packet *p = &made_up_rows[i].packet;
		const struct syn s = packet_syn(p);
		check(p->label, "made up", syn_is_made_up(&s),
		      made_up_rows[i].want);
	}
}

static void
names_are_static(void **state)
{
	(void)state;
	assert_string_equal(syn_malformed_name(SYN_BAD_TCP_TRUNCATED),
			    "tcp_truncated");
	assert_string_equal(syn_malformed_name(SYN_BAD_EMPTY), "empty");
	assert_string_equal(syn_malformed_name(0), "unknown");
	assert_string_equal(syn_malformed_name(-99), "unknown");
	assert_string_equal(syn_quirk_name(SYN_QUIRK_BIT_ID_PLUS), "id+");
	assert_string_equal(syn_quirk_name(SYN_QUIRK_BIT_RES), "res");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(quirks_are_found),
	    cmocka_unit_test(options_are_walked),
	    cmocka_unit_test(extensions_are_walked),
	    cmocka_unit_test(malformed_is_named),
	    cmocka_unit_test(bad_extensions_are_named),
	    cmocka_unit_test(extensions_of_256_bytes_are_too_long),
	    cmocka_unit_test(fields_of_ipv4),
	    cmocka_unit_test(fields_of_ipv6),
	    cmocka_unit_test(made_up_is_known),
	    cmocka_unit_test(names_are_static),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
