/*
 * Patience: how long those who look alike wait for us before they leave.
 *
 * The curve of Kaplan and Meier (Journal of the American Statistical
 * Association 53, 1958) over imposed delay: a session that left says so, one
 * whose delay ended first says only that it would have waited so long
 * (censored). Some leave by a single wait, some by the sum of all: whoever
 * counts keeps a curve of each.
 *
 * Fixed bins in the caller's memory, 1 KiB a curve. A bin holds the times
 * from its lower edge on; the last holds all later ones.
 */
#ifndef TARRY_PATIENCE_H
#define TARRY_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#define PATIENCE_BINS 128
/* Widths that reach as far as the governor lets a delay go. */
#define PATIENCE_WAIT_MS 250
#define PATIENCE_SUM_MS 1000

struct patience {
	uint32_t width_ms; /* of a bin; > 0 */
	uint32_t left[PATIENCE_BINS];
	uint32_t stayed[PATIENCE_BINS];
};

void patience_init(struct patience *p, uint32_t width_ms);

/* One session left after ms of delay, or its delay ended then. */
void patience_add_left(struct patience *p, uint32_t ms);
void patience_add_stayed(struct patience *p, uint32_t ms);

/* Sessions that were seen to wait for ms and longer, or to leave then. */
uint32_t patience_waited(const struct patience *p, uint32_t ms);

/* The share that has left once they were made to wait for ms, 0..1. */
double patience_gone(const struct patience *p, uint32_t ms);

enum patience_answer {
	PATIENCE_FOUND,
	PATIENCE_STAY,	     /* so many of the bad never left */
	PATIENCE_GOOD_LEAVE, /* by then more of the good have left than may */
	PATIENCE_TOO_FEW     /* too few were seen to wait so long */
};

/* What a delay is to do. */
struct patience_wish {
	uint32_t bad_percent; /* so many of the bad have left */
	uint32_t good_ppm;    /* and fewer than so many of the good */
};

/*
 * The least delay, in whole bins, that does it. The good are believed to stay
 * only where 3,000,000 / good_ppm of them were seen to wait so long, by the
 * rule of three (Hanley and Lippman-Hand, JAMA 249, 1983); `good` may be NULL:
 * nobody asks. *ms is set unless the answer is STAY.
 */
enum patience_answer patience_delay(const struct patience *bad,
				    const struct patience *good,
				    const struct patience_wish *wish,
				    uint32_t *ms);

#endif
