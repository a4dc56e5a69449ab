/*
 * What `tarryctl top` shows, as lines of text: how tarryd is, the signatures
 * with the most sessions, the sessions that have been held longest.
 */
#ifndef PROXY_CTL_TOP_SCREEN_H
#define PROXY_CTL_TOP_SCREEN_H

#include "proxy/ctl/asking.h"

#define TOP_WIDTH 400
#define TOP_HEAD 4  /* lines: tarryd, sessions, the MTA, an empty one */
#define TOP_TABLE 2 /* lines around a table: its heading, an empty one */

/* Answers of tarryd; lists of its lines. */
struct top_facts {
	json_t *status;
	json_t *signatures;
	json_t *sessions; /* held now, longest first; then the others */
};

/*
 * Asks tarryd; out is overwritten, top_facts_free() gives it back whatever
 * came of it. Returns CTL_FINE, or why not, which was said on standard error.
 */
enum ctl_exit top_ask(const struct ctl *ctl, struct top_facts *out);
void top_facts_free(struct top_facts *f);

/* Lines of at most TOP_WIDTH - 1 printing ASCII characters, by snprintf. */
void top_head(const struct top_facts *f, size_t line, char out[TOP_WIDTH]);
void top_signature(const json_t *row, char out[TOP_WIDTH]); /* NULL: head */
void top_session(const json_t *row, char out[TOP_WIDTH]);   /* NULL: head */

/* All of it on standard output. */
void top_print(const struct top_facts *f);

#endif
