/*
 * The verbs of tarryctl: one row each, which feeds the command line, --help
 * and, by a check, the manual page.
 */
#ifndef PROXY_CTL_VERBS_H
#define PROXY_CTL_VERBS_H

#include <stddef.h>

#include "proxy/ctl/asking.h"

/* argv[0..argc): what stood behind the verb. */
typedef enum ctl_exit verb_run_fn(const struct ctl *ctl, int argc, char **argv);

struct verb {
	const char *name;
	const char *arguments; /* as shown; "": none */
	int least;	       /* so many arguments are needed */
	int most;	       /* and so many taken */
	const char *help;      /* lines, one newline between two */
	verb_run_fn *run;
};

extern const struct verb verbs[];
extern const size_t verbs_count;

/* The row with that name, or NULL. */
const struct verb *verb_find(const char *name);

/* show_status.c */
verb_run_fn verb_status;

/* show_sessions.c */
verb_run_fn verb_sessions;

/* show_signatures.c */
verb_run_fn verb_signatures;

/* top.c */
verb_run_fn verb_top;

/* show_explain.c */
verb_run_fn verb_explain;

/* show_doctor.c */
verb_run_fn verb_doctor;

/* show_effect.c */
verb_run_fn verb_effect;

/* show_patience.c */
verb_run_fn verb_patience;

/* do_set.c */
verb_run_fn verb_set;
verb_run_fn verb_unset;

/* do_reload.c: reload, shadow, drain, release */
verb_run_fn verb_reload;
verb_run_fn verb_shadow;
verb_run_fn verb_drain;
verb_run_fn verb_release;

/* show_signature.c */
verb_run_fn verb_signature;

/* simulate.c */
verb_run_fn verb_simulate;

/* show_replay.c */
verb_run_fn verb_replay;

/* show_lint.c */
verb_run_fn verb_lint;

/* say_verdict.c */
verb_run_fn verb_verdict;

/* follow.c */
verb_run_fn verb_follow;

/* dump.c: dump and load */
verb_run_fn verb_dump;
verb_run_fn verb_load;

#endif
