/*
 * What a worker takes at start: all its memory for its whole life.
 */
#ifndef PROXY_RELAY_WORKER_MEMORY_H
#define PROXY_RELAY_WORKER_MEMORY_H

struct worker;
struct worker_options;

/*
 * Takes the memory of a worker with these options, initialises its loop and
 * its slabs; no handle is open. Returns 0 or a negative errno.
 */
__attribute__((warn_unused_result)) int
worker_memory_take(struct worker **out, const struct worker_options *options);

/* Gives all back. The loop must have no handle any more. */
void worker_memory_give(struct worker *w);

#endif
