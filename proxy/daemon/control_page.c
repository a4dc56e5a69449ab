/*
 * What HTTP is told: numbers that are asked for when printed, and whether
 * clients are served.
 */
#include "proxy/daemon/control_state.h"

#include <stdio.h>

#include "proxy/admin/process_values.h"
#include "proxy/relay/tls_context.h"

static void
add_worker_gauges(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	for (uint32_t i = 0; i < c->workers_count; i++) {
		struct worker_counters counters;

		worker_counters(c->workers[i], &counters);
		values[METRIC_VALUE_OPEN] += counters.sessions;
		values[METRIC_VALUE_HELD] += counters.held;
		values[METRIC_VALUE_MTA_OPEN] += counters.legs;
		if (counters.is_stressed)
			values[METRIC_VALUE_STRESS_SESSIONS] = 1;
		values[METRIC_VALUE_BUFFERS_USED] += counters.buffers_used;
		values[METRIC_VALUE_BUFFERS_LIMIT] += counters.buffers;
	}
}

static void
add_gate(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	const struct config_mta *mta = &c->settings.config->mta;
	struct places_totals t;

	gate_totals(c->gate, &t);
	values[METRIC_VALUE_MTA_WAITING] = t.slots_waiting;
	values[METRIC_VALUE_MTA_LIMIT] = mta->max_connections;
	values[METRIC_VALUE_MTA_SHARE_LIMIT] =
	    mta->max_connections - c->slots_reserve;
	values[METRIC_VALUE_MTA_SHARE_USED] = t.slots_shared;
	values[METRIC_VALUE_MTA_OTHER_USED] = t.slots_used - t.slots_shared;
	values[METRIC_VALUE_CAPS_HELD] = t.caps_held;
	values[METRIC_VALUE_CAPS_WAITING] = t.caps_waiting;
	values[METRIC_VALUE_UNCOUNTED] = (double)t.uncounted;
	values[METRIC_VALUE_STRESS_SLOTS] = gate_is_slot_stress(c->gate);
}

static void
add_sidecar(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	static const struct {
		enum metric_value value;
		enum syn_table_counter counter;
	} rows[] = {
	    {METRIC_VALUE_SIDECAR_DROPS, SYN_TABLE_DROPPED},
	    {METRIC_VALUE_SIDECAR_RECEIVED, SYN_TABLE_RECEIVED},
	    {METRIC_VALUE_SIDECAR_CROWDED, SYN_TABLE_CROWDED},
	    {METRIC_VALUE_SIDECAR_FOREIGN, SYN_TABLE_FOREIGN},
	    {METRIC_VALUE_SIDECAR_INSERTED, SYN_TABLE_INSERTED},
	    {METRIC_VALUE_SIDECAR_RETRANSMITTED, SYN_TABLE_RETRANSMITTED},
	    {METRIC_VALUE_SIDECAR_MALFORMED, SYN_TABLE_MALFORMED},
	};
	struct syn_map_status syn;

	syn_map_status(c->syn_map, &syn);
	values[METRIC_VALUE_SIDECAR_UP] = syn.state == SYN_MAP_UP;
	values[METRIC_VALUE_SIDECAR_MAPS] = (double)syn.maps_count;
	values[METRIC_VALUE_SIDECAR_MAPS_REFUSED] = (double)syn.refused_count;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		values[rows[i].value] = (double)syn.counters[rows[i].counter];
}

static void
add_reload(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	const struct control_reload *r = &c->reload;

	values[METRIC_VALUE_RELOAD_OK] = !r->has_failed;
	values[METRIC_VALUE_RELOAD_TIME] =
	    r->ok_count > 0 ? r->ok_time : c->start_time;
	values[METRIC_VALUE_RELOADS_OK] = (double)r->ok_count;
	values[METRIC_VALUE_RELOADS_REFUSED] = (double)r->refused_count;
	values[METRIC_VALUE_JOURNAL_DROPPED] =
	    (double)journal_dropped(c->journal);
	values[METRIC_VALUE_JOURNAL_WRITTEN] =
	    (double)journal_written(c->journal);
}

