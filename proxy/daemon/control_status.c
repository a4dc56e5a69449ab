/*
 * `tarryctl status`: how tarryd is, on one screen.
 */
#include "proxy/daemon/control_state.h"

#include <string.h>
#include <unistd.h>

#include "proxy/admin/control_socket.h"

static const char *
state_name(enum control_state state)
{
	switch (state) {
	case CONTROL_RUNS:
		return "running";
	case CONTROL_DRAINS:
		return "draining";
	case CONTROL_CUTS:
		return "ending";
	}
	return "?";
}

static const char *
client_address_name(enum client_address how)
{
	switch (how) {
	case CLIENT_ADDRESS_NONE:
		return "none";
	case CLIENT_ADDRESS_V1:
		return "proxy_v1";
	case CLIENT_ADDRESS_V2:
		return "proxy_v2";
	case CLIENT_ADDRESS_TRANSPARENT:
		return "transparent";
	}
	return "?";
}

static void
add_counters(struct worker_counters *sum, const struct worker_counters *one)
{
	sum->sessions += one->sessions;
	sum->held += one->held;
	sum->legs += one->legs;
	sum->is_paused |= one->is_paused;
	sum->is_stressed |= one->is_stressed;
	if (one->lead_ms > sum->lead_ms)
		sum->lead_ms = one->lead_ms;
}

static void
sum_up(const struct control *c, struct worker_counters *sum)
{
	*sum = (struct worker_counters){0};
	for (uint32_t i = 0; i < c->workers_count; i++) {
		struct worker_counters one;

		worker_counters(c->workers[i], &one);
		add_counters(sum, &one);
	}
}

static json_t *
sessions_json(const struct control *c, const struct worker_counters *sum)
{
	return json_pack("{si si si sb sb}", "open", (int)sum->sessions, "held",
			 (int)sum->held, "limit", (int)c->sessions_limit,
			 "stress", (int)sum->is_stressed, "full",
			 (int)sum->is_paused);
}

static json_t *
slots_json(const struct control *c)
{
	const struct config_mta *mta = &c->settings.config->mta;
	struct places_totals t;

	gate_totals(c->gate, &t);
	return json_pack("{si si si si si si si sb}", "used", (int)t.slots_used,
			 "limit", (int)mta->max_connections, "throttled",
			 (int)t.slots_shared, "throttled_limit",
			 (int)(mta->max_connections - c->slots_reserve),
			 "waiting", (int)t.slots_waiting, "caps_held",
			 (int)t.caps_held, "caps_waiting", (int)t.caps_waiting,
			 "stress", (int)gate_is_slot_stress(c->gate));
}

static json_t *
sidecar_json(const struct control *c)
{
	const char *path = c->settings.config->syn.sidecar;
	struct syn_map_status syn;

	syn_map_status(c->syn_map, &syn);
	return json_pack(
	    "{ss so sI sI}", "state",
	    path[0] != '\0' ? syn_map_state_name(syn.state) : "not used",
	    "socket", escape_json(path, strlen(path)), "received",
	    (json_int_t)syn.counters[SYN_TABLE_RECEIVED], "dropped",
	    (json_int_t)syn.counters[SYN_TABLE_DROPPED]);
}

static json_t *
mta_json(const struct control *c, const struct worker_counters *sum)
{
	const struct config_mta *mta = &c->settings.config->mta;
	char address[ADDR_TEXT_CAP];
	const char *why = c->mta_is_ready && !c->mta_is_gone ? "" : c->mta_why;

	config_mta_text(c->settings.config, address);
	return json_pack(
	    "{ss ss sb si si so}", "address", address, "client_address",
	    client_address_name(mta->client_address), "ready",
	    (int)(c->mta_is_ready && !c->mta_is_gone), "open", (int)sum->legs,
	    "lead_ms", (int)sum->lead_ms, "why", escape_json(why, strlen(why)));
}

static json_t *
config_json(const struct control *c)
{
	const char *path = c->options->config_path;

	return json_pack("{so sb sI sI so}", "file",
			 path != NULL ? escape_json(path, strlen(path))
				      : json_null(),
			 "reload_failed", (int)c->reload.has_failed, "reloads",
			 (json_int_t)c->reload.ok_count, "reloads_refused",
			 (json_int_t)c->reload.refused_count, "modes",
			 control_modes_json(c));
}

static uint64_t
count_of(const struct control *c, enum metric which)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i <= c->settings.config->workers; i++)
		count += atomic_load_explicit(&c->metrics[i].scalars[which],
					      memory_order_relaxed);
	return count;
}

/* Of the sessions that have ended, those whose mail was not seen here; and of
 * those, how many somebody told of. */
static json_t *
ended_json(const struct control *c)
{
	/* Each session counts in one of these three. */
	uint64_t all = count_of(c, METRIC_SYN_SIDECAR) +
		       count_of(c, METRIC_SYN_KERNEL) +
		       count_of(c, METRIC_SYN_NOWHERE);

	return json_pack("{sI sI sI}", "all", (json_int_t)all, "opaque",
			 (json_int_t)count_of(c, METRIC_OPAQUE), "told",
			 (json_int_t)(c->verdict.book != NULL
					  ? verdict_book_told(c->verdict.book)
					  : 0));
}

void
control_say_status(void *ctx, struct control_request *r)
{
	const struct control *c = ctx;
	struct worker_counters sum;

	sum_up(c, &sum);
	control_request_say(
	    r, json_pack(
		   "{ss si sI ss ss si so so so so so so so sI}", "version",
		   TARRY_VERSION, "pid", (int)getpid(), "uptime_s",
		   (json_int_t)((uv_now(&c->loop) - c->start_ms) / 1000),
		   "state", state_name(c->state), "mode",
		   c->settings.config->policy.is_shadow ? "shadow" : "enforce",
		   "workers", (int)c->workers_count, "sessions",
		   sessions_json(c, &sum), "ended", ended_json(c), "slots",
		   slots_json(c), "mta", mta_json(c, &sum), "sidecar",
		   sidecar_json(c), "config", config_json(c), "memory",
		   control_store_json(c), "log_lines_dropped",
		   (json_int_t)log_dropped()));
	control_request_end(r, NULL);
}
