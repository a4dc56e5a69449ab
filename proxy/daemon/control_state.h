/*
 * The control plane's inside, shared by control*.c alone. Everything that the
 * main thread owns is in one struct; it is taken apart in the opposite order
 * of its making.
 */
#ifndef PROXY_DAEMON_CONTROL_STATE_H
#define PROXY_DAEMON_CONTROL_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "proxy/admin/control_socket.h"
#include "proxy/admin/escape.h"
#include "proxy/admin/http.h"
#include "proxy/admin/tally.h"
#include "proxy/admin/trend.h"
#include "proxy/config/names.h"
#include "proxy/daemon/control.h"
#include "proxy/daemon/doctor.h"
#include "proxy/daemon/journal.h"
#include "proxy/daemon/log.h"
#include "proxy/evidence/dns.h"
#include "proxy/evidence/session_feed.h"
#include "proxy/evidence/syn_map.h"
#include "proxy/evidence/verdict_book.h"
#include "proxy/evidence/verdict_socket.h"
#include "proxy/evidence/verdict_wait.h"
#include "proxy/memory/effects.h"
#include "proxy/memory/memory.h"
#include "proxy/memory/pins.h"
#include "proxy/memory/store.h"
#include "proxy/relay/gate.h"
#include "proxy/relay/mta_probe.h"
#include "proxy/relay/worker.h"

#define CONTROL_TICK_MS 100u
#define CONTROL_SIGNALS 3

enum control_state { CONTROL_RUNS, CONTROL_DRAINS, CONTROL_CUTS };

/* What `tarryctl shadow` set, until the next reload. */
#define CONTROL_MODES_CAP 64
struct control_modes {
	struct config_mode all[CONTROL_MODES_CAP]; /* names are malloc()ed */
	size_t count;
};

/* A reload is under way as long as a worker may read what was before. */
struct control_reload {
	struct settings before; /* empty: none is under way */
	_Atomic uint32_t taken_count;
	bool is_wanted; /* once more, when this one is done */
	bool has_failed;
	double ok_time; /* of the last one that did not, Unix time */
	char hash[CONFIG_HASH_CAP]; /* of what was loaded, modes included */
	uint64_t ok_count;
	uint64_t refused_count;
};

/* All NULL where there is no verdict.socket. */
struct control_verdict {
	struct verdict_socket *socket; /* or NULL: it could not be made */
	struct verdict_book *book;
	struct verdict_wait *wait;
	struct session_feed *feeds; /* one a worker */
	uint64_t said_second;
	uint32_t said; /* lines of the log in that second */
};

/* See control_names.c. */
struct control_names_asked {
	struct dns *dns;
	struct name_feed *feeds; /* one a worker */
	uint32_t epoch;		 /* of the settings that hold */
};

/* The dashboard's; all NULL where there is no HTTP. See control_window.c. */
struct control_window {
	struct trend *trend; /* minutes */
	struct trend *hours;
	struct trend *days;
	pthread_mutex_t hours_lock;	  /* a flush of the store reads them */
	struct control_hours *hours_kept; /* or NULL: they are not kept */
	struct tally **tallies;		  /* one a worker */
	struct tally_signature *rows;	  /* of all workers, when last merged */
	struct tally_signature *before;	  /* and when merged before that */
	uint32_t rows_count;
	uint32_t before_count;
	uint64_t taken_ms;
	uint64_t signatures_ms;
	struct control_live *live;
};

struct control_hours;
struct control_keep;
struct worker_view_row;

