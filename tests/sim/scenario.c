#include "tests/sim/scenario.h"

#include <string.h>

static struct world_room room;
struct world scene = WORLD_IN(room);
static size_t looked[SIDE_COUNT];

#define OPENED_MS 5000000

static void
settle(void)
{
	while (scene.wants_flushed)
		world_event(&scene, EVENT_FLUSHED, SIDE_CLIENT, NULL);
	if (world_breach_text != NULL)
		fail_msg("breach: %s", world_breach_text);
}

void
scene_open(struct plan plan)
{
	struct site site = {.name = SCENE_NAME,
			    .name_len = strlen(SCENE_NAME),
			    .client_address = CLIENT_ADDRESS_NONE,
			    .lead_ms = 1000,
			    .connect_timeout_ms = 10000,
			    .drip_gap_ms = 200};

	world_breach_text = NULL;
	if (plan.reply_cap_ms == 0)
		plan.reply_cap_ms = 20000;
	if (plan.data_reply_cap_ms == 0)
		plan.data_reply_cap_ms = 5000;
	if (plan.patience_ms == 0)
		plan.patience_ms = 9000;
	if (plan.session_cap_ms == 0)
		plan.session_cap_ms = 120000;
	looked[SIDE_CLIENT] = looked[SIDE_MTA] = 0;
	world_open(&scene, &site, &plan, OPENED_MS);
	settle();
}

static void
grant(void)
{
	if (scene.s.slot == PLACE_ASKED)
		world_event(&scene, EVENT_GRANTED, SIDE_MTA, NULL);
	assert_true(scene.is_dialling);
}

void
scene_connect(void)
{
	grant();
	looked[SIDE_MTA] = 0;
	world_event(&scene, EVENT_MTA_CONNECTED, SIDE_MTA, NULL);
	settle();
}

void
scene_refuse(void)
{
	grant();
	world_event(&scene, EVENT_MTA_FAILED, SIDE_MTA, NULL);
	settle();
}

void
scene_client(const char *text)
{
	world_says(&scene, SIDE_CLIENT, text, strlen(text));
	settle();
}

void
scene_mta(const char *text)
{
	world_says(&scene, SIDE_MTA, text, strlen(text));
	settle();
}

void
scene_until(uint32_t ms)
{
	while (world_deadline(&scene) <= OPENED_MS + ms) {
		if (world_deadline(&scene) > scene.now_ms)
			scene.now_ms = world_deadline(&scene);
		world_wake(&scene);
		settle();
	}
	scene.now_ms = OPENED_MS + ms;
}

static void
got(enum side side, const char *want)
{
	const struct world_output *out = &scene.out[side];
	size_t len = out->len - looked[side];
	const uint8_t *at = out->bytes + looked[side];

	if (len != strlen(want) || memcmp(at, want, len) != 0)
		fail_msg("got \"%.*s\", wanted \"%s\"", (int)len,
			 (const char *)at, want);
	looked[side] = out->len;
}

void
scene_client_got(const char *want)
{
	got(SIDE_CLIENT, want);
}

void
scene_mta_got(const char *want)
{
	got(SIDE_MTA, want);
}

void
scene_ended(enum session_reason want)
{
	assert_true(scene.has_ended);
	assert_string_equal(session_reason_name(scene.reason),
			    session_reason_name(want));
}
