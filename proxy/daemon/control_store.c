/*
 * What is remembered, seen from outside: the state file's figures, and the
 * verbs `dump` and `load`. Both work in pieces of so few rows that a turn of
 * the loop stays short; whoever asks comes again for the next.
 *
 *   dump SLOT [KIND]           rows, then {"next":SLOT} unless that is all
 *   load [[LINE,ROW],..]       {"line":LINE,"error":TEXT} for each bad one,
 *   load dry [[LINE,ROW],..]   then {"new":N,"merged":N,"refused":N}
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/admin/control_socket.h"
#include "proxy/memory/entry_json.h"

#define DUMP_ROWS 128u
/* Empty places that are passed over in one piece. */
#define DUMP_SLOTS 16384u

static uint32_t
slots_of(const struct control *c)
{
	return ledger_rows(c->settings.config->learn.capacity);
}

int
control_open_store(struct control *c)
{
	const char *path = c->settings.config->state;
	int rc;

	if (path[0] == '\0')
		return 0;
	if (c->memory == NULL) {
		log_say(LOG_LEVEL_WARNING,
			"tarry.state is not used: learn.capacity is 0");
		return 0;
	}
	rc = store_open(&c->store, &c->loop, c->memory, path, slots_of(c));
	if (rc == 0)
		control_keep_pins(c);
	if (rc == 0)
		rc = control_keep_effects(c);
	return rc == 0 ? control_keep_hours(c) : rc;
}

void
control_tick_store(struct control *c, uint64_t now_ms)
{
	store_tick(c->store, now_ms, c->settings.config->state_interval_ms);
}

void
control_add_store(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	struct store_status s;

	if (c->store == NULL)
		return;
	store_status(c->store, &s);
	values[METRIC_VALUE_STATE_KEPT] = s.is_kept;
	values[METRIC_VALUE_STATE_LOADED] = (double)s.loaded;
	values[METRIC_VALUE_STATE_WRITTEN] = (double)s.written;
	values[METRIC_VALUE_STATE_FLUSHES_OK] = (double)s.flushes;
	values[METRIC_VALUE_STATE_FLUSHES_FAILED] = (double)s.failures;
	values[METRIC_VALUE_STATE_FLUSH_TIME] = (double)s.took_us / 1e6;
	values[METRIC_VALUE_STATE_OK_TIME] = (double)s.ok_unix_s;
}

json_t *
control_store_json(const struct control *c)
{
	const char *path = c->settings.config->state;
	struct store_status s = {.why = ""};
	struct ledger_shard rows = {0};
	json_int_t count = 0;

	if (c->store != NULL)
		store_status(c->store, &s);
	if (c->memory != NULL)
		memory_totals(c->memory, &rows);
	for (size_t i = 0; i < LEDGER_KINDS; i++)
		count += rows.rows[i];
	return json_pack(
	    "{sI sI sI so sb so sI sI sI}", "rows", count, "limit",
	    (json_int_t)(c->memory != NULL ? slots_of(c) : 0), "changed",
	    (json_int_t)rows.dirty, "file", escape_json(path, strlen(path)),
	    "kept", (int)s.is_kept, "why", escape_json(s.why, strlen(s.why)),
	    "written", (json_int_t)s.written, "failures",
	    (json_int_t)s.failures, "written_unix_s", (json_int_t)s.ok_unix_s);
}

/* LEDGER_KINDS: that is none. */
static enum ledger_kind
find_kind(const char *name)
{
	for (unsigned i = 0; i < LEDGER_KINDS; i++)
		if (strcmp(ledger_kind_name((enum ledger_kind)i), name) == 0)
			return (enum ledger_kind)i;
	return LEDGER_KINDS;
}

static bool
copy_row(struct control *c, uint32_t slot, struct ledger_entry *e)
{
	uint32_t shard = ledger_slot_shard(memory_ledger(c->memory), slot);
	bool is_there = ledger_at(memory_lock(c->memory, shard), slot, e);

	memory_unlock(c->memory, shard);
	return is_there;
}

