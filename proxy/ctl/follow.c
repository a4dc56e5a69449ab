/*
 * The verb `follow`: reads lines of a file that grows, is cut and is put aside
 * for a new one, or of a pipe.
 */
#include "proxy/ctl/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/ctl/follow_http.h"
#include "proxy/ctl/verbs.h"

#define LINE_CAP 65536u
/* A look at the file, where nothing has come. */
#define LOOK_NS 100000000

/* By so much a file is known again that may have been cut and filled anew. */
#define TAIL_CAP 128u

/* So long nothing more was written to a file that was put aside. */
#define OLD_LOOKS 20u

struct reader {
	const char *path; /* NULL: standard input */
	int fd;		  /* -1: not there so far */
	unsigned looks;	  /* in vain, since the file was put aside */
	size_t len;
	bool is_skipping; /* of a line that is too long, up to its end */
	/* The last bytes in front of where it stands in the file. */
	size_t tail_len;
	char tail[TAIL_CAP];
	char bytes[LINE_CAP + 1];
};

static const struct {
	const char *name;
	follow_line_fn *take;
} programs[] = {
    {"postfix", follow_postfix_line},
    {"exim", follow_exim_line},
    {"rspamd", follow_rspamd_line},
};

/* Shows whole lines, and keeps what is begun. */
static void
take_lines(struct reader *r, struct follow *f, follow_line_fn *take)
{
	char *at = r->bytes;
	char *end;

	r->bytes[r->len] = '\0';
	while ((end = memchr(at, '\n', (size_t)(r->bytes + r->len - at))) !=
	       NULL) {
		*end = '\0';
		/* A log has no NUL; what is behind one is not to be lost. */
		if (!r->is_skipping && strlen(at) == (size_t)(end - at))
			take(f, at);
		r->is_skipping = false;
		at = end + 1;
	}
	r->len -= (size_t)(at - r->bytes);
	memmove(r->bytes, at, r->len);
	if (r->len == LINE_CAP) {
		r->is_skipping = true;
		r->len = 0;
	}
}

/* What stands in front of `end` in the file; of a pipe nothing. */
static size_t
read_tail(const struct reader *r, off_t end, char tail[TAIL_CAP])
{
	size_t len = end < (off_t)TAIL_CAP ? (size_t)end : TAIL_CAP;
	ssize_t n = pread(r->fd, tail, len, end - (off_t)len);

	return n > 0 ? (size_t)n : 0;
}

static void
keep_tail(struct reader *r)
{
	const off_t at = lseek(r->fd, 0, SEEK_CUR);

	r->tail_len = r->path != NULL && at > 0 ? read_tail(r, at, r->tail) : 0;
}

/* Cut and filled again, further than we were: it is read from its start. */
static void
rewind_if_other(struct reader *r)
{
	char tail[TAIL_CAP];

	if (r->fd < 0 || r->tail_len == 0)
		return;
	if (read_tail(r, lseek(r->fd, 0, SEEK_CUR), tail) == r->tail_len &&
	    memcmp(tail, r->tail, r->tail_len) == 0)
		return;
	(void)lseek(r->fd, 0, SEEK_SET);
	r->len = 0;
	r->tail_len = 0;
	r->is_skipping = false;
}

/* What became of the file that is read. */
enum fate { STAYS, WAS_CUT, PUT_ASIDE };

static enum fate
fate_of(const struct reader *r)
{
	struct stat now;
	struct stat ours;

	if (fstat(r->fd, &ours) != 0 ||
	    ours.st_size < lseek(r->fd, 0, SEEK_CUR))
		return WAS_CUT;
	if (stat(r->path, &now) != 0)
		return STAYS;
	return now.st_ino != ours.st_ino || now.st_dev != ours.st_dev
		   ? PUT_ASIDE
		   : STAYS;
}

/* The old file is read up to its end, and for a while longer: who writes the
 * log may have it open until he is told of the new one. */
static bool
is_done_with(struct reader *r)
{
	switch (fate_of(r)) {
	case STAYS:
		r->looks = 0;
		return false;
	case WAS_CUT:
		return true;
	case PUT_ASIDE:
		break;
	}
	return ++r->looks > OLD_LOOKS;
}

