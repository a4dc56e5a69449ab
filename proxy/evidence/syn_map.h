/*
 * The SYN map: tarryd's end of the table that tarry-sidecar writes.
 *
 * The main thread connects to the sidecar's socket, once a second until it
 * answers, and maps the table it is given, read-only. Workers read it without
 * a lock or a system call. The sidecar may start before or after, stop, die,
 * come back with another table, or lie: nothing here ever waits for it.
 *
 * A worker holds a table between acquire and release; a table that was
 * replaced is unmapped, by the main thread, once no worker holds it.
 */
#ifndef PROXY_EVIDENCE_SYN_MAP_H
#define PROXY_EVIDENCE_SYN_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "tarry/syn_table.h"

#define SYN_MAP_WORKERS_CAP 64
#define SYN_MAP_MUST_CHECK __attribute__((warn_unused_result))

struct syn_map;
struct uv_loop_s;

enum syn_map_state {
	SYN_MAP_ABSENT,	 /* no sidecar, or one whose table was refused */
	SYN_MAP_STOPPED, /* connected, its heartbeat is older than 2 s */
	SYN_MAP_UP
};

typedef void syn_map_say_fn(void *ctx, const char *message);

struct syn_map_options {
	const char *path;    /* copied; the sidecar's socket; "": none */
	syn_map_say_fn *say; /* main thread; a change of state, one line */
	void *say_ctx;
};

/* For metrics and status. */
struct syn_map_status {
	enum syn_map_state state;
	uint64_t maps_count;	/* tables taken since start */
	uint64_t refused_count; /* tables refused since start */
	uint64_t entries_count; /* of the table; 0: absent */
	uint64_t heartbeat_age_ms;
	uint32_t writer_pid;
	uint16_t ports[SYN_TABLE_PORTS_CAP]; /* watched; 0: no more */
	uint64_t counters[SYN_TABLE_COUNTERS];
};

/*
 * Starts looking for the sidecar, on `loop`, in its thread. *out is the
 * caller's, to be closed by syn_map_close(). An absent sidecar is no error.
 * Returns 0, -ENAMETOOLONG (path), -ENOMEM or another negative errno.
 */
SYN_MAP_MUST_CHECK int syn_map_open(struct syn_map **out,
				    struct uv_loop_s *loop,
				    const struct syn_map_options *options);

/*
 * Looks for the sidecar on another socket from now on; the table of the one
 * before is let go. The same path again changes nothing. Main thread; returns
 * 0, or -ENAMETOOLONG and changes nothing.
 */
SYN_MAP_MUST_CHECK int syn_map_set_path(struct syn_map *map, const char *path);

/*
 * Stops, unmaps and frees; the loop must run on until its handles are closed.
 * No worker may hold a table or acquire one any more. NULL does nothing.
 */
void syn_map_close(struct syn_map *map);

/*
 * The table of now, for worker 0 .. SYN_MAP_WORKERS_CAP - 1; it stays mapped
 * until syn_map_release() of the same worker, which is due by the end of the
 * loop turn: a worker that never lets go keeps old tables mapped. One at a
 * time for each worker. The reader has no table if there is no sidecar; `map`
 * may be NULL. Any thread; two atomic operations, never waits.
 */
struct syn_reader syn_map_acquire(struct syn_map *map, uint32_t worker);

/* Lets go of what syn_map_acquire() gave to this worker. `map` may be NULL. */
void syn_map_release(struct syn_map *map, uint32_t worker);

/* Main thread. `map` may be NULL: absent. */
void syn_map_status(const struct syn_map *map, struct syn_map_status *out);

/* "absent", "stopped", "up". Static. */
const char *syn_map_state_name(enum syn_map_state state);

#endif
