#include "proxy/admin/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* True if someone serves that path: a socket left over refuses. */
static bool
is_served(const struct sockaddr_un *address, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered =
	    fd >= 0 && (connect(fd, (const struct sockaddr *)address,
				sizeof(*address)) == 0 ||
			errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return answered;
}

/* Removes a socket that nobody serves. Returns 0 or a negative errno. */
static int
clear_path(const struct sockaddr_un *address, int type)
{
	struct stat st;

	if (lstat(address->sun_path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (is_served(address, type))
		return -EADDRINUSE;
	(void)unlink(address->sun_path); /* bind() will tell */
	return 0;
}

/*
 * The mode is not left to the umask, which all threads share. To a stream
 * nobody can connect before it listens.
 */
static int
bind_file(struct socket_file *file, int fd, const struct sockaddr_un *address)
{
	struct stat st;

	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		return -errno;
	if (chmod(file->path, 0660) != 0 || lstat(file->path, &st) != 0)
		return -errno;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	return 0;
}

int
socket_file_open(struct socket_file *out, const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;
	int rc;

	*out = (struct socket_file){0};
	if (strlen(path) >= sizeof(out->path))
		return -ENAMETOOLONG;
	memcpy(out->path, path, strlen(path));
	memcpy(address.sun_path, out->path, sizeof(out->path));
	rc = clear_path(&address, type);
	if (rc != 0)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = bind_file(out, fd, &address);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

const char *
socket_file_why(int error)
{
	switch (error) {
	case -EEXIST:
		return "something else is there, not a socket";
	case -EADDRINUSE:
		return "another tarryd serves there";
	case -ENOENT:
		return "its directory is missing; make it, owned by the user "
		       "that tarryd runs as";
	case -EACCES:
		return "its directory must belong to the user that tarryd "
		       "runs as";
	default:
		return strerror(-error);
	}
}

void
socket_file_make_directory(const char *path, uid_t uid, gid_t gid)
{
	char directory[sizeof(((struct socket_file *)NULL)->path)] = "";
	const char *slash = strrchr(path, '/');
	int fd;

	if (slash == NULL || slash == path ||
	    (size_t)(slash - path) >= sizeof(directory))
		return;
	memcpy(directory, path, (size_t)(slash - path));
	/* One that was there is its owner's business. */
	if (mkdir(directory, 0755) != 0)
		return;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, uid, gid) != 0)
		(void)rmdir(directory);
	if (fd >= 0)
		close(fd);
}

void
socket_file_remove(struct socket_file *file)
{
	struct stat st;

	if (file->ino != 0 && lstat(file->path, &st) == 0 &&
	    st.st_dev == file->dev && st.st_ino == file->ino)
		(void)unlink(file->path);
	file->ino = 0;
}
