/*
 * A unix socket with a name: made, owned and removed without stepping on
 * another program's. The capture process is linked with it too.
 */
#ifndef PROXY_ADMIN_SOCKET_FILE_H
#define PROXY_ADMIN_SOCKET_FILE_H

#include <sys/types.h>
#include <sys/un.h>

/* What was made. Zeroed: nothing. */
struct socket_file {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t dev;
	ino_t ino;
};

/*
 * Binds a non-blocking socket of `type` (SOCK_STREAM ..) to `path`, mode
 * 0660, the process's own user and group. A socket file that nobody serves is
 * replaced. It does not listen yet. Returns the descriptor, the caller's, or
 * a negative errno: -EADDRINUSE if someone serves there, -EEXIST if there is
 * something that is no socket, -ENAMETOOLONG. *out is filled either way.
 */
__attribute__((warn_unused_result)) int
socket_file_open(struct socket_file *out, const char *path, int type);

/* What a negative errno of the above means to a person, as the end of a
 * sentence, with what to do about it. Static text. */
const char *socket_file_why(int error);

/*
 * If the directory of `path` is missing, makes it for that user, its last part
 * alone. Failures show when the file is made.
 */
void socket_file_make_directory(const char *path, uid_t uid, gid_t gid);

/* Removes the file, unless another program has put its own there since. */
void socket_file_remove(struct socket_file *file);

#endif
