/*
 * The SYN map: finding the sidecar, taking its table, letting old ones go.
 *
 * Invariant: a mapping is unmapped only when it is not the current one and no
 * worker's slot names it. A worker writes its slot before it looks again at
 * which mapping is current (both in one total order), the main thread takes
 * the mapping out of `current` before it looks at the slots: one of the two
 * sees the other. Rejected: a reference count, which all workers would write
 * at each accept; and a message to each worker with an answer from each,
 * which is slower to let go and no simpler.
 *
 * The sidecar is not trusted: a table is mapped only if it is sealed against
 * shrinking (else it could be cut off under us: SIGBUS) and has the right
 * size, and readers never go by what the head says later.
 */
#include "proxy/evidence/syn_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define TICK_MS SYN_TABLE_HEARTBEAT_MS
#define TICKS_A_CONNECT (1000 / TICK_MS)
/* A sidecar that has not sent its table so soon is not one. */
#define TICKS_TO_SEND (2000 / TICK_MS)
#define TEXT_CAP 256
/* So many descriptors fit one message; we want one, and close the others. */
#define FDS_CAP 8

struct mapping {
	struct mapping *next; /* in the list of those to be let go */
	void *memory;
	size_t bytes;
	struct syn_reader reader;
};

/* A worker's hold, alone in its cache line. */
struct hold {
	_Alignas(64) _Atomic(struct mapping *) mapping;
};

struct syn_map {
	struct hold holds[SYN_MAP_WORKERS_CAP];
	_Atomic(struct mapping *) current;
	struct mapping *retired;
	struct syn_map_options options;
	uv_timer_t timer;
	uv_poll_t poll;
	int fd;		    /* of the connection; -1: none */
	int handles;	    /* open ones */
	unsigned int ticks; /* since the connection was tried or made */
	enum syn_map_state state;
	bool is_closing;
	uint64_t maps_count;
	uint64_t refused_count;
	struct sockaddr_un address;
	char said[TEXT_CAP];
};

__attribute__((format(printf, 2, 3))) static void
say(struct syn_map *map, const char *format, ...)
{
	char text[TEXT_CAP];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* What is tried every second is not said every second. */
	if (strcmp(text, map->said) == 0)
		return;
	memcpy(map->said, text, sizeof(map->said));
	if (map->options.say != NULL)
		map->options.say(map->options.say_ctx, text);
}

static bool
is_held(const struct syn_map *map, const struct mapping *m)
{
	for (size_t i = 0; i < SYN_MAP_WORKERS_CAP; i++) {
		if (atomic_load(&map->holds[i].mapping) == m)
			return true;
	}
	return false;
}

static void
free_mapping(struct mapping *m)
{
	(void)munmap(m->memory, m->bytes);
	free(m);
}

/* Unmaps what is not held any more. */
static void
sweep(struct syn_map *map)
{
	struct mapping **link = &map->retired;

	while (*link != NULL) {
		struct mapping *m = *link;

		if (is_held(map, m)) {
			link = &m->next;
			continue;
		}
		*link = m->next;
		free_mapping(m);
	}
}

/* Publishes a mapping, or NULL, in place of the one of before. */
static void
publish(struct syn_map *map, struct mapping *m)
{
	struct mapping *old = atomic_exchange(&map->current, m);

	if (old != NULL) {
		old->next = map->retired;
		map->retired = old;
	}
	sweep(map);
}

static void
free_map(struct syn_map *map)
{
	publish(map, NULL);
	while (map->retired != NULL) {
		struct mapping *m = map->retired;

		map->retired = m->next;
		free_mapping(m);
	}
	free(map);
}

static void
handle_closed(struct syn_map *map)
{
	if (--map->handles == 0 && map->is_closing)
		free_map(map);
}

static void
on_timer_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

static void
on_poll_closed(uv_handle_t *handle)
{
	struct syn_map *map = handle->data;

	close(map->fd);
	map->fd = -1;
	handle_closed(map);
}

/* Ends the connection, if there is one; the next tick but some tries again. */
static void
disconnect(struct syn_map *map)
{
	if (map->fd >= 0 && !uv_is_closing((uv_handle_t *)&map->poll))
		uv_close((uv_handle_t *)&map->poll, on_poll_closed);
	map->state = SYN_MAP_ABSENT;
	map->ticks = 0;
	publish(map, NULL);
}

static void
refuse(struct syn_map *map, const char *why)
{
	map->refused_count++;
	say(map, "the SYN table offered on %s is refused: %s",
	    map->options.path, why);
	disconnect(map);
}

