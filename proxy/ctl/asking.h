/*
 * Asking a running tarryd, over its control socket. Blocks.
 */
#ifndef PROXY_CTL_ASKING_H
#define PROXY_CTL_ASKING_H

#include <jansson.h>
#include <stdbool.h>

/* What tarryctl ends with; tarryctl(8) tells them. */
enum ctl_exit {
	CTL_FINE = 0,
	CTL_REFUSED = 1, /* tarryd says no, or doctor found an error */
	CTL_USAGE = 2,
	CTL_WARNED = 3, /* doctor found nothing worse than a warning */
	CTL_LATER = 75	/* tarryd cannot be reached; EX_TEMPFAIL */
};

/* What the command line says for all verbs. */
struct ctl {
	const char *socket;
	const char *config;  /* a file; NULL: the built-in one */
	const char *against; /* another one, to compare with; NULL: none */
	bool is_json;
};

/* Prints a line of an answer, on standard output, for a person. */
typedef void asking_print_fn(void *ctx, const json_t *line);

/*
 * Asks `VERB`, or `VERB ARGUMENT` where that is not NULL, and prints the
 * answer: each line by print(ctx, line), or as it came with ctl->is_json;
 * what went wrong on standard error, with is_json also as JSON. Returns the
 * exit status, CTL_FINE if tarryd answered with ok.
 */
enum ctl_exit asking(const struct ctl *ctl, const char *verb,
		     const char *argument, asking_print_fn *print, void *ctx);

/* The same, and each line is shown to see(ctx, line) too, however printed. */
enum ctl_exit asking_seen(const struct ctl *ctl, const char *verb,
			  const char *argument, asking_print_fn *print,
			  asking_print_fn *see, void *ctx);

#endif