static void
refuse_kind(struct control_request *r)
{
	char text[200] = "there is no such kind of row, expected all";

	for (int k = 0; k < LEDGER_KINDS; k++) {
		size_t len = strlen(text);

		(void)snprintf(text + len, sizeof(text) - len, ", %s",
			       ledger_kind_name((enum ledger_kind)k));
	}
	control_request_end(r, text);
}

void
control_dump(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	char *rest;
	unsigned long slot = strtoul(control_request_argument(r), &rest, 10);
	enum ledger_kind kind = LEDGER_KINDS;
	struct ledger_entry e;
	uint32_t rows = 0;
	uint32_t looked = 0;

	if (c->memory == NULL) {
		control_request_end(r, "nothing is remembered: "
				       "learn.capacity is 0");
		return;
	}
	if (rest[0] == ' ' && (kind = find_kind(rest + 1)) == LEDGER_KINDS) {
		refuse_kind(r);
		return;
	}
	for (; slot < slots_of(c) && rows < DUMP_ROWS && looked < DUMP_SLOTS;
	     slot++, looked++) {
		if (!copy_row(c, (uint32_t)slot, &e) ||
		    (kind != LEDGER_KINDS && e.kind != kind))
			continue;
		control_request_say(r, entry_json(&e));
		rows++;
	}
	if (slot < slots_of(c))
		control_request_say(
		    r, json_pack("{sI}", "next", (json_int_t)slot));
	control_request_end(r, NULL);
}

struct load {
	bool is_dry;
	int fresh;
	int merged;
	int refused;
};

static void
put_row(struct control *c, struct load *load, const struct ledger_entry *e)
{
	uint32_t now_s = memory_now_s(c->memory, uv_now(&c->loop));
	struct ledger_key key =
	    ledger_key(memory_ledger(c->memory), (enum ledger_kind)e->kind,
		       e->text, e->len);
	uint32_t shard = ledger_shard(&key);
	struct ledger *l = memory_lock(c->memory, shard);
	uint32_t slot = ledger_slot(l, &key);
	struct ledger_row row = e->row;
	struct ledger_entry was;

	if (slot != LEDGER_NO_SLOT && ledger_at(l, slot, &was))
		entry_merge(&row, &was.row, l->half_life_s, now_s);
	if (load->is_dry || ledger_put(l, &key, &row, now_s)) {
		load->merged += slot != LEDGER_NO_SLOT;
		load->fresh += slot == LEDGER_NO_SLOT;
		slot = ledger_slot(l, &key);
		if (!load->is_dry && slot != LEDGER_NO_SLOT)
			ledger_touch(l, slot);
	} else {
		load->refused++;
	}
	memory_unlock(c->memory, shard);
}

static void
load_rows(struct control *c, struct load *load, struct control_request *r,
	  const json_t *list)
{
	struct ledger_entry e;
	const json_t *pair;
	size_t i;

	json_array_foreach(list, i, pair)
	{
		const char *why = entry_read(json_array_get(pair, 1), &e);

		if (why == NULL)
			put_row(c, load, &e);
		else
			control_request_say(
			    r, json_pack(
				   "{sI ss}", "line",
				   json_integer_value(json_array_get(pair, 0)),
				   "error", why));
	}
}

void
control_load(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	const char *argument = control_request_argument(r);
	struct load load = {.is_dry = strncmp(argument, "dry ", 4) == 0};
	json_t *list = json_loads(argument + (load.is_dry ? 4 : 0), 0, NULL);

	if (c->memory == NULL || !json_is_array(list)) {
		json_decref(list);
		control_request_end(r, c->memory == NULL
					   ? "nothing is remembered: "
					     "learn.capacity is 0"
					   : "that is no list of rows");
		return;
	}
	load_rows(c, &load, r, list);
	json_decref(list);
	control_request_say(r,
			    json_pack("{si si si}", "new", load.fresh, "merged",
				      load.merged, "refused", load.refused));
	control_request_end(r, NULL);
}
