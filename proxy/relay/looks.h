/*
 * What SYNs look like: their signatures and the label, written once.
 *
 * A few stacks send nearly all SYNs, and each session asks for its texts
 * several times: at the accept, for each plan, at its end. So a worker keeps
 * the last ones, by all of a SYN that can matter to them. A flood of made-up
 * SYNs finds nothing here and costs what it would without.
 */
#ifndef PROXY_RELAY_LOOKS_H
#define PROXY_RELAY_LOOKS_H

#include "tarry/signature.h"

#define LOOKS_COUNT 64

struct labels;

struct look {
	struct syn syn; /* less what does not matter; zeroed: none */
	struct signature_texts texts;
	enum label_quality quality;
	const char *label; /* NULL: none */
};

/* 82 KiB; zeroed is empty. Of one thread. */
struct looks {
	struct look looks[LOOKS_COUNT];
};

/*
 * How a SYN looks, with its label from `labels` (NULL: none). Good until the
 * next call, or until looks_forget().
 */
const struct look *looks_of(struct looks *l, const struct syn *s,
			    const struct labels *labels);

/* Must be called before the labels go. */
void looks_forget(struct looks *l);

#endif
