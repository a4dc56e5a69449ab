#include "proxy/sink/message.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_MAX 1000000u
#define PATH_CAP 1024

/* Where the payload stands. A line begins behind CRLF and at the start. */
enum place { LINE_START, IN_LINE, AFTER_CR, AFTER_DOT, AFTER_DOT_CR };

static void
file_path(char path[PATH_CAP], const char *directory, unsigned number,
	  const char *suffix)
{
	snprintf(path, PATH_CAP, "%s/%u.%s", directory, number, suffix);
}

static bool
is_taken(const char *directory, unsigned number)
{
	char path[PATH_CAP];

	file_path(path, directory, number, "eml");
	return access(path, F_OK) == 0;
}

int
message_open(struct message *m, const char *directory)
{
	char path[PATH_CAP];
	int fd = -1;

	*m = (struct message){.at = LINE_START};
	for (m->number = 1; m->number < NUMBER_MAX; m->number++) {
		if (is_taken(directory, m->number))
			continue;
		file_path(path, directory, m->number, "part");
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	if (fd < 0)
		return errno != 0 ? -errno : -ENOSPC;
	m->file = fdopen(fd, "w");
	if (m->file != NULL)
		return 0;
	close(fd);
	return -ENOMEM;
}

static void
put(struct message *m, const char *bytes, size_t len)
{
	m->bytes += len;
	if (m->bytes > MESSAGE_BYTES_MAX)
		m->is_too_big = true;
	else if (fwrite(bytes, 1, len, m->file) != len)
		m->has_failed = true;
}

/* One byte; true if it ends the message. */
static bool
take_byte(struct message *m, char c)
{
	switch ((enum place)m->at) {
	case LINE_START:
		if (c == '.') {
			m->at = AFTER_DOT;
			return false;
		}
		break;
	case AFTER_CR:
		if (c == '\n') {
			put(m, &c, 1);
			m->at = LINE_START;
			return false;
		}
		break;
	case AFTER_DOT: /* the dot is not the message's */
		if (c == '\r') {
			m->at = AFTER_DOT_CR;
			return false;
		}
		break;
	case AFTER_DOT_CR:
		if (c == '\n')
			return true;
		put(m, "\r", 1);
		break;
	case IN_LINE:
		break;
	}
	put(m, &c, 1);
	m->at = c == '\r' ? AFTER_CR : IN_LINE;
	return false;
}

size_t
message_take(struct message *m, const char *bytes, size_t len, bool *is_over)
{
	*is_over = false;
	for (size_t i = 0; i < len; i++) {
		if (take_byte(m, bytes[i])) {
			*is_over = true;
			return i + 1;
		}
	}
	return len;
}

static int
write_envelope(const struct message *m, const char *directory, const char *text)
{
	char path[PATH_CAP];
	FILE *file;
	int rc = 0;

	file_path(path, directory, m->number, "env");
	file = fopen(path, "we");
	if (file == NULL)
		return -errno;
	if (fputs(text, file) < 0)
		rc = -EIO;
	if (fclose(file) != 0)
		rc = -EIO;
	return rc;
}

int
message_keep(struct message *m, const char *directory, const char *envelope)
{
	char part[PATH_CAP];
	char whole[PATH_CAP];
	int rc = write_envelope(m, directory, envelope);

	if (rc != 0 || m->has_failed) {
		message_drop(m, directory);
		return rc != 0 ? rc : -EIO;
	}
	file_path(part, directory, m->number, "part");
	file_path(whole, directory, m->number, "eml");
	if (fclose(m->file) != 0 || rename(part, whole) != 0)
		rc = -errno;
	m->file = NULL;
	return rc;
}

void
message_drop(struct message *m, const char *directory)
{
	char path[PATH_CAP];

	if (m->file == NULL)
		return;
	fclose(m->file);
	m->file = NULL;
	file_path(path, directory, m->number, "part");
	unlink(path);
	file_path(path, directory, m->number, "env");
	unlink(path);
}
