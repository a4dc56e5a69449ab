/*
 * syn_table_dump SOCKET: tarryd's reader of the SYN table, by itself.
 *
 * Says what syn_map says, as `say TEXT`, and answers lines on standard input:
 *   status   one line `status STATE maps N refused N NAME N ..`
 *   entries  a line an entry, then `end`
 *   hold     holds the table as a worker does; release: lets go
 *   rate     times a million look-ups
 *   spin     two workers that read without end, until standard input ends
 * Ends when standard input does. For tests and for curious people.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "proxy/evidence/syn_map.h"

#define SPINNERS 2

struct spinner {
	struct syn_map *map;
	uint32_t worker;
	uv_thread_t thread;
};

struct dump {
	struct syn_map *map;
	struct spinner spinners[SPINNERS];
	atomic_bool is_over;
	bool is_spinning;
	uv_pipe_t in;
	char line[64];
	size_t len;
};

static struct dump d;

static const char *const counter_names[SYN_TABLE_COUNTERS] = {
    [SYN_TABLE_RECEIVED] = "received",
    [SYN_TABLE_DROPPED] = "dropped",
    [SYN_TABLE_INSERTED] = "inserted",
    [SYN_TABLE_RETRANSMITTED] = "retransmitted",
    [SYN_TABLE_ECHOED] = "echoed",
    [SYN_TABLE_MALFORMED] = "malformed",
    [SYN_TABLE_FOREIGN] = "foreign",
    [SYN_TABLE_CROWDED] = "crowded",
};

static void
on_say(void *ctx, const char *message)
{
	(void)ctx;
	printf("say %s\n", message);
}

static void
print_status(void)
{
	struct syn_map_status status;

	syn_map_status(d.map, &status);
	printf("status %s maps %" PRIu64 " refused %" PRIu64 " entries %" PRIu64
	       " pid %u port %u",
	       syn_map_state_name(status.state), status.maps_count,
	       status.refused_count, status.entries_count, status.writer_pid,
	       status.ports[0]);
	for (size_t i = 0; i < SYN_TABLE_COUNTERS; i++)
		printf(" %s %" PRIu64, counter_names[i], status.counters[i]);
	putchar('\n');
}

static void
print_entry(const struct syn_entry *e)
{
	struct addr client = {.port = e->client_port, .family = e->family};
	char text[ADDR_TEXT_CAP];
	uint64_t now_ns = uv_hrtime();

	memcpy(client.ip, e->client_ip, sizeof(client.ip));
	addr_text(&client, text, sizeof(text));
	printf("entry %s local %u isn %" PRIu32
	       " retransmits %u gap_ms %" PRIu32 " age_ms %" PRId64 " raw ",
	       text, e->local_port, e->isn, e->retransmits, e->first_gap_ms,
	       ((int64_t)now_ns - (int64_t)e->captured_ns) / 1000000);
	for (size_t i = 0; i < e->raw_len; i++)
		printf("%02x", e->raw[i]);
	putchar('\n');
}

static void
print_entries(void)
{
	struct syn_reader reader = syn_map_acquire(d.map, 0);
	struct syn_entry e;

	for (uint64_t i = 0; i < (uint64_t)reader.sets_count * SYN_TABLE_WAYS;
	     i++) {
		if (syn_reader_at(&reader, i, &e))
			print_entry(&e);
	}
	syn_map_release(d.map, 0);
	puts("end");
}

/* A million look-ups of clients that are not there; then of one that is. */
static void
print_rate(void)
{
	struct syn_reader reader = syn_map_acquire(d.map, 0);
	struct addr client = {.family = 4};
	struct syn_entry e;
	uint64_t found_count = 0;
	uint64_t start_ns = uv_hrtime();

	for (uint32_t i = 0; i < 1000000; i++) {
		memcpy(client.ip + 12, &i, sizeof(i));
		found_count += syn_reader_find(&reader, &client, NULL, &e);
	}
	printf("rate %" PRIu64 " ns a look-up, %" PRIu64 " found\n",
	       (uv_hrtime() - start_ns) / 1000000, found_count);
	syn_map_release(d.map, 0);
}

/* A worker: takes the table, looks, lets go. */
static void
spin(void *arg)
{
	const struct spinner *s = arg;
	struct addr client = {.family = 4};
	struct syn_entry e;

	for (uint32_t i = 0; !atomic_load(&d.is_over); i++) {
		struct syn_reader reader = syn_map_acquire(s->map, s->worker);

		memcpy(client.ip + 12, &i, sizeof(i));
		(void)syn_reader_find(&reader, &client, NULL, &e);
		syn_map_release(s->map, s->worker);
	}
}

static void
start_spinning(void)
{
	if (d.is_spinning)
		return;
	for (uint32_t i = 0; i < SPINNERS; i++) {
		d.spinners[i].map = d.map;
		d.spinners[i].worker = 2 + i;
		if (uv_thread_create(&d.spinners[i].thread, spin,
				     &d.spinners[i]) != 0)
			abort();
	}
	d.is_spinning = true;
	puts("spinning");
}

static void
stop_spinning(void)
{
	atomic_store(&d.is_over, true);
	for (uint32_t i = 0; d.is_spinning && i < SPINNERS; i++)
		uv_thread_join(&d.spinners[i].thread);
}

static void
let_go(void)
{
	syn_map_release(d.map, 1);
	puts("released");
}

static void
obey(const char *command)
{
	if (strcmp(command, "status") == 0)
		print_status();
	else if (strcmp(command, "entries") == 0)
		print_entries();
	else if (strcmp(command, "rate") == 0)
		print_rate();
	else if (strcmp(command, "hold") == 0)
		printf("held %d\n", syn_map_acquire(d.map, 1).table != NULL);
	else if (strcmp(command, "release") == 0)
		let_go();
	else if (strcmp(command, "spin") == 0)
		start_spinning();
	else
		puts("what?");
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	if (d.len == sizeof(d.line) - 1)
		d.len = 0;
	buf->base = d.line + d.len;
	buf->len = sizeof(d.line) - 1 - d.len;
}

static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	char *newline;

	(void)buf;
	if (nread < 0) {
		stop_spinning();
		syn_map_close(d.map);
		uv_close((uv_handle_t *)stream, NULL);
		return;
	}
	d.len += (size_t)nread;
	d.line[d.len] = '\0';
	while ((newline = strchr(d.line, '\n')) != NULL) {
		*newline = '\0';
		obey(d.line);
		d.len -= (size_t)(newline + 1 - d.line);
		memmove(d.line, newline + 1, d.len + 1);
	}
}

int
main(int argc, char **argv)
{
	struct syn_map_options options = {.say = on_say};
	uv_loop_t *loop = uv_default_loop();

	if (argc != 2) {
		fputs("usage: syn_table_dump SOCKET\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	options.path = argv[1];
	if (syn_map_open(&d.map, loop, &options) != 0 ||
	    uv_pipe_init(loop, &d.in, 0) != 0 || uv_pipe_open(&d.in, 0) != 0 ||
	    uv_read_start((uv_stream_t *)&d.in, on_alloc, on_read) != 0)
		return 1;
	uv_run(loop, UV_RUN_DEFAULT);
	return uv_loop_close(loop) == 0 ? 0 : 1;
}