/* What is wrong with the descriptor of a table, or NULL. */
static const char *
fd_fault(int fd, size_t *bytes)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return "it is not a memfd";
	if ((seals & F_SEAL_SHRINK) == 0)
		return "it is not sealed against shrinking";
	if (fstat(fd, &st) != 0 || st.st_size <= 0)
		return "it is empty";
	*bytes = (size_t)st.st_size;
	if (*bytes > syn_table_bytes(syn_table_sets(SYN_TABLE_ENTRIES_MAX)))
		return "it is larger than any table";
	return NULL;
}

/* Maps a table. Returns NULL, or what is wrong with it. */
static const char *
map_fd(int fd, struct mapping **out)
{
	struct mapping *m = calloc(1, sizeof(*m));
	const char *fault = m == NULL ? "no memory" : fd_fault(fd, &m->bytes);

	*out = NULL;
	if (fault != NULL)
		goto free_m;
	fault = "it cannot be mapped";
	/* Populated: else each set costs its first look a page fault. */
	m->memory =
	    mmap(NULL, m->bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (m->memory == MAP_FAILED)
		goto free_m;
	fault = syn_reader_open(&m->reader, m->memory, m->bytes);
	if (fault != NULL)
		goto unmap;
	*out = m;
	return NULL;
unmap:
	(void)munmap(m->memory, m->bytes);
free_m:
	free(m);
	return fault;
}

static void
take_fd(struct syn_map *map, int fd)
{
	struct mapping *m;
	const char *fault = map_fd(fd, &m);

	if (fault != NULL) {
		refuse(map, fault);
		return;
	}
	publish(map, m);
	map->maps_count++;
	map->state = SYN_MAP_UP;
	say(map, "the sidecar is there: process %u, %u entries",
	    (unsigned int)m->reader.table->writer_pid,
	    m->reader.sets_count * SYN_TABLE_WAYS);
}

/* The first descriptor of a message, or -1; all others are closed. */
static int
only_fd(struct msghdr *message)
{
	int only = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL;
	     c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len;
		     at += sizeof(int)) {
			int fd;

			memcpy(&fd, (const char *)c + at, sizeof(fd));
			if (only < 0)
				only = fd;
			else
				close(fd);
		}
	}
	return only;
}

/* Reads one message. Returns its bytes, 0 for EOF, or a negative errno. */
static ssize_t
receive(int socket_fd, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FDS_CAP)];
	} control;
	char bytes[16];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr message = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes),
	};
	ssize_t len =
	    recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*fd = -1;
	if (len < 0)
		return -errno;
	*fd = only_fd(&message);
	return len;
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	struct syn_map *map = poll->data;
	ssize_t len;
	int fd;

	(void)events;
	len = status < 0 ? status : receive(map->fd, &fd);
	if (len == -EAGAIN || len == -EINTR)
		return;
	if (len <= 0) {
		say(map, "the sidecar on %s is gone%s%s; trying every second",
		    map->options.path, len < 0 ? ": " : "",
		    len < 0 ? uv_strerror((int)len) : "");
		disconnect(map);
		return;
	}
	if (fd < 0)
		refuse(map, "it was not sent along");
	else if (map->state != SYN_MAP_ABSENT)
		refuse(map, "a second one was sent");
	else
		take_fd(map, fd);
	if (fd >= 0)
		close(fd);
}

static int
open_connection(struct syn_map *map)
{
	int error = 0;
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&map->address,
		    sizeof(map->address)) != 0)
		error = -errno;
	if (error == 0)
		error = uv_poll_init(map->timer.loop, &map->poll, fd);
	if (error != 0) {
		close(fd);
		return error;
	}
	map->fd = fd;
	map->handles++;
	map->poll.data = map;
	return uv_poll_start(&map->poll, UV_READABLE, on_readable);
}

static void
try_connection(struct syn_map *map)
{
	int error = open_connection(map);

	map->ticks = 0;
	if (error == 0)
		return;
	say(map, "no sidecar on %s: %s%s; trying every second",
	    map->options.path, uv_strerror(error),
	    error == -EACCES ? " (is our user in the socket's group?)" : "");
	disconnect(map);
}

/* Whether the writer of the table lives. */
static void
look_at_heartbeat(struct syn_map *map)
{
	struct mapping *m = atomic_load(&map->current);
	bool is_stopped =
	    m != NULL && syn_table_is_stopped(m->reader.table, uv_hrtime());

	if (map->state == SYN_MAP_UP && is_stopped) {
		map->state = SYN_MAP_STOPPED;
		say(map, "the sidecar on %s has stopped: no heartbeat for 2 s",
		    map->options.path);
	} else if (map->state == SYN_MAP_STOPPED && !is_stopped) {
		map->state = SYN_MAP_UP;
		say(map, "the sidecar on %s goes on", map->options.path);
	}
}

