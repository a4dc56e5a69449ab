/*
 * How long a loop works between two waits: to be loaded into tarryd with
 * LD_PRELOAD. Each thread that waits by epoll has a line of the file
 * TARRY_TURNS, made by whoever asks and read by it at any time:
 *
 *   turns, the longest in us on the wall, the longest in us of the processor,
 *   1 if it is the main thread
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LINES 32

struct line {
	_Atomic uint64_t turns;
	_Atomic uint64_t wall_us;
	_Atomic uint64_t cpu_us;
	_Atomic uint64_t is_main;
};

typedef int wait_fn(int epfd, struct epoll_event *events, int max, int ms,
		    const sigset_t *mask);

static struct line *lines;
static _Atomic int lines_count;
static _Thread_local struct line *mine;
static _Thread_local uint64_t wall_us;
static _Thread_local uint64_t cpu_us;

int epoll_pwait(int epfd, struct epoll_event *events, int max, int ms,
		const sigset_t *mask);

static uint64_t
clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

__attribute__((constructor)) static void
open_lines(void)
{
	const char *path = getenv("TARRY_TURNS");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = MAP_FAILED;

	if (fd >= 0) {
		at = mmap(NULL, LINES * sizeof(*lines), PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, 0);
		close(fd);
	}
	lines = at != MAP_FAILED ? at : NULL;
}

static void
raise_to(_Atomic uint64_t *most, uint64_t us)
{
	if (us > atomic_load(most))
		atomic_store(most, us);
}

static void
end_turn(void)
{
	int i;

	if (mine == NULL) {
		i = atomic_fetch_add(&lines_count, 1);
		mine = i < LINES ? &lines[i] : NULL;
		if (mine != NULL)
			atomic_store(&mine->is_main, gettid() == getpid());
		return; /* what came before the loop is no turn of it */
	}
	atomic_fetch_add(&mine->turns, 1);
	raise_to(&mine->wall_us, clock_us(CLOCK_MONOTONIC) - wall_us);
	raise_to(&mine->cpu_us, clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu_us);
}

static void
begin_turn(void)
{
	wall_us = clock_us(CLOCK_MONOTONIC);
	cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
}

/* libuv waits by either. */
int
epoll_pwait(int epfd, struct epoll_event *events, int max, int ms,
	    const sigset_t *mask)
{
	static wait_fn *wait;
	int rc;

	if (wait == NULL)
		*(void **)&wait = dlsym(RTLD_NEXT, "epoll_pwait");
	if (lines != NULL)
		end_turn();
	rc = wait(epfd, events, max, ms, mask);
	begin_turn();
	return rc;
}

int
epoll_wait(int epfd, struct epoll_event *events, int max, int ms)
{
	return epoll_pwait(epfd, events, max, ms, NULL);
}
