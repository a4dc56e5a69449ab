/*
 * The memfd is sealed against shrinking and growing, so that no reader can be
 * killed by SIGBUS, and against new writable mappings once ours is made. All
 * its pages are taken at the start: a machine short of memory says so then.
 *
 * Sequenced packets rather than a stream: the descriptor and its byte cannot
 * be torn apart, and EOF is still seen.
 */
#include "proxy/sidecar/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/sidecar/say.h"

#define BACKLOG 16
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static int
said(const char *doing, int error)
{
	sidecar_say("%s: %s", doing, strerror(error));
	return -error;
}

static int
map_table(struct share *share, uint32_t sets_count)
{
	int error = posix_fallocate(share->memfd, 0, (off_t)share->bytes);
	void *memory;
	uint64_t seed;

	if (error != 0) {
		sidecar_say("no memory for a table of %zu bytes: %s; take "
			    "fewer entries with -n",
			    share->bytes, strerror(error));
		return -error;
	}
	/* All of it now: a flood is no time to ask for memory. */
	memory = mmap(NULL, share->bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, share->memfd, 0);
	if (memory == MAP_FAILED)
		return said("cannot map the table", errno);
	share->table = memory;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return said("no random numbers for the table", errno);
	syn_table_init(share->table, sets_count, seed, uv_hrtime());
	if (fcntl(share->memfd, F_ADD_SEALS, SEALS) != 0)
		return said("cannot seal the table (it takes Linux 5.1)",
			    errno);
	return 0;
}

int
share_make(struct share *share, uint32_t entries_count,
	   const uint16_t ports[SYN_TABLE_PORTS_CAP])
{
	uint32_t sets_count = syn_table_sets(entries_count);
	int error;

	memset(share, 0, sizeof(*share));
	share->socket = -1;
	for (size_t i = 0; i < SHARE_READERS_CAP; i++)
		share->readers[i].fd = -1;
	share->bytes = syn_table_bytes(sets_count);
	share->memfd =
	    memfd_create("tarry-syn-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (share->memfd < 0)
		return said("cannot make the table", errno);
	error = map_table(share, sets_count);
	if (error != 0) {
		share_free(share);
		return error;
	}
	memcpy(share->table->ports, ports, sizeof(share->table->ports));
	share->table->writer_pid = (uint32_t)getpid();
	return 0;
}

/* A reader: EOF, or bytes that it has no reason to send. */
static void
on_reader_closed(uv_handle_t *handle)
{
	struct share_reader *reader = handle->data;

	close(reader->fd);
	reader->fd = -1;
}

static void
on_reader(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	if (!uv_is_closing((uv_handle_t *)poll))
		uv_close((uv_handle_t *)poll, on_reader_closed);
}

static struct share_reader *
free_reader(struct share *share)
{
	for (size_t i = 0; i < SHARE_READERS_CAP; i++) {
		if (share->readers[i].fd < 0)
			return &share->readers[i];
	}
	return NULL;
}

static int
send_memfd(int fd, int memfd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char version = SYN_TABLE_VERSION;
	struct iovec iov = {.iov_base = &version, .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &memfd, sizeof(memfd));
	return sendmsg(fd, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static void
serve(struct share *share, uv_loop_t *loop, int fd)
{
	struct share_reader *reader = free_reader(share);

	if (reader == NULL || send_memfd(fd, share->memfd) != 0 ||
	    uv_poll_init(loop, &reader->poll, fd) != 0) {
		close(fd);
		return;
	}
	reader->fd = fd;
	reader->poll.data = reader;
	if (uv_poll_start(&reader->poll, UV_READABLE | UV_DISCONNECT,
			  on_reader) != 0)
		uv_close((uv_handle_t *)&reader->poll, on_reader_closed);
}

static void
on_connection(uv_poll_t *poll, int status, int events)
{
	struct share *share = poll->data;
	int fd;

	(void)events;
	if (status != 0) {
		sidecar_say("the socket %s: %s", share->file.path,
			    uv_strerror(status));
		return;
	}
	while ((fd = accept4(share->socket, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		serve(share, poll->loop, fd);
}

/* What a negative errno of the socket means, and what to do about it. */
static int
cannot_listen(const char *path, int error)
{
	switch (error) {
	case -ENAMETOOLONG:
		sidecar_say("cannot listen on %s: longer than the %zu bytes "
			    "of a socket's path",
			    path, sizeof(((struct socket_file *)0)->path) - 1);
		break;
	case -EEXIST:
		sidecar_say("cannot listen on %s: something else is there, "
			    "not a socket; name another path with -s",
			    path);
		break;
	case -EADDRINUSE:
		sidecar_say("cannot listen on %s: another tarry-sidecar "
			    "serves there; stop it, or name another path with "
			    "-s",
			    path);
		break;
	default:
		sidecar_say("cannot listen on %s: %s; its directory must "
			    "exist and be writable for user %u",
			    path, strerror(-error), (unsigned int)geteuid());
	}
	return error;
}

int
share_listen(struct share *share, uv_loop_t *loop, const char *path)
{
	int error;

	share->socket = socket_file_open(&share->file, path, SOCK_SEQPACKET);
	if (share->socket < 0)
		return cannot_listen(path, share->socket);
	if (listen(share->socket, BACKLOG) != 0)
		return cannot_listen(path, -errno);
	error = uv_poll_init(loop, &share->poll, share->socket);
	if (error == 0) {
		share->poll.data = share;
		error = uv_poll_start(&share->poll, UV_READABLE, on_connection);
	}
	return error == 0 ? 0 : said("cannot wait for readers", -error);
}

void
share_close(struct share *share)
{
	socket_file_remove(&share->file);
	if (share->poll.data != NULL && !uv_is_closing((void *)&share->poll))
		uv_close((uv_handle_t *)&share->poll, NULL);
	for (size_t i = 0; i < SHARE_READERS_CAP; i++) {
		struct share_reader *reader = &share->readers[i];

		if (reader->fd >= 0 && !uv_is_closing((void *)&reader->poll))
			uv_close((uv_handle_t *)&reader->poll,
				 on_reader_closed);
	}
}

void
share_free(struct share *share)
{
	if (share->table != NULL)
		(void)munmap(share->table, share->bytes);
	share->table = NULL;
	if (share->memfd > 0)
		close(share->memfd);
	share->memfd = -1;
	if (share->socket >= 0)
		close(share->socket);
	share->socket = -1;
}
