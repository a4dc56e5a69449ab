/* What a SYN looks like is kept, and is what it would be if it were not. */
#include "proxy/relay/looks.h"

#include "proxy/config/labels.h"
#include "syn_packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define RUNS 200000

static struct looks looks;
static uint64_t random_state = 4711;

static uint32_t
draw(uint32_t count)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * count >> 32);
}

/* Each field of few values, so that looks come again, and push others out. */
static struct syn
some_syn(void)
{
	static const uint16_t windows[] = {1024, 20 * 1388, 64240, 65535};
	static const char *const options[] = {LINUX("07"), WINDOWS("08"), "",
					      LINUX("0a")};
	const struct packet p = {"", .ttl = draw(2) != 0 ? 64 : 50,
				 .window = windows[draw(4)],
				 .options = options[draw(4)]};
	struct syn s = packet_syn(&p);

	s.mss = draw(2) != 0 ? 1460 : 1400;
	s.isn = draw(UINT32_MAX);
	s.src.port = (uint16_t)draw(65536);
	s.src.ip[15] = (uint8_t)draw(256);
	s.ip_id = (uint16_t)draw(65536);
	if (draw(2) != 0)
		s.quirks ^= 1u << draw(SYN_QUIRK_COUNT);
	s.tsval = draw(2) != 0 ? draw(UINT32_MAX) : 0;
	return s;
}

static void
a_look_is_what_is_there(void **state)
{
	struct labels *labels = labels_new();
	static struct signature_texts want;

	(void)state;
	assert_true(labels_load(labels, "config/signatures.ini", NULL, NULL) >
		    0);
	for (size_t i = 0; i < RUNS; i++) {
		const struct syn s = some_syn();
		const struct look *look = looks_of(&looks, &s, labels);
		enum label_quality quality;
		const char *label = labels_find(labels, &s, &quality);

		signature_texts_make(&want, &s);
		for (size_t k = 0; k < SIGNATURE_LEVELS; k++) {
			assert_int_equal(look->texts.len[k], want.len[k]);
			assert_string_equal(look->texts.text[k], want.text[k]);
		}
		assert_ptr_equal(look->label, label);
		assert_int_equal(look->quality, quality);
	}
	looks_forget(&looks);
	labels_free(labels);
}

/* The same stack again is not written again, whoever it is. */
static void
it_is_kept(void **state)
{
	const struct packet p = {"", .ttl = 64, .window = 64240,
				 .options = LINUX("07")};
	struct syn s = packet_syn(&p);
	struct look *look =
	    (struct look *)(uintptr_t)looks_of(&looks, &s, NULL);

	(void)state;
	assert_null(look->label);
	look->texts.text[SIGNATURE_SYN][0] = '!';
	s.isn++;
	s.src.port++;
	s.dst.ip[15]++;
	s.tsval++;
	s.ip_id++;
	assert_int_equal(
	    looks_of(&looks, &s, NULL)->texts.text[SIGNATURE_SYN][0], '!');
	looks_forget(&looks);
	assert_int_equal(
	    looks_of(&looks, &s, NULL)->texts.text[SIGNATURE_SYN][0], '4');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_look_is_what_is_there),
	    cmocka_unit_test(it_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