/* Nothing was there to be read: waits, or goes over to the next file. */
static void
wait_or_reopen(struct reader *r)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};

	if (r->fd >= 0 && is_done_with(r)) {
		close(r->fd);
		r->fd = -1;
		r->len = 0;
		r->tail_len = 0;
		r->is_skipping = false;
	}
	if (r->fd < 0) {
		r->looks = 0;
		r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
		if (r->fd >= 0)
			return;
	}
	(void)nanosleep(&look, NULL);
}

/* Reads until standard input ends; a file never does. */
static enum ctl_exit
read_all(struct reader *r, struct follow *f, follow_line_fn *take)
{
	for (;;) {
		ssize_t n;

		rewind_if_other(r);
		n = r->fd < 0
			? 0
			: read(r->fd, r->bytes + r->len, LINE_CAP - r->len);
		if (n < 0 && errno != EINTR) {
			fprintf(stderr, "tarryctl: %s: cannot be read: %s\n",
				r->path != NULL ? r->path : "standard input",
				strerror(errno));
			return CTL_REFUSED;
		}
		if (n > 0) {
			r->len += (size_t)n;
			r->looks = 0;
			keep_tail(r);
			take_lines(r, f, take);
		} else if (n == 0 && r->path == NULL) {
			return CTL_FINE;
		} else if (n == 0) {
			wait_or_reopen(r);
		}
	}
}

/* Opens the log at its end; one that is not there is waited for. False if it
 * will never be one. */
static bool
open_log(struct reader *r, const char *name)
{
	struct stat what;

	r->path = NULL;
	r->fd = STDIN_FILENO;
	r->len = 0;
	r->looks = 0;
	r->tail_len = 0;
	r->is_skipping = false;
	if (strcmp(name, "-") == 0)
		return true;
	r->path = name;
	r->fd = open(name, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		fprintf(stderr, "tarryctl: %s: %s; waiting for it\n", name,
			strerror(errno));
	} else if (fstat(r->fd, &what) == 0 && S_ISDIR(what.st_mode)) {
		fprintf(stderr,
			"tarryctl: %s: is a directory, expected the file of a "
			"log in it\n",
			name);
		return false;
	} else if (lseek(r->fd, 0, SEEK_END) > 0) {
		keep_tail(r);
	}
	return true;
}

static void
send_out(void *ctx, const struct verdict_out *out)
{
	(void)verdict_sender_send(ctx, out);
}

static enum ctl_exit
follow(follow_line_fn *take, const char *source, char **argv, int argc)
{
	struct follow *f = calloc(1, sizeof(*f));
	struct reader *r = malloc(sizeof(*r));
	enum ctl_exit status = CTL_LATER;
	struct verdict_sender sender;
	struct addr at;

	if (f == NULL || r == NULL) {
		fputs("tarryctl: no memory\n", stderr);
		goto free_memory;
	}
	f->tell = send_out;
	f->ctx = &sender;
	f->source = source;
	if (!verdict_sender_open(&sender, argc > 2 ? argv[2] : NULL))
		goto free_memory;
	/* Of rspamd by HTTP; nobody's log has such a name. */
	if (take == follow_rspamd_line &&
	    addr_parse(&at, argv[1], strlen(argv[1]))) {
		status = follow_http(f, take, &at);
	} else if (!open_log(r, argv[1])) {
		status = CTL_USAGE;
	} else {
		fprintf(stderr, "tarryctl: following %s\n", argv[1]);
		status = read_all(r, f, take);
	}
	verdict_sender_close(&sender);
free_memory:
	free(f);
	free(r);
	return status;
}

enum ctl_exit
verb_follow(const struct ctl *ctl, int argc, char **argv)
{
	(void)ctl;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(programs[i].name, argv[0]) == 0)
			return follow(programs[i].take, programs[i].name, argv,
				      argc);
	fprintf(
	    stderr,
	    "tarryctl: follow: \"%.40s\" is none of: postfix, exim, rspamd\n",
	    argv[0]);
	return CTL_USAGE;
}
