/*
 * Label files: names for SYN signatures and dialects, for people.
 *
 * Two forms are read, told apart by their sections. Ours:
 *
 *   [label Linux 4.20 or newer]
 *   generic = yes               ; loses ties; default no
 *   scale = soft                ; another window scale is a near miss
 *   syn = *:64:0:*:M,7:mss,sok,ts,nop,ws:df,id+:0
 *   stack = *:64:0:M,7:mss,sok,ts,nop,ws:df,id+:0
 *   family = 64:mss,sok,ts,nop,ws:
 *
 *   dialect = EHLO:*:MAIL.FROM<:*
 *
 * where all but the flags may repeat, and `generic` and `scale` hold for the
 * signatures behind them in their section; and p0f v3's .fp files, of which
 * [tcp:request] is read (`label = s:unix:Linux:3.x`, `sig = ...`) and the
 * rest skipped. A comment begins with ; or # at the start of a line, or with
 * ; behind a blank.
 */
#ifndef PROXY_CONFIG_LABELS_H
#define PROXY_CONFIG_LABELS_H

#include "tarry/signature.h"

struct labels;

enum labels_severity { LABELS_WARNING, LABELS_ERROR };

/* Takes one message, `file:line: what is wrong, what was expected`. */
typedef void labels_report(void *user, enum labels_severity severity,
			   const char *message);

/* A table without labels, or NULL if memory is out. */
struct labels *labels_new(void);

/* Frees the table and the names it gave out. NULL is fine. */
void labels_free(struct labels *labels);

/*
 * Adds the labels of one file; of equal ones the later file's win. A bad line
 * is reported (LABELS_ERROR) and skipped. `report` may be NULL.
 * Returns the number of labels added, or a negative errno if the file cannot
 * be read or memory is out; what was added before that stays.
 */
int labels_load(struct labels *labels, const char *path, labels_report *report,
		void *user) __attribute__((warn_unused_result));

/*
 * Reports, as LABELS_WARNING, each line that can never win because another
 * matches all that it matches. Quadratic; call it once, after the last file.
 * Returns their number.
 */
size_t labels_check(const struct labels *labels, labels_report *report,
		    void *user);

/* Whether a signature has that name, in any case. NULL has none. */
bool labels_has(const struct labels *labels, const char *name);

/* The number of labels. */
size_t labels_count(const struct labels *labels);

/*
 * The name for a SYN, or NULL with *quality LABEL_NONE. Owned by the table.
 * Any number of threads may ask while nobody loads.
 */
const char *labels_find(const struct labels *labels, const struct syn *s,
			enum label_quality *quality);

/*
 * The name for a dialect's text, or NULL: that of the pattern with the most
 * characters that are not `*`, of equal ones the last. Owned by the table.
 */
const char *labels_dialect(const struct labels *labels, const char *text);

#endif
