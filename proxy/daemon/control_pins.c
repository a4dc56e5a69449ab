/*
 * The verbs `set` and `unset`: what the operator knows better for a time. It
 * outlives the process as notes of the state file, whose time is when the pin
 * ends; whenever one was changed all are written again, for they are few.
 */
#include "proxy/daemon/control_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/admin/escape.h"
#include "proxy/config/value.h"

#define USUAL_MS (24u * 3600u * 1000u)
#define WHY_CAP 400
#define NOTE "pin"

/* The standings that may be pinned: unknown is what unset is for. */
static bool
read_standing(const char *word, enum reputation_standing *out)
{
	for (int s = REPUTATION_GOOD; s <= REPUTATION_BAD; s++) {
		*out = (enum reputation_standing)s;
		if (s != REPUTATION_UNKNOWN &&
		    strcmp(word, reputation_name(*out)) == 0)
			return true;
	}
	return false;
}

/* `WHO STANDING [[for] DURATION]`, of which text[] is cut to pieces. False with
 * why[]. */
static bool
read_pin(char *text, uint64_t now_ms, struct pin *pin, char why[WHY_CAP])
{
	char *rest = text;
	const char *who = strsep(&rest, " ");
	const char *word = rest != NULL ? strsep(&rest, " ") : "";
	uint32_t ms = USUAL_MS;
	struct value_why bad;

	if (rest != NULL && strncmp(rest, "for ", 4) == 0)
		rest += 4;
	if (!pin_read(pin, who))
		snprintf(why, WHY_CAP,
			 "%.60s is no address, network or signature", who);
	else if (!read_standing(word, &pin->standing))
		snprintf(why, WHY_CAP,
			 "it is pinned as good, suspect or bad, not as "
			 "\"%.40s\"",
			 word);
	else if (rest != NULL && rest[0] != '\0' &&
		 !value_duration(rest, 1000, PIN_MS_MAX, &ms, &bad))
		snprintf(why, WHY_CAP, "%.60s: %s", rest, bad.text);
	pin->until_ms = now_ms + ms;
	return why[0] == '\0';
}

static void
say_pins(struct control *c, struct control_request *r)
{
	static struct pin all[PINS_CAP]; /* one thread */
	const uint64_t now_ms = uv_now(&c->loop);
	const size_t count = pins_list(c->pins, now_ms, all);

	for (size_t i = 0; i < count; i++)
		control_request_say(
		    r,
		    json_pack("{so ss sI}", "who",
			      escape_json(all[i].who, strlen(all[i].who)),
			      "reputation", reputation_name(all[i].standing),
			      "left_s",
			      (json_int_t)((all[i].until_ms - now_ms) / 1000)));
}

void
control_set(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	char text[SIGNATURE_TEXT_CAP + 64];
	char why[WHY_CAP] = "";
	struct pin pin;

	(void)snprintf(text, sizeof(text), "%s", control_request_argument(r));
	if (text[0] == '\0') {
		say_pins(c, r);
	} else if (read_pin(text, uv_now(&c->loop), &pin, why) &&
		   !pins_set(c->pins, &pin, uv_now(&c->loop))) {
		snprintf(why, sizeof(why),
			 "%d are pinned already: tarryctl unset one, or write "
			 "a rule",
			 PINS_CAP);
	} else if (why[0] == '\0') {
		log_say(LOG_LEVEL_INFO, "%s is %s for %" PRIu64 " s, says %s",
			pin.who, reputation_name(pin.standing),
			(pin.until_ms - uv_now(&c->loop)) / 1000,
			control_request_peer(r));
	}
	control_request_end(r, why[0] != '\0' ? why : NULL);
}

void
control_unset(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	const char *who = control_request_argument(r);
	bool was_there = pins_unset(c->pins, who, uv_now(&c->loop));

	if (was_there)
		log_say(LOG_LEVEL_INFO, "%s is what is learnt of it, says %s",
			who, control_request_peer(r));
	control_request_end(r, was_there
				   ? NULL
				   : "nothing is pinned on that: tarryctl "
				     "set shows what is, as written");
}

/* In a thread of the pool: the loop's time is not for it to read. */
static int
put_pins(void *ctx, struct state_file *f)
{
	static struct pin all[PINS_CAP]; /* one flush at a time */
	struct control *c = ctx;
	const uint64_t changes = (uint64_t)pins_changes(c->pins) + 1;
	size_t count;
	int rc;

	if (c->pins_written == changes)
		return 0;
	count = pins_list(c->pins, uv_hrtime() / 1000000, all);
	rc = state_file_drop_notes(f, NOTE, INT64_MAX);
	for (size_t i = 0; i < count && rc == 0; i++) {
		const uint32_t standing = all[i].standing;
		const struct state_note note = {
		    .kind = NOTE,
		    .at = (int64_t)((c->wall_ms + all[i].until_ms) / 1000),
		    .slot = (uint32_t)i,
		    .name = all[i].who,
		    .numbers = &standing,
		    .count = 1,
		};

		rc = state_file_put_note(f, &note);
	}
	if (rc == 0)
		c->pins_written = changes;
	return rc;
}

static void
put_pins_again(void *ctx)
{
	struct control *c = ctx;

	c->pins_written = 0;
}

/* Whose time is over, and what is none, is passed over. */
static void
take_pin(void *ctx, const struct state_note *note)
{
	struct control *c = ctx;
	const uint64_t now_ms = uv_now(&c->loop);
	const int64_t left_s =
	    note->at - (int64_t)((c->wall_ms + now_ms) / 1000);
	struct pin pin;

	if (note->count != 1 || note->numbers[0] > REPUTATION_BAD ||
	    left_s <= 0 || left_s > PIN_MS_MAX / 1000 ||
	    !pin_read(&pin, note->name))
		return;
	pin.standing = (enum reputation_standing)note->numbers[0];
	pin.until_ms = now_ms + (uint64_t)left_s * 1000;
	(void)pins_set(c->pins, &pin, now_ms);
}

void
control_keep_pins(struct control *c)
{
	static const char *const kinds[] = {NOTE, NULL};
	const struct store_keeper keeper = {.kinds = kinds,
					    .ctx = c,
					    .take = take_pin,
					    .put = put_pins,
					    .put_again = put_pins_again};

	store_keep(c->store, &keeper);
}
