/*
 * See journal.h: the main thread's part. Rings are emptied by one request of
 * the thread pool at a time, so that a disk that hangs holds up that one and
 * nothing else; what the request uses is its own while it runs.
 */
#include "proxy/daemon/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "proxy/daemon/journal_feed.h"
#include "proxy/daemon/log.h"
#include "proxy/daemon/log_line.h"

#define MODE 0640
/* How often the log says that the journal lost lines. */
#define SAY_MS 60000u
#define PATH_CAP 1100

struct journal {
	uv_loop_t *loop;
	uv_work_t work;
	bool is_working;
	uint64_t dropped_said;
	uint64_t say_ms;
	/* Changed only while no request runs. */
	char path[PATH_CAP];
	uint64_t size_bytes;
	uint32_t files;
	int fd; /* -1: off, or the last attempt to open it failed */
	/* The request's; written by it, read by anyone. */
	uint64_t file_bytes;
	_Atomic int error; /* of the disk, the last one; 0: it works */
	_Atomic uint64_t lost;
	_Atomic uint64_t written;
	uint32_t feeds_count;
	struct journal_feed *feeds;
};

static uint64_t
count_lines(const char *bytes, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	return lines;
}

/* Opens the file, for more at its end. 0 or a negative errno. */
static int
open_file(struct journal *j)
{
	struct stat st;

	j->fd = open(j->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, MODE);
	if (j->fd < 0)
		return -errno;
	j->file_bytes = fstat(j->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

static void
close_file(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

static void
name_of(const struct journal *j, uint32_t number, char out[PATH_CAP + 16])
{
	if (number == 0)
		snprintf(out, PATH_CAP + 16, "%s", j->path);
	else
		snprintf(out, PATH_CAP + 16, "%s.%u", j->path,
			 (unsigned)number);
}

/* path.1 becomes path.2 and so on; the oldest is overwritten. */
static int
rotate(struct journal *j)
{
	char from[PATH_CAP + 16];
	char to[PATH_CAP + 16];

	close_file(j);
	for (uint32_t i = j->files - 1; i > 0; i--) {
		name_of(j, i - 1, from);
		name_of(j, i, to);
		(void)rename(from, to);
	}
	if (j->files == 1)
		(void)unlink(j->path);
	return open_file(j);
}

/* Takes back what a write left that was not all written: no torn lines. */
static void
take_back(struct journal *j)
{
	if (ftruncate(j->fd, (off_t)j->file_bytes) != 0 &&
	    write(j->fd, "\n", 1) == 1)
		j->file_bytes++;
}

/* Writes all of it, or nothing. 0 or a negative errno. */
static int
write_whole(struct journal *j, const char *bytes, size_t len)
{
	size_t done = 0;
	int error = 0;

	while (done < len && error == 0) {
		ssize_t n = write(j->fd, bytes + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			error = -ENOSPC;
		else if (errno != EINTR)
			error = -errno;
	}
	if (done < len) {
		take_back(j);
		return error;
	}
	j->file_bytes += len;
	return 0;
}

static int
write_lines(struct journal *j, const char *bytes, size_t len)
{
	int error = 0;

	if (j->fd < 0)
		error = open_file(j);
	else if (j->file_bytes > 0 && j->file_bytes + len > j->size_bytes)
		error = rotate(j);
	if (error == 0)
		error = write_whole(j, bytes, len);
	atomic_store(&j->error, error);
	if (error == 0)
		atomic_fetch_add(&j->written, len);
	else
		atomic_fetch_add(&j->lost, count_lines(bytes, len));
	return error;
}

/* The last whole line of a piece ends here. */
static size_t
whole_lines(const char *bytes, size_t len)
{
	while (len > 0 && bytes[len - 1] != '\n')
		len--;
	return len;
}

/*
 * A piece that ends in the middle of a line: where the ring ends. That line
 * is put together out of the ring; what is left of it comes next.
 */
static void
write_torn(struct journal *j, struct journal_feed *f)
{
	char line[LOG_LINE_CAP + 1];
	const char *bytes;
	const char *end = NULL;
	size_t len = 0;

	while (end == NULL) {
		size_t n = journal_feed_peek(f, &bytes);

		if (n == 0)
			return; /* a line is put whole: this cannot be */
		end = memchr(bytes, '\n', n);
		if (end != NULL)
			n = (size_t)(end - bytes) + 1;
		if (n > sizeof line - len)
			n = sizeof line - len;
		memcpy(line + len, bytes, n);
		len += n;
		journal_feed_take(f, n);
	}
	(void)write_lines(j, line, len);
}

static void
empty_feed(struct journal *j, struct journal_feed *f)
{
	const char *bytes;
	size_t len;

	while ((len = journal_feed_peek(f, &bytes)) > 0) {
		size_t whole = whole_lines(bytes, len);

		if (whole > j->size_bytes)
			whole = whole_lines(bytes, j->size_bytes);
		if (whole > 0) {
			(void)write_lines(j, bytes, whole);
			journal_feed_take(f, whole);
		} else {
			write_torn(j, f);
		}
	}
}

static void
empty_all(struct journal *j)
{
	for (uint32_t i = 0; i < j->feeds_count; i++)
		empty_feed(j, &j->feeds[i]);
}

static void
on_work(uv_work_t *work)
{
	empty_all(work->data);
}

static void
on_work_done(uv_work_t *work, int status)
{
	struct journal *j = work->data;

	(void)status;
	j->is_working = false;
}

static bool
has_lines(const struct journal *j)
{
	const char *bytes;

	for (uint32_t i = 0; i < j->feeds_count; i++) {
		if (journal_feed_peek(&j->feeds[i], &bytes) > 0)
			return true;
	}
	return false;
}

static void
say_trouble(struct journal *j, uint64_t now_ms)
{
	uint64_t dropped = journal_dropped(j);
	int error = atomic_load(&j->error);

	if (dropped == j->dropped_said || now_ms < j->say_ms)
		return;
	log_say(LOG_LEVEL_WARNING, "%llu lines of the journal %s were lost: %s",
		(unsigned long long)(dropped - j->dropped_said), j->path,
		error != 0 ? uv_strerror(error)
			   : "they came faster than the disk took them");
	j->dropped_said = dropped;
	j->say_ms = now_ms + SAY_MS;
}

void
journal_tick(struct journal *j, uint64_t now_ms)
{
	if (j == NULL)
		return;
	say_trouble(j, now_ms);
	if (j->is_working || j->path[0] == '\0' || !has_lines(j))
		return;
	j->work.data = j;
	j->is_working =
	    uv_queue_work(j->loop, &j->work, on_work, on_work_done) == 0;
}

int
journal_new(struct journal **out, struct uv_loop_s *loop, uint32_t workers,
	    const struct names *names)
{
	struct journal *j = calloc(1, sizeof *j);

	*out = j;
	if (j == NULL)
		return -ENOMEM;
	j->loop = loop;
	j->fd = -1;
	j->feeds = aligned_alloc(64, (workers + 1) * sizeof *j->feeds);
	if (j->feeds == NULL)
		return -ENOMEM;
	memset(j->feeds, 0, (workers + 1) * sizeof *j->feeds);
	j->feeds_count = workers + 1;
	for (uint32_t i = 0; i < j->feeds_count; i++) {
		j->feeds[i].worker = i;
		j->feeds[i].names = names;
		/* Pages are taken as they are used: none without a journal. */
		j->feeds[i].ring = calloc(1, JOURNAL_FEED_CAP);
		if (j->feeds[i].ring == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void
turn(struct journal *j, bool is_on, enum config_log_addresses addresses)
{
	for (uint32_t i = 0; i < j->feeds_count; i++) {
		atomic_store(&j->feeds[i].addresses, (int)addresses);
		atomic_store(&j->feeds[i].on.is_on, is_on);
	}
}

int
journal_set(struct journal *j, const struct journal_options *options)
{
	int error = 0;

	if (strcmp(j->path, options->path) != 0) {
		if (strlen(options->path) >= sizeof j->path || j->is_working)
			return -EINVAL;
		close_file(j);
		strcpy(j->path, options->path);
		j->size_bytes = options->size_bytes;
		j->files = options->files;
		if (j->path[0] != '\0')
			error = open_file(j);
	}
	if (error != 0) {
		log_say(LOG_LEVEL_ERROR, "no journal: %s: %s", j->path,
			uv_strerror(error));
		j->path[0] = '\0';
	}
	turn(j, j->path[0] != '\0', options->addresses);
	return error;
}

struct journal_feed *
journal_feed(struct journal *j, uint32_t worker)
{
	return &j->feeds[worker];
}

void
journal_policy(struct journal *j, const char *path, const char *hash,
	       const char *cause)
{
	journal_line_policy(&j->feeds[j->feeds_count - 1], path, hash, cause);
}

void
journal_verdict(struct journal *j, uint64_t session, const char *verdict,
		const char *source)
{
	journal_line_verdict(&j->feeds[j->feeds_count - 1], session, verdict,
			     source);
}

uint64_t
journal_dropped(const struct journal *j)
{
	uint64_t dropped = j != NULL ? atomic_load(&j->lost) : 0;

	for (uint32_t i = 0; j != NULL && i < j->feeds_count; i++)
		dropped += atomic_load_explicit(&j->feeds[i].dropped,
						memory_order_relaxed);
	return dropped;
}

uint64_t
journal_written(const struct journal *j)
{
	return j != NULL ? atomic_load(&j->written) : 0;
}

void
journal_print_size(const struct journal *j, FILE *out)
{
	fprintf(out, "%-8s %8u bytes x %7u = %8.1f MiB at most\n", "journal",
		JOURNAL_FEED_CAP, (unsigned)j->feeds_count,
		(double)JOURNAL_FEED_CAP * j->feeds_count / (1024.0 * 1024.0));
}

void
journal_close(struct journal *j)
{
	if (j == NULL)
		return;
	if (j->path[0] != '\0')
		empty_all(j);
	close_file(j);
	for (uint32_t i = 0; i < j->feeds_count; i++)
		free(j->feeds[i].ring);
	free(j->feeds);
	free(j);
}