static void
on_tick(uv_timer_t *timer)
{
	struct syn_map *map = timer->data;

	sweep(map);
	map->ticks++;
	if (map->state != SYN_MAP_ABSENT)
		look_at_heartbeat(map);
	else if (map->fd < 0 && map->ticks >= TICKS_A_CONNECT &&
		 map->options.path[0] != '\0')
		try_connection(map);
	else if (map->fd >= 0 && map->ticks >= TICKS_TO_SEND)
		refuse(map, "none came within 2 s");
}

static int
set_path(struct syn_map *map, const char *path)
{
	size_t len = strlen(path);

	if (len >= sizeof(map->address.sun_path))
		return -ENAMETOOLONG;
	map->address.sun_family = AF_UNIX;
	memcpy(map->address.sun_path, path, len + 1);
	map->options.path = map->address.sun_path;
	return 0;
}

int
syn_map_open(struct syn_map **out, struct uv_loop_s *loop,
	     const struct syn_map_options *options)
{
	struct syn_map *map = aligned_alloc(64, sizeof(*map));
	int error;

	*out = NULL;
	if (map == NULL)
		return -ENOMEM;
	memset(map, 0, sizeof(*map));
	map->fd = -1;
	map->options = *options;
	error = set_path(map, options->path);
	if (error == 0)
		error = uv_timer_init(loop, &map->timer);
	if (error != 0) {
		free(map);
		return error;
	}
	map->timer.data = map;
	map->handles = 1;
	/* Cannot fail: there is a callback, and it is not closing. */
	(void)uv_timer_start(&map->timer, on_tick, TICK_MS, TICK_MS);
	if (map->options.path[0] != '\0')
		try_connection(map);
	*out = map;
	return 0;
}

int
syn_map_set_path(struct syn_map *map, const char *path)
{
	int error;

	if (strcmp(path, map->options.path) == 0)
		return 0;
	error = set_path(map, path);
	if (error != 0)
		return error;
	disconnect(map);
	map->said[0] = '\0';
	/* The old connection is closed by the next tick: then the new one. */
	map->ticks = TICKS_A_CONNECT;
	return 0;
}

void
syn_map_close(struct syn_map *map)
{
	if (map == NULL)
		return;
	map->is_closing = true;
	disconnect(map);
	uv_close((uv_handle_t *)&map->timer, on_timer_closed);
}

struct syn_reader
syn_map_acquire(struct syn_map *map, uint32_t worker)
{
	const struct syn_reader none = {0};
	struct mapping *m;

	if (map == NULL)
		return none;
	do {
		m = atomic_load(&map->current);
		atomic_store(&map->holds[worker].mapping, m);
	} while (m != atomic_load(&map->current));
	return m != NULL ? m->reader : none;
}

void
syn_map_release(struct syn_map *map, uint32_t worker)
{
	if (map != NULL)
		atomic_store_explicit(&map->holds[worker].mapping, NULL,
				      memory_order_release);
}

void
syn_map_status(const struct syn_map *map, struct syn_map_status *out)
{
	const struct mapping *m;
	const struct syn_table *table;
	uint64_t beat_ns;
	uint64_t now_ns = uv_hrtime();

	memset(out, 0, sizeof(*out));
	if (map == NULL)
		return;
	out->state = map->state;
	out->maps_count = map->maps_count;
	out->refused_count = map->refused_count;
	m = atomic_load(&map->current);
	if (m == NULL)
		return;
	table = m->reader.table;
	out->entries_count = (uint64_t)m->reader.sets_count * SYN_TABLE_WAYS;
	out->writer_pid = table->writer_pid;
	memcpy(out->ports, table->ports, sizeof(out->ports));
	beat_ns =
	    atomic_load_explicit(&table->heartbeat_ns, memory_order_relaxed);
	if (beat_ns < now_ns)
		out->heartbeat_age_ms = (now_ns - beat_ns) / 1000000;
	for (size_t i = 0; i < SYN_TABLE_COUNTERS; i++)
		out->counters[i] =
		    syn_table_counter(table, (enum syn_table_counter)i);
}

const char *
syn_map_state_name(enum syn_map_state state)
{
	switch (state) {
	case SYN_MAP_ABSENT:
		return "absent";
	case SYN_MAP_STOPPED:
		return "stopped";
	case SYN_MAP_UP:
		return "up";
	}
	return "absent";
}
