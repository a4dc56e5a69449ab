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
#include <sys/stat.h>
#include <sys/un.h>
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
	memory = mmap(NULL, share->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		      share->memfd, 0);
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

void
share_make_directory(const char *path, uid_t uid, gid_t gid)
{
	char directory[sizeof(((struct share *)NULL)->path)];
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path ||
	    (size_t)(slash - path) >= sizeof(directory))
		return;
	snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path),
		 path);
	/* One that was there is its owner's business. */
	if (mkdir(directory, 0755) == 0 && chown(directory, uid, gid) != 0)
		(void)rmdir(directory);
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
		sidecar_say("the socket %s: %s", share->path,
			    uv_strerror(status));
		return;
	}
	while ((fd = accept4(share->socket, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		serve(share, poll->loop, fd);
}

/* True if someone serves that path: a socket left over refuses. */
static bool
is_served(const struct sockaddr_un *address)
{
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered =
	    fd >= 0 && (connect(fd, (const struct sockaddr *)address,
				sizeof(*address)) == 0 ||
			errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return answered;
}

/* Removes a socket that nobody serves. */
static int
clear_path(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		sidecar_say("cannot listen on %s: something else is there, "
			    "not a socket; name another path with -s",
			    address->sun_path);
		return -EEXIST;
	}
	if (is_served(address)) {
		sidecar_say("cannot listen on %s: another tarry-sidecar "
			    "serves there; stop it, or name another path with "
			    "-s",
			    address->sun_path);
		return -EADDRINUSE;
	}
	(void)unlink(address->sun_path); /* bind() will tell */
	return 0;
}

static int
bind_socket(struct share *share, const struct sockaddr_un *address)
{
	mode_t before = umask(0117);
	int error = bind(share->socket, (const struct sockaddr *)address,
			 sizeof(*address)) == 0
			? 0
			: errno;
	struct stat st;

	umask(before);
	if (error == 0 && listen(share->socket, BACKLOG) != 0)
		error = errno;
	if (error != 0) {
		sidecar_say("cannot listen on %s: %s; its directory must "
			    "exist and be writable for user %u",
			    address->sun_path, strerror(error),
			    (unsigned int)geteuid());
		return -error;
	}
	if (lstat(address->sun_path, &st) == 0) {
		share->made.st_dev = st.st_dev;
		share->made.st_ino = st.st_ino;
	}
	return 0;
}

int
share_listen(struct share *share, uv_loop_t *loop, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int error;

	if (strlen(path) >= sizeof(address.sun_path)) {
		sidecar_say("cannot listen on %s: longer than the %zu bytes "
			    "of a socket's path",
			    path, sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	error = clear_path(&address);
	if (error != 0)
		return error;
	share->socket =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (share->socket < 0)
		return said("cannot make a socket", errno);
	error = bind_socket(share, &address);
	if (error != 0)
		return error;
	snprintf(share->path, sizeof(share->path), "%s", path);
	error = uv_poll_init(loop, &share->poll, share->socket);
	if (error == 0) {
		share->poll.data = share;
		error = uv_poll_start(&share->poll, UV_READABLE, on_connection);
	}
	return error == 0 ? 0 : said("cannot wait for readers", -error);
}

static void
remove_socket(const struct share *share)
{
	struct stat st;

	if (share->path[0] != '\0' && lstat(share->path, &st) == 0 &&
	    st.st_dev == share->made.st_dev && st.st_ino == share->made.st_ino)
		(void)unlink(share->path);
}

void
share_close(struct share *share)
{
	remove_socket(share);
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