static void
add_verdicts(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	for (uint32_t i = 0;
	     c->verdict.feeds != NULL && i < c->settings.config->workers; i++)
		values[METRIC_VALUE_VERDICT_UNHEARD] +=
		    (double)atomic_load_explicit(&c->verdict.feeds[i].dropped,
						 memory_order_relaxed);
}

static void
add_memory(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	static const enum metric_value rows[LEDGER_KINDS] = {
#define LEDGER(id, name, help) METRIC_VALUE_MEMORY_##id,
#include "tarry/ledger.def"
#undef LEDGER
	};
	struct ledger_shard t;

	if (c->memory == NULL)
		return;
	memory_totals(c->memory, &t);
	for (size_t i = 0; i < LEDGER_KINDS; i++)
		values[rows[i]] = t.rows[i];
	values[METRIC_VALUE_MEMORY_LIMIT] =
	    ledger_rows(c->settings.config->learn.capacity);
	values[METRIC_VALUE_MEMORY_DIRTY] = t.dirty;
	values[METRIC_VALUE_MEMORY_REPLACED] = (double)t.replaced;
	values[METRIC_VALUE_MEMORY_REFUSED] = (double)t.refused;
}

/* So that an alarm can tell what is missing from what is not to be there. */
static void
add_wanted(const struct config *config, double values[METRIC_VALUE_COUNT])
{
	values[METRIC_VALUE_SIDECAR_WANTED] = config->syn.sidecar[0] != '\0';
	values[METRIC_VALUE_VERDICT_WANTED] = config->verdict.socket[0] != '\0';
	values[METRIC_VALUE_STATE_WANTED] =
	    config->state[0] != '\0' && config->learn.capacity > 0;
}

void
control_fill_page(void *ctx, struct metrics_page *page)
{
	struct control *c = ctx;

	page->threads = c->threads;
	page->threads_count = c->settings.config->workers + 1;
	page->names = c->names;
	page->build = options_build_labels();
	add_worker_gauges(c, page->values);
	add_gate(c, page->values);
	add_sidecar(c, page->values);
	add_reload(c, page->values);
	add_verdicts(c, page->values);
	add_memory(c, page->values);
	control_fill_names(c, page->values);
	control_add_store(c, page->values);
	add_wanted(c->settings.config, page->values);
	page->values[METRIC_VALUE_WORKERS] = c->workers_count;
	page->values[METRIC_VALUE_MTA_UP] = c->mta_is_ready && !c->mta_is_gone;
	page->values[METRIC_VALUE_CONNECTIONS_LIMIT] = c->sessions_limit;
	page->values[METRIC_VALUE_LOG_DROPPED] = (double)log_dropped();
	page->values[METRIC_VALUE_START_TIME] = c->start_time;
	page->values[METRIC_VALUE_CERTIFICATE_ENDS] =
	    (double)tls_context_ends(c->settings.tls);
	page->values[METRIC_VALUE_SHADOW] =
	    c->settings.config->policy.is_shadow;
	process_values(page->values);
}

/* A worker hears of the MTA's test a moment later than it is logged. */
static bool
all_know_mta(const struct control *c)
{
	struct worker_counters counters = {.knows_mta = true};

	for (uint32_t i = 0; counters.knows_mta && i < c->workers_count; i++)
		worker_counters(c->workers[i], &counters);
	return counters.knows_mta;
}

bool
control_is_ready(void *ctx, char *why, size_t cap)
{
	const struct control *c = ctx;

	if (c->state != CONTROL_RUNS) {
		snprintf(why, cap, "shutting down");
		return false;
	}
	if (!c->mta_is_ready) {
		snprintf(why, cap, "the MTA: %s", c->mta_why);
		return false;
	}
	if (c->mta_is_gone) {
		snprintf(why, cap, "the MTA: the last dials failed; %s",
			 c->mta_why);
		return false;
	}
	if (!all_know_mta(c)) {
		snprintf(why, cap,
			 "the MTA: it passed its test, and not all "
			 "workers know that yet");
		return false;
	}
	return true;
}