struct control {
	const struct options *options;
	struct settings settings; /* those that hold */
	struct names *names;
	uv_loop_t loop;
	uv_async_t log_wake;
	uv_async_t notice_wake;
	uv_timer_t tick;
	uv_signal_t signals[CONTROL_SIGNALS];
	enum control_state state;
	uint64_t state_ends_ms;
	uint64_t tick_due_ms;
	uint64_t dropped_said;
	uint64_t dropped_say_ms;
	double start_time;
	uint64_t start_ms; /* the same on the loop's clock */
	uint32_t sessions_limit;
	uint32_t slots_reserve; /* of the MTA's */
	struct gate *gate;
	struct memory *memory; /* or NULL: none is wanted */
	struct pins *pins;
	_Atomic uint64_t pins_written; /* + 1: pins_changes() then; 0: never */
	struct store *store;	       /* or NULL: likewise */
	struct effects *effects;
	struct control_keep *keep; /* or NULL: nothing is kept */
	uint64_t holdout_salt;
	uint64_t wall_ms; /* Unix time when the loop's was 0 */
	struct syn_map *syn_map;
	struct mta_probe *probe;
	struct http *http;
	struct control_socket *socket;		/* or NULL */
	struct doctor *doctor;			/* that is at work, or NULL */
	struct control_request *doctor_request; /* who wanted it */
	struct control_sessions *sessions;	/* asked for, or NULL */
	_Atomic bool has_looked;		/* a worker, for those */
	struct control_ask *ask; /* `explain` or `release`, or NULL */
	struct control_p0f *p0f; /* or NULL */
	struct control_verdict verdict;
	struct control_names_asked names_asked;
	struct control_window window;
	struct journal *journal;
	struct metrics *metrics; /* of workers, then the main thread's own */
	const struct metrics **threads;
	struct worker **workers;
	uint32_t workers_count; /* started */
	_Atomic uint32_t drained_count;
	bool mta_is_ready; /* the test session passed */
	bool mta_is_gone;  /* but dials fail since */
	char mta_why[400];
	struct control_reload reload;
	struct control_modes modes;
};

/* control_start.c: takes and opens everything; 0 or a negative errno. */
__attribute__((warn_unused_result)) int control_start(struct control *c);

/* control_mta.c: tests the MTA; looks whether dials fail, on each tick. */
__attribute__((warn_unused_result)) int control_test_mta(struct control *c);
void control_watch_dials(struct control *c);
/* It is another one: nobody is sent there before it was tested. */
void control_retest_mta(struct control *c);
/* Until the test says otherwise it is what it was. */
void control_test_mta_again(struct control *c);

/* control_drain.c: ends delays, then waits, then cuts. */
void control_drain(struct control *c, const char *cause);
void control_watch_drain(struct control *c, uint64_t now_ms);

/* control_page.c: /metrics and /readyz; for struct http_source. */
void control_fill_page(void *ctx, struct metrics_page *page);
bool control_is_ready(void *ctx, char *why, size_t cap);

/* control_reload.c */

enum reload_result {
	RELOAD_TAKEN,
	RELOAD_REFUSED, /* the report holds the mistakes */
	RELOAD_LATER,	/* one is under way; another comes behind it */
	RELOAD_NEVER	/* it is shutting down */
};

/*
 * Loads the files again and puts them in force; or remembers to. What is to
 * be said of them is logged, and left in the report, which must be empty and
 * is the caller's (report_free()).
 */
enum reload_result control_reload(struct control *c, struct report *report);
/*
 * Puts these modes in force, and keeps them (the names become the control's)
 * if RELOAD_TAKEN is returned. RELOAD_REFUSED with no mistakes in the report:
 * the files are others than those that were loaded.
 */
enum reload_result control_set_modes(struct control *c,
				     const struct control_modes *modes,
				     struct report *report);

/* control_shadow.c */
json_t *control_modes_json(const struct control *c);
void control_forget_modes(struct control *c);
void control_shadow(void *ctx, struct control_request *r);

/* control_pins.c: pins are of the store too; reads what it had. */
void control_keep_pins(struct control *c);
void control_set(void *ctx, struct control_request *r);
void control_unset(void *ctx, struct control_request *r);

/* A worker has let go of the old rules; the loop looks whether all have. */
void control_watch_reload(struct control *c);
/* What holds now is told to log and journal. */
void control_tell_settings(struct control *c, const char *cause);

/* control_verbs.c: opens the control socket, if there is to be one and it can
 * be; a negative errno only if there is no memory. */
__attribute__((warn_unused_result)) int control_open_socket(struct control *c);

/* control_doctor.c: the verb `doctor`. */
void control_doctor(void *ctx, struct control_request *r);

/* control_sessions.c: the verb `sessions`; goes on when a worker has looked;
 * breaks off, for the end, once no worker runs. */
void control_say_sessions(void *ctx, struct control_request *r);
void control_watch_sessions(struct control *c);
void control_end_sessions(struct control *c);

/* control_ask.c: the verbs `explain` and `release`; goes on when a worker has
 * answered; breaks off, for the end, once no worker runs. */
void control_explain(void *ctx, struct control_request *r);
void control_release(void *ctx, struct control_request *r);
void control_watch_ask(struct control *c);
void control_end_ask(struct control *c);

/* control_p0f.c: the p0f socket, if there is to be one and it can be; goes on
 * when a worker has answered; ends when none runs. */
__attribute__((warn_unused_result)) int control_open_p0f(struct control *c);
void control_watch_p0f(struct control *c);
void control_close_p0f(struct control *c);

/* A session as JSON; for the dashboard too. */
json_t *control_session_json(const struct control *c, uint32_t worker,
			     const struct worker_view_row *row);

/* control_window.c: memory before the workers start, freed when none runs;
 * then what came since the last tick. */
__attribute__((warn_unused_result)) int
control_take_window_memory(struct control *c);
void control_print_window_size(const struct control *c, FILE *out);
void control_tick_window(struct control *c, uint64_t now_ms);
void control_free_window(struct control *c);
/* What was, in steps, for one of the ranges; and the signatures of now. New
 * references; NULL: no memory. */
json_t *control_history_json(struct control *c, enum http_api what);
json_t *control_signatures_json(struct control *c);
/* The verb `signatures`: the same, a line each. */
void control_say_signatures(void *ctx, struct control_request *r);

/* control_live.c: sessions that are held now. NULL: no memory. */
struct control_live *control_live_new(void);
void control_live_free(struct control_live *live);
bool control_live_is_looking(const struct control_live *live);
/* A worker has looked, for this. */
void control_live_looked(struct control *c);
json_t *control_live_json(struct control *c);

/* control_keep.c: what delays did is of the store; reads what it had. Freed
 * by free(), when the store is closed. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int control_keep_effects(struct control *c);

/* control_hours.c: likewise the hours of the charts, if there are any. */
__attribute__((warn_unused_result)) int control_keep_hours(struct control *c);

/* control_effect.c: a share of sessions, in both arms. */
json_t *control_fact_json(const struct effect *e, enum effect_fact fact);

/* control_api_effect.c. NULL: no memory. */
json_t *control_effect_json(struct control *c);

/* control_api.c: for struct http_source. */
char *control_api(void *ctx, enum http_api what);

/* control_effect.c: the verbs `effect` and `patience`. */
void control_say_effect(void *ctx, struct control_request *r);
void control_say_patience(void *ctx, struct control_request *r);

/* control_status.c: the verb `status`. */
void control_say_status(void *ctx, struct control_request *r);

/* control_names.c. Before the workers start; what holds is told again at each
 * reload; and when none runs any more. */
__attribute__((warn_unused_result)) int control_open_names(struct control *c);
void control_set_names(struct control *c);
void control_fill_names(const struct control *c,
			double values[METRIC_VALUE_COUNT]);
void control_free_names(struct control *c);

/* control_store.c: fills the memory from the state file; the rest of what
 * there is to say of both. */
__attribute__((warn_unused_result)) int control_open_store(struct control *c);
void control_tick_store(struct control *c, uint64_t now_ms);
void control_add_store(const struct control *c,
		       double values[METRIC_VALUE_COUNT]);
json_t *control_store_json(const struct control *c);
void control_dump(void *ctx, struct control_request *r);
void control_load(void *ctx, struct control_request *r);

/* control_verdict.c, in the order in which they are called. */
__attribute__((warn_unused_result)) int
control_take_verdict_memory(struct control *c);
void control_print_verdict_size(const struct control *c, FILE *out);
__attribute__((warn_unused_result)) int
control_open_verdicts(struct control *c);
/* Notes the sessions that workers told of since, and tries again the verdicts
 * that wait for one. On each tick. */
void control_tick_verdicts(struct control *c);
/* No worker runs any more. */
void control_free_verdicts(struct control *c);

#endif
